//! The clients' side, in a process of its own: this program started again. One
//! thread asks again and again, each time on a TCP connection of its own.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use openline_kit::bytes::status;
use openline_load::process::CpuSample;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until};

/// The hidden subcommand of this program.
pub(super) const SUBCOMMAND: &str = "client";

/// Requests under way at once: enough that the server always has one to do.
const REQUESTS: usize = 16;

/// Longest head of an answer that is read.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// An order to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) address: SocketAddr,
    /// The request.
    pub(super) head: String,
    /// The status of each answer; `None` where there is to be none.
    pub(super) status: Option<u16>,
    /// The server's process.
    pub(super) process: u32,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Figures {
    /// The server's CPU time for each request, in microseconds.
    pub(super) cpu: f64,
    /// Requests answered in a second.
    pub(super) rate: f64,
}

/// Does what is ordered and prints the figures.
pub(super) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    let figures = LocalSet::new().run_until(measure(order)).await?;
    serde_json::to_writer(io::stdout().lock(), &figures)?;
    Ok(io::stdout().flush()?)
}

async fn measure(order: Order) -> anyhow::Result<Figures> {
    let begin = Instant::now() + order.warm_up;
    let end = begin + order.time;
    let (order, done) = (Rc::new(order), Rc::new(Cell::new(0_u64)));
    let mut all = JoinSet::new();
    for _ in 0..REQUESTS {
        let (order, done) = (Rc::clone(&order), Rc::clone(&done));
        all.spawn_local(async move {
            while Instant::now() < end {
                ask(&order).await?;
                done.set(done.get() + 1);
            }
            anyhow::Ok(())
        });
    }
    sleep_until(begin).await;
    let before = (CpuSample::take(order.process)?, done.get(), Instant::now());
    sleep_until(end).await;
    let after = (CpuSample::take(order.process)?, done.get(), Instant::now());
    while let Some(ended) = all.join_next().await {
        ended??;
    }
    let count = (after.1 - before.1) as f64;
    ensure!(count > 0.0, "nothing was answered");
    Ok(Figures {
        cpu: after.0.since(&before.0).as_secs_f64() * 1e6 / count,
        rate: count / after.2.duration_since(before.2).as_secs_f64(),
    })
}

/// Asks, checks the answer, and ends with a reset of TCP: so neither side keeps
/// the pair of ports for a minute, and they do not run out.
async fn ask(order: &Order) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(order.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(order.head.as_bytes()).await?;
    let mut head = Vec::with_capacity(1024);
    // A short answer is written, and comes, at once.
    while status(&head).is_none() {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
        ensure!(head.len() <= HEAD_BYTES_MAX, "an answer is too long");
    }
    let answered = String::from_utf8_lossy(&head);
    ensure!(status(&head) == order.status, "not as expected: {answered}");
    Ok(stream.set_zero_linger()?)
}
