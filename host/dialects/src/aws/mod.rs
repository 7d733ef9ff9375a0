//! The `@connections` of Amazon API Gateway: messages to a connection, its
//! state, and its end, by its identity. SDKs that call
//! `PostToConnection`, `GetConnection` and `DeleteConnection` need another
//! `endpoint_url` and nothing else.
//!
//! Bounded by the request's head and body, which the host bounds, and by the
//! numbers in each file.

mod answer;
mod path;
mod signature;

#[cfg(test)]
mod signature_tests;

pub use answer::{ConnectionView, Failure, deleted, posted};
pub use path::{NAME_BYTES_MAX, Target};
pub use signature::{
    Authorization, SERVICE, SIGNED_HEADERS_MAX, SignatureError, SignedRequest, WINDOW_S,
};
