//! What admission costs: handshakes that are refused, by each step, beside those
//! that are accepted, with rules, lists and tokens and without.
//!
//! A round has one host on CPUs of its own, and asks for each thing in turn; the
//! measurements take turns in being first. Each request has a TCP connection of
//! its own, as those of strangers have. Ratios are taken within a round.

mod client;
mod site;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use openline_kit::bytes::handshake;
use openline_kit::programs;
use openline_kit::table::{Table, grouped, spread};

use crate::native;
use crate::pinning::{self, Pinning};
use client::{Figures, Order};
use site::{ADDRESSES, RULES, Site, Started};

/// Measures what admission costs: refused handshakes beside accepted ones
#[derive(Debug, Parser)]
pub struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// Rounds of all measurements
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds that a measurement takes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    #[command(flatten)]
    programs: programs::Options,
}

/// What this program does when it has started itself.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(name = client::SUBCOMMAND, hide = true)]
    Client { order: String },
}

/// A request, with what is to become of it.
struct Measurement {
    name: String,
    head: String,
    status: Option<u16>,
}

/// The first one is what all others are compared with.
fn measurements(site: &Site) -> Vec<Measurement> {
    let mut all = Vec::new();
    let mut add = |name: &str, path: &str, line: &str, status| {
        let end = format!("\r\n{line}\r\n");
        let head = handshake(path);
        let head = format!("{}{end}", head.strip_suffix("\r\n\r\n").unwrap_or(&head));
        all.push(Measurement {
            name: name.into(),
            head,
            status,
        });
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    add("accepted", "/open", "", Some(101));
    add(
        &format!("accepted, {} rules", thousands(RULES)),
        "/thousand",
        "",
        Some(101),
    );
    for count in ADDRESSES {
        let (name, path) = (
            format!("accepted, list of {}", thousands(count)),
            format!("/listed-{count}"),
        );
        add(&name, &path, "", Some(101));
    }
    for algorithm in &site.algorithms {
        let (name, line) = (algorithm.name, bearer(&algorithm.token));
        add(
            &format!("accepted, {name}"),
            &format!("/{name}"),
            &line,
            Some(101),
        );
    }
    let first = &site.algorithms[0];
    let (name, line) = (first.name, bearer(&first.token));
    let path = format!("/{name}/claims");
    add(
        &format!("accepted, {name} and a rule about a claim"),
        &path,
        &line,
        Some(101),
    );
    add("refused: no trigger", "/nowhere", "", Some(404));
    let evil = "Origin: https://evil.example\r\n";
    add("refused: page of another site", "/open", evil, Some(403));
    add("refused: first rule", "/first", "", Some(403));
    add(
        &format!("refused: the rule after {}", thousands(RULES)),
        "/last",
        "",
        Some(403),
    );
    add("dropped: first rule", "/dropped", "", None);
    add("refused: no token", &format!("/{name}"), "", Some(401));
    for algorithm in &site.algorithms {
        let name = algorithm.name;
        let line = bearer(&wrong(&algorithm.token));
        add(
            &format!("refused: wrong {name}"),
            &format!("/{name}"),
            &line,
            Some(401),
        );
    }
    all
}

fn thousands(count: u32) -> String {
    grouped(f64::from(count), 0)
}

/// The token with another signature, which takes as long to verify.
fn wrong(token: &str) -> String {
    let at = token.rfind('.').map_or(0, |at| at + 20);
    let letter = token.as_bytes().get(at);
    let other = if letter == Some(&b'A') { "B" } else { "A" };
    let mut token = token.to_owned();
    token.replace_range(at..=at, other);
    token
}

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, or a measurement fails.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    native::raise_open_files().context("cannot raise the limit of open files")?;
    if let Some(Part::Client { order }) = &arguments.part {
        return client::obey(order).await;
    }
    let site = Site::new(arguments.programs.find(&["echo"])?)?;
    let pinning = Pinning::halves();
    let measurements = measurements(&site);
    let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); measurements.len()];
    let mut checks = [const { Vec::new() }; ADDRESSES.len()];
    for round in 0..arguments.rounds as usize {
        for (count, times) in ADDRESSES.into_iter().zip(&mut checks) {
            let time = site.check(count, pinning.server.as_deref()).await?;
            times.push(time.as_secs_f64());
        }
        let started = site.start(pinning.server.as_deref()).await?;
        for turn in 0..measurements.len() {
            let index = (round + turn) % measurements.len();
            let measurement = &measurements[index];
            tell(round, measurement);
            let time = Duration::from_secs(arguments.seconds);
            let taken = take(&started, &pinning, measurement, time).await;
            figures[index].push(taken.with_context(|| measurement.name.clone())?);
        }
        started.running.kill().await?;
    }
    let text = table(&measurements, &figures);
    Ok(write!(io::stdout(), "{text}\n{}", lists(&checks))?)
}

/// Progress, for a person who watches.
fn tell(round: usize, measurement: &Measurement) {
    if io::stderr().is_terminal() {
        // A line that cannot be printed is not worth an error.
        let _ = writeln!(io::stderr(), "round {}: {}", round + 1, measurement.name);
    }
}

async fn take(
    started: &Started,
    pinning: &Pinning,
    measurement: &Measurement,
    time: Duration,
) -> anyhow::Result<Figures> {
    let order = Order {
        address: started.address,
        head: measurement.head.clone(),
        status: measurement.status,
        process: started.running.process,
        warm_up: Duration::from_millis(500),
        time,
    };
    pinning::this_program(client::SUBCOMMAND, &order, pinning.load.as_deref()).await
}

fn table(measurements: &[Measurement], figures: &[Vec<Figures>]) -> String {
    let mut table = Table::new([
        "",
        "CPU, µs",
        "of accepted",
        "handshakes/s",
        "server busy, %",
    ]);
    for (measurement, taken) in measurements.iter().zip(figures) {
        let ratio = taken.iter().zip(&figures[0]);
        let ratio = ratio.map(|(this, accepted)| this.cpu / accepted.cpu);
        table.row([
            measurement.name.clone(),
            spread(taken.iter().map(|it| it.cpu), 1),
            spread(ratio, 2),
            spread(taken.iter().map(|it| it.rate), 0),
            spread(taken.iter().map(|it| it.cpu * it.rate / 1e4), 0),
        ]);
    }
    table.markdown()
}

fn lists(checks: &[Vec<f64>]) -> String {
    let mut table = Table::new(["`openline check`, addresses in a list", "seconds"]);
    for (count, times) in ADDRESSES.into_iter().zip(checks) {
        table.row([thousands(count), spread(times.iter().copied(), 2)]);
    }
    table.markdown()
}

#[cfg(test)]
mod tests {
    use super::wrong;

    #[test]
    fn a_wrong_token_is_wrong_in_its_signature_alone() {
        let signature = "x".repeat(43);
        for letter in ["A", "x"] {
            let token = format!("a.b.{}{letter}{}", &signature[..19], &signature[20..]);
            let other = wrong(&token);
            assert_eq!(other.len(), token.len());
            let differing = token.bytes().zip(other.bytes()).filter(|(a, b)| a != b);
            assert_eq!(differing.count(), 1);
            assert!(other.starts_with("a.b."));
        }
    }
}
