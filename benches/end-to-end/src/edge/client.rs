//! The clients' side, in a process of its own: this program started again. One
//! thread; it opens lines and sends what its order says.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use openline_kit::bytes::{frame, server_frame};
use openline_load::process::{CpuSample, resident_bytes};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::line::{Dialer, Line, Way};

/// The hidden subcommand of this program.
pub(super) const SUBCOMMAND: &str = "client";

/// Handshakes under way at once: enough that the server always has one to do.
const HANDSHAKES: usize = 16;

/// The first byte of a binary message.
const BINARY: u8 = 0x82;

/// An order to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) way: Way,
    pub(super) address: SocketAddr,
    pub(super) path: String,
    /// The certificate that is trusted.
    pub(super) authority: PathBuf,
    /// The server's process.
    pub(super) process: u32,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// CPU time for each message; over HTTP/2 all lines share a TCP connection.
    Echo {
        lines: u32,
        depth: u32,
        message_bytes: usize,
    },
    /// Memory of each line that has carried one message; over HTTP/2 so many
    /// share a TCP connection.
    Idle { lines: u32, each: u32 },
    /// CPU time for each line that is opened and reset, with a handshake of TLS
    /// that resumes a session or does not. Over HTTP/2 a line is a stream.
    Handshakes { resumes: bool },
}

/// The figure, by name.
pub(super) type Figures = BTreeMap<String, f64>;

/// The one figure of every task: microseconds or bytes.
pub(super) const FIGURE: &str = "figure";

/// Does what is ordered and prints the figures.
pub(super) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    let local = LocalSet::new();
    let figure = local.run_until(measure(&order)).await?;
    let figures = Figures::from([(FIGURE.to_owned(), figure)]);
    serde_json::to_writer(io::stdout().lock(), &figures)?;
    Ok(io::stdout().flush()?)
}

async fn measure(order: &Order) -> anyhow::Result<f64> {
    let resumes = order.task == Task::Handshakes { resumes: true };
    let trust = (order.authority.as_path(), resumes);
    let dialer = Dialer::new(order.address, &order.path, order.way, trust)?;
    match order.task {
        Task::Echo {
            lines,
            depth,
            message_bytes,
        } => {
            let lines = dialer.open_all(lines, lines).await?;
            echo(order, lines, depth, message_bytes).await
        }
        Task::Idle { lines, each } => idle(order, &dialer, lines, each).await,
        Task::Handshakes { resumes } => handshakes(order, dialer, resumes).await,
    }
}

/// What all lines do, and until when.
struct Counts {
    done: Cell<u64>,
    end: Instant,
}

impl Counts {
    fn until(end: Instant) -> Rc<Self> {
        Rc::new(Self {
            done: Cell::new(0),
            end,
        })
    }

    fn add(&self, count: u64) {
        self.done.set(self.done.get() + count);
    }
}

/// The server's CPU time for each of what is counted between the warm-up and
/// the end, in microseconds.
async fn cpu(
    order: &Order,
    counts: &Counts,
    begin: Instant,
    mut all: JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<f64> {
    sleep_until(begin).await;
    let before = (CpuSample::take(order.process)?, counts.done.get());
    sleep_until(counts.end).await;
    let after = (CpuSample::take(order.process)?, counts.done.get());
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    let count = after.1 - before.1;
    ensure!(count > 0, "nothing was done");
    Ok(after.0.since(&before.0).as_secs_f64() * 1e6 / count as f64)
}

async fn echo(
    order: &Order,
    lines: Vec<Line>,
    depth: u32,
    message_bytes: usize,
) -> anyhow::Result<f64> {
    let payload = vec![b'x'; message_bytes];
    let sent: Rc<[u8]> = frame(BINARY, &payload)
        .repeat(usize::try_from(depth)?)
        .into();
    let answer: Rc<[u8]> = server_frame(BINARY, &payload).into();
    let begin = Instant::now() + order.warm_up;
    let counts = Counts::until(begin + order.time);
    let mut all = JoinSet::new();
    for line in lines {
        let (sent, answer) = (Rc::clone(&sent), Rc::clone(&answer));
        all.spawn_local(echo_on(line, sent, answer, Rc::clone(&counts)));
    }
    cpu(order, &counts, begin, all).await
}

/// Sends a batch, then one message for each that has come back.
async fn echo_on(
    mut line: Line,
    sent: Rc<[u8]>,
    answer: Rc<[u8]>,
    counts: Rc<Counts>,
) -> anyhow::Result<()> {
    let frame_bytes = answer.len() + 4; // the mask
    line.send(&sent).await?;
    let mut waiting = sent.len() / frame_bytes;
    let mut read = Vec::new();
    while waiting > 0 {
        line.receive(&mut read).await?;
        let answers = read.chunks_exact(answer.len());
        let count = answers.len();
        for each in answers {
            ensure!(*each == *answer, "not what was sent");
        }
        read.drain(..count * answer.len());
        counts.add(count as u64);
        match Instant::now() < counts.end {
            true => line.send(&sent[..count * frame_bytes]).await?,
            false => waiting -= count,
        }
    }
    line.reset()
}

async fn idle(order: &Order, dialer: &Dialer, lines: u32, each: u32) -> anyhow::Result<f64> {
    let (sent, answer) = (frame(BINARY, b"hello"), server_frame(BINARY, b"hello"));
    // The first costs more than the others, and so do the first instances.
    let mut first = dialer.open_all(1, 1).await?;
    first[0].send(&sent).await?;
    first[0].expect(&answer).await?;
    sleep(order.warm_up).await;
    let before = resident_bytes(order.process)?;
    let mut all = dialer.open_all(lines, each).await?;
    for line in &mut all {
        line.send(&sent).await?;
        line.expect(&answer).await?;
    }
    sleep(order.time).await;
    let after = resident_bytes(order.process)?;
    for line in all.into_iter().chain(first) {
        line.reset()?;
    }
    Ok((after as f64 - before as f64) / f64::from(lines))
}

async fn handshakes(order: &Order, dialer: Dialer, resumes: bool) -> anyhow::Result<f64> {
    // The tickets for the first that resume.
    let mut first = dialer.open_all(1, 1).await?;
    let ping = frame(BINARY, b"hello");
    first[0].send(&ping).await?;
    first[0].expect(&server_frame(BINARY, b"hello")).await?;
    let begin = Instant::now() + order.warm_up;
    let counts = Counts::until(begin + order.time);
    let mut all = JoinSet::new();
    for _ in 0..HANDSHAKES {
        let (dialer, counts) = (dialer.clone(), Rc::clone(&counts));
        let has_resumed = resumes && order.way == Way::Http1Tls;
        all.spawn_local(again_and_again(dialer, order.way, has_resumed, counts));
    }
    cpu(order, &counts, begin, all).await
}

async fn again_and_again(
    dialer: Dialer,
    way: Way,
    resumes: bool,
    counts: Rc<Counts>,
) -> anyhow::Result<()> {
    let shared = match way.is_http2() {
        true => Some(dialer.share().await?),
        false => None,
    };
    let mut was_resumed = !resumes;
    while Instant::now() < counts.end {
        let line = match &shared {
            Some(shared) => dialer.open_on(shared).await?,
            None => dialer.open().await?,
        };
        // Others may have used up the tickets at first.
        was_resumed |= line.is_resumed();
        line.reset()?;
        counts.add(1);
    }
    ensure!(was_resumed, "no session was resumed");
    Ok(())
}
