//! Noisy neighbours: the latency of the echo function while others of the same
//! host compute without end, beside the same load without them.
//!
//! Each measurement has a fresh host, and each round measures both, in turns.
//! A computing function has one connection, which asks it to compute, is closed
//! when `cpu_timeout` is spent, and comes back. The host has all CPUs, and so
//! has the load generator: what it takes of them is the same for both.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use futures_util::{SinkExt, StreamExt};
use openline_load::{Options, Report, Target};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;

use crate::load;
use crate::server::Running;

/// How long a computing function's connection is left alone when it is
/// refused or fails: it must not become a flood of handshakes.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Measures the echo's latency while other functions compute, and without them
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Rounds; each measures both
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Seconds of one measurement
    // 2,000 messages at the default rate: twenty above the p99.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    seconds: u64,

    /// Functions that compute
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    functions: u32,

    /// Messages a second to the echo, over 10 connections
    // Low: the latency is the host's, not a queue's, and the load generator
    // sleeps between them.
    #[arg(long, value_name = "RATE", default_value_t = 200.0)]
    rate: f64,

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,

    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Generates one load; this program starts itself with it
    #[command(hide = true, name = load::SUBCOMMAND)]
    Load {
        /// The load generator's options as JSON
        options: String,
    },
}

/// One measurement.
#[derive(Debug)]
struct Measured {
    report: Report,
    /// How often a computing function was ended.
    ended: u32,
}

type Figure = fn(&Measured) -> Option<f64>;

/// What is shown of each.
const ROWS: [(&str, Figure); 5] = [
    ("latency p50, µs", |one| {
        one.report.latency.map(|latency| latency.p50_microseconds)
    }),
    ("latency p99, µs", |one| {
        one.report.latency.map(|latency| latency.p99_microseconds)
    }),
    ("latency p99.9, µs", |one| {
        one.report.latency.map(|latency| latency.p99_9_microseconds)
    }),
    ("latency most, µs", |one| {
        one.report.latency.map(|latency| latency.max_microseconds)
    }),
    ("functions ended", |one| Some(f64::from(one.ended))),
];

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, the host does not start, or a load
/// gives no report.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(Part::Load { options }) = &arguments.part {
        return load::generate(options).await;
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = program.parent().context("this program is in no folder")?;
    let target = folder.parent().unwrap_or(folder);
    let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
    let host = or(&arguments.host, folder.join("openline"));
    let guests = or(&arguments.guests, target.join("guests"));
    for (file, hint) in [
        (&host, "cargo build --release -p openline"),
        (&guests.join("echo.wasm"), "make guests"),
        (&guests.join("fault-compute.wasm"), "make guests"),
    ] {
        if !file.is_file() {
            bail!("there is no `{}`\nhint: `{hint}`", file.display());
        }
    }
    let guests = guests.canonicalize()?;
    let (mut quiet, mut noisy) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        for turn in 0..2 {
            let (functions, all) = match (round + turn) % 2 {
                0 => (0, &mut quiet),
                _ => (arguments.functions, &mut noisy),
            };
            all.push(measure(arguments, &host, &guests, functions).await?);
        }
    }
    print(arguments, &quiet, &noisy)
}

/// One measurement while so many functions compute.
async fn measure(
    arguments: &Arguments,
    host: &Path,
    guests: &Path,
    functions: u32,
) -> anyhow::Result<Measured> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(file.path(), configuration(guests, functions))?;
    let mut command = Command::new(host);
    // The end of a function that computes is what is asked for, not news.
    command.args(["serve", "--log", "error", "--config"]);
    command.arg(file.path());
    let running = Running::start(command, "host", "/echo").await?;
    let mut options = Options::new(running.target.clone());
    options.connections = 10;
    options.rate = Some(arguments.rate);
    options.duration = Duration::from_secs(arguments.seconds);
    options.threads = 1;
    let ended = Rc::new(std::cell::Cell::new(0));
    let neighbours = LocalSet::new();
    for number in 0..functions {
        let target = at(&running.target, &format!("/compute-{number}"))?;
        let ended = Rc::clone(&ended);
        neighbours.spawn_local(async move {
            loop {
                match compute(&target).await {
                    Ok(()) => ended.set(ended.get() + 1),
                    Err(_) => tokio::time::sleep(RETRY_AFTER).await,
                }
            }
        });
    }
    let report = neighbours.run_until(load::run(&options, None)).await?;
    drop(neighbours);
    running.stop().await?;
    let ended = ended.get();
    if functions > 0 && ended == 0 {
        bail!("no function computed: there was nothing to measure");
    }
    Ok(Measured { report, ended })
}

/// Has a function compute until it is ended.
async fn compute(target: &str) -> anyhow::Result<()> {
    let address = target.trim_start_matches("ws://").split('/').next();
    let socket = TcpStream::connect(address.unwrap_or_default()).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(target, socket).await?;
    socket.send(Message::text("compute")).await?;
    while socket.next().await.transpose()?.is_some() {}
    Ok(())
}

fn at(target: &Target, path: &str) -> anyhow::Result<String> {
    let echo = target.to_string();
    let base = echo.strip_suffix("/echo");
    Ok(base.context("the target is not the echo")?.to_owned() + path)
}

/// A host with the echo and so many functions that compute, all with the
/// default limits.
fn configuration(guests: &Path, functions: u32) -> String {
    let function = |name: &str, component: &str| {
        let component = guests.join(component);
        format!("[[function]]\nname = {name:?}\ncomponent = {component:?}\nroute = \"/{name}\"\n\n")
    };
    let computing = |number| function(&format!("compute-{number}"), "fault-compute.wasm");
    let computing: String = (0..functions).map(computing).collect();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\n\n";
    server.to_owned() + &function("echo", "echo.wasm") + &computing
}

fn print(arguments: &Arguments, quiet: &[Measured], noisy: &[Measured]) -> anyhow::Result<()> {
    let Arguments {
        rounds,
        seconds,
        functions,
        rate,
        ..
    } = arguments;
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "{rounds} rounds of {seconds} s; {rate} messages/s to the echo\n"
    )?;
    writeln!(
        output,
        "{:<20} {:<28} {functions} functions compute",
        "median (least–most)", "no other function"
    )?;
    for (name, figure) in ROWS {
        writeln!(
            output,
            "{name:<20} {:<28} {}",
            spread(quiet, figure),
            spread(noisy, figure)
        )?;
    }
    Ok(output.flush()?)
}

/// The median of the rounds, the least and the most.
fn spread(measured: &[Measured], figure: Figure) -> String {
    let mut figures: Vec<f64> = measured.iter().filter_map(figure).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let (Some(least), Some(most)) = (figures.first(), figures.last()) else {
        return "–".into();
    };
    let median = figures[figures.len() / 2];
    format!("{median:.0} ({least:.0}–{most:.0})")
}
