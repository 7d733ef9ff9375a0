//! One API key that is in force, and the connections that it has let in.
//!
//! Whoever has let a caller in by a key keeps the key, and asks it each time:
//! what a reload changes about it is true for open connections, too. An end is
//! written first and then told to all connections; a connection is entered first
//! and then looks at the end. So whichever comes first, none stays.
//!
//! Bounded by the connections of the host.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_authentication::Secret;
use openline_authentication::key::{KeyDenial, KeyDenied};
use openline_channels::connection::Connection;
use openline_core::authentication::UnixTime;
use openline_core::close::CloseReason;
use openline_core::key::{KeyCredential, KeyTerms, Scope};
use openline_core::name::{ChannelName, ConnectionId, FunctionName, KeyName};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::{now, wall};

/// The longest time until a task that waits for the end of a key looks at the
/// clock on the wall, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(1);

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A `[[key]]` of the configuration.
    Configuration,
    /// A running host has made it, at this moment.
    Made(UnixTime),
}

/// An API key.
pub struct Key {
    credential: KeyCredential,
    source: KeySource,
    /// The secret access key of a pair of the configuration. Those of pairs that
    /// the host has made are derived.
    secret: Option<Secret>,
    state: watch::Sender<State>,
    open: Mutex<HashMap<ConnectionId, Weak<Connection>>>,
}

#[derive(Debug)]
struct State {
    terms: Arc<KeyTerms>,
    /// Changes with the terms.
    generation: u64,
    is_revoked: bool,
}

impl Key {
    pub(super) fn new(
        terms: KeyTerms,
        credential: KeyCredential,
        source: KeySource,
        secret: Option<Secret>,
    ) -> Self {
        let state = State {
            terms: Arc::new(terms),
            generation: 0,
            is_revoked: false,
        };
        Self {
            credential,
            source,
            secret,
            state: watch::Sender::new(state),
            open: Mutex::default(),
        }
    }

    /// What holds for it now.
    pub fn terms(&self) -> Arc<KeyTerms> {
        Arc::clone(&self.state.borrow().terms)
    }

    /// Its name.
    pub fn name(&self) -> KeyName {
        self.state.borrow().terms.name.clone()
    }

    /// How callers show it.
    pub fn credential(&self) -> &KeyCredential {
        &self.credential
    }

    /// Where it comes from.
    pub fn source(&self) -> KeySource {
        self.source
    }

    pub(super) fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    /// A number that is another one after each change of its terms: whoever keeps
    /// what the key allowed, as subscriptions do, compares it and asks again. A
    /// change wakes the connections that the key has let in.
    pub fn generation(&self) -> u64 {
        self.state.borrow().generation
    }

    /// Why it is not good, if it is not.
    pub fn denial(&self, now: UnixTime) -> Option<KeyDenied> {
        let state = self.state.borrow();
        let denial = if state.is_revoked {
            KeyDenial::Revoked
        } else if state.terms.has_expired(now) {
            KeyDenial::Expired
        } else {
            return None;
        };
        Some(KeyDenied::of(denial, Some(state.terms.name.clone())))
    }

    /// Whether it gives a scope on a function's own channel, now.
    pub fn allows(&self, scope: Scope, channel: &ChannelName, function: &FunctionName) -> bool {
        self.asks(|terms| terms.allow(scope, channel, function))
    }

    /// Whether it gives a scope on a channel that functions share, now.
    pub fn allows_shared(&self, scope: Scope, channel: &ChannelName) -> bool {
        self.asks(|terms| terms.allow_shared(scope, channel))
    }

    /// Whether it gives a scope for a function at all, now.
    pub fn allows_any(&self, scope: Scope, function: &FunctionName) -> bool {
        self.asks(|terms| terms.allow_any(scope, function))
    }

    fn asks(&self, allow: impl FnOnce(&KeyTerms) -> bool) -> bool {
        let state = self.state.borrow();
        !state.is_revoked && !state.terms.has_expired(now().wall) && allow(&state.terms)
    }

    /// How long it is still good; `None` if it does not end. Reads the clock on
    /// the wall.
    pub fn left(&self) -> Option<Duration> {
        let UnixTime(end) = self.state.borrow().terms.expires?;
        Some(Duration::from_secs(end).saturating_sub(wall()))
    }

    /// Returns when the key is revoked, gone or expired: for answers that stay
    /// open without being connections, such as event streams. Late by a second at
    /// most, also when the clock is set.
    pub async fn ended(&self) -> CloseReason {
        let mut state = self.state.subscribe();
        loop {
            if state.borrow_and_update().is_revoked {
                return CloseReason::Revoked;
            }
            let left = self.left();
            if left == Some(Duration::ZERO) {
                return self.expired();
            }
            let look = left.map_or(LOOK, |left| left.min(LOOK));
            // The sender is this key's, so it is there; either way it looks again.
            let _ = tokio::time::timeout(look, state.changed()).await;
        }
    }

    /// Why a connection ends whose key has expired.
    pub(crate) fn expired(&self) -> CloseReason {
        CloseReason::Expired { code: 1008 }
    }

    /// How many connections it has let in that are open.
    pub fn connections(&self) -> usize {
        self.open.lock().len()
    }

    /// Enters a connection, which ends with the key.
    pub(crate) fn enter(&self, connection: &Arc<Connection>) {
        let (id, weak) = (connection.id(), Arc::downgrade(connection));
        self.open.lock().insert(id, weak);
        if self.state.borrow().is_revoked {
            end(connection);
        }
    }

    /// Forgets a connection.
    pub(crate) fn leave(&self, connection: ConnectionId) {
        self.open.lock().remove(&connection);
    }

    /// Takes other terms with the same name. Wakes the connections if there are
    /// any: their time may be up, and they may not do any more what they did.
    pub(super) fn take(&self, terms: KeyTerms) {
        let changed = self.state.send_if_modified(|state| {
            let is_other = *state.terms != terms;
            if is_other {
                state.terms = Arc::new(terms);
                state.generation += 1;
            }
            is_other
        });
        if changed {
            self.each_open(|connection| connection.wake());
        }
    }

    /// Ends the key with its connections, and returns how many these were. Looks
    /// at all of them, so it is not for a thread that serves.
    pub(super) fn revoke(&self) -> usize {
        self.state.send_modify(|state| state.is_revoked = true);
        let mut closed = 0;
        self.each_open(|connection| closed += usize::from(end(connection)));
        closed
    }

    fn each_open(&self, mut each: impl FnMut(&Arc<Connection>)) {
        // Not under the lock: a connection that ends leaves.
        let open: Vec<_> = self.open.lock().values().cloned().collect();
        for connection in open {
            if let Some(connection) = connection.upgrade() {
                each(&connection);
            }
        }
    }
}

/// Ends a connection in the way of a revoked token. Whether nothing else has
/// ended it before.
fn end(connection: &Connection) -> bool {
    let ends = connection.end(CloseReason::Revoked);
    connection.wake();
    ends
}

impl fmt::Debug for Key {
    /// Shows no digest: that of a text which somebody has chosen may be guessed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        f.debug_struct("Key")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}
