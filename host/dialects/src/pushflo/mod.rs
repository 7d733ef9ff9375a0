//! PushFlo's protocol, as its SDK 1.0.8 speaks it: frames over a WebSocket, and
//! requests.
//!
//! | key begins with | may |
//! | --- | --- |
//! | `pub_` | subscribe |
//! | `sec_` | also publish and read histories |
//! | `mgmt_` | also manage channels |
//!
//! What the host cannot mend: after a break, the SDK connects again and does not
//! subscribe again, and it has no positions to recover from. Errors of one
//! channel reach its error handler of the connection alone.

pub(crate) mod frame;
pub mod rest;
mod slug;

use std::borrow::Cow;

pub use slug::{SLUG_BYTES_MAX, is_slug};

use crate::limits::TOKEN_BYTES_MAX;
use crate::query;

/// The key in the query of `/ws?token=…`, if there is exactly one of a possible
/// length.
pub fn key_of_query(query: &str) -> Option<Cow<'_, str>> {
    let mut keys = query::pairs(query).filter(|(name, _)| name == "token");
    let (_, key) = keys.next()?;
    let fits = !key.is_empty() && key.len() <= TOKEN_BYTES_MAX;
    (fits && keys.next().is_none()).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_there_once() {
        assert_eq!(key_of_query("token=pub_a%2Fb").as_deref(), Some("pub_a/b"));
        assert_eq!(key_of_query("a=b&token=sec_1").as_deref(), Some("sec_1"));
        for bad in ["", "token=", "token", "token=a&token=a", "Token=a"] {
            assert_eq!(key_of_query(bad), None, "{bad}");
        }
        let long = |bytes: usize| key_of_query(&format!("token={}", "a".repeat(bytes))).is_some();
        assert!(long(TOKEN_BYTES_MAX) && !long(TOKEN_BYTES_MAX + 1));
    }
}
