//! The counts of a host at rest: its own (`/.openline/state`) and the system's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use openline_kit::observed::Observed;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::host::{self, Process};
use super::super::peer::Calm;

/// A count: its word, its place in the state, and its value in a host at rest
/// that serves one function and one peer; `None` where the host decides.
const COUNTS: [(&str, &str, Option<u64>); 17] = [
    ("tasks", "/tasks", None),
    ("TCP connections", "/sockets", Some(1)),
    ("permits of requests", "/requests", Some(1)),
    ("open connections", "/connections/open", Some(0)),
    ("connections asleep", "/connections/asleep", Some(0)),
    ("bytes in outboxes", "/outbox_bytes", Some(0)),
    ("bytes of received messages", "/received_bytes", Some(0)),
    ("bytes kept with connections", "/attached_bytes", Some(0)),
    ("bytes of compressors", "/compression_bytes", Some(0)),
    ("instances", "/instances", Some(0)),
    (
        "functions that something holds",
        "/taken/functions",
        Some(1),
    ),
    ("places of instances", "/taken/places", Some(0)),
    ("alarms", "/taken/alarms", Some(0)),
    ("permits of compilations", "/taken/compilations", Some(0)),
    ("places of trials", "/taken/trials", Some(0)),
    ("permits of long runs", "/taken/long_runs", Some(0)),
    ("connections without an ending", ENDLESS, Some(0)),
];

/// Opened connections minus ended ones.
const ENDLESS: &str = "/endless";

/// The host returns memory when a connection has gone to sleep. It checks for
/// that every two seconds, and returns memory a second time after two more.
const TRIM: Duration = Duration::from_millis(6500);
/// A connection on which nothing happens sleeps after a second.
const SLEEPS_WITHIN: Duration = Duration::from_secs(20);
/// Counts that have not changed for this long will not change.
const STEADY: Duration = Duration::from_secs(3);

/// The counts of one moment.
pub struct Reading {
    counts: BTreeMap<&'static str, Option<u64>>,
    threads: Option<u64>,
    resident_bytes: Option<u64>,
}

impl Reading {
    pub async fn take(process: &mut Process) -> Self {
        let state = host::state(process.address).await;
        let count = |place: &str| match place {
            ENDLESS => endless(&state),
            _ => state.pointer(place)?.as_u64(),
        };
        let mut counts: BTreeMap<_, _> = COUNTS
            .iter()
            .map(|(word, place, _)| (*word, count(place)))
            .collect();
        let id = process.id().unwrap_or_default();
        // The system counts them where it has `/proc`.
        let observed = Observed::take(id).ok();
        if let Some(observed) = observed {
            counts.insert("descriptors", Some(observed.open_files));
        }
        Self {
            counts,
            threads: observed.map(|observed| observed.threads),
            // Not of files: those are the system's to drop.
            resident_bytes: observed.map(|observed| observed.anonymous_bytes),
        }
    }

    /// The counts with the memory that remains after the allocator has returned
    /// free memory: the least that is seen meanwhile.
    pub async fn trimmed(self, process: &mut Process) -> Self {
        let calm = Calm::open(process.address).await;
        let begun = Instant::now();
        let asleep = async |process: &mut Process| {
            let state = host::state(process.address).await;
            state["connections"]["asleep"] == 1
        };
        while !asleep(process).await && begun.elapsed() < SLEEPS_WITHIN {
            sleep(Duration::from_millis(100)).await;
        }
        let begun = Instant::now();
        let mut least: Option<u64> = None;
        while begun.elapsed() < TRIM {
            let now = Self::take(process).await.resident_bytes;
            least = least.into_iter().chain(now).min();
            sleep(Duration::from_millis(250)).await;
        }
        if let Some(calm) = calm {
            calm.close().await;
        }
        Self {
            resident_bytes: least,
            ..self
        }
    }

    /// A reading of a host in which nothing has changed for a while.
    pub async fn steady(process: &mut Process, most: Duration) -> Self {
        let begun = Instant::now();
        let mut since = Instant::now();
        let mut last = Self::take(process).await;
        while since.elapsed() < STEADY && begun.elapsed() < most {
            sleep(Duration::from_millis(100)).await;
            let now = Self::take(process).await;
            if now.counts != last.counts || now.unusual().is_some() {
                since = Instant::now();
            }
            last = now;
        }
        last
    }

    /// Counts that differ from a host at rest, or are not reported: a missing
    /// count would be a check that never runs.
    pub fn unusual(&self) -> Option<String> {
        COUNTS.iter().find_map(|(word, _, usual)| {
            let count = self.counts.get(word).copied().flatten();
            match (count, usual) {
                (Some(count), Some(usual)) if count != *usual => Some(format!("{count} {word}")),
                (None, _) => Some(format!("an unknown number of {word}")),
                _ => None,
            }
        })
    }

    pub fn counts(&self) -> &BTreeMap<&'static str, Option<u64>> {
        &self.counts
    }

    pub fn threads(&self) -> Option<u64> {
        self.threads
    }

    pub fn resident_bytes(&self) -> Option<f64> {
        self.resident_bytes.map(|bytes| bytes as f64)
    }
}

fn endless(state: &Value) -> Option<u64> {
    let connections = &state["connections"];
    let ended = connections["ended"].as_object()?.values();
    let ended: u64 = ended.filter_map(Value::as_u64).sum();
    Some(connections["opened"].as_u64()?.saturating_sub(ended))
}

/// The most important counts.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |word: &str| self.counts.get(word).copied().flatten();
        write!(f, "{} tasks", count("tasks").unwrap_or_default())?;
        if let Some(files) = count("descriptors") {
            write!(f, ", {files} descriptors")?;
        }
        if let Some(threads) = self.threads {
            write!(f, ", {threads} threads")?;
        }
        if let Some(bytes) = self.resident_bytes {
            write!(f, ", {} KiB resident", bytes / 1024)?;
        }
        Ok(())
    }
}
