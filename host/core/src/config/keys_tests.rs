//! Each key that a file may have is listed, and says when it takes effect.

use std::time::Duration;

use super::*;
use crate::config::file::File;

/// The keys that a table may have, taken from serde's error about an
/// unknown one.
fn known(table: &str) -> Vec<String> {
    let header = match table {
        table if table.contains("function.trigger.") => {
            format!("[[function]]\n[[function.trigger]]\n{table}")
        }
        "[channel.history]" | "[channel.keyed]" => format!("[[channel]]\n{table}"),
        "[function.channel.history]" | "[function.channel.keyed]" => {
            format!("[[function]]\n[[function.channel]]\n{table}")
        }
        table if !table.contains("function") => table.to_owned(),
        table => format!("[[function]]\n{}", table.replace("[[function]]", "")),
    };
    let text = format!("{header}\nno-such-key = 1");
    let error = toml::from_str::<File>(&text).unwrap_err();
    let message = error.message();
    let words = message.split('`').skip(1).step_by(2).map(str::to_owned);
    let mut words: Vec<_> = words.collect();
    assert_eq!(words.remove(0), "no-such-key", "{message}");
    // Nested tables have rows of their own.
    let nested: &[&str] = match table {
        "[server]" => &["tls", "certificate", "api"],
        "[server.tls]" => &["acme"],
        "[[function.trigger]]" => &["jwt", "signature", "ticket", "first_message"],
        "[function.trigger.signature]" => &["keys"],
        "[[function]]" => &[
            "trigger",
            "auto_response",
            "channel",
            "subscription",
            "outbound",
            "instance",
            "limit",
        ],
        "[[channel]]" => &["history", "keyed"],
        // A function's own list refuses it with a sentence.
        "[[function.channel]]" => &["history", "keyed", "functions"],
        _ => &[],
    };
    words.retain(|word| !nested.contains(&&**word));
    words.sort_unstable();
    words
}

#[test]
fn each_key_that_a_file_may_have_says_when_it_takes_effect() {
    let mut tables: Vec<_> = keys().map(|key| key.table).collect();
    tables.extend(TABLES.map(|(table, _)| table));
    tables.sort_unstable();
    tables.dedup();
    assert_eq!(tables.len(), 27, "{tables:?}");
    for table in tables.iter().filter(|table| !table.contains("maximum")) {
        let rows = TABLES.iter().filter(|(each, _)| each == table);
        let rows = rows.flat_map(|(_, rows)| rows.iter().map(|row| row.name));
        let others = keys().filter(|key| key.table == *table);
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
