//! The soak of a channel that lets its peers recover: publishers number what they
//! publish, and peers count it, while their host is killed, restarted and deployed
//! to. Nothing that was acknowledged may be lost, come twice or out of order.
//!
//! Bounded by its arguments, and by a time within which every peer must have all
//! after the last disturbance.

mod host;
mod peers;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;
use openline_kit::table::Table;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use self::host::{Disturbance, Host};
use self::peers::{Counts, PUBLISHERS, Scene};
use crate::arguments::Arguments;
use crate::check::Check;
use crate::progress::tell;

/// The most peers: all are of one address, and each gets every publication.
const PEERS_MAX: u32 = 1_000;
/// How long the host is left alone between two disturbances, in milliseconds.
const QUIET_MS: std::ops::Range<u64> = 2_000..7_000;
/// How long peers may take to have everything after the last disturbance, and to
/// be subscribed before the first.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Whether all was as it should be.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let programs = arguments.programs.find(&[host::COMPONENT])?;
    let peers = arguments.connections.min(PEERS_MAX);
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(1..=999_999));
    let mut random = Rng::with_seed(seed);
    let mut host = Host::start(&programs).await?;
    tell(&format!(
        "{peers} peers and {PUBLISHERS} publishers for {:?}, seed {seed}",
        arguments.length()?
    ));
    let scene = Arc::new(Scene::new(host.address()));
    let mut tasks = JoinSet::new();
    for _ in 0..peers {
        tasks.spawn(peers::listen(Arc::clone(&scene), random.fork()));
    }
    until("every peer is subscribed", || {
        scene.counts.subscribed.load(Relaxed) >= u64::from(peers)
    })
    .await?;
    for publisher in 0..PUBLISHERS {
        tasks.spawn(peers::publish(Arc::clone(&scene), publisher, random.fork()));
    }
    let disturbed = disturb(&mut host, &mut random, arguments.length()?).await?;
    tell("publishing ends; every peer must have everything");
    scene.stop();
    let settled = until("every peer has everything", || {
        scene.counts.complete.load(Relaxed) == u64::from(peers)
    });
    let settled = settled.await;
    tasks.shutdown().await;
    if settled.is_err() {
        host.keep();
    }
    let report = render(&scene, &disturbed, peers, seed);
    std::io::stdout()
        .write_all(report.0.as_bytes())
        .context("cannot write the report")?;
    Ok(report.1)
}

/// How often each has happened.
type Disturbed = [(Disturbance, u64); 4];

/// Disturbs the host in turns until the time is over, and each at least once.
async fn disturb(host: &mut Host, random: &mut Rng, length: Duration) -> anyhow::Result<Disturbed> {
    let end = Instant::now() + length;
    let mut disturbed = Disturbance::ALL.map(|it| (it, 0));
    for turn in (0..disturbed.len()).cycle() {
        if turn == 0 && Instant::now() >= end {
            break;
        }
        sleep(Duration::from_millis(random.u64(QUIET_MS))).await;
        let (disturbance, count) = &mut disturbed[turn];
        tell(&format!("{disturbance:?}"));
        host.disturb(*disturbance).await?;
        *count += 1;
    }
    Ok(disturbed)
}

async fn until(what: &str, is_so: impl Fn() -> bool) -> anyhow::Result<()> {
    let end = Instant::now() + SETTLED_WITHIN;
    while !is_so() {
        if Instant::now() > end {
            bail!("not within {SETTLED_WITHIN:?}: {what}");
        }
        sleep(ASK_AGAIN).await;
    }
    Ok(())
}

/// The report, and whether all is well.
fn render(scene: &Scene, disturbed: &Disturbed, peers: u32, seed: u64) -> (String, bool) {
    let Counts {
        acknowledged,
        repeated,
        unanswered,
        live,
        recovered,
        recoveries,
        complete,
        lost,
        wrongs,
        endings,
        ..
    } = &scene.counts;
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut line = |count: u64, what: &str| {
        let _ = writeln!(text, "{count:>12}  {what}");
    };
    for (disturbance, count) in disturbed {
        line(*count, disturbance.words());
    }
    let acknowledged = acknowledged.load(Relaxed);
    line(acknowledged, "publications acknowledged");
    line(
        unanswered.load(Relaxed),
        "publishes without an answer, repeated with their key",
    );
    line(
        repeated.load(Relaxed),
        "of these had been done, and were not done again",
    );
    line(recoveries.load(Relaxed), "peers that came back");
    line(
        recovered.load(Relaxed),
        "publications that these had missed and got",
    );
    line(
        live.load(Relaxed),
        "publications that peers got as they were published",
    );
    for (code, count) in endings.all() {
        line(count, &format!("connections ended with {code}"));
    }
    for (wrong, count) in wrongs.all() {
        line(count, &format!("WRONG: {wrong}"));
    }
    let received = live.load(Relaxed) + recovered.load(Relaxed);
    let all = acknowledged * u64::from(peers);
    let checks = [
        Check::equal("publications lost, twice or out of order", 0, wrongs.sum()),
        Check::equal("peers that were told of a loss", 0, lost.load(Relaxed)),
        Check::equal(
            "peers that have everything",
            u64::from(peers),
            complete.load(Relaxed),
        ),
        Check::equal("publications received by all peers", all, received),
    ];
    let mut table = Table::new(["", "", "wanted", "found"]);
    table.title("recovery");
    checks.iter().for_each(|check| table.row(check.cells()));
    text.push('\n');
    text.push_str(&table.text());
    let is_ok = checks.iter().all(|check| check.is_ok);
    let verdict = if is_ok {
        "all checks passed"
    } else {
        "checks FAILED"
    };
    let _ = writeln!(text, "\n{verdict}, seed {seed}");
    (text, is_ok)
}
