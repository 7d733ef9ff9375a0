//! Signatures of requests: ours, and two forms of Alibaba Cloud.
//!
//! `canonical` says which text is signed, `credentials` reads what a request
//! carries, `keys` has the keys of callers, `verify` puts them together, and
//! `sign` makes signatures. Bounded by [`SIGNED_HEADERS_MAX`], and by the
//! request, whose size was checked before.
//!
//! # Our form
//!
//! ```text
//! Authorization: OPENLINE-HMAC-SHA256 Credential=ID,SignedHeaders=a;b,Signature=HEX
//!
//! C = METHOD \n PATH \n QUERY \n {"name:value\n", by name} \n a;b \n hex(sha256(BODY))
//! S = "OPENLINE-HMAC-SHA256" \n hex(sha256(C))
//! HEX = hex(hmac-sha256(secret, S))
//! ```
//!
//! `PATH` is the path in its one spelling. `QUERY` has its keys and values with
//! all but `A-Za-z0-9-._~+` escaped (so `+`, `%2B` and `%20` are three texts). It is
//! sorted by its keys as they are then; the values of one key keep their order.
//! `a` and `a=` stay as they are, and empty pieces (`a&&b`) are left out. The
//! signed headers are in lower case and sorted. The value of `host` is in lower
//! case, without the port if that is 80 or 443: clients leave out the default of
//! their scheme, and the scheme is not signed. `host`, `x-openline-date`
//! (`yyyy-MM-ddTHH:mm:ssZ`), `x-openline-nonce` and every other `x-openline-*` of
//! the request are among them. A signed header occurs once in the request. It is
//! ACS3's skeleton under a name of its own, and with a stricter query.
//!
//! A pre-signed URL has the keys `openline-access-key-id` and `openline-expires`
//! (seconds since 1970) in its query and, if it is good once, `openline-nonce` and
//! `openline-date`. `openline-signature` signs it in the same way, with `host` as
//! the only header and without itself.

mod canonical;
mod credentials;
mod keys;
mod sign;
mod verify;

pub use credentials::SIGNED_HEADERS_MAX;
pub use keys::{AccessKey, AccessKeys};
pub use sign::{SignError, Signing, fresh_nonce};
pub use verify::SignatureVerifier;

#[cfg(test)]
#[path = "header_tests.rs"]
mod headers;
#[cfg(test)]
#[path = "nonce_tests.rs"]
mod nonce_tests;
#[cfg(test)]
#[path = "presigned_tests.rs"]
mod presigned;
#[cfg(test)]
#[path = "property_tests.rs"]
mod properties;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "canonical_tests.rs"]
mod texts;
