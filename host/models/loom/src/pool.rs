//! The back-off of a version.

#[path = "../../../engine/src/pool/backoff.rs"]
pub(crate) mod backoff;
