//! Warm instances: how long making a thousand takes, one for each connection,
//! and what each adds to the host's resident memory; beside a host whose
//! connections share one.
//!
//! TCP connections are open before the clock starts; then all handshakes are
//! sent, and the time is taken when the last is answered.

use std::io::Write;
use std::time::Duration;

use openline_kit::table::{Spread, Table, grouped};
use tokio::time::Instant;

use super::peer::Peer;
use super::process::Started;
use super::{Arguments, Place, milliseconds};

/// One host with warm instances.
struct Measured {
    time: Duration,
    /// By which all connections and instances have made it grow.
    bytes: u64,
}

pub(super) fn measure(
    arguments: &Arguments,
    place: &Place,
    output: &mut impl Write,
) -> anyhow::Result<()> {
    let count = arguments.instances;
    let rounds = arguments.rounds;
    rlimit::increase_nofile_limit(u64::MAX)?;
    writeln!(
        output,
        "\n{count} connections accepted, ms; median of {rounds} rounds (least–most)\n"
    )?;
    let mut table = Table::new([
        "",
        "on one instance",
        "on one instance each",
        "each more, µs",
        "KiB an instance",
    ]);
    for function in ["echo", "echo-async"] {
        let (mut shared, mut alone) = (Vec::new(), Vec::new());
        let (mut more, mut bytes) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let one = once(place, function, count, count)?;
            let each = once(place, function, count, 1)?;
            let difference = each.time.saturating_sub(one.time);
            more.push(difference.as_secs_f64() * 1e6 / f64::from(count));
            bytes.push((each.bytes as f64 - one.bytes as f64) / 1024.0 / f64::from(count));
            shared.push(one.time);
            alone.push(each.time);
        }
        let median = |values| Spread::of(values).map_or(f64::NAN, |spread| spread.median);
        table.row([
            function.to_owned(),
            milliseconds(&shared),
            milliseconds(&alone),
            grouped(median(more), 1),
            grouped(median(bytes), 1),
        ]);
    }
    Ok(write!(output, "{}", table.text())?)
}

fn once(place: &Place, function: &str, count: u32, concurrency: u32) -> anyhow::Result<Measured> {
    let instance =
        format!("concurrency = {concurrency}\ninstances = {count}\nidle_timeout = \"1 h\"\n");
    let server = format!("instances = {count}");
    let (command, _file) = place.host(&[function], &server, &instance)?;
    let started = Started::start(command)?;
    let path = format!("/{function}");
    let before = started.resident()?;
    let connect = |_| Peer::connect(started.address);
    let mut peers = (0..count)
        .map(connect)
        .collect::<anyhow::Result<Vec<_>>>()?;
    let began = Instant::now();
    for peer in &mut peers {
        peer.ask(&path)?;
    }
    for peer in &mut peers {
        peer.accepted()?;
    }
    let time = began.elapsed();
    for peer in &mut peers {
        peer.exchange(b"warm")?;
    }
    let bytes = started.resident()?.saturating_sub(before);
    drop(peers);
    started.stop()?;
    Ok(Measured { time, bytes })
}
