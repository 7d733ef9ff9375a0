//! One thread of the load generator: its share of the connections, on a
//! runtime of its own, so that nothing is shared or locked on the way of a
//! message.
//!
//! It follows the stages that the coordinator announces and ends when the
//! coordinator is gone.

mod connection;
mod flight;
mod pacer;
mod payload;
mod schedule;
mod slot;

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use crate::connect::Connector;
use crate::options::Options;
use crate::process;
use crate::tally::{Counters, Tally, record};
use connection::{Connection, Parts};
use pacer::pace;
use payload::Payload;
use schedule::Schedule;
use slot::{Order, Plan, Slot};

pub(crate) use connection::close;
pub(crate) use schedule::Window;

/// Failed connections after which a worker tries no more: a server that is
/// full or gone should not be asked ten thousand times.
const CONNECT_FAILURES_MAX: u64 = 100;

/// How long a connection that is ordered to close may take altogether: the
/// close handshake's own limit is two seconds.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(4);

/// The stages that the coordinator announces, in this order; `Measure` is left
/// out when connections are only held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Connect,
    Measure {
        window: Window,
        /// When the first message is due.
        start: Instant,
        /// Connections opened by all workers.
        connections: u64,
    },
    Finish,
}

/// The assignment of a worker.
#[derive(Debug)]
pub(crate) struct Assignment {
    /// Its number and how many workers there are.
    pub(crate) index: usize,
    pub(crate) workers: usize,
    pub(crate) options: Arc<Options>,
    pub(crate) connector: Connector,
    pub(crate) counters: Arc<Counters>,
    pub(crate) stages: watch::Receiver<Stage>,
    /// Told when no more connections will be opened.
    pub(crate) connected: oneshot::Sender<()>,
    /// Given the results at the end.
    pub(crate) finished: oneshot::Sender<Tally>,
}

/// Starts the thread.
pub(crate) fn spawn(assignment: Assignment) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Not joined: it ends by itself when the coordinator's side is dropped.
    thread::Builder::new()
        .name(format!("load-{}", assignment.index))
        .spawn(move || {
            let local = LocalSet::new();
            local.block_on(&runtime, Worker::new(assignment).run());
        })?;
    Ok(())
}

struct Worker {
    assignment: Assignment,
    tally: Rc<RefCell<Tally>>,
    slots: Vec<Rc<Slot>>,
    connections: JoinSet<()>,
}

impl Worker {
    fn new(assignment: Assignment) -> Self {
        Self {
            assignment,
            tally: Rc::new(RefCell::new(Tally::new())),
            slots: Vec::new(),
            connections: JoinSet::new(),
        }
    }

    async fn run(mut self) {
        let mut stages = self.assignment.stages.clone();
        tokio::select! {
            () = self.connect() => {}
            // The run was given up.
            _ = stages.wait_for(|stage| matches!(stage, Stage::Finish)) => return,
        }
        let (told, _) = oneshot::channel();
        let connected = std::mem::replace(&mut self.assignment.connected, told);
        if connected.send(()).is_err() {
            return;
        }
        let after = stages.wait_for(|stage| !matches!(stage, Stage::Connect));
        let Ok(stage) = after.await.map(|stage| *stage) else {
            return;
        };
        if let Stage::Measure { .. } = stage {
            let finish = stages.wait_for(|stage| matches!(stage, Stage::Finish));
            tokio::select! {
                () = self.measure(stage) => {}
                // Given up before the end, or gone.
                _ = finish => {}
            }
        }
        self.finish().await;
    }

    /// Opens this worker's connections; each runs from then on.
    async fn connect(&mut self) {
        let options = Arc::clone(&self.assignment.options);
        let connector = self.assignment.connector.clone();
        let share = share(
            options.connections,
            self.assignment.index,
            self.assignment.workers,
        );
        let concurrency = usize::try_from(options.connect_concurrency)
            .unwrap_or(usize::MAX)
            .div_ceil(self.assignment.workers);
        let mut attempts = stream::iter(share)
            .map(|number| {
                let connector = &connector;
                async move { (number, connector.open().await) }
            })
            .buffer_unordered(concurrency);
        while let Some((number, outcome)) = attempts.next().await {
            match outcome {
                Ok((socket, duration)) => {
                    record(&mut self.tally.borrow_mut().connect, duration);
                    let parts = self.parts(number);
                    let connection = Connection::new(socket, parts);
                    self.connections.spawn_local(connection.run());
                }
                Err(failure) => {
                    let mut tally = self.tally.borrow_mut();
                    tally.error(failure.kind());
                    tally.connect_failures += 1;
                    if tally.connect_failures >= CONNECT_FAILURES_MAX {
                        return;
                    }
                }
            }
        }
    }

    fn parts(&mut self, number: u32) -> Parts {
        let options = &self.assignment.options;
        let counters = &self.assignment.counters;
        counters.open.increase();
        counters.opened.increase();
        let slot = Rc::new(Slot::new());
        let place = self.slots.len() as u64;
        self.slots.push(Rc::clone(&slot));
        Parts {
            slot,
            tally: Rc::clone(&self.tally),
            counters: Arc::clone(counters),
            payload: Payload::new(number, options.message_bytes, options.kind),
            depth: usize::try_from(options.depth).unwrap_or(usize::MAX),
            place,
        }
    }

    /// Sends until the window's end, then drains; returns when all is
    /// answered, or when there is nothing to wait for any more.
    async fn measure(&mut self, stage: Stage) {
        let Stage::Measure {
            window,
            start,
            connections,
        } = stage
        else {
            return;
        };
        if self.slots.is_empty() {
            return;
        }
        let schedule = self.schedule(start, connections);
        tokio::time::sleep_until(start).await;
        let begin = (Instant::now(), process::thread_cpu());
        for slot in &self.slots {
            slot.run(Plan { window, schedule });
        }
        let pacing = async {
            match schedule {
                Some(schedule) => pace(&self.slots, schedule, window.end).await,
                None => tokio::time::sleep_until(window.end).await,
            }
        };
        tokio::select! {
            () = pacing => {}
            () = all(&mut self.connections) => {}
        }
        // With a rate the pacer is busy whatever the server does.
        if let (None, Some(before), Some(after)) = (schedule, begin.1, process::thread_cpu()) {
            let used = after.saturating_sub(before).as_secs_f64();
            self.tally.borrow_mut().busy = Some(used / begin.0.elapsed().as_secs_f64());
        }
        for slot in &self.slots {
            slot.order(Order::Drain);
        }
        let limit = self.assignment.options.reply_timeout;
        let _ = tokio::time::timeout(limit, all(&mut self.connections)).await;
    }

    /// This worker's part of the rate, in proportion to its connections.
    fn schedule(&self, start: Instant, connections: u64) -> Option<Schedule> {
        let rate = self.assignment.options.rate?;
        let mine = self.slots.len() as u64;
        let phase = self.assignment.index as f64 / self.assignment.workers as f64;
        let rate = rate * mine as f64 / connections as f64;
        Some(Schedule::new(start, rate, phase, mine))
    }

    /// Closes what is open and hands over the results.
    async fn finish(mut self) {
        for slot in &self.slots {
            slot.order(Order::Close);
        }
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, all(&mut self.connections)).await;
        self.connections.shutdown().await;
        self.count_unsent();
        let tally = self.tally.replace(Tally::new());
        // The tally has no receiver when the run was given up.
        let _ = self.assignment.finished.send(tally);
    }

    /// Messages that were due and never sent count with the time they have
    /// waited, except on connections that broke.
    fn count_unsent(&self) {
        let plan = self.slots.iter().find_map(|slot| slot.current().1);
        let Some(Plan { window, .. }) = plan else {
            return;
        };
        let mut tally = self.tally.borrow_mut();
        for (place, slot) in (0_u64..).zip(&self.slots) {
            for due in slot.unsent(place).filter(|due| window.contains(*due)) {
                tally.unsent += 1;
                if !slot.is_broken() {
                    record(&mut tally.latency, due.elapsed());
                }
            }
        }
    }
}

/// Waits until all connections have ended.
async fn all(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// The numbers of the connections of one worker: a contiguous share.
fn share(connections: u32, index: usize, workers: usize) -> Range<u32> {
    let bound = |part: usize| {
        let bound = u64::from(connections) * part as u64 / workers as u64;
        u32::try_from(bound).unwrap_or(connections)
    };
    bound(index)..bound(index + 1)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_cover_all_connections_once() {
        for (connections, workers) in [(1, 1), (5, 2), (7, 3), (65_535, 8)] {
            let shares: Vec<_> = (0..workers)
                .flat_map(|index| share(connections, index, workers))
                .collect();
            assert_eq!(shares, (0..connections).collect::<Vec<_>>());
        }
    }
}
