//! The checks after every peer has finished: plain comparisons of the readings
//! with those from before.

use openline_kit::observed::Observed;

use crate::settle::Reading;
use crate::state::State;
use crate::tally::Tally;

const MIB: u64 = 1 << 20;

/// How much more memory may be resident after the first round than before it.
///
/// Two things keep memory that is not in use. The allocator gives a page back
/// when all of it is free; messages of a MiB and ten thousand connections at
/// once leave it with pages that are partly used (about 15 MiB). And a place
/// for an instance keeps the part of the stack that its guests have touched:
/// half a MiB once a function has exhausted it, as happens to some dozens of
/// places in a round (about 25 MiB). With half as much again, for chance.
const RETAINED_BYTES_MAX: u64 = 64 * MIB;

/// How much more memory may be resident after the second round than after the
/// first, which was the same: other places have their stacks touched now (about
/// 15 MiB), and the allocator happens to use more or fewer of its pages (5 MiB
/// either way). By default more than 40,000 connections begin in a round, so a
/// leak of 600 bytes in each of them would be found.
const GROWN_BYTES_MAX: u64 = 24 * MIB;

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    what: String,
    wanted: String,
    found: String,
    pub(crate) is_ok: bool,
}

impl Check {
    pub(crate) fn equal(what: &str, wanted: u64, found: u64) -> Self {
        Self::new(what, wanted.to_string(), found.to_string(), wanted == found)
    }

    pub(crate) fn at_most(what: &str, most: u64, found: u64) -> Self {
        let wanted = format!("at most {most}");
        Self::new(what, wanted, found.to_string(), found <= most)
    }

    fn at_least(what: &str, least: u64, found: u64) -> Self {
        let wanted = format!("at least {least}");
        Self::new(what, wanted, found.to_string(), found >= least)
    }

    pub(crate) fn same(what: &str, wanted: &str, found: &str) -> Self {
        Self::new(what, wanted.to_owned(), found.to_owned(), wanted == found)
    }

    /// Its row in a table.
    pub(crate) fn cells(&self) -> [&str; 4] {
        let verdict = if self.is_ok { "ok" } else { "FAILED" };
        [verdict, &self.what, &self.wanted, &self.found]
    }

    fn new(what: &str, wanted: String, found: String, is_ok: bool) -> Self {
        Self {
            what: what.to_owned(),
            wanted,
            found,
            is_ok,
        }
    }
}

/// Nothing is left of any peer.
pub(crate) fn nothing_left(baseline: &Reading, now: &Reading) -> Vec<Check> {
    let (state, before) = (&now.state, &baseline.state);
    let of_functions = |count: fn(&crate::state::Function) -> u64| -> u64 {
        state.functions.iter().map(count).sum()
    };
    vec![
        Check::equal("tasks, as before", before.tasks, state.tasks),
        Check::equal("sockets, the one that asks", 1, state.sockets),
        Check::equal("connections open", 0, state.connections.open),
        Check::equal("outbox bytes", 0, state.outbox_bytes),
        Check::equal("instances", 0, state.instances),
        Check::equal(
            "connections of functions",
            0,
            of_functions(|function| function.connections),
        ),
        Check::equal(
            "instances of functions",
            0,
            of_functions(|function| function.instances),
        ),
        process("open files", baseline, now, |process| process.open_files),
        process("threads", baseline, now, |process| process.threads),
    ]
}

fn process(what: &str, baseline: &Reading, now: &Reading, of: fn(&Observed) -> u64) -> Check {
    Check::at_most(what, of(&baseline.process), of(&now.process))
}

/// Every connection had an end, and a reason that is not the host's fault.
pub(crate) fn all_ended(state: &State, peers_opened: u64) -> Vec<Check> {
    let connections = &state.connections;
    let host_faults = connections.ended.get("host").copied().unwrap_or_default();
    vec![
        Check::at_least(
            "connections opened, to what peers have seen",
            peers_opened,
            connections.opened,
        ),
        Check::equal(
            "connections ended with a reason",
            connections.opened,
            connections.ended_in_all(),
        ),
        Check::equal("connections ended by a fault of the host", 0, host_faults),
    ]
}

/// Checks that the peers got all that they were owed.
pub(crate) fn peers(tally: &Tally) -> Check {
    Check::equal(
        "wrong or missing answers and endings",
        0,
        tally.wrongs.sum(),
    )
}

/// Memory after one round, and after a second one like it.
pub(crate) fn memory(baseline: &Reading, first: &Reading, second: &Reading) -> Vec<Check> {
    let bytes = |reading: &Reading| reading.process.resident_bytes;
    vec![
        Check::at_most(
            "resident KiB after the first round",
            (bytes(baseline) + RETAINED_BYTES_MAX) / 1024,
            bytes(first) / 1024,
        ),
        Check::at_most(
            "resident KiB after the second round",
            (bytes(first) + GROWN_BYTES_MAX) / 1024,
            bytes(second) / 1024,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use openline_kit::observed::Observed;

    use super::{Check, GROWN_BYTES_MAX, RETAINED_BYTES_MAX, all_ended, memory, nothing_left};
    use crate::settle::Reading;
    use crate::state::{Connections, Function, Handshakes, State};

    fn idle() -> Reading {
        let state = State {
            tasks: 5,
            sockets: 1,
            connections: Connections {
                open: 0,
                opened: 10,
                ended: BTreeMap::from([("peer".to_owned(), 7), ("lost".to_owned(), 3)]),
            },
            outbox_bytes: 0,
            instances: 0,
            handshakes: Handshakes {
                accepted: 10,
                refused: BTreeMap::new(),
            },
            functions: vec![Function {
                name: "echo".to_owned(),
                connections: 0,
                instances: 0,
            }],
        };
        let process = Observed {
            resident_bytes: 100 << 20,
            anonymous_bytes: 90 << 20,
            threads: 4,
            open_files: 12,
        };
        Reading { state, process }
    }

    fn failed(checks: &[Check]) -> Vec<&str> {
        let failed = checks.iter().filter(|check| !check.is_ok);
        failed.map(|check| check.what.as_str()).collect()
    }

    #[test]
    fn a_host_that_is_as_before_passes() {
        assert_eq!(failed(&nothing_left(&idle(), &idle())), [""; 0]);
        assert_eq!(failed(&all_ended(&idle().state, 10)), [""; 0]);
        assert_eq!(failed(&memory(&idle(), &idle(), &idle())), [""; 0]);
    }

    #[test]
    fn each_thing_that_is_left_fails_one_check() {
        let changes: [fn(&mut Reading); 9] = [
            |now| now.state.tasks += 1,
            |now| now.state.sockets += 1,
            |now| now.state.connections.open += 1,
            |now| now.state.outbox_bytes += 1,
            |now| now.state.instances += 1,
            |now| now.state.functions[0].connections += 1,
            |now| now.state.functions[0].instances += 1,
            |now| now.process.open_files += 1,
            |now| now.process.threads += 1,
        ];
        for change in changes {
            let mut now = idle();
            change(&mut now);
            assert_eq!(failed(&nothing_left(&idle(), &now)).len(), 1, "{now:?}");
        }
    }

    #[test]
    fn every_connection_needs_an_end_and_none_by_the_host() {
        let mut state = idle().state;
        state.connections.opened = 11;
        assert_eq!(failed(&all_ended(&state, 10)).len(), 1);
        state.connections.ended.insert("host".to_owned(), 1);
        assert_eq!(
            failed(&all_ended(&state, 10)),
            ["connections ended by a fault of the host"]
        );
        assert_eq!(failed(&all_ended(&idle().state, 11)).len(), 1);
    }

    #[test]
    fn memory_at_its_bounds_and_past_them() {
        let with = |resident_bytes| {
            let mut reading = idle();
            reading.process.resident_bytes = resident_bytes;
            reading
        };
        let base = idle().process.resident_bytes;
        let first = with(base + RETAINED_BYTES_MAX);
        let second = with(base + RETAINED_BYTES_MAX + GROWN_BYTES_MAX);
        assert_eq!(failed(&memory(&idle(), &first, &second)), [""; 0]);
        let more = |reading: &Reading| with(reading.process.resident_bytes + 1024);
        assert_eq!(failed(&memory(&idle(), &first, &more(&second))).len(), 1);
        assert_eq!(failed(&memory(&idle(), &more(&first), &second)).len(), 1);
    }

    #[test]
    fn a_row_has_both_numbers() {
        let check = Check::equal("tasks", 5, 6);
        assert_eq!(check.cells(), ["FAILED", "tasks", "5", "6"]);
        assert_eq!(
            Check::at_most("x", 2, 2).cells(),
            ["ok", "x", "at most 2", "2"]
        );
        assert!(!Check::at_most("x", 2, 3).is_ok);
        assert!(!Check::same("x", "a", "b").is_ok);
    }
}
