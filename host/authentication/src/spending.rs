//! The nonce or the ticket that a request has used up.
//!
//! A request uses it up at once, so that only one of two requests with it passes.
//! If a later check refuses the request, it is given back.

use std::sync::Arc;

use crate::nonce::{Nonces, Taken};
use crate::ticket::Held;

/// The nonce or the ticket of a request. Dropping this gives it back;
/// [committing](Self::commit) uses it up for good.
#[derive(Debug)]
#[must_use = "what is not committed is given back, and can be used again"]
pub struct Spending(Option<Spent>);

#[derive(Debug)]
enum Spent {
    Nonce(Arc<Nonces>, Taken),
    Ticket(Held),
}

impl Spending {
    /// Nothing: the credential can be used again.
    pub fn nothing() -> Self {
        Self(None)
    }

    pub(crate) fn nonce(nonces: &Arc<Nonces>, taken: Taken) -> Self {
        Self(Some(Spent::Nonce(Arc::clone(nonces), taken)))
    }

    pub(crate) fn ticket(held: Held) -> Self {
        Self(Some(Spent::Ticket(held)))
    }

    /// Uses it up for good: the request has passed.
    pub fn commit(mut self) {
        if let Some(Spent::Ticket(held)) = self.0.take() {
            held.use_up();
        }
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        match self.0.take() {
            Some(Spent::Nonce(nonces, taken)) => nonces.give_back(&taken),
            Some(Spent::Ticket(held)) => held.give_back(),
            None => {}
        }
    }
}
