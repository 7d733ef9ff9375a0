//! The loads that are measured, and which figures of each are shown.

use std::time::Duration;

use openline_load::{Options, Report, Target};
use serde::Serialize;

use crate::table::grouped;

/// One load.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Setting {
    pub(crate) connections: u32,
    pub(crate) depth: u32,
    pub(crate) message_bytes: usize,
    #[serde(flatten)]
    pub(crate) pace: Pace,
}

/// How messages follow each other.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(
    tag = "pace",
    content = "messages_per_second",
    rename_all = "kebab-case"
)]
pub(crate) enum Pace {
    /// Each answer by the next message.
    Closed,
    /// So many a second.
    Rate(u32),
    /// None are sent.
    Idle,
}

/// One figure of a report.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figure {
    /// With its unit.
    pub(crate) name: &'static str,
    pub(crate) of: fn(&Report) -> Option<f64>,
    /// Decimals shown.
    pub(crate) decimals: usize,
}

/// All settings, in the order they are measured and shown.
pub(crate) fn all(idle_connections: u32) -> Vec<Setting> {
    let setting = |connections, depth, message_bytes, pace| Setting {
        connections,
        depth,
        message_bytes,
        pace,
    };
    vec![
        setting(50, 1, 125, Pace::Closed),
        setting(50, 16, 125, Pace::Closed),
        setting(50, 1, 16 << 10, Pace::Closed),
        // Fewer connections than a wake can gather: the bare path of a message.
        setting(4, 1, 125, Pace::Closed),
        // A fraction of what any of the servers can do, so that the latency is
        // the server's own and not a queue's.
        setting(50, 1, 125, Pace::Rate(10_000)),
        setting(idle_connections, 1, 125, Pace::Idle),
    ]
}

impl Setting {
    /// The title of its part of the table.
    pub(crate) fn name(&self) -> String {
        let connections = grouped(f64::from(self.connections), 0);
        let size = match self.message_bytes {
            bytes if bytes > 0 && bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
            bytes => format!("{bytes} bytes"),
        };
        match self.pace {
            Pace::Closed => {
                let depth = self.depth;
                format!("{connections} connections × {depth} in flight × {size}")
            }
            Pace::Rate(rate) => {
                let rate = grouped(f64::from(rate), 0);
                format!("{rate} messages/s over {connections} connections × {size}")
            }
            Pace::Idle => format!("{connections} idle connections"),
        }
    }

    /// The load generator's options for this setting.
    pub(crate) fn options(
        &self,
        target: Target,
        duration: Duration,
        warm_up: Duration,
        threads: usize,
        process: u32,
    ) -> Options {
        let mut options = Options::new(target);
        options.connections = self.connections;
        options.depth = self.depth;
        options.message_bytes = self.message_bytes;
        options.duration = duration;
        options.warm_up = warm_up;
        options.threads = threads;
        options.process = Some(process);
        match self.pace {
            Pace::Closed => {}
            Pace::Rate(rate) => options.rate = Some(f64::from(rate)),
            Pace::Idle => options.idle = true,
        }
        options
    }

    /// The figures that say something about this setting.
    pub(crate) fn figures(&self) -> Vec<Figure> {
        match self.pace {
            Pace::Closed => vec![CPU, THROUGHPUT, P50, P99],
            Pace::Rate(_) => vec![CPU, P50, P99, P99_9],
            Pace::Idle => vec![MEMORY],
        }
    }
}

const CPU: Figure = Figure {
    name: "server CPU, µs/message",
    of: |report| report.server?.cpu_microseconds_per_message,
    decimals: 2,
};

const THROUGHPUT: Figure = Figure {
    name: "messages/s",
    of: |report| Some(report.messages?.per_second),
    decimals: 0,
};

const P50: Figure = Figure {
    name: "latency p50, µs",
    of: |report| Some(report.latency?.p50_microseconds),
    decimals: 0,
};

const P99: Figure = Figure {
    name: "latency p99, µs",
    of: |report| Some(report.latency?.p99_microseconds),
    decimals: 0,
};

const P99_9: Figure = Figure {
    name: "latency p99.9, µs",
    of: |report| Some(report.latency?.p99_9_microseconds),
    decimals: 0,
};

const MEMORY: Figure = Figure {
    name: "bytes resident/connection",
    of: |report| report.server?.resident_bytes_per_connection,
    decimals: 0,
};
