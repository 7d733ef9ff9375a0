//! Certificates that the host requests of an authority itself: ACME (RFC 8555)
//! with the challenges HTTP-01 and TLS-ALPN-01 (RFC 8737).
//!
//! One thread, with an asynchronous runtime of its own, does all of it, so that
//! no thread that serves waits for an authority, a disk or a signature. It is
//! only there if the configuration asks for certificates. Certificates and keys
//! are files in the data directory; the host reads them like those that a tool
//! writes, and connections notice nothing.
//!
//! `worker` is the thread, `schedule` the rules of when it asks, `account` and
//! `order` what it asks, `client` how, `folder` what it keeps, [`settings`] what
//! it was told.
//!
//! Bounded: one order at a time, of at most [`ORDER_TIMEOUT`]; for each host name
//! at most [`ATTEMPTS_PER_HOUR_MAX`] in an hour; requests and answers as `client`
//! says. An authority is only as trusted as its certificate: whatever it
//! answers, the host goes on with the certificates that it has.

mod account;
mod client;
mod folder;
mod order;
mod schedule;
pub mod settings;
mod worker;

pub use order::ORDER_TIMEOUT;
pub use schedule::ATTEMPTS_PER_HOUR_MAX;
pub use worker::{Acme, CHALLENGE_CONNECTIONS_MAX};
