//! The workers of one run: starts them, announces the stages, watches their
//! counters, and samples counters and the server's CPU time at the same two
//! moments, the bounds of the window.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::connect::Connector;
use crate::error::LoadError;
use crate::options::Options;
use crate::process::{self, CpuSample};
use crate::progress::{Activity, Progress};
use crate::report::Measured;
use crate::tally::{Counter, Counters, Tally};
use crate::worker::{self, Assignment, Stage, Window};

use super::observe;

/// How often the counters are looked at and progress is told.
const TICK: Duration = Duration::from_millis(100);

/// From the announcement to the first message: every worker must have heard.
const HEAD_START: Duration = Duration::from_millis(20);

/// How long answers that match nothing may come in while none matches, before
/// the server is taken for one that does not echo.
const FOREIGN_TIMEOUT: Duration = Duration::from_secs(1);

/// The workers of a run in progress. Dropping it ends them.
pub(super) struct Crew {
    options: Arc<Options>,
    stages: watch::Sender<Stage>,
    counters: Vec<Arc<Counters>>,
    connected: Vec<oneshot::Receiver<()>>,
    finished: Vec<oneshot::Receiver<Tally>>,
}

/// Everything sampled at one bound of the window.
struct Sample {
    at: Instant,
    answered: u64,
    cpu: Option<CpuSample>,
    resident_bytes: Option<u64>,
}

impl Crew {
    pub(super) fn start(options: Options, connector: &Connector) -> Result<Self, LoadError> {
        let workers = options.workers();
        let mut crew = Self {
            options: Arc::new(options),
            stages: watch::Sender::new(Stage::Connect),
            counters: Vec::new(),
            connected: Vec::new(),
            finished: Vec::new(),
        };
        for index in 0..workers {
            let counters = Arc::new(Counters::default());
            let (connected_sender, connected) = oneshot::channel();
            let (finished_sender, finished) = oneshot::channel();
            worker::spawn(Assignment {
                index,
                workers,
                options: Arc::clone(&crew.options),
                connector: connector.clone(),
                counters: Arc::clone(&counters),
                stages: crew.stages.subscribe(),
                connected: connected_sender,
                finished: finished_sender,
            })
            .map_err(|error| LoadError::Thread(error.to_string()))?;
            crew.counters.push(counters);
            crew.connected.push(connected);
            crew.finished.push(finished);
        }
        Ok(crew)
    }

    /// Waits until every worker has opened what it can.
    pub(super) async fn connect(
        &mut self,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(), LoadError> {
        let begin = Instant::now();
        for connected in std::mem::take(&mut self.connected) {
            self.wait(connected, || {
                progress(self.progress(Activity::Connecting, begin, None));
            })
            .await?;
        }
        Ok(())
    }

    /// Keeps the connections open for the duration of the run.
    pub(super) async fn hold(&self, progress: &mut impl FnMut(Progress)) {
        let begin = Instant::now();
        let total = self.options.duration;
        self.tick_until(begin + total, || {
            progress(self.progress(Activity::Holding, begin, Some(total)));
            self.sum(|counters| &counters.open) > 0
        })
        .await;
    }

    /// Warms up and measures.
    pub(super) async fn measure(
        &self,
        connections: u64,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Measured, LoadError> {
        let start = Instant::now() + HEAD_START;
        let begin = start + self.options.warm_up;
        let end = begin + self.options.duration;
        self.stages.send_replace(Stage::Measure {
            window: Window { begin, end },
            start,
            connections,
        });
        let mut silence = None;
        let mut look = |activity, since, total| {
            progress(self.progress(activity, since, Some(total)));
            silence = silence.take().or_else(|| self.silence(start));
            silence.is_none() && self.sum(|counters| &counters.open) > 0
        };
        let warm_up = self.options.warm_up;
        self.tick_until(begin, || look(Activity::WarmingUp, start, warm_up))
            .await;
        let first = self.sample()?;
        let duration = self.options.duration;
        self.tick_until(end, || look(Activity::Measuring, begin, duration))
            .await;
        let last = self.sample()?;
        if let Some(error) = silence {
            return Err(error);
        }
        let cpu = first.cpu.zip(last.cpu);
        Ok(Measured {
            elapsed: last.at - first.at,
            answered: last.answered - first.answered,
            cpu: cpu.map(|(first, last)| last.since(&first)),
            resident_bytes: last.resident_bytes,
        })
    }

    fn sample(&self) -> Result<Sample, LoadError> {
        let cpu = observe(&self.options, CpuSample::take)?;
        Ok(Sample {
            at: Instant::now(),
            answered: self.sum(|counters| &counters.answered),
            cpu,
            resident_bytes: observe(&self.options, process::resident_bytes)?,
        })
    }

    /// Why going on makes no sense: messages go out and nothing comes back.
    fn silence(&self, start: Instant) -> Option<LoadError> {
        let sent = self.sum(|counters| &counters.sent);
        if sent == 0 || self.sum(|counters| &counters.answered) > 0 {
            return None;
        }
        let waited = Instant::now().saturating_duration_since(start);
        if let Some(example) = self.foreign_example() {
            let limit = FOREIGN_TIMEOUT.min(self.options.reply_timeout);
            return (waited > limit).then_some(LoadError::NotEcho { example });
        }
        let limit = self.options.reply_timeout;
        (waited > limit).then_some(LoadError::NoReply {
            sent,
            waited: limit,
        })
    }

    /// Ends the run and collects the results; also how many messages were
    /// answered in all.
    pub(super) async fn finish(
        mut self,
        progress: &mut impl FnMut(Progress),
    ) -> Result<(Tally, u64), LoadError> {
        // Workers that measure end by themselves.
        self.stages.send_if_modified(|stage| {
            let held = matches!(stage, Stage::Connect);
            if held {
                *stage = Stage::Finish;
            }
            held
        });
        let begin = Instant::now();
        let mut tally = Tally::new();
        for finished in std::mem::take(&mut self.finished) {
            let theirs = self.wait(finished, || {
                progress(self.progress(Activity::Finishing, begin, None));
            });
            tally.merge(theirs.await?);
        }
        let answered = self.sum(|counters| &counters.answered);
        Ok((tally, answered))
    }

    /// Waits for a worker, calling `each` at every tick.
    async fn wait<T>(
        &self,
        mut receiver: oneshot::Receiver<T>,
        mut each: impl FnMut(),
    ) -> Result<T, LoadError> {
        loop {
            each();
            if let Ok(outcome) = tokio::time::timeout(TICK, &mut receiver).await {
                let early = "it ended before its work was done";
                return outcome.map_err(|_| LoadError::Thread(early.to_owned()));
            }
        }
    }

    /// Calls `each` at every tick until `deadline`, or until it returns false.
    async fn tick_until(&self, deadline: Instant, mut each: impl FnMut() -> bool) {
        while each() && Instant::now() < deadline {
            tokio::time::sleep_until(deadline.min(Instant::now() + TICK)).await;
        }
    }

    fn progress(&self, activity: Activity, since: Instant, total: Option<Duration>) -> Progress {
        Progress {
            activity,
            elapsed: Instant::now().saturating_duration_since(since),
            total,
            connections_opened: self.sum(|counters| &counters.opened),
            connections: u64::from(self.options.connections),
            messages_answered: self.sum(|counters| &counters.answered),
        }
    }

    pub(super) fn foreign_example(&self) -> Option<String> {
        let mut examples = self.counters.iter();
        examples.find_map(|counters| counters.foreign_example.get().cloned())
    }

    pub(super) fn sum(&self, counter: impl Fn(&Counters) -> &Counter) -> u64 {
        self.counters
            .iter()
            .map(|counters| counter(counters).get())
            .sum()
    }
}
