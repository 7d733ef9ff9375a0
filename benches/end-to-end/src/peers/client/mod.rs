//! The loads that the load generator does not make, in a process of its own,
//! this program started again: many handshakes, one message to many, compressed
//! echoes, connections that have each carried a message, more messages than the
//! server can answer, and answers to pings.
//!
//! One thread; all its connections are opened in waves of `WAVE`.

mod compressed;
mod fan_out;
mod handshakes;
mod hold;
mod pings;
mod saturation;
mod wire;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_load::Target;
use openline_load::process::{CpuSample, thread_cpu};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::pinning;
pub(super) use hold::once;
use wire::{Place, Wire};

/// The hidden subcommand that [`run`] starts.
pub(crate) const SUBCOMMAND: &str = "client";

/// Connections that are opened at a time: below the backlog of any server.
const WAVE: usize = 16;

/// The longest wait for anything: many times the pause that a server may make
/// to collect garbage.
const PATIENCE: Duration = Duration::from_secs(10);

/// An order to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) task: Task,
    pub(crate) target: Target,
    /// The server's process.
    pub(crate) process: u32,
    pub(crate) connections: u32,
    pub(crate) is_text: bool,
    pub(crate) warm_up_seconds: f64,
    pub(crate) seconds: f64,
}

/// The kinds of load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Handshakes and ends, `connections` at a time.
    Handshakes,
    /// One message to `connections`, again and again, so many on their way.
    FanOut { depth: u32 },
    /// `connections`, each of which has had one message echoed, after
    /// `seconds`.
    Hold,
    /// Compressed messages on `connections`, one after the other.
    Compressed,
    /// As `Hold`, with a compressed message.
    HoldCompressed,
    /// A message in flight on each of `connections`, for `seconds`.
    Saturate,
    /// `connections` on which nothing happens but pings.
    AnswerPings,
}

/// Figures by their keys.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Has an order done in a process on these CPUs.
pub(crate) async fn run(order: &Order, cpus: Option<&str>) -> anyhow::Result<Figures> {
    let figures = pinning::this_program(SUBCOMMAND, order, cpus).await;
    figures.context("the client failed")
}

/// The other side: does what is ordered and prints the figures.
pub(crate) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    let figures = match order.task {
        Task::Handshakes => handshakes::measure(&order).await?,
        Task::FanOut { depth } => fan_out::measure(&order, depth).await?,
        Task::Hold => hold::measure(&order).await?,
        Task::Compressed => compressed::measure(&order).await?,
        Task::HoldCompressed => compressed::hold(&order).await?,
        Task::Saturate => saturation::measure(&order).await?,
        Task::AnswerPings => pings::measure(&order).await?,
    };
    serde_json::to_writer(io::stdout().lock(), &figures)?;
    Ok(io::stdout().flush()?)
}

impl Order {
    fn place(&self) -> anyhow::Result<Place> {
        Place::of(&self.target)
    }
}

/// Opens so many connections.
async fn open(place: &Place, connections: u32) -> anyhow::Result<Vec<Wire>> {
    stream::iter(0..connections)
        .map(|_| Wire::open(place))
        .buffer_unordered(WAVE)
        .try_collect()
        .await
}

/// The CPU time used until one moment.
struct Moment {
    at: Instant,
    server: CpuSample,
    client: Option<Duration>,
}

/// The time used between two moments.
struct Used {
    seconds: f64,
    server_seconds: f64,
    /// The part of one core that this thread used.
    busy: f64,
}

impl Moment {
    fn now(order: &Order) -> anyhow::Result<Self> {
        Ok(Self {
            server: CpuSample::take(order.process)?,
            client: thread_cpu(),
            at: Instant::now(),
        })
    }

    fn until(&self, last: &Self) -> Used {
        let seconds = (last.at - self.at).as_secs_f64().max(1e-9);
        let client = self.client.zip(last.client);
        let client = client.map(|(first, last)| last.saturating_sub(first));
        Used {
            seconds,
            server_seconds: last.server.since(&self.server).as_secs_f64(),
            busy: client.unwrap_or_default().as_secs_f64() / seconds,
        }
    }
}

impl Used {
    /// The figures of `count` of something; `cpu` and `rate` are their keys.
    fn of(&self, count: u64, cpu: &str, rate: &str) -> Figures {
        let count = count as f64;
        let figures = [
            (cpu, self.server_seconds * 1e6 / count.max(1.0)),
            (rate, count / self.seconds),
            (super::measurement::CLIENT_BUSY, self.busy),
            (
                super::measurement::SERVER_BUSY,
                self.server_seconds / self.seconds,
            ),
        ];
        let figures = figures.into_iter();
        figures
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}
