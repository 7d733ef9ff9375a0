//! The clients' side, in a process of its own: this program started again, with one
//! thread.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_load::process::CpuSample;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep_until, timeout};

use super::calls::Caller;
use super::line::Line;

/// The hidden subcommand of this program.
pub(super) const SUBCOMMAND: &str = "client";

/// Connections that are opened at a time: below the backlog of any server.
const WAVE: usize = 16;

/// The longest wait for an event.
const PATIENCE: Duration = Duration::from_secs(20);

/// How closely a schedule is kept: below it the client watches the clock, because its
/// timers tick once a millisecond.
const WATCHED: Duration = Duration::from_millis(2);

/// An event has one of these.
const EVENT_END: u8 = b'}';

/// An order to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) address: SocketAddr,
    /// The server's process.
    pub(super) process: u32,
    /// Another server that the measured one calls.
    pub(super) other: Option<SocketAddr>,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Task {
    /// Requests over so many connections, one after the other on each.
    Ask {
        what: Answer,
        connections: u32,
        /// So many a second, together; none: the next when one is answered.
        rate: Option<u32>,
    },
    /// Calls of gRPC, over so many connections with so many at once.
    Call { connections: u32, each: u32 },
    /// Events for so many that listen; the next when all have one.
    Publish { subscribers: u32 },
}

/// The answers of `guests/faults/hello`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Hello,
    Download,
    Upload,
    Echo,
    /// Of another server, which the measured one calls.
    Call,
}

/// Bytes of a large body.
const LARGE: usize = 1 << 20;

impl Answer {
    fn request(self, order: &Order) -> anyhow::Result<Vec<u8>> {
        let path = match self {
            Self::Hello => "/hello".to_owned(),
            Self::Download => "/download".to_owned(),
            Self::Upload => "/upload".to_owned(),
            Self::Echo => "/echo".to_owned(),
            Self::Call => format!("/call?{}", order.other.context("nobody to call")?),
        };
        let address = order.address;
        Ok(match self {
            Self::Upload | Self::Echo => {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {LARGE}\r\n\r\n"
                );
                let mut request = head.into_bytes();
                request.resize(request.len() + LARGE, b'x');
                request
            }
            _ => format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes(),
        })
    }

    fn is_right(self, bytes: usize, first: &[u8]) -> bool {
        match self {
            Self::Hello | Self::Call => first == b"hello\n",
            Self::Upload => first == format!("{LARGE}\n").as_bytes(),
            Self::Download | Self::Echo => bytes == LARGE && first.starts_with(b"xxx"),
        }
    }
}

/// The figures, by name.
pub(super) type Figures = Vec<(String, f64)>;

/// The names of some.
pub(super) const CPU: &str = "CPU, µs";
const SECOND: &str = "a second";

/// Does what is ordered and prints the figures.
pub(super) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    let local = LocalSet::new();
    let figures = local.run_until(measure(&order)).await?;
    serde_json::to_writer(io::stdout().lock(), &figures)?;
    Ok(io::stdout().flush()?)
}

async fn measure(order: &Order) -> anyhow::Result<Figures> {
    match order.task {
        Task::Ask {
            what,
            connections,
            rate,
        } => ask(order, what, connections, rate).await,
        Task::Call { connections, each } => call(order, connections, each).await,
        Task::Publish { subscribers } => publish(order, subscribers).await,
    }
}

/// What all do together.
struct Counts {
    begin: Instant,
    end: Instant,
    done: Cell<u64>,
    /// From when each that was due after the warm-up was due, until its answer.
    times: RefCell<Vec<Duration>>,
}

impl Counts {
    fn of(order: &Order) -> Rc<Self> {
        let begin = Instant::now() + order.warm_up;
        Rc::new(Self {
            begin,
            end: begin + order.time,
            done: Cell::new(0),
            times: RefCell::default(),
        })
    }

    fn add(&self, due: Instant, count: u64) {
        self.done.set(self.done.get() + count);
        if due >= self.begin {
            self.times.borrow_mut().push(due.elapsed());
        }
    }
}

/// The server's CPU time for each of what is done between the warm-up and the end, how
/// many are done in a second, and how long they take.
async fn figures(
    order: &Order,
    counts: &Counts,
    mut all: JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Figures> {
    let watch = async {
        sleep_until(counts.begin).await;
        let before = (CpuSample::take(order.process)?, counts.done.get());
        sleep_until(counts.end).await;
        let after = (CpuSample::take(order.process)?, counts.done.get());
        let cpu = after.0.since(&before.0).as_secs_f64() * 1e6;
        anyhow::Ok((cpu, (after.1 - before.1) as f64))
    };
    // One that fails ends the measurement.
    let failed = async {
        while let Some(ended) = all.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    let ((cpu, count), ()) = tokio::try_join!(watch, failed)?;
    ensure!(count > 0.0, "nothing was done");
    let mut times = counts.times.take();
    times.sort_unstable();
    let percentile = |percent: usize| {
        let time = times.get(times.len() * percent / 100);
        time.copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    Ok(vec![
        (CPU.to_owned(), cpu / count),
        (SECOND.to_owned(), count / order.time.as_secs_f64()),
        ("p50, µs".to_owned(), percentile(50)),
        ("p99, µs".to_owned(), percentile(99)),
    ])
}

/// When the requests of all connections are due, for those that are free.
struct Schedule {
    due: RefCell<std::collections::VecDeque<Instant>>,
    ready: Semaphore,
}

impl Schedule {
    /// Sends out what is due, until the end.
    async fn keep(self: Rc<Self>, counts: Rc<Counts>, rate: u32) -> anyhow::Result<()> {
        let mut next = Instant::now();
        while next < counts.end {
            let now = Instant::now();
            if next <= now {
                self.due.borrow_mut().push_back(next);
                self.ready.add_permits(1);
                next += Duration::from_secs(1) / rate;
            } else if next - now > WATCHED {
                sleep_until(next - WATCHED).await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        self.ready.close();
        Ok(())
    }

    /// Waits until one is due; none at the end.
    async fn next(&self) -> Option<Instant> {
        if let Ok(permit) = self.ready.acquire().await {
            permit.forget();
        }
        self.due.borrow_mut().pop_front()
    }
}

async fn ask(
    order: &Order,
    what: Answer,
    connections: u32,
    rate: Option<u32>,
) -> anyhow::Result<Figures> {
    let lines = lines(order.address, connections).await?;
    let request: Rc<[u8]> = what.request(order)?.into();
    let counts = Counts::of(order);
    let mut all = JoinSet::new();
    let schedule = rate.map(|rate| {
        let schedule = Rc::new(Schedule {
            due: RefCell::default(),
            ready: Semaphore::new(0),
        });
        all.spawn_local(Rc::clone(&schedule).keep(Rc::clone(&counts), rate));
        schedule
    });
    for mut line in lines {
        let (request, counts) = (Rc::clone(&request), Rc::clone(&counts));
        let schedule = schedule.clone();
        all.spawn_local(async move {
            loop {
                let due = match &schedule {
                    Some(schedule) => schedule.next().await,
                    None => Some(Instant::now()).filter(|now| *now < counts.end),
                };
                let Some(due) = due else {
                    return Ok(());
                };
                let (mut bytes, mut first) = (0, Vec::new());
                let read = |piece: &[u8]| {
                    if bytes == 0 {
                        first.extend_from_slice(&piece[..piece.len().min(16)]);
                    }
                    bytes += piece.len();
                    Ok(())
                };
                line.ask(&request, read).await?;
                ensure!(
                    what.is_right(bytes, &first),
                    "not the answer: {bytes} bytes, {:?}",
                    String::from_utf8_lossy(&first)
                );
                counts.add(due, 1);
            }
        });
    }
    figures(order, &counts, all).await
}

async fn lines(address: SocketAddr, count: u32) -> anyhow::Result<Vec<Line>> {
    let lines = stream::iter(0..count).map(|_| Line::open(address));
    lines.buffer_unordered(WAVE).try_collect().await
}

async fn call(order: &Order, connections: u32, each: u32) -> anyhow::Result<Figures> {
    let mut callers = Vec::new();
    for _ in 0..connections {
        callers.push(Caller::open(order.address).await?);
    }
    let counts = Counts::of(order);
    let mut all = JoinSet::new();
    for caller in callers {
        for _ in 0..each {
            let (caller, counts) = (caller.clone(), Rc::clone(&counts));
            all.spawn_local(async move {
                let mut due = Instant::now();
                while due < counts.end {
                    caller.call().await?;
                    counts.add(due, 1);
                    due = Instant::now();
                }
                Ok(())
            });
        }
    }
    figures(order, &counts, all).await
}

/// How far those that listen have come.
#[derive(Default)]
struct Heard {
    events: Cell<u64>,
    awaited: Cell<u64>,
    reached: Notify,
}

async fn publish(order: &Order, subscribers: u32) -> anyhow::Result<Figures> {
    let address = order.address;
    let request = format!("GET /notify/all HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let request: Rc<[u8]> = request.into_bytes().into();
    let listening = stream::iter(0..subscribers).map(|_| {
        let request = Rc::clone(&request);
        async move { Line::open(address).await?.listen(&request).await }
    });
    let listening: Vec<TcpStream> = listening.buffer_unordered(WAVE).try_collect().await?;
    let heard = Rc::new(Heard::default());
    let mut all = JoinSet::new();
    for stream in listening {
        all.spawn_local(hear(stream, Rc::clone(&heard)));
    }
    let counts = Counts::of(order);
    let mut publishing = JoinSet::new();
    let (done, mut publisher) = (Rc::clone(&counts), Line::open(address).await?);
    publishing.spawn_local(async move {
        let order =
            format!("POST /notify/all HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\n\r\n17");
        let mut due = Instant::now();
        while due < done.end {
            let awaited = heard.awaited.get() + u64::from(subscribers);
            heard.awaited.set(awaited);
            publisher.ask(order.as_bytes(), |_| Ok(())).await?;
            while heard.events.get() < awaited {
                let reached = timeout(PATIENCE, heard.reached.notified()).await;
                reached.context("not all have an event")?;
            }
            done.add(due, u64::from(subscribers));
            due = Instant::now();
        }
        Ok(())
    });
    let figures = figures(order, &counts, publishing).await?;
    all.abort_all();
    Ok(figures)
}

/// Counts events, until the measurement is over.
async fn hear(mut stream: TcpStream, heard: Rc<Heard>) -> anyhow::Result<()> {
    let mut read = [0; 1024];
    loop {
        let count = stream.read(&mut read).await?;
        ensure!(count > 0, "an answer has ended");
        let events = read[..count].iter().filter(|byte| **byte == EVENT_END);
        heard.events.set(heard.events.get() + events.count() as u64);
        if heard.events.get() >= heard.awaited.get() {
            heard.reached.notify_one();
        }
    }
}
