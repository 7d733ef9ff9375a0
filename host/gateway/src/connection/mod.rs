//! One connection: the task that owns its socket.
//!
//! The poll is written by hand, because it decides what belongs together:
//! everything that one read brought becomes one call of the function, and
//! everything that one wake finds in the outbox leaves with one flush. Memory
//! is bounded: one batch is in the function and one is gathered meanwhile, then
//! reading stops and TCP pushes back; the outbox has its own bound. Ending
//! takes at most `close_timeout`. One timer serves everything that is due on a
//! connection, and messages do not touch it. A connection keeps no buffers, and
//! one on which nothing has happened for a while sleeps: see [`rest`]. Only
//! [`wire`] knows the codec that reads and writes frames.

mod actor;
pub(crate) mod clock;
pub(crate) mod close;
pub(crate) mod ending;
mod inbox;
pub(crate) mod intake;
mod pace;
mod read;
pub(crate) mod rest;
mod serve;
mod speaking;
mod taking;
mod time;
mod unflushed;
mod unproven;
pub(crate) mod wire;
mod write;

pub(crate) use actor::Actor;
pub(crate) use unproven::Unproven;
