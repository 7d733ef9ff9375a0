//! The network side: the only package that knows the hyper server and
//! tungstenite.
//!
//! [`listen`] accepts, [`http`] answers requests, `handshake` checks those that
//! ask for a WebSocket, `upgrade` asks the function, and `connection` holds the
//! line open from then on. [`front`] answers probes while all of them hang.
//! Refusals become responses in [`rescue`], in one place; what asks for the host
//! itself is passed to what implements [`reserved::Reserved`].

mod connection;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
mod handshake;
pub mod http;
pub mod listen;
pub mod liveness;
mod probe;
mod requests;
pub mod rescue;
pub mod reserved;
pub mod tally;
mod upgrade;
