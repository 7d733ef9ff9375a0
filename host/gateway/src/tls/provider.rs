//! The implementation of cryptography: ring.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// What all handshakes, keys and certificates use.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
