//! JSON Web Tokens (RFC 7519), signed ones (RFC 7515).
//!
//! `algorithm` has the algorithms, `keys` the keys that verify, `verify` reads a
//! token and checks its claims, `provider` gives jsonwebtoken its cryptography,
//! and `set` is the state of a key set that is fetched. Bounded by
//! [`TOKEN_BYTES_MAX`]; nothing of a longer token is decoded.

mod algorithm;
mod keys;
mod provider;
mod set;
mod verify;

pub use algorithm::Algorithm;
pub use keys::{JWKS_BYTES_MAX, KeyError, KeySet, KeySetError, KeySource, KeyWarning};
pub use set::{Answer, Fetch, FetchError, FetchedKeys};
pub use verify::{TOKEN_BYTES_MAX, Terms, TokenError, Verified, verify};

#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod tests;
