//! The network side: the only package that knows the hyper server and
//! tungstenite.
//!
//! [`listen`] accepts, [`http`] answers requests, `admit` decides which of them
//! may ask a function, `upgrade` asks it, and `connection` holds the line open
//! from then on. Refusals become responses in `rescue`, in one place.

pub mod admin;
mod admit;
mod connection;
pub mod deployer;
pub mod development;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
mod handshake;
pub mod http;
mod ledger;
pub mod listen;
mod page;
mod requests;
mod rescue;
mod tally;
mod upgrade;
