//! One connection: the task that owns its socket.
//!
//! A hand-written poll, because of what it decides: everything that one read
//! brought becomes one call of the function, and everything that one wake
//! finds in the outbox leaves with one flush. Bounded: one batch in the
//! function, one batch gathered meanwhile, then reading stops and TCP pushes
//! back; the outbox has its own bound; ending takes at most `close_timeout`.
//! One timer serves all that is due on a connection, and is not touched by
//! messages. A connection on which nothing has happened for a while sleeps: see
//! [`sleep`]. Only [`wire`] knows the library that reads and writes frames.

mod actor;
mod clock;
mod close;
mod ending;
mod inbox;
mod pace;
mod read;
mod rest;
mod serve;
mod sleep;
mod time;
mod unflushed;
pub(crate) mod wire;
mod write;

pub(crate) use actor::Actor;
