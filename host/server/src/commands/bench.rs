//! `openline bench`: the load generator for users. Turns arguments into the
//! options of `openline-load`, shows progress on a terminal, prints the report.
//!
//! `openline-load` explains each setting and its bounds.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use openline_core::units::{ByteSize, Period};
use openline_hint::Hint;
use openline_load::{Activity, MessageKind, Options, Progress, Report, Target, Tls};

use crate::commands::table::plain_json;
use crate::commands::trust::{self, Trust};
use crate::telemetry;

const EXAMPLES: &str = "\
Examples:
  As much as the server can do, 50 connections, one message in flight each:
    openline bench ws://127.0.0.1:8080/echo

  Latency at a fixed rate, counted from the time each message was due:
    openline bench ws://127.0.0.1:8080/echo --rate 10000 --duration '30 s'

  Many in flight, large text messages, results for a program:
    openline bench ws://127.0.0.1:8080/echo --depth 16 --size '16 KiB' --text --json

  Over TLS, with a certificate that no authority has issued:
    openline bench wss://127.0.0.1:8080/echo --insecure

  Memory per idle connection of a server on this machine:
    openline bench ws://127.0.0.1:8080/echo --idle --connections 5000 --process PID

The function at URL must send each message back unchanged, as the sample `echo` does.";

/// Measures throughput and latency of a function that echoes
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArguments {
    /// Where to connect, such as ws://127.0.0.1:8080/echo or
    /// wss://edge.example.org/echo
    #[arg(value_name = "URL", value_parser = target)]
    target: Target,

    /// Connections to open
    #[arg(long, short, value_name = "N", default_value_t = 50)]
    connections: u32,

    /// Messages in flight on each connection
    #[arg(long, value_name = "N", default_value_t = 1)]
    depth: u32,

    /// Payload of a message, in bytes or with a unit, such as '16 KiB'
    #[arg(long, value_name = "SIZE", default_value = "125", value_parser = bytes)]
    size: usize,

    /// Send text messages instead of binary ones
    #[arg(long)]
    text: bool,

    /// Messages a second over all connections; without it, each answer is
    /// followed by the next message at once
    #[arg(long, short, value_name = "RATE", conflicts_with = "idle")]
    rate: Option<f64>,

    /// How long to measure
    #[arg(long, short, value_name = "TIME", default_value = "10 s", value_parser = period)]
    duration: Duration,

    /// How long to send before measuring
    #[arg(long, value_name = "TIME", default_value = "1 s", value_parser = warm_up)]
    warm_up: Duration,

    /// Only open the connections and hold them for the duration
    #[arg(long)]
    idle: bool,

    /// Handshakes under way at once
    #[arg(long, value_name = "N", default_value_t = 100)]
    connect_concurrency: u32,

    /// How long one connection and its handshake may take
    #[arg(long, value_name = "TIME", default_value = "10 s", value_parser = period)]
    connect_timeout: Duration,

    /// How long to wait for the first answer, and for the last ones
    #[arg(long, value_name = "TIME", default_value = "5 s", value_parser = period)]
    reply_timeout: Duration,

    /// Threads that generate load [default: half of the cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// A header for each handshake, such as 'Authorization: Bearer ...'
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,

    /// A file with the certificates of the authorities to trust, in PEM, for
    /// wss:// [default: those of the system]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,

    /// Trust any certificate
    #[arg(long)]
    insecure: bool,

    /// Also report CPU time and memory of this process, the server's, where it
    /// runs on this machine (Linux)
    #[arg(long, value_name = "PID")]
    process: Option<u32>,

    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

impl BenchArguments {
    fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options::new(self.target.clone());
        options.connections = self.connections;
        options.depth = self.depth;
        options.message_bytes = self.size;
        if self.text {
            options.kind = MessageKind::Text;
        }
        options.rate = self.rate;
        options.idle = self.idle;
        options.duration = self.duration;
        options.warm_up = self.warm_up;
        options.connect_concurrency = self.connect_concurrency;
        options.connect_timeout = self.connect_timeout;
        options.reply_timeout = self.reply_timeout;
        options.threads = self.threads.unwrap_or(options.threads);
        options.headers.clone_from(&self.headers);
        options.process = self.process;
        if self.target.has_tls() {
            let trust = match self.insecure {
                true => Trust::Anyone,
                false => Trust::Authorities(self.ca.as_deref()),
            };
            options.tls = Some(Tls(trust::client(trust)?));
        }
        Ok(options)
    }
}

/// Runs the load and prints the report on stdout.
///
/// # Errors
///
/// When the run could not be made, or no message was answered.
pub(crate) async fn run(arguments: &BenchArguments) -> anyhow::Result<()> {
    let options = arguments.options()?;
    let bar = io::stderr().is_terminal().then(progress_bar);
    let mut rate = Rate::default();
    let outcome = openline_load::run(options, |progress| {
        if let Some(bar) = &bar {
            show(bar, &progress, &mut rate);
        }
    })
    .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    print(&outcome?, arguments.json).context("cannot print the report")
}

fn print(report: &Report, json: bool) -> anyhow::Result<()> {
    let text = if json {
        plain_json(&serde_json::to_string_pretty(report)?)
    } else {
        // Parts of the report come from the server.
        telemetry::plain_lines(&report.to_string())
    };
    Ok(telemetry::print(text.trim_end())?)
}

// === progress ===

fn progress_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:>10} [{bar:32}] {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, progress: &Progress, rate: &mut Rate) {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (prefix, message) = match progress.activity {
        Activity::Connecting => (
            "connecting",
            format!(
                "{} of {}",
                progress.connections_opened, progress.connections
            ),
        ),
        Activity::WarmingUp => ("warming up", rate.message(progress)),
        Activity::Measuring => ("measuring", rate.message(progress)),
        Activity::Holding => (
            "holding",
            format!("{} connections", progress.connections_opened),
        ),
        Activity::Finishing => ("finishing", String::new()),
    };
    let (position, length) = match progress.total {
        Some(total) => (
            milliseconds(progress.elapsed.min(total)),
            milliseconds(total),
        ),
        None => (progress.connections_opened, progress.connections),
    };
    bar.set_prefix(prefix);
    bar.set_length(length);
    bar.set_position(position);
    bar.set_message(message);
}

/// Messages a second between two readings of the counters.
#[derive(Debug, Default)]
struct Rate {
    answered: u64,
    elapsed: Duration,
    activity: Option<Activity>,
}

impl Rate {
    fn message(&mut self, progress: &Progress) -> String {
        let same = self.activity.replace(progress.activity) == Some(progress.activity);
        let answered = progress.messages_answered.saturating_sub(self.answered);
        let elapsed = progress.elapsed.saturating_sub(self.elapsed);
        self.answered = progress.messages_answered;
        self.elapsed = progress.elapsed;
        if !same || elapsed.is_zero() {
            return String::new();
        }
        let rate = answered as f64 / elapsed.as_secs_f64();
        format!("{rate:.0} messages/s")
    }
}

// === arguments ===

fn target(text: &str) -> Result<Target, String> {
    text.parse()
        .map_err(|error: openline_load::TargetError| error.explained())
}

/// A bare number is bytes.
fn bytes(text: &str) -> Result<usize, String> {
    let size = match text.parse() {
        Ok(bytes) => bytes,
        Err(_) => ByteSize::parse(text)?.0,
    };
    usize::try_from(size).map_err(|_| format!("`{text}` is too large"))
}

fn period(text: &str) -> Result<Duration, String> {
    Period::parse(text).map(|period| period.0)
}

/// A plain 0, for no warm-up, needs no unit.
fn warm_up(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    period(text)
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| format!("`{text}` is not of the form `NAME: VALUE`"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
