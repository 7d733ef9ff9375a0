//! Calls of functions to the outside: who may call whom, by which address, and what
//! it may cost.
//!
//! A function calls by [`FunctionOutbound`], which the host makes for it out of an
//! [`Outbound`] and its [`Terms`]. A call goes through `prepare` (its head),
//! `function` (the order of the checks), `resolve` and `dial` (names become checked
//! addresses, and those sockets), `tls`, `pipe` and `pool` (HTTP on a connection that
//! others may use after it), and ends with `answer`. `outgoing` is its body on the
//! way out. [`FunctionOutbound::connect`] stops after TLS, for other protocols.
//!
//! What it never does: follow a redirect, look up a name that is not listed, look a
//! name up twice for one connection, dial an address that was not checked, accept a
//! certificate that is not valid, share a connection between functions, or call the
//! interfaces by which the host is operated.
//!
//! Nothing here depends on the thread that polls a call: sockets and their tasks
//! live on the runtime that [`Outbound`] was given.

mod answer;
mod counters;
mod dial;
mod error;
mod function;
mod hops;
mod host;
mod outgoing;
mod own;
mod pipe;
mod places;
mod pool;
mod prepare;
mod resolve;
mod shared;
mod stream;
mod terms;
mod tls;
mod trust;

#[cfg(test)]
mod tests;

pub use answer::AnswerBody;
pub use counters::Counts;
pub use error::OutboundError;
pub use function::{CallOptions, FunctionOutbound};
pub use hops::{CDN_LOOP, HOPS_MAX, HopName, Hops};
pub use host::Outbound;
pub use outgoing::{BodyError, CallBody};
pub use resolve::{Resolve, Resolving, SystemResolver};
pub use stream::OutboundStream;
pub use terms::Terms;
pub use trust::{RootsError, SystemRoots};
