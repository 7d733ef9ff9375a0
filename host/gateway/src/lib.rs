//! The network side: the only package that knows the hyper server and the
//! codec of frames.
//!
//! [`listen`] accepts, `arrival` finds out who the peer is, [`http`] answers
//! requests, `handshake` checks those that ask for a WebSocket, `upgrade` asks
//! the function, and `connection` serves the connection from then on. `held` has the
//! answers that functions hold, which are connections, too. [`front`]
//! answers probes even while all others hang. [`rescue`] is the only place
//! where refusals become responses, and `pages` says what browsers may do with
//! them. Requests for the host itself go to an
//! implementation of [`reserved::Reserved`], and those of publishers to one of
//! [`outside::Outside`].

pub mod answer_body;
mod arrival;
mod arriving;
mod connection;
mod cookie;
mod dialect;
mod ending;
mod exchange;
pub mod front;
#[doc(hidden)]
pub mod fuzzing;
pub mod gateway;
mod grpc;
mod handshake;
mod held;
pub mod http;
mod http2;
pub mod listen;
pub mod liveness;
pub mod outside;
mod paced;
mod pages;
mod probe;
mod request_id;
mod requests;
pub mod rescue;
pub mod reserved;
pub mod tally;
pub mod tls;
mod upgrade;

/// Frees the compressors and decompressors that this thread has not used since
/// the last call.
pub fn release_unused_compressors() {
    connection::wire::release_unused();
}
