//! Subscribers that have no WebSocket: those of event streams and of polls.
//!
//! A reader owns a connection of a space, in no hub and without a function, as a
//! task owns a socket. So it recovers as connections do. Bounded by an outbox of
//! twice [`EVENT_BYTES_MAX`], past which it is over: a slow one delays no other.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use openline_core::dialect::DialectName;
use openline_core::limits::{FunctionLimits, OutboxOverflow};
use openline_core::message::Message;

use crate::budget::FunctionBudget;
use crate::connection::{Connection, Facts, Item, Next, SocketOwner};

/// The largest event, which is larger than its data by names and escapes, the
/// largest recovery, and half of what may wait for one reader.
pub const EVENT_BYTES_MAX: usize = 16 << 20;

/// Few and large pieces cost less than many small ones.
const PIECE_BYTES: usize = 16 << 10;

/// A subscriber that reads events. When it is dropped, it is no subscriber any more.
#[derive(Debug)]
pub struct Reader {
    owner: SocketOwner,
    is_over: bool,
}

impl Reader {
    /// A reader of channels with these limits; `peer` is its address, for lists.
    pub fn new(peer: &str, limits: &FunctionLimits, budget: Arc<FunctionBudget>) -> Self {
        let facts = Facts {
            peer: peer.into(),
            dialect: Some(DialectName::Events),
            ..Facts::default()
        };
        let limits = FunctionLimits {
            message_bytes: EVENT_BYTES_MAX,
            outbox_bytes: EVENT_BYTES_MAX * 2,
            outbox_overflow: OutboxOverflow::Close,
            ..limits.clone()
        };
        Self {
            owner: SocketOwner::new(facts, Arc::new(limits), budget),
            is_over: false,
        }
    }

    /// Its connection, which subscribes.
    pub fn connection(&self) -> &Arc<Connection> {
        self.owner.connection()
    }

    /// The next events, several at once if they wait; `None` when it is over.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.owner.register(cx.waker());
        let mut gathered = String::new();
        while !self.is_over && gathered.len() < PIECE_BYTES {
            if self.owner.is_terminated() || self.owner.leaving().is_some() {
                self.is_over = true;
                break;
            }
            match self.owner.next() {
                Next::Item(item) => gathered.push_str(text(&item)),
                Next::End(_) => self.is_over = true,
                Next::Idle => break,
            }
        }
        match gathered.is_empty() {
            false => Poll::Ready(Some(gathered.into())),
            true if self.is_over => Poll::Ready(None),
            true => Poll::Pending,
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.owner.unsubscribe_all();
        self.owner.finish();
        self.owner.release();
    }
}

/// The text of an event; a reader gets nothing else.
fn text(item: &Item) -> &str {
    let message = match item {
        Item::Message(message) | Item::Compress(message) | Item::Plain(message) => message,
        Item::Published(shared) => shared.message(),
        Item::Ping(_) => return "",
    };
    match message {
        Message::Text(text) => text,
        Message::Binary(_) => "",
    }
}
