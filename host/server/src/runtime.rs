//! The runtime that serves: its threads, and whose turn it is when more is ready
//! than they can do.
//!
//! A worker of tokio has a queue of [`LOCAL_QUEUE`] tasks. Tasks that do not fit
//! go to a queue of all workers, from which a worker that has tasks of its own
//! takes only one now and then. With tokio's defaults, one look at the sockets
//! wakes up to 1024 connections, so a busy worker goes on serving the 256 that
//! fit and those that answer at once, while the others wait: with 9,000
//! connections that always have a message, some waited for five turns of all
//! others, and one message in a hundred for half a second instead of 150 ms.
//!
//! Therefore a worker takes few sockets at a time, and fewer than it has served
//! since its last look. All other ready sockets stay in the kernel, which lists
//! them in the order in which they became ready. Tasks that wait in the queue of
//! all workers, such as the receivers of a message to thousands, get the rest of
//! a busy worker's time.
//!
//! The settings cost nothing that can be measured: between two looks, a worker
//! runs as many tasks as before. Alternatives are in `benches/HISTORY.md`.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::{memory, threads, watchdog};

/// Tasks that fit into the queue of one worker: a constant of tokio.
const LOCAL_QUEUE: usize = 256;

/// The most sockets that a worker takes at once when it has nothing else to do:
/// half of its queue, so that there is room for the tasks that these wake.
const SOCKETS_MAX: usize = LOCAL_QUEUE / 2;

/// How many tasks a busy worker runs before it looks at sockets and timers:
/// tokio's default. Half a millisecond, if each is a short message.
const TASKS_PER_LOOK: u32 = 61;

/// The most sockets that a busy worker takes at once: about half of what it
/// serves between two looks. With as many as it serves, its queue would never
/// become empty, and it would hardly ever take from the queue of all workers.
const SOCKETS_BUSY_MAX: usize = 32;

const _: () = assert!(2 * SOCKETS_BUSY_MAX <= TASKS_PER_LOOK as usize + 3);

/// Threads for blocking work: reading files and states, hashing, starting a
/// compiler. Each piece of work is short, and waits if no thread is free.
const BLOCKING_THREADS_MAX: usize = 64;

/// Threads of a host besides its workers: the epoch, the store, two for the
/// log, probes, two for the watchdog, and one for blocking work.
const OTHER_THREADS: usize = 8;

/// Makes the runtime of a command, with a worker for each CPU, or as many as
/// `TOKIO_WORKER_THREADS` says.
///
/// # Errors
///
/// When the system does not have that many threads.
pub(crate) fn new() -> anyhow::Result<Runtime> {
    // With too few threads tokio would panic, or hang with half of its workers.
    threads::require(threads::workers() + OTHER_THREADS)?;
    let runtime = builder()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        // tokio panics when it needs its first blocking thread and the system
        // has none left. As long as one exists, work waits for it, so keep it.
        .thread_keep_alive(Duration::from_secs(u32::MAX.into()))
        .thread_name(watchdog::WORKER)
        .on_thread_park(memory::before_parking)
        .build()?;
    drop(runtime.spawn_blocking(|| {}));
    Ok(runtime)
}

/// A runtime that serves in turn.
fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder
        .enable_all()
        .event_interval(TASKS_PER_LOOK)
        .max_io_events_per_tick(SOCKETS_MAX)
        .max_io_events_per_busy_tick(SOCKETS_BUSY_MAX);
    builder
}

/// Runs a command to its end.
pub(crate) fn run(
    runtime: Runtime,
    command: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let ended = runtime.block_on(command);
    // Do not wait: a thread that runs guest code or a compiler ends with the
    // process.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::net::UdpSocket;
    use tokio::sync::Barrier;
    use tokio::task::JoinSet;

    use super::*;

    /// More than twice as many as a worker's queue has room for, and few enough
    /// for the usual limit of open files.
    const SOCKETS: usize = 600;
    /// How often each socket is served.
    const TURNS: usize = 100;

    /// Serves a socket that always has the next message as soon as it has
    /// answered one, because it sends to itself. Returns the longest wait, as
    /// the number of other messages that were served meanwhile.
    async fn serve(socket: UdpSocket, ready: Arc<Barrier>, served: Arc<AtomicUsize>) -> usize {
        ready.wait().await;
        let (mut longest, mut before) = (0, served.load(Ordering::Relaxed));
        for _ in 0..TURNS {
            socket.send(b"a message").await.unwrap();
            let mut buffer = [0; 16];
            // As a connection does: it reads until there is no more, and only
            // then answers and waits.
            let mut is_read = false;
            loop {
                socket.readable().await.unwrap();
                match socket.try_recv(&mut buffer) {
                    Ok(_) => is_read = true,
                    Err(error) if error.kind() == ErrorKind::WouldBlock && is_read => break,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                }
            }
            let now = served.fetch_add(1, Ordering::Relaxed);
            longest = longest.max(now - before);
            before = now;
        }
        longest
    }

    /// The longest wait of any socket on a runtime of one worker, in turns of
    /// all others.
    fn longest_wait(mut builder: Builder) -> f64 {
        let runtime = builder.worker_threads(1).build().unwrap();
        let longest = runtime.block_on(async {
            let (ready, served) = (Arc::new(Barrier::new(SOCKETS)), Arc::default());
            let mut tasks = JoinSet::new();
            for _ in 0..SOCKETS {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(socket.local_addr().unwrap()).await.unwrap();
                tasks.spawn(serve(socket, Arc::clone(&ready), Arc::clone(&served)));
            }
            tasks.join_all().await.into_iter().max().unwrap()
        });
        longest as f64 / SOCKETS as f64
    }

    #[test]
    fn no_socket_waits_for_more_than_three_turns_of_all_others() {
        let turns = longest_wait(builder());
        assert!(turns <= 3.0, "{turns}");
    }
}
