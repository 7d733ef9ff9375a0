//! The keys of `[[key]]`, the tables of API keys; see [`keys`](super::keys).

use super::key_row::{self, Key};
use crate::limits::Effect::AtOnce;

/// A key of the table, whose change concerns open connections as well.
const fn key(name: &'static str, default: &'static str, about: &'static str) -> Key {
    key_row::key("[[key]]", name, default, AtOnce, about)
}

/// All these keys, in the order of the file.
pub(super) const ACCESS: &[Key] = &[
    key(
        "name",
        "–",
        "1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit; unique among all [keys](../guide/keys.md), also those that `openline keys` has made. Connections of a key that is renamed, or gone, are closed",
    ),
    key(
        "scopes",
        "–",
        "what the key is for, of `subscribe`, `publish`, `read` (history, presence, counts, connections) and `manage` (channels and connections). None includes another",
    ),
    key(
        "channels",
        "`[\"*\"]`: all",
        "patterns of the channels that the key is for, as in `[\"room:*\", \"inbox:{user}\"]`; at most 64",
    ),
    key(
        "functions",
        "all",
        "the functions whose channels the key is for; at most 64. Channels that functions share are decided by `channels` alone",
    ),
    key(
        "expires",
        "none",
        "the end of the key, as in `\"2026-12-31T23:59:59Z\"`; then its connections are closed",
    ),
    key(
        "secret",
        "–",
        "the place of the key's text, 20 to 256 visible ASCII characters: `\"env:NAME\"` or `\"file:PATH\"`, relative to the file",
    ),
    key(
        "access_key_id",
        "none",
        "20 upper-case letters and digits: the key is then a pair for AWS's tools, and `secret` is the place of its secret access key",
    ),
];
