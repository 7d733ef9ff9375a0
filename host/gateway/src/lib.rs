//! The network side: the only package that knows the hyper server and
//! tungstenite.
//!
//! [`listen`] accepts, [`http`] answers requests, `admit` decides which of them
//! may ask a function, `upgrade` asks it, and `connection` holds the line open
//! from then on. [`front`] answers probes while all of them hang. Refusals become
//! responses in `rescue`, in one place.

pub mod admin;
mod admit;
mod connection;
pub mod deployer;
pub mod development;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
mod handshake;
pub mod http;
mod ledger;
pub mod listen;
pub mod liveness;
mod page;
mod requests;
mod rescue;
mod tally;
mod upgrade;
