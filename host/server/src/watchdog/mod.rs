//! The watchdog: a thread that serves no connection, and checks that those that
//! serve make progress.
//!
//! It sends a beat to the asynchronous runtime: a task that any worker can run,
//! and that waits for a timer. A parked worker is woken for it, and one that
//! computes takes it between two tasks. So a beat without an answer shows that
//! no worker runs tasks, or that none polls timers and sockets. `threads` asks
//! the system whether the workers had a CPU meanwhile, and `progress` decides
//! when a host hangs.
//!
//! The thread itself takes no lock that others hold for long, and waits only
//! for its next tick. A second thread logs, with the stacks of all threads,
//! which a child process reads (`stacks`).
//!
//! Bounded: there is one beat at a time, and [`WORDS_MAX`] events wait to be
//! logged; later ones are not.

mod progress;
mod stacks;
mod threads;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use openline_core::config::ServerConfig;
use openline_gateway::liveness::Liveness;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use self::progress::{Event, Limits, Progress};
use self::threads::Sample;
use crate::telemetry;

pub(crate) use self::stacks::{WORD, run as run_stacks};
pub(crate) use self::threads::WORKER;

/// The exit code of a process whose threads hang: `EX_SOFTWARE` of BSD's
/// sysexits. Supervisors that restart failed processes then restart it.
const EXIT_HUNG: i32 = 70;
/// How long the timer of a beat runs. The beat waits for it to show that timers
/// and sockets are polled, too.
const BEAT: Duration = Duration::from_millis(1);
/// Events that wait for the thread that logs: a hang, its end, and the end of
/// the process.
const WORDS_MAX: usize = 3;
/// How long the end of the process waits for the last lines: for the stacks,
/// and for the reader of the log.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(8);

/// The watchdog of a host, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    limits: Arc<Mutex<Limits>>,
    liveness: Arc<Liveness>,
    _stop: SyncSender<()>,
}

/// A task that has been sent to the runtime.
#[derive(Debug)]
struct Beat(Arc<AtomicBool>);

/// An event to log, and how to confirm that it was logged.
struct Words {
    event: Event,
    said: Option<SyncSender<()>>,
}

// === impl Watchdog ===

impl Watchdog {
    /// Watches the workers of a runtime, by the limits of a host without a
    /// configuration.
    pub(crate) fn start(runtime: &Handle) -> io::Result<Self> {
        let (words, spoken) = mpsc::sync_channel(WORDS_MAX);
        thread::Builder::new()
            .name("watchdog-words".into())
            .spawn(move || say_all(&spoken))?;
        Self::start_with(runtime, move |event| match event {
            Event::End(_) => end(&words, event),
            // If the thread that logs is still busy with earlier hangs, skip
            // this one.
            _ => drop(words.try_send(Words { event, said: None })),
        })
    }

    /// The same, with `tell` as the receiver of events.
    fn start_with(
        runtime: &Handle,
        report: impl FnMut(Event) + Send + 'static,
    ) -> io::Result<Self> {
        let limits = Arc::new(Mutex::new(Limits::of(&ServerConfig::default())));
        let liveness = Arc::<Liveness>::default();
        let (stop, stopped) = mpsc::sync_channel(0);
        thread::Builder::new().name("watchdog".into()).spawn({
            let (runtime, limits) = (runtime.clone(), Arc::clone(&limits));
            let liveness = Arc::clone(&liveness);
            move || watch(&runtime, &limits, &liveness, &stopped, report)
        })?;
        Ok(Self {
            limits,
            liveness,
            _stop: stop,
        })
    }

    /// Takes the limits of a configuration.
    pub(crate) fn configure(&self, config: &ServerConfig) {
        *self.limits.lock() = Limits::of(config);
    }

    /// The value that decides how probes are answered.
    pub(crate) fn liveness(&self) -> Arc<Liveness> {
        Arc::clone(&self.liveness)
    }
}

// === impl Beat ===

impl Beat {
    fn send(runtime: &Handle) -> Self {
        let answered = Arc::<AtomicBool>::default();
        let beat = Self(Arc::clone(&answered));
        runtime.spawn(async move {
            tokio::time::sleep(BEAT).await;
            answered.store(true, Ordering::Relaxed);
        });
        beat
    }

    fn is_answered(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The loop of the thread.
fn watch(
    runtime: &Handle,
    limits: &Mutex<Limits>,
    liveness: &Liveness,
    stopped: &Receiver<()>,
    mut report: impl FnMut(Event),
) {
    let mut progress = Progress::default();
    let mut beat = Beat::send(runtime);
    let mut before = None;
    loop {
        let limits = *limits.lock();
        // This counts as one tick, however long it takes.
        if stopped.recv_timeout(limits.tick()) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        let event = if beat.is_answered() {
            before = None;
            beat = Beat::send(runtime);
            progress.made()
        } else {
            let now = Sample::take();
            let missed = missed(before.as_ref(), now.as_ref(), limits.tick());
            before = Some(now);
            progress.missed(missed, limits)
        };
        // Set this before the event is logged: a reader of the log may ask a
        // probe at once.
        liveness.note(progress.hung());
        if let Some(event) = event {
            report(event);
        }
    }
}

/// How much of a tick counts.
fn missed(before: Option<&Option<Sample>>, now: Option<&Sample>, tick: Duration) -> Duration {
    match (before, now) {
        // The beat may have been sent only just before this tick.
        (None, _) => Duration::ZERO,
        (Some(Some(before)), Some(now)) => now.counts(before, tick),
        (Some(_), _) => tick,
    }
}

/// The loop of the thread that logs, until the watchdog is dropped.
fn say_all(words: &Receiver<Words>) {
    for Words { event, said } in words {
        match event {
            Event::Hung(time) => {
                let seconds = time.as_secs_f64();
                tracing::error!(
                    seconds,
                    "the host hangs: none of its workers makes progress; the stacks of its threads follow"
                );
                stacks::tell();
            }
            Event::Recovered(time) => {
                let seconds = time.as_secs_f64();
                tracing::warn!(seconds, "the host goes on: it made no progress for a while");
            }
            Event::End(time) => {
                let seconds = time.as_secs_f64();
                tracing::error!(
                    seconds,
                    code = EXIT_HUNG,
                    "the host hangs and ends: watchdog_exit_timeout is over"
                );
                telemetry::finish();
            }
        }
        if let Some(said) = said {
            // The watchdog's thread waits for this before it ends the process.
            let _ = said.send(());
        }
    }
}

/// Ends the process after its last lines, or when these take too long.
fn end(words: &SyncSender<Words>, event: Event) {
    let (said, heard) = mpsc::sync_channel(1);
    let last = Words {
        event,
        said: Some(said),
    };
    if words.try_send(last).is_ok() {
        let _ = heard.recv_timeout(LAST_WORDS_TIMEOUT);
    }
    // SAFETY: `_exit` takes a number, touches no memory of ours, and does not
    // return. Unlike `std::process::exit` it runs nothing that was registered
    // for the end of the process, and which could wait for what hangs.
    #[expect(unsafe_code, reason = "its crate has no safe function")]
    unsafe {
        libc::_exit(EXIT_HUNG)
    }
}

#[cfg(test)]
mod tests;
