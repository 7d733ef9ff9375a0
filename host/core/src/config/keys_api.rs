//! The keys of `[server.api]` that are not limits; see [`keys`](super::keys).

use super::key_row::{self, Key};
use crate::limits::Effect::{self, AtOnce, NextStart};

const fn key(
    name: &'static str,
    default: &'static str,
    effect: Effect,
    about: &'static str,
) -> Key {
    key_row::key("[server.api]", name, default, effect, about)
}

/// All these keys, in the order of the file.
pub(super) const API: &[Key] = &[
    key(
        "listen",
        "none",
        NextStart,
        "address and port of a listener for [publishers](../guide/publishing.md), as in `\"127.0.0.1:8081\"`. It speaks TLS if a certificate has `\"api\"` in its `listeners`",
    ),
    key(
        "hosts",
        "none",
        AtOnce,
        "the hosts for which `listen` of `[server]` answers publishers as well, if no trigger takes the request: names, patterns as in `\"*.example.org\"`, or `\"*\"` for all; at most 64",
    ),
    key(
        "protocols",
        "all",
        AtOnce,
        "the protocols of publishers, of `openline`, `pushflo`, `grip`, `aws` and `centrifugo`",
    ),
    key(
        "function",
        "none",
        AtOnce,
        "the function of requests that name none. Without it, they mean the function of their key, if the key is for only one, or the only function of the host",
    ),
];
