//! What an idle connection costs in CPU time: the host pings it, and it answers.
//!
//! The CPU time of the process without connections (the thread that advances
//! the epoch, the watchdog) is measured first and taken off.

use std::time::Duration;

use anyhow::ensure;
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_kit::bytes::frame;
use openline_kit::configuration::Configuration;
use openline_kit::process::Running;
use openline_kit::programs::Programs;
use openline_kit::socket::Socket;
use openline_load::process::CpuSample;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::{SETTLE, WAVE, open};

/// The host's default `ping_interval`.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// So that each connection gets the same number of pings while it is measured.
pub(super) const WINDOW: Duration = PING_INTERVAL.saturating_mul(2);

/// First bytes of a ping that is a whole frame, and of its answer.
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
/// The longest payload of a ping.
const PING_BYTES_MAX: usize = 125;

/// Microseconds of CPU time a second.
pub(super) struct Measured {
    /// Of the process without connections.
    pub(super) base: f64,
    /// Of each connection.
    pub(super) each: f64,
}

pub(super) async fn measure(programs: &Programs, count: u32) -> anyhow::Result<Measured> {
    let idleness = format!(
        "[function.instance]\nidle_timeout = \"1 s\"\n\
         [function.limit]\nconnection_time = \"1 d\"\nping_interval = \"{} s\"",
        PING_INTERVAL.as_secs()
    );
    let (command, _file) = Configuration::new("")
        .function("echo", &programs.function("echo"), "/echo", &idleness)
        .serve(Command::new(&programs.host))?;
    let running = Running::start(command).await?;
    // Until what starting needed is over.
    tokio::time::sleep(SETTLE).await;
    let base = used(running.process).await?;
    let sockets: Vec<Socket> = stream::iter(0..count)
        .map(|_| open(running.address, "/echo"))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    let mut answering = JoinSet::new();
    for socket in sockets {
        answering.spawn(async move {
            let mut socket = socket.without_buffers().await;
            answer(socket.stream()).await
        });
    }
    // Until all have been pinged and have fallen asleep.
    tokio::time::sleep(PING_INTERVAL + SETTLE).await;
    let all = used(running.process).await?;
    ensure!(
        answering.try_join_next().is_none(),
        "a connection has ended or sent something else than a ping"
    );
    running.kill().await?;
    let each = (all - base) / f64::from(count);
    Ok(Measured { base, each })
}

/// Microseconds of CPU time that a process uses a second, while nothing happens.
async fn used(process: u32) -> anyhow::Result<f64> {
    let before = CpuSample::take(process)?;
    tokio::time::sleep(WINDOW).await;
    let used = CpuSample::take(process)?.since(&before);
    Ok(used.as_secs_f64() * 1e6 / WINDOW.as_secs_f64())
}

/// Answers pings for as long as nothing else comes. It keeps no buffer.
async fn answer(stream: &mut TcpStream) -> anyhow::Result<()> {
    let mut head = [0; 2];
    let mut payload = [0; PING_BYTES_MAX];
    loop {
        stream.read_exact(&mut head).await?;
        let [first, bytes] = head;
        ensure!(first == PING, "not a ping: {head:?}");
        let payload = &mut payload[..usize::from(bytes)];
        stream.read_exact(payload).await?;
        stream.write_all(&frame(PONG, payload)).await?;
    }
}
