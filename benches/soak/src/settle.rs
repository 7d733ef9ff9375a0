//! Waits until the host is idle again, and reads what it holds then.

use std::net::SocketAddr;
use std::time::Duration;

use openline_kit::observed::Observed;
use tokio::time::Instant;

use crate::state::State;

/// How long the host may take to become idle: the sum of its own time-outs is
/// a quarter of it.
const IDLE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is asked.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the number of tasks must stay the same to be the baseline.
const STEADY: Duration = Duration::from_secs(3);
/// Memory is given back some time after it is free: it counts when it has not
/// become less for so long, or after a while.
const MEMORY_STEADY: Duration = Duration::from_secs(6);
const MEMORY_WITHIN: Duration = Duration::from_secs(40);

/// One moment of the host, from inside and outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) state: State,
    pub(crate) process: Observed,
}

impl Reading {
    pub(crate) async fn take(host: SocketAddr, process: u32) -> anyhow::Result<Self> {
        Ok(Self {
            state: State::ask(host).await?,
            process: Observed::take(process)?,
        })
    }

    /// Nothing of any peer is left.
    fn is_idle(&self) -> bool {
        let state = &self.state;
        state.sockets == 1
            && state.connections.open == 0
            && state.outbox_bytes == 0
            && state.instances == 0
    }

    /// And nothing else that was not there before.
    fn is_as(&self, baseline: &Self) -> bool {
        self.is_idle()
            && self.state.tasks == baseline.state.tasks
            && self.process.open_files <= baseline.process.open_files
            && self.process.threads <= baseline.process.threads
    }
}

/// Waits until the host is idle and its number of tasks is steady.
pub(crate) async fn baseline(host: SocketAddr, process: u32) -> anyhow::Result<Reading> {
    let mut steady: Option<(u64, Instant)> = None;
    let reading = wait(host, process, |reading| {
        let tasks = reading.state.tasks;
        let since = match steady {
            Some((same, since)) if same == tasks && reading.is_idle() => since,
            _ => Instant::now(),
        };
        steady = Some((tasks, since));
        since.elapsed() >= STEADY
    })
    .await?;
    memory(reading, process).await
}

/// Waits until the host is as it was; if it never is, the reading shows how.
pub(crate) async fn again(
    host: SocketAddr,
    process: u32,
    baseline: &Reading,
) -> anyhow::Result<Reading> {
    let reading = wait(host, process, |reading| reading.is_as(baseline)).await?;
    memory(reading, process).await
}

async fn wait(
    host: SocketAddr,
    process: u32,
    mut is_settled: impl FnMut(&Reading) -> bool,
) -> anyhow::Result<Reading> {
    let due = Instant::now() + IDLE_WITHIN;
    loop {
        let reading = Reading::take(host, process).await;
        let late = Instant::now() > due;
        match reading {
            Ok(reading) if late || is_settled(&reading) => return Ok(reading),
            // It may still have its hands full.
            Err(error) if late => return Err(error),
            _ => tokio::time::sleep(INTERVAL).await,
        }
    }
}

/// Waits until resident memory does not become less any more.
async fn memory(mut reading: Reading, process: u32) -> anyhow::Result<Reading> {
    let begun = Instant::now();
    let mut least = (reading.process.resident_bytes, begun);
    while least.1.elapsed() < MEMORY_STEADY && begun.elapsed() < MEMORY_WITHIN {
        tokio::time::sleep(INTERVAL).await;
        let resident_bytes = Observed::take(process)?.resident_bytes;
        if resident_bytes < least.0 {
            least = (resident_bytes, Instant::now());
        }
    }
    reading.process.resident_bytes = least.0;
    Ok(reading)
}
