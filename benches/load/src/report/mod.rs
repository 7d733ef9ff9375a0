//! The results of a run: plain data with units in the names, the same in JSON.

mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::options::Options;
use crate::tally::Tally;

/// The results of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The options of the run.
    pub options: Options,
    /// How long the measured window was. Shorter than asked for where every
    /// connection ended before. 0 when connections were only held.
    pub elapsed_seconds: f64,
    /// The fate of the connections.
    pub connections: Connections,
    /// The fate of the messages; `None` when connections were only held.
    pub messages: Option<Messages>,
    /// From due to answered, of the messages due in the window. One that was
    /// still awaited at the end counts with the time it had waited.
    pub latency: Option<Latency>,
    /// From due to sent, with a rate: how well the schedule could be kept.
    pub lateness: Option<Latency>,
    /// From opening a connection to the end of its handshake.
    pub connect: Option<Latency>,
    /// Errors by kind, over the whole run.
    pub errors: BTreeMap<String, u64>,
    /// Close codes received, on the whole run.
    pub close_codes: BTreeMap<u16, u64>,
    /// The part of one core that the load generator's busiest thread used, in
    /// a closed loop. Near 1, the load generator was the bottleneck.
    pub generator_busy: Option<f64>,
    /// The resources that the server's process used, where one was named.
    pub server: Option<Server>,
}

/// The fate of the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Opened.
    pub opened: u64,
    /// Tried and not opened.
    pub failed: u64,
    /// Not tried, after too many had failed.
    pub untried: u64,
    /// Ended before the load did.
    pub lost: u64,
}

/// The fate of the messages.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// Answered within the window.
    pub answered: u64,
    /// Answered a second.
    pub per_second: f64,
    /// Payload answered a second, in one direction, in millions of bytes.
    pub megabytes_per_second: f64,
    /// Sent and never answered.
    pub unanswered: u64,
    /// Due, with a rate, and never sent.
    pub unsent: u64,
}

/// A distribution of durations, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many durations.
    pub count: u64,
    /// Their mean.
    pub mean_microseconds: f64,
    /// The median.
    pub p50_microseconds: f64,
    /// The 90th percentile.
    pub p90_microseconds: f64,
    /// The 99th percentile.
    pub p99_microseconds: f64,
    /// The 99.9th percentile.
    pub p99_9_microseconds: f64,
    /// The longest.
    pub max_microseconds: f64,
}

impl Latency {
    /// `None` where nothing was recorded. The histogram's unit is nanoseconds.
    fn of(histogram: &Histogram<u64>) -> Option<Self> {
        if histogram.is_empty() {
            return None;
        }
        let quantile = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        Some(Self {
            count: histogram.len(),
            mean_microseconds: histogram.mean() / 1e3,
            p50_microseconds: quantile(0.5),
            p90_microseconds: quantile(0.9),
            p99_microseconds: quantile(0.99),
            p99_9_microseconds: quantile(0.999),
            max_microseconds: histogram.max() as f64 / 1e3,
        })
    }
}

/// The resources that the server's process used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// CPU time in the window.
    pub cpu_seconds: Option<f64>,
    /// CPU time for each message answered in the window.
    pub cpu_microseconds_per_message: Option<f64>,
    /// Resident memory before the first connection.
    pub resident_bytes_before: u64,
    /// Resident memory at the end, with the connections open.
    pub resident_bytes_after: u64,
    /// The difference for each connection, where connections were only held.
    pub resident_bytes_per_connection: Option<f64>,
}

/// The measurements between the bounds of the window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    pub(crate) answered: u64,
    pub(crate) cpu: Option<Duration>,
    /// The server's memory at the end of the window.
    pub(crate) resident_bytes: Option<u64>,
}

/// The server's resident memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resident {
    pub(crate) before: u64,
    pub(crate) after: u64,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        tally: Tally,
        opened: u64,
        measured: Option<Measured>,
        resident: Option<Resident>,
    ) -> Self {
        let tried = opened + tally.connect_failures;
        Self {
            options: options.clone(),
            elapsed_seconds: measured.map_or(0.0, |measured| measured.elapsed.as_secs_f64()),
            connections: Connections {
                opened,
                failed: tally.connect_failures,
                untried: u64::from(options.connections).saturating_sub(tried),
                lost: tally.lost,
            },
            messages: measured.map(|measured| messages(options, &tally, measured)),
            latency: Latency::of(&tally.latency),
            lateness: Latency::of(&tally.lateness),
            connect: Latency::of(&tally.connect),
            errors: tally.errors,
            close_codes: tally.close_codes,
            generator_busy: tally.busy,
            server: resident.map(|resident| server(resident, measured, opened)),
        }
    }
}

fn messages(options: &Options, tally: &Tally, measured: Measured) -> Messages {
    // Every connection may have ended before the window began.
    let elapsed = measured.elapsed.as_secs_f64().max(1e-9);
    let per_second = measured.answered as f64 / elapsed;
    Messages {
        answered: measured.answered,
        per_second,
        megabytes_per_second: per_second * options.message_bytes as f64 / 1e6,
        unanswered: tally.unanswered,
        unsent: tally.unsent,
    }
}

fn server(resident: Resident, measured: Option<Measured>, opened: u64) -> Server {
    let cpu = measured.and_then(|measured| measured.cpu);
    let cpu_seconds = cpu.map(|cpu| cpu.as_secs_f64());
    let answered = measured.map_or(0, |measured| measured.answered);
    let per_message = cpu_seconds.filter(|_| answered > 0);
    let grown = resident.after as f64 - resident.before as f64;
    Server {
        cpu_seconds,
        cpu_microseconds_per_message: per_message.map(|seconds| seconds * 1e6 / answered as f64),
        resident_bytes_before: resident.before,
        resident_bytes_after: resident.after,
        resident_bytes_per_connection: measured.is_none().then(|| grown / opened.max(1) as f64),
    }
}
