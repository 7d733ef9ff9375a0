//! The settings of a run, each with its unit, its bounds and the reason for
//! its default. Plain data; nothing here touches the network.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::ClientConfig;

use crate::error::LoadError;
use crate::seconds;
use crate::target::Target;

/// Most connections of one run. An address pair has 65,535 ports, of which
/// Linux gives out about 28,000 unless told otherwise.
pub const CONNECTIONS_MAX: u32 = 65_535;

/// Most messages in flight on one connection.
pub const DEPTH_MAX: u32 = 65_536;

/// Largest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Highest rate, in messages a second: ten times what one machine carries.
pub const RATE_MAX: f64 = 10_000_000.0;

/// Longest run, warm-up and time-outs alike.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Most threads. More than this only measures the scheduler.
pub const THREADS_MAX: usize = 64;

/// The type of the messages sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MessageKind {
    /// Text messages, all ASCII.
    Text,
    /// Binary messages.
    Binary,
}

/// How the server of a `wss://` target is verified.
#[derive(Debug, Clone)]
pub struct Tls(pub Arc<ClientConfig>);

/// The same settings, and not only equal ones.
impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The settings of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Where to connect.
    pub target: Target,
    /// How many connections to open, 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    /// Messages in flight on each connection, 1 to [`DEPTH_MAX`].
    pub depth: u32,
    /// Size of a message's payload, 0 to [`MESSAGE_BYTES_MAX`].
    pub message_bytes: usize,
    /// Text or binary.
    pub kind: MessageKind,
    /// Messages a second over all connections. `None`: a closed loop, each
    /// answer is followed by the next message at once.
    pub rate: Option<f64>,
    /// Only open the connections and hold them for `duration`.
    pub idle: bool,
    /// How long to measure.
    #[serde(with = "seconds", rename = "duration_seconds")]
    pub duration: Duration,
    /// How long to send before measuring.
    #[serde(with = "seconds", rename = "warm_up_seconds")]
    pub warm_up: Duration,
    /// How many handshakes may be under way at once.
    pub connect_concurrency: u32,
    /// For one TCP connection and its handshake.
    #[serde(with = "seconds", rename = "connect_timeout_seconds")]
    pub connect_timeout: Duration,
    /// How long to wait for the first answer, and for the last ones.
    #[serde(with = "seconds", rename = "reply_timeout_seconds")]
    pub reply_timeout: Duration,
    /// Threads that generate load; each has its own share of the connections.
    pub threads: usize,
    /// Headers added to each handshake. Never written into a report: they may
    /// be secret.
    #[serde(skip)]
    pub headers: Vec<(String, String)>,
    /// The settings of TLS, which a `wss://` target needs.
    #[serde(skip)]
    pub tls: Option<Tls>,
    /// The server's process on this machine: its CPU time and memory, with those
    /// of all processes below it, become part of the report (Linux only).
    pub process: Option<u32>,
}

impl Options {
    /// The default settings for `target`.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            // Enough to keep a server on a few cores busy with one message in
            // flight each, few enough that a latency is not mostly queueing.
            connections: 50,
            // One message, then wait: what most clients do.
            depth: 1,
            // The largest payload whose frame header takes two bytes, and the
            // size of a small JSON message.
            message_bytes: 125,
            // Binary says nothing about UTF-8, so it measures the least else.
            kind: MessageKind::Binary,
            rate: None,
            idle: false,
            // Long enough for a p99.9 at a few thousand messages a second.
            duration: Duration::from_secs(10),
            // Covers compilation, first instances and growing buffers.
            warm_up: Duration::from_secs(1),
            // Below the usual backlog of a listening socket (128).
            connect_concurrency: 100,
            connect_timeout: Duration::from_secs(10),
            // Longer than any handler should take, short enough to wait for.
            reply_timeout: Duration::from_secs(5),
            threads: threads_default(),
            headers: Vec::new(),
            tls: None,
            process: None,
        }
    }

    /// Checks every setting against its bounds.
    ///
    /// # Errors
    ///
    /// [`LoadError::Setting`] for the first setting out of bounds.
    pub fn validate(&self) -> Result<(), LoadError> {
        within("connections", self.connections, 1, CONNECTIONS_MAX)?;
        within("depth", self.depth, 1, DEPTH_MAX)?;
        within("size", self.message_bytes, 0, MESSAGE_BYTES_MAX)?;
        within("threads", self.threads, 1, THREADS_MAX)?;
        within(
            "connect concurrency",
            self.connect_concurrency,
            1,
            CONNECTIONS_MAX,
        )?;
        if self.target.has_tls() && self.tls.is_none() {
            return Err(LoadError::Setting {
                name: "tls",
                problem: "a `wss://` target needs its settings".to_owned(),
            });
        }
        if let Some(rate) = self.rate {
            // The lowest rate: one message in the longest run.
            within("rate", rate, 1.0 / DURATION_MAX.as_secs_f64(), RATE_MAX)?;
        }
        let shortest = Duration::from_millis(1);
        for (name, duration, least) in [
            ("duration", self.duration, shortest),
            ("warm-up", self.warm_up, Duration::ZERO),
            ("connect time-out", self.connect_timeout, shortest),
            ("reply time-out", self.reply_timeout, shortest),
        ] {
            within(
                name,
                duration.as_secs_f64(),
                least.as_secs_f64(),
                DURATION_MAX.as_secs_f64(),
            )?;
        }
        Ok(())
    }

    /// Threads actually used: no more than there are connections.
    pub(crate) fn workers(&self) -> usize {
        let connections = usize::try_from(self.connections).unwrap_or(usize::MAX);
        self.threads.min(connections).max(1)
    }
}

/// Half of the cores, so that a server on the same machine has the others.
fn threads_default() -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    (cores / 2).clamp(1, 8)
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), LoadError> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(LoadError::Setting {
        name,
        problem: format!("{value} is not between {least} and {most}"),
    })
}

#[cfg(test)]
mod tests {
    use super::Options;

    #[test]
    fn defaults_are_valid() {
        Options::new("ws://a/".parse().unwrap()).validate().unwrap();
        let error = Options::new("wss://a/".parse().unwrap()).validate();
        assert!(error.unwrap_err().to_string().starts_with("tls: "));
    }

    #[test]
    fn bounds_are_checked_and_named() {
        let mut options = Options::new("ws://a/".parse().unwrap());
        options.depth = 0;
        let error = options.validate().unwrap_err().to_string();
        assert_eq!(error, "depth: 0 is not between 1 and 65536");
        options.depth = 1;
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            options.rate = Some(rate);
            options.validate().unwrap_err();
        }
    }
}
