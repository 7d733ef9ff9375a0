//! The watchdog on a real runtime, whose workers the tests block.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::*;

/// Longer than anything here takes, on a busy machine, too.
const LONG: Duration = Duration::from_secs(60);
/// The shortest timeout that a configuration can have.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A runtime with its watchdog.
struct Watched {
    runtime: tokio::runtime::Runtime,
    watchdog: Watchdog,
    events: Receiver<Event>,
}

/// Blocks one worker until it is dropped.
struct Held(#[expect(dead_code, reason = "dropping it releases the worker")] SyncSender<()>);

impl Watched {
    fn start(workers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name(WORKER)
            .enable_all()
            .build()
            .unwrap();
        let (told, events) = sync_channel(8);
        let report = move |event| told.send(event).unwrap();
        let watchdog = Watchdog::start_with(runtime.handle(), report).unwrap();
        watchdog.configure(&ServerConfig {
            watchdog_timeout: TIMEOUT,
            watchdog_exit_timeout: 2 * TIMEOUT,
            ..ServerConfig::default()
        });
        Self {
            runtime,
            watchdog,
            events,
        }
    }

    /// Makes a worker wait outside tokio, as for a lock. Returns once it waits.
    fn hold(&self) -> Held {
        let (held, holding) = sync_channel::<()>(0);
        let (begun, begins) = sync_channel(0);
        self.runtime.spawn(async move {
            begun.send(()).unwrap();
            let _ = holding.recv();
        });
        begins.recv_timeout(LONG).unwrap();
        Held(held)
    }

    /// Sends a beat of the test's own, whose answer shows that tasks run.
    fn is_alive(&self) -> bool {
        let beat = Beat::send(self.runtime.handle());
        let (asked, answer) = sync_channel(1);
        self.runtime.spawn(async move {
            tokio::time::sleep(BEAT).await;
            asked.send(()).unwrap();
        });
        answer.recv_timeout(LONG).is_ok() || beat.is_answered()
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(LONG).unwrap()
    }
}

#[test]
fn workers_that_all_wait_are_told_of_and_so_is_their_return() {
    let watched = Watched::start(2);
    let liveness = watched.watchdog.liveness();
    assert_eq!(liveness.hung(), None);
    let held = [watched.hold(), watched.hold()];
    let Event::Hung(time) = watched.event() else {
        panic!("it hangs");
    };
    assert!(time >= TIMEOUT && time < 2 * TIMEOUT, "{time:?}");
    assert!(liveness.hung().is_some_and(|hung| hung >= TIMEOUT));
    // The event to end the process repeats until the process ends.
    for _ in 0..2 {
        assert!(matches!(watched.event(), Event::End(time) if time >= 2 * TIMEOUT));
    }
    drop(held);
    let recovered = loop {
        match watched.event() {
            Event::End(_) => {}
            event => break event,
        }
    };
    assert!(matches!(recovered, Event::Recovered(time) if time >= 2 * TIMEOUT));
    assert_eq!(liveness.hung(), None);
    // The next hang counts as new.
    let held = [watched.hold(), watched.hold()];
    assert!(matches!(watched.event(), Event::Hung(_)));
    drop(held);
}

#[test]
fn workers_that_compute_and_run_no_task_hang_too() {
    let watched = Watched::start(1);
    let done = Arc::<AtomicBool>::default();
    watched.runtime.spawn({
        let done = Arc::clone(&done);
        async move {
            while !done.load(Ordering::Relaxed) {
                std::hint::spin_loop()
            }
        }
    });
    assert!(matches!(watched.event(), Event::Hung(_)));
    done.store(true, Ordering::Relaxed);
    loop {
        if let Event::Recovered(_) = watched.event() {
            break;
        }
    }
}

#[test]
fn one_worker_that_is_left_makes_progress() {
    let watched = Watched::start(2);
    let held = watched.hold();
    // Wait long enough that a hang would have been noticed.
    assert_eq!(
        watched.events.recv_timeout(3 * TIMEOUT),
        Err(RecvTimeoutError::Timeout)
    );
    assert!(watched.is_alive());
    drop(held);
}

#[test]
fn tasks_that_compute_between_short_pauses_are_no_hang() {
    let watched = Watched::start(2);
    let done = Arc::<AtomicBool>::default();
    for _ in 0..8 {
        let done = Arc::clone(&done);
        watched.runtime.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                (0..100_000).for_each(|number: u32| {
                    std::hint::black_box(number);
                });
                tokio::task::yield_now().await;
            }
        });
    }
    assert_eq!(
        watched.events.recv_timeout(3 * TIMEOUT),
        Err(RecvTimeoutError::Timeout)
    );
    assert!(watched.is_alive());
    done.store(true, Ordering::Relaxed);
}

#[test]
fn it_ends_with_its_owner() {
    let watched = Watched::start(1);
    drop(watched.watchdog);
    // The thread holds the other end.
    assert_eq!(
        watched.events.recv_timeout(LONG),
        Err(RecvTimeoutError::Disconnected)
    );
}
