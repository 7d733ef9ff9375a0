//! The JSON protocol of Centrifugo's clients, version 2: centrifuge-js,
//! centrifuge-python and the others, unmodified.
//!
//! A frame has one command or many, joined by line feeds, and so has each frame
//! to the peer. A command has a number, which its reply repeats, and exactly one
//! request; a push has no number. `{}` is a ping of the host, and the peer's
//! answer to it.
//!
//! This folder writes what clients get, and `session` reads what they send. Not
//! here: Protobuf, deltas, channel compaction (which peers offer and hosts need
//! not take), map subscriptions and shared polls: a subscription that asks for
//! one of the last two is refused as not available.

pub mod codes;
mod push;
pub(crate) mod reply;
pub mod server;

#[cfg(test)]
mod tests;

pub use codes::Unsubscribed;
pub use push::Pushes;

use serde::Deserialize;

use crate::json::{Text, or_default};

/// The tag that says how the data of a publication is to be read, if it is not
/// JSON or text: JSON has no bytes, and Centrifugo would close the connection.
pub const DATA_TAG: (&str, &str) = ("openline-data", "base64");

/// A position, as clients and backends send it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PositionRequest<'a> {
    #[serde(deserialize_with = "or_default")]
    pub(crate) offset: u64,
    #[serde(borrow)]
    pub(crate) epoch: Text<'a>,
}

/// The host's ping, and the peer's answer.
pub const PING: &str = "{}";
