//! The watchdog: a thread that serves nobody and sees whether those that serve
//! make progress.
//!
//! It sends a beat to the asynchronous runtime: a task that any worker can run,
//! and that waits for a timer. A worker that is parked is woken for it, and one
//! that computes takes it between two tasks; so a beat that is not answered says
//! that no worker runs tasks, or none looks at timers and sockets. Whether the
//! host has had a CPU meanwhile is asked of the system (`threads`), when it
//! counts is decided in `progress`.
//!
//! The thread itself takes no lock that others hold for long, and waits for
//! nothing but its next tick: what is to be said, a second thread says, with the
//! stacks of all threads, which a process of its own reads (`stacks`).
//!
//! Bounded: one beat at a time; [`WORDS_MAX`] hangs wait to be said, what comes
//! later is not.

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

/// What a process ends with whose threads hang: `EX_SOFTWARE` of BSD's
/// sysexits. Supervisors that start again what has failed do so.
const EXIT_HUNG: i32 = 70;
/// What a beat waits for, so that it says of timers and sockets, too, that
/// somebody looks at them.
const BEAT: Duration = Duration::from_millis(1);
/// Words that wait for the thread that says them: a hang, its end, and the end
/// of the process.
const WORDS_MAX: usize = 3;
/// How long the end of the process waits for what is still to be said: for the
/// stacks, and for the reader of the log.
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

/// What is to be said, and where to say that it was.
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
            // Whoever is still busy with the hangs before has enough to say.
            _ => drop(words.try_send(Words { event, said: None })),
        })
    }

    /// The same, with somebody else who is told.
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

    /// What probes are answered by.
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

/// The thread.
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
        // However long this takes, it counts as one tick.
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
        // Before it is said: whoever reads of a hang may ask at once.
        liveness.note(progress.hung());
        if let Some(event) = event {
            report(event);
        }
    }
}

/// How much of a tick counts.
fn missed(before: Option<&Option<Sample>>, now: Option<&Sample>, tick: Duration) -> Duration {
    match (before, now) {
        // In its first tick a beat may have been sent just now.
        (None, _) => Duration::ZERO,
        (Some(Some(before)), Some(now)) => now.counts(before, tick),
        (Some(_), _) => tick,
    }
}

/// The thread that says it, until the watchdog has gone.
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
            // Whoever waits for it ends the process.
            let _ = said.send(());
        }
    }
}

/// Ends the process, at the latest when the last words take too long.
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
