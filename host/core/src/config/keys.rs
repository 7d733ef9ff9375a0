//! The keys of the configuration that are no limits: where each is written,
//! what it is unless it is given, what it is for, and when a change of it takes
//! effect. With the rows of [`TABLES`] these are all keys; a test
//! holds both against what the file may have.

use super::{ServerConfig, TABLES};
use crate::limits::Effect;

/// One key that is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The table of the file that it is in.
    pub table: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What it is when it is not given, for people.
    pub default: &'static str,
    /// When a change takes effect in a running host.
    pub effect: Effect,
    /// What it is for.
    pub about: &'static str,
}

const fn key(
    table: &'static str,
    name: &'static str,
    default: &'static str,
    effect: Effect,
    about: &'static str,
) -> Key {
    Key {
        table,
        name,
        default,
        effect,
        about,
    }
}

use Effect::{AsBounded, AtOnce, NewConnections, NextEvent, NextStart};

/// All of them, in the order of the file.
pub const KEYS: &[Key] = &[
    key(
        "[server]",
        "listen",
        "`\"127.0.0.1:8080\"`",
        NextStart,
        "address and port. A host is exposed on purpose or not at all",
    ),
    key(
        "[server]",
        "page",
        "`\"loopback\"`",
        AtOnce,
        "who may open the page: `loopback` is peers on this machine that also address it as such, `everyone`, `off`",
    ),
    key(
        "[server]",
        "admin",
        "127.0.0.1, at the port of `listen` and 10,000; a free port if that is taken",
        NextStart,
        "where the admin interface listens; `\"off\"` for nowhere. An address that others can reach needs `admin_token`",
    ),
    key(
        "[server]",
        "probes",
        "none",
        NextStart,
        "an address and port for `/.openline/live` and `/.openline/ready`, and nothing else, which answers also while the host hangs. The admin interface does so as well",
    ),
    key(
        "[server]",
        "admin_token",
        "none",
        AtOnce,
        "what requests to it must bear: 16 visible characters or more",
    ),
    key(
        "[server]",
        "data",
        "none",
        NextStart,
        "the data directory: what was deployed, states, durable alarms. Without one all of it is forgotten when the process ends. One process at a time. Relative to the file",
    ),
    key(
        "[server]",
        "cache",
        "`$XDG_CACHE_HOME/openline`, else `~/.cache/openline`",
        NextStart,
        "compiled components. It holds native code that the host runs: only its user may write there. Relative to the file",
    ),
    key(
        "[[function]]",
        "name",
        "–",
        AtOnce,
        "1 to 64 letters, digits, `-`, `_` and `.`, the first a letter or digit; each once. Another name is another function",
    ),
    key(
        "[[function]]",
        "component",
        "none",
        AtOnce,
        "the file, relative to this one. Another file than at the last start or reading is deployed to `alias`; as long as it is the same, what was deployed since stays. Without one the function waits for a deploy",
    ),
    key(
        "[[function]]",
        "route",
        "–",
        NewConnections,
        "where it is reached; no two functions match the same paths",
    ),
    key(
        "[[function]]",
        "alias",
        "`\"live\"`",
        NewConnections,
        "the alias that the route leads to; one that is new leads to `component`",
    ),
    key(
        "[[function]]",
        "migration",
        "`\"migrate\"`",
        AtOnce,
        "what becomes of open connections when an alias moves that was not told otherwise with `--migration`: `migrate`, `pin`, `drain`",
    ),
    key(
        "[[function.trigger]]",
        "route",
        "–",
        NewConnections,
        "a further route",
    ),
    key(
        "[[function.trigger]]",
        "alias",
        "this or `version`",
        NewConnections,
        "the alias that it leads to",
    ),
    key(
        "[[function.trigger]]",
        "version",
        "this or `alias`",
        NewConnections,
        "the version that it leads to, by the beginning of its digest",
    ),
    key(
        "[[function.auto_response]]",
        "text",
        "this or `binary_hex`",
        NewConnections,
        "a text message that the host answers by itself",
    ),
    key(
        "[[function.auto_response]]",
        "binary_hex",
        "this or `text`",
        NewConnections,
        "a binary message that the host answers by itself",
    ),
    key(
        "[[function.auto_response]]",
        "reply",
        "this or `reply_hex`",
        NewConnections,
        "the answer, as text",
    ),
    key(
        "[[function.auto_response]]",
        "reply_hex",
        "this or `reply`",
        NewConnections,
        "the answer, binary",
    ),
    key(
        "[[function.auto_response]]",
        "match",
        "`\"exact\"`",
        NewConnections,
        "whether the message is this one, or begins so: `\"prefix\"`",
    ),
    key(
        "[function.instance]",
        "affinity",
        "none",
        NewConnections,
        "a parameter of the route: connections with one value share one instance",
    ),
    key(
        "[function.instance]",
        "backoff",
        "`\"wait\"`",
        NextEvent,
        "what becomes of events while a function that keeps failing is given nothing: they wait, or `refuse` closes the connection with 1013; `close` waits in any case",
    ),
    key(
        "[function.limit]",
        "outbox_overflow",
        "`\"close\"`",
        NewConnections,
        "what happens when the outbox is full: `close` with 1013, `drop-newest` or `drop-oldest`",
    ),
    key(
        "[function.limit]",
        "rate_exceeded",
        "`\"pause\"`",
        NewConnections,
        "what happens past a rate: reading pauses, or `close` with 1008",
    ),
    key(
        "[function.limit]",
        "time_up",
        "`\"close\"`",
        NewConnections,
        "how a connection ends after `connection_time`: `close` with 1001, or `abort` without a close frame, as Function Compute does",
    ),
    key(
        "[function.limit]",
        "time_warning_message",
        "`{\"type\":\"openline.time-warning\"}`",
        NewConnections,
        "the text that the peer is sent `time_warning` before that",
    ),
    key(
        "[maximum.limit]",
        "those of `[function.limit]`",
        "none",
        AsBounded,
        "what no function's configuration may pass; defaults above it come down to it",
    ),
    key(
        "[maximum.instance]",
        "those of `[function.instance]`",
        "none",
        AsBounded,
        "the same",
    ),
];

/// When a change of a key takes effect. None when there is no such key.
pub fn effect_of(table: &str, name: &str) -> Option<Effect> {
    let rows = TABLES.iter().filter(|(each, _)| *each == table);
    let limits = rows.flat_map(|(_, rows)| *rows);
    let limits = limits.map(|row| (row.name, row.effect));
    let others = KEYS.iter().filter(|key| key.table == table);
    let others = others.map(|key| (key.name, key.effect));
    let mut all = limits.chain(others);
    all.find(|(each, _)| *each == name)
        .map(|(_, effect)| effect)
}

impl ServerConfig {
    /// What is in force in a host that has begun with `started` and has read
    /// `self` since: keys that wait for the next start stay as they were. Those
    /// that have changed and wait are named.
    pub fn in_force(mut self, started: &Self) -> (Self, Vec<&'static str>) {
        let waits = |name: &str| effect_of("[server]", name) == Some(NextStart);
        let waiting = self.take(started, waits);
        (self, waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::file::File;

    /// The keys that a table may have, by what serde says of one that it may
    /// not have.
    fn known(table: &str) -> Vec<String> {
        let header = match table {
            "[server]" | "[maximum.limit]" | "[maximum.instance]" => table.to_owned(),
            _ => format!("[[function]]\n{}", table.replace("[[function]]", "")),
        };
        let text = format!("{header}\nno-such-key = 1");
        let error = toml::from_str::<File>(&text).unwrap_err();
        let message = error.message();
        let words = message.split('`').skip(1).step_by(2).map(str::to_owned);
        let mut words: Vec<_> = words.collect();
        assert_eq!(words.remove(0), "no-such-key", "{message}");
        // Tables have rows of their own.
        words.retain(|word| !["trigger", "auto_response", "instance", "limit"].contains(&&**word));
        words.sort_unstable();
        words
    }

    #[test]
    fn each_key_that_a_file_may_have_says_when_it_takes_effect() {
        let mut tables: Vec<_> = KEYS.iter().map(|key| key.table).collect();
        tables.extend(TABLES.map(|(table, _)| table));
        tables.sort_unstable();
        tables.dedup();
        assert_eq!(tables.len(), 8, "{tables:?}");
        for table in tables.iter().filter(|table| !table.contains("maximum")) {
            let rows = TABLES.iter().filter(|(each, _)| each == table);
            let rows = rows.flat_map(|(_, rows)| rows.iter().map(|row| row.name));
            let others = KEYS.iter().filter(|key| key.table == *table);
            let mut listed: Vec<_> = rows.chain(others.map(|key| key.name)).collect();
            listed.sort_unstable();
            assert_eq!(listed, known(table), "{table}");
            for name in listed {
                assert!(effect_of(table, name).is_some(), "{table} {name}");
            }
        }
        for (maximum, bounded) in [
            ("[maximum.limit]", "[function.limit]"),
            ("[maximum.instance]", "[function.instance]"),
        ] {
            for name in known(maximum) {
                assert!(effect_of(bounded, &name).is_some(), "{maximum} {name}");
            }
        }
    }

    #[test]
    fn what_waits_for_the_next_start_stays_in_force_and_is_named() {
        let started = ServerConfig::default();
        let read = ServerConfig {
            drain_timeout: Duration::from_secs(1),
            instances: 7,
            data: Some("data".into()),
            ..started.clone()
        };
        let (in_force, waiting) = read.clone().in_force(&started);
        assert_eq!(in_force.drain_timeout, read.drain_timeout);
        assert_eq!(in_force.instances, started.instances);
        assert_eq!(in_force.data, started.data);
        assert_eq!(waiting, ["instances", "data"]);
        assert_eq!(started.clone().in_force(&started), (started, vec![]));
    }
}
