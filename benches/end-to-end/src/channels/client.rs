//! The clients' side, in a process of its own: this program started again, with
//! one thread.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_load::process::{CpuSample, resident_bytes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, timeout};

use super::speaker::{Backend, Speaker};

/// The hidden subcommand of this program.
pub(super) const SUBCOMMAND: &str = "client";

/// Connections that are opened at a time: below the backlog of any server.
const WAVE: usize = 16;

/// The longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server is given to be at rest before its memory is read.
const REST: Duration = Duration::from_secs(2);

/// Connections that subscribe and leave, and how many of both each has on its way.
const COMING: u32 = 16;
const COMING_DEPTH: u32 = 32;

/// Bytes of what is published: with the protocol's own, a small event.
const DATA_BYTES: usize = 100;

/// Figures by their names, in the order in which they are shown.
pub(super) type Figures = Vec<(String, f64)>;

/// What to measure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Task {
    /// One publication at a time to so many.
    FanOut { subscribers: u32, channel: String },
    /// Connections that subscribe to channels of their own, and leave.
    ComeAndGo,
    /// Peers that come at once, and have missed so much.
    Recover { peers: u32, missed: u32 },
    /// Subscriptions, of each connection to its own channels or all to the same.
    Hold {
        connections: u32,
        each: u32,
        shared: bool,
    },
    /// Publications that channels keep.
    Keep { publications: u32, each: u32 },
    /// Publishes over HTTP, one after the other, with a subscriber.
    Outside { requests: u32 },
}

/// An order to this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) task: Task,
    pub(super) address: SocketAddr,
    /// The server's process.
    pub(super) process: u32,
    /// What a publisher from outside shows.
    pub(super) key: String,
    pub(super) seconds: u32,
    /// Where the peers that come back were.
    pub(super) position: Option<Value>,
}

/// Does what is ordered and prints the figures.
pub(super) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    let figures = LocalSet::new().run_until(measure(&order)).await?;
    serde_json::to_writer(io::stdout().lock(), &figures)?;
    Ok(io::stdout().flush()?)
}

async fn measure(order: &Order) -> anyhow::Result<Figures> {
    match &order.task {
        Task::FanOut {
            subscribers,
            channel,
        } => fan_out(order, *subscribers, channel).await,
        Task::ComeAndGo => come_and_go(order).await,
        Task::Recover { peers, missed } => recover(order, *peers, *missed).await,
        Task::Hold {
            connections,
            each,
            shared,
        } => hold(order, *connections, *each, *shared).await,
        Task::Keep { publications, each } => keep(order, *publications, *each).await,
        Task::Outside { requests } => outside(order, *requests).await,
    }
}

fn figures<const N: usize>(all: [(&str, f64); N]) -> Figures {
    let all = all.into_iter();
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn open(address: SocketAddr, connections: u32) -> anyhow::Result<Vec<Speaker>> {
    stream::iter(0..connections)
        .map(|_| Speaker::open(address))
        .buffer_unordered(WAVE)
        .try_collect()
        .await
}

fn data(number: u64) -> String {
    format!("{number:016x}{}", "x".repeat(DATA_BYTES - 16))
}

/// The number in a message with a publication of [`data`]; none in others.
fn number_in(line: &[u8]) -> Option<u64> {
    let name = b"\"data\":\"";
    let at = line.windows(name.len()).position(|part| part == name)? + name.len();
    let digits = std::str::from_utf8(line.get(at..at + 16)?).ok()?;
    u64::from_str_radix(digits, 16).ok()
}

/// What all subscribers have of the publication under way.
#[derive(Default)]
struct Under {
    number: Cell<u64>,
    missing: Cell<u32>,
    all_have_it: Notify,
    failure: RefCell<Option<String>>,
}

async fn fan_out(order: &Order, subscribers: u32, channel: &str) -> anyhow::Result<Figures> {
    let mut peers = open(order.address, subscribers).await?;
    let mut publisher = Speaker::open(order.address).await?;
    for peer in &mut peers {
        peer.ask("subscribe", json!({ "channel": channel })).await?;
    }
    let (under, mut tasks) = (Rc::new(Under::default()), JoinSet::new());
    for peer in peers {
        tasks.spawn_local(receive(peer, Rc::clone(&under)));
    }
    let mut publish_for = async |time: Duration| {
        let (end, mut count) = (Instant::now() + time, 0_u32);
        while Instant::now() < end {
            under.number.set(under.number.get() + 1);
            under.missing.set(subscribers);
            let parameters = json!({ "channel": channel, "data": data(under.number.get()) });
            publisher.ask("publish", parameters).await?;
            if under.missing.get() > 0 {
                let all = timeout(PATIENCE, under.all_have_it.notified()).await;
                all.with_context(|| {
                    let (missing, failure) = (under.missing.get(), under.failure.take());
                    format!("{missing} have not got it: {}", failure.unwrap_or_default())
                })?;
            }
            count += 1;
        }
        anyhow::Ok(count)
    };
    publish_for(Duration::from_secs(1)).await?;
    let (before, began) = (CpuSample::take(order.process)?, Instant::now());
    let count = publish_for(Duration::from_secs(order.seconds.into())).await?;
    let (after, time) = (CpuSample::take(order.process)?, began.elapsed());
    let deliveries = f64::from(count) * f64::from(subscribers);
    let cpu = after.since(&before).as_secs_f64();
    Ok(figures([
        ("CPU, µs a delivery", cpu * 1e6 / deliveries),
        ("deliveries/s", deliveries / time.as_secs_f64()),
    ]))
}

/// Reads publications, each of which must be the one under way.
async fn receive(mut peer: Speaker, under: Rc<Under>) {
    loop {
        let read = peer.lines(|line| {
            if let Some(number) = number_in(line) {
                ensure!(
                    number == under.number.get(),
                    "another publication: {number}"
                );
                under.missing.set(under.missing.get() - 1);
                if under.missing.get() == 0 {
                    under.all_have_it.notify_one();
                }
            }
            Ok(())
        });
        if let Err(error) = read.await {
            *under.failure.borrow_mut() = Some(error.to_string());
            return;
        }
    }
}

async fn come_and_go(order: &Order) -> anyhow::Result<Figures> {
    let peers = open(order.address, COMING).await?;
    let end = Instant::now() + Duration::from_secs(order.seconds.into());
    let (before, began) = (CpuSample::take(order.process)?, Instant::now());
    let mut tasks = JoinSet::new();
    for (number, mut peer) in peers.into_iter().enumerate() {
        tasks.spawn_local(async move {
            let mut count = 0_u64;
            while Instant::now() < end {
                let mut frames = Vec::new();
                for each in 0..COMING_DEPTH {
                    let channel = json!({ "channel": format!("plain:{number}-{each}") });
                    frames.extend(peer.command("subscribe", &channel));
                    frames.extend(peer.command("unsubscribe", &channel));
                }
                peer.send(&frames).await?;
                answers(&mut peer, 2 * COMING_DEPTH).await?;
                count += u64::from(COMING_DEPTH);
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(ended) = tasks.join_next().await {
        count += ended??;
    }
    let cpu = CpuSample::take(order.process)?.since(&before).as_secs_f64();
    let count = count as f64;
    Ok(figures([
        ("CPU, µs for both", cpu * 1e6 / count),
        ("of both/s", count / began.elapsed().as_secs_f64()),
    ]))
}

/// Reads so many answers, none of which is an error.
async fn answers(peer: &mut Speaker, mut missing: u32) -> anyhow::Result<()> {
    while missing > 0 {
        peer.lines(|line| {
            let is_answer = line.starts_with(b"{\"id\"") && !contains(line, b"\"error\"");
            ensure!(is_answer, "{}", String::from_utf8_lossy(line));
            missing -= 1;
            Ok(())
        })
        .await?;
    }
    Ok(())
}

fn contains(line: &[u8], part: &[u8]) -> bool {
    line.windows(part.len()).any(|each| each == part)
}

const RECOVERED: &str = "durable:1";

/// Has a channel publish what peers will have missed, and says where they were.
pub(super) async fn miss(order: &Order) -> anyhow::Result<Value> {
    let Task::Recover { missed, .. } = order.task else {
        anyhow::bail!("this is no recovery");
    };
    let mut backend = Backend::open(order.address, &order.key).await?;
    // An epoch begins with the first publication.
    let first = backend.publish(RECOVERED, &data(0)).await?;
    for number in 1..=u64::from(missed) {
        backend.publish(RECOVERED, &data(number)).await?;
    }
    Ok(first)
}

async fn recover(order: &Order, peers: u32, missed: u32) -> anyhow::Result<Figures> {
    let position = order
        .position
        .as_ref()
        .context("the order has no position")?;
    let mut wish = position.clone();
    wish["channel"] = json!(RECOVERED);
    wish["recover"] = json!(true);
    let (before, began) = (CpuSample::take(order.process)?, Instant::now());
    let recovered: Vec<_> = stream::iter(0..peers)
        .map(|_| async {
            let mut peer = Speaker::open(order.address).await?;
            let answer = peer.ask("subscribe", wish.clone()).await?;
            ensure!(
                answer["recovered"] == json!(true),
                "not recovered: {answer}"
            );
            let got = answer["publications"].as_array().cloned();
            let got = got.unwrap_or_default();
            let numbers = got.iter().map(|it| it["data"].as_str().unwrap_or_default());
            ensure!(
                numbers.eq((1..=u64::from(missed)).map(data)),
                "not what was missed: {answer}"
            );
            anyhow::Ok(peer)
        })
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    let time = began.elapsed().as_secs_f64();
    let cpu = CpuSample::take(order.process)?.since(&before).as_secs_f64();
    let all = recovered.into_iter();
    all.map(Speaker::reset)
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(figures([
        ("until all are there, ms", time * 1e3),
        ("CPU, µs a peer", cpu * 1e6 / f64::from(peers)),
    ]))
}

async fn hold(order: &Order, connections: u32, each: u32, shared: bool) -> anyhow::Result<Figures> {
    let mut peers = open(order.address, connections).await?;
    sleep(REST).await;
    let before = resident_bytes(order.process)?;
    let channel = |peer: usize, number: u32| match shared {
        true => json!({ "channel": format!("plain:shared-{number}") }),
        false => json!({ "channel": format!("plain:{peer}-{number}") }),
    };
    for (number, peer) in peers.iter_mut().enumerate() {
        let mut frames = Vec::new();
        for each in 0..each {
            frames.extend(peer.command("subscribe", &channel(number, each)));
        }
        peer.send(&frames).await?;
        answers(peer, each).await?;
    }
    sleep(REST).await;
    let grown = resident_bytes(order.process)?.saturating_sub(before);
    let count = f64::from(connections) * f64::from(each);
    Ok(figures([("bytes", grown as f64 / count)]))
}

async fn keep(order: &Order, publications: u32, each: u32) -> anyhow::Result<Figures> {
    let mut publisher = Speaker::open(order.address).await?;
    // What is allocated once has been before.
    let first = json!({ "channel": "kept:first", "data": data(0) });
    publisher.ask("publish", first).await?;
    sleep(REST).await;
    let before = resident_bytes(order.process)?;
    for number in 0..publications {
        let channel = format!("kept:{}", number / each);
        let parameters = json!({ "channel": channel, "data": data(number.into()) });
        publisher.ask("publish", parameters).await?;
    }
    sleep(REST).await;
    let grown = resident_bytes(order.process)?.saturating_sub(before);
    Ok(figures([("bytes", grown as f64 / f64::from(publications))]))
}

async fn outside(order: &Order, requests: u32) -> anyhow::Result<Figures> {
    let mut backend = Backend::open(order.address, &order.key).await?;
    let mut peer = Speaker::open(order.address).await?;
    peer.ask("subscribe", json!({ "channel": "kept:1" }))
        .await?;
    let (mut answered, mut delivered) = (Vec::new(), Vec::new());
    for number in 0..requests {
        let data = data(number.into());
        let began = Instant::now();
        let deliver = async {
            let mut has_come = false;
            while !has_come {
                peer.lines(|line| {
                    has_come |= number_in(line) == Some(number.into());
                    Ok(())
                })
                .await?;
            }
            anyhow::Ok(began.elapsed())
        };
        let publish = async {
            backend.publish("kept:1", &data).await?;
            anyhow::Ok(began.elapsed())
        };
        let (answer, delivery) = timeout(PATIENCE, async { tokio::try_join!(publish, deliver) })
            .await
            .context("a publication has not come")??;
        answered.push(answer);
        delivered.push(delivery);
    }
    let mut all = Vec::new();
    for (what, mut times) in [("answered", answered), ("delivered", delivered)] {
        times.sort_unstable();
        for (name, percent) in [("p50", 50), ("p99", 99)] {
            let time = times[times.len() * percent / 100];
            all.push((format!("{what}, {name}, µs"), time.as_secs_f64() * 1e6));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{DATA_BYTES, data, number_in};

    #[test]
    fn a_publication_is_known_by_its_number() {
        let data = data(258);
        assert_eq!(data.len(), DATA_BYTES);
        let line = format!("{{\"push\":{{\"channel\":\"a\",\"pub\":{{\"data\":\"{data}\"}}}}}}");
        assert_eq!(number_in(line.as_bytes()), Some(258));
        assert_eq!(number_in(b"{}"), None);
        assert_eq!(number_in(b"{\"data\":\"xx"), None);
    }
}
