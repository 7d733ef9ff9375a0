//! Makes one measurement on one server: fresh processes, and figures by their
//! keys.

use std::time::Duration;

use anyhow::{Context, bail};
use openline_load::{MessageKind, Options, Report};
use serde::Serialize;
use tokio::time::Instant;

use super::client::{self, Figures, Order, Task};
use super::measurement::{
    BYTES_PER_CONNECTION, BYTES_PER_INSTANCE, CLIENT_BUSY, COMPRESSED_CONNECTIONS,
    CPU_OF_INSTANCES, CPU_ON_TWO, CPU_PER_MESSAGE, CPU_TO_OPEN, FAILED, HANDSHAKES,
    MESSAGES_ON_TWO, MESSAGES_PER_SECOND, MILLISECONDS, Measurement, P50, P99, P99_9, RATE,
    SATURATING, SCALING, SERVER_BUSY, USUAL, WARM,
};
use super::peer::Peer;
use super::programs::{Programs, Started, Work};
use crate::load;
use crate::pinning::Pinning;

/// The part of its core from which a client is at its limit, and below which
/// the server is not.
const CLIENT_AT_LIMIT: f64 = 0.95;
const SERVER_AT_LIMIT: f64 = 0.9;

/// How late half of the messages may be sent before that is what the latency
/// shows.
const LATENESS_MICROSECONDS_MAX: f64 = 20.0;

/// Connections that a message comes back on before one of the host's instances
/// is shared: its default concurrency.
const CONNECTIONS_PER_INSTANCE: f64 = 100.0;

/// Starts of a process that one figure is the median of.
const STARTS: usize = 3;

/// The conditions of all measurements.
#[derive(Debug)]
pub(crate) struct Conditions {
    pub(crate) programs: Programs,
    pub(crate) pinning: Pinning,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
    /// How long connections are idle before memory is read.
    pub(crate) settle: Duration,
    /// Text messages for all, not only where nothing else is carried.
    pub(crate) is_text: bool,
}

/// The results of one measurement.
#[derive(Debug, Serialize)]
pub(crate) struct Taken {
    pub(crate) figures: Figures,
    /// Reasons to trust the figures less.
    pub(crate) notes: Vec<String>,
    /// The load generator's, where it was used.
    pub(crate) reports: Vec<Report>,
}

impl Conditions {
    /// Measures; `peak` is the native echo's throughput in this round.
    pub(crate) async fn take(
        &self,
        measurement: Measurement,
        peer: Peer,
        peak: Option<f64>,
    ) -> anyhow::Result<Taken> {
        match measurement {
            Measurement::Echo { .. } => self.echo(measurement, peer, None, self.cpus()).await,
            Measurement::Rate => {
                let rate = Some(f64::from(RATE));
                self.echo(USUAL, peer, rate, self.cpus()).await
            }
            Measurement::HalfPeak => {
                let peak = peak.context("the native echo's peak was not measured before")?;
                self.echo(USUAL, peer, Some(peak / 2.0), self.cpus()).await
            }
            Measurement::Idle { connections } => self.idle(peer, connections).await,
            Measurement::Saturation => {
                let order = (Task::Saturate, SATURATING, Work::Echo);
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::IdleCpu { connections } => {
                let order = (Task::AnswerPings, connections, Work::Echo);
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::Handshakes => {
                let order = (Task::Handshakes, HANDSHAKES, Work::Echo);
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::Compressed => {
                let order = (
                    Task::Compressed,
                    COMPRESSED_CONNECTIONS,
                    Work::EchoCompressed,
                );
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::IdleCompressed { connections } => {
                let order = (Task::HoldCompressed, connections, Work::EchoCompressed);
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::FanOut { subscribers, depth } => {
                let order = (Task::FanOut { depth }, subscribers, Work::FanOut);
                Ok(self.client(peer, order).await?.into())
            }
            Measurement::Warm => self.warm(peer).await,
            Measurement::TwoCores => self.two_cores(peer).await,
            Measurement::Start => self.starts(peer).await,
        }
    }

    fn cpus(&self) -> Option<&str> {
        self.pinning.server.as_deref()
    }

    async fn start(&self, peer: Peer, work: Work) -> anyhow::Result<Started> {
        self.programs.start(peer, work, self.cpus()).await
    }

    fn options(&self, peer: Peer, started: &Started) -> Options {
        let mut options = Options::new(started.target.clone());
        options.kind = match self.is_text || peer.is_text_only() {
            true => MessageKind::Text,
            false => MessageKind::Binary,
        };
        options.duration = self.duration;
        options.warm_up = self.warm_up;
        options.threads = self.pinning.load_threads();
        options.process = Some(started.process);
        options
    }

    /// `setting` is a [`Measurement::Echo`].
    async fn echo(
        &self,
        setting: Measurement,
        peer: Peer,
        rate: Option<f64>,
        cpus: Option<&str>,
    ) -> anyhow::Result<Taken> {
        let work = match setting {
            Measurement::Echo { message_bytes, .. } if message_bytes > 4 << 10 => Work::EchoLarge,
            _ => Work::Echo,
        };
        let started = self.programs.start(peer, work, cpus).await?;
        let mut options = self.options(peer, &started);
        if let Measurement::Echo {
            connections,
            depth,
            message_bytes,
        } = setting
        {
            options.connections = connections;
            options.depth = depth;
            options.message_bytes = message_bytes;
        }
        options.rate = rate;
        let report = load::run(&options, self.pinning.load.as_deref()).await?;
        started.stop().await?;
        let mut figures = Figures::new();
        let mut insert = |key: &str, value: Option<f64>| {
            figures.extend(value.map(|value| (key.to_owned(), value)));
        };
        let server = report.server;
        insert(
            CPU_PER_MESSAGE,
            server.and_then(|server| server.cpu_microseconds_per_message),
        );
        let messages = report.messages;
        insert(
            MESSAGES_PER_SECOND,
            messages.map(|messages| messages.per_second),
        );
        let latency = report.latency;
        insert(P50, latency.map(|latency| latency.p50_microseconds));
        insert(P99, latency.map(|latency| latency.p99_microseconds));
        insert(P99_9, latency.map(|latency| latency.p99_9_microseconds));
        Ok(Taken {
            figures,
            notes: notes(&report, self.pinning.server_cores()),
            reports: vec![report],
        })
    }

    async fn idle(&self, peer: Peer, connections: u32) -> anyhow::Result<Taken> {
        let started = self.start(peer, Work::Echo).await?;
        let mut options = self.options(peer, &started);
        options.connections = peer.connections(connections);
        options.idle = true;
        options.duration = self.settle;
        let report = load::run(&options, self.pinning.load.as_deref()).await?;
        started.stop().await?;
        let opened = report.connections.opened;
        if opened < u64::from(options.connections) {
            bail!("no more than {opened} connections could be opened");
        }
        let mut notes = notes(&report, self.pinning.server_cores());
        // The measurement is over then.
        notes.retain(|note| !note.starts_with("while closing"));
        if options.connections < connections {
            notes.push(format!("{} connections", options.connections));
        }
        let server = report.server;
        let bytes = server.and_then(|server| server.resident_bytes_per_connection);
        let bytes = bytes.map(|bytes| (BYTES_PER_CONNECTION.to_owned(), bytes));
        Ok(Taken {
            figures: bytes.into_iter().collect(),
            notes,
            reports: vec![report],
        })
    }

    async fn client(
        &self,
        peer: Peer,
        (task, connections, work): (Task, u32, Work),
    ) -> anyhow::Result<Figures> {
        let started = self.start(peer, work).await?;
        let seconds = match task {
            Task::Hold | Task::HoldCompressed => self.settle,
            _ => self.duration,
        };
        let order = Order {
            task,
            target: started.target.clone(),
            process: started.process,
            connections,
            is_text: self.is_text || peer.is_text_only(),
            warm_up_seconds: self.warm_up.as_secs_f64(),
            seconds: seconds.as_secs_f64(),
        };
        let figures = client::run(&order, self.pinning.load.as_deref()).await?;
        started.stop().await?;
        Ok(figures)
    }

    /// Connections that have carried a message; of the host, also with an
    /// instance for each, less the same with an instance for a hundred.
    async fn warm(&self, peer: Peer) -> anyhow::Result<Taken> {
        let connections = peer.connections(WARM);
        let shared = (Task::Hold, connections, Work::Echo);
        let mut figures = self.client(peer, shared).await?;
        if peer.is_openline() {
            let isolated = (Task::Hold, connections, Work::EchoIsolated);
            let isolated = self.client(peer, isolated).await?;
            let connections = f64::from(connections);
            let more = connections - connections / CONNECTIONS_PER_INSTANCE;
            let grown = |key: &str| Some(isolated.get(key)? - figures.get(key)?);
            let bytes = grown(BYTES_PER_CONNECTION).map(|bytes| bytes * connections / more);
            let cpu = grown(CPU_TO_OPEN).map(|milliseconds| milliseconds * 1e3 / more);
            figures.extend(bytes.map(|bytes| (BYTES_PER_INSTANCE.to_owned(), bytes)));
            figures.extend(cpu.map(|cpu| (CPU_OF_INSTANCES.to_owned(), cpu)));
        }
        let mut taken = Taken::from(figures);
        if connections < WARM {
            taken.notes.push(format!("{connections} connections"));
        }
        Ok(taken)
    }

    async fn two_cores(&self, peer: Peer) -> anyhow::Result<Taken> {
        let (Some(one), Some(other)) = (&self.pinning.server, &self.pinning.load) else {
            bail!("processes are not pinned");
        };
        let mut taken = self.echo(USUAL, peer, None, Some(one)).await?;
        let both = format!("{one},{other}");
        let on_two = self.echo(USUAL, peer, None, Some(&both)).await?;
        let figures = &mut taken.figures;
        if let Some(messages) = on_two.figures.get(MESSAGES_PER_SECOND) {
            figures.insert(MESSAGES_ON_TWO.to_owned(), *messages);
        }
        let cpu = |figures: &Figures| figures.get(CPU_PER_MESSAGE).copied();
        if let (Some(first), Some(second)) = (cpu(figures), cpu(&on_two.figures)) {
            figures.insert(CPU_ON_TWO.to_owned(), second);
            figures.insert(SCALING.to_owned(), 2.0 * first / second);
        }
        // The load is meant to be at its limit here, so that note goes.
        taken.notes.extend(on_two.notes);
        taken.notes.retain(|note| note != CLIENT_LIMITS);
        taken.reports.extend(on_two.reports);
        Ok(taken)
    }

    /// From before the process exists until its first echo is here: the median
    /// of some, after one that has filled the caches.
    async fn starts(&self, peer: Peer) -> anyhow::Result<Taken> {
        let mut times = Vec::new();
        for _ in 0..=STARTS {
            let begin = Instant::now();
            let started = self.start(peer, Work::Echo).await?;
            let is_text = self.is_text || peer.is_text_only();
            client::once(&started.target, is_text).await?;
            times.push(begin.elapsed());
            started.stop().await?;
        }
        let times = &mut times[1..];
        times.sort_unstable();
        let milliseconds = times[STARTS / 2].as_secs_f64() * 1e3;
        Ok(Figures::from([(MILLISECONDS.to_owned(), milliseconds)]).into())
    }
}

impl From<Figures> for Taken {
    fn from(figures: Figures) -> Self {
        let figure = |key: &str| figures.get(key).copied().unwrap_or_default();
        let mut notes = Vec::new();
        if figure(FAILED) > 0.0 {
            notes.push(format!("{} connections failed", figure(FAILED)));
        }
        if figure(CLIENT_BUSY) > CLIENT_AT_LIMIT && figure(SERVER_BUSY) < SERVER_AT_LIMIT {
            notes.push(CLIENT_LIMITS.to_owned());
        }
        Self {
            figures,
            notes,
            reports: Vec::new(),
        }
    }
}

/// The note where the client was the bottleneck.
const CLIENT_LIMITS: &str = "the load generator was at its limit, and the server was not";

/// The note where the schedule was not kept. A connection whose answer is late
/// sends the next message late, too.
const LATE: &str = "half of the messages were sent late: the machine or the server was busy";

fn notes(report: &Report, server_cores: usize) -> Vec<String> {
    let errors = report.errors.iter();
    let mut notes: Vec<_> = errors
        .map(|(kind, count)| format!("{kind} ({count} ×)"))
        .collect();
    if let Some(messages) = report.messages
        && messages.unanswered + messages.unsent > 0
    {
        notes.push(format!(
            "{} messages never answered, {} never sent",
            messages.unanswered, messages.unsent
        ));
    }
    if generator_limits(report, server_cores) {
        notes.push(CLIENT_LIMITS.to_owned());
    }
    let late = report.lateness.map(|lateness| lateness.p50_microseconds);
    if late.is_some_and(|late| late > LATENESS_MICROSECONDS_MAX) {
        notes.push(LATE.to_owned());
    }
    notes
}

/// Whether the load generator was at its limit and the server was not: then the
/// throughput says nothing about it.
fn generator_limits(report: &Report, server_cores: usize) -> bool {
    let server = report.server.and_then(|server| server.cpu_seconds);
    let (Some(generator), Some(server)) = (report.generator_busy, server) else {
        return false;
    };
    let available = report.elapsed_seconds * server_cores as f64;
    generator > CLIENT_AT_LIMIT && server < SERVER_AT_LIMIT * available
}
