//! Noisy neighbours: the latency of the echo function while others of the same
//! host compute without end, beside the same load without them.
//!
//! Each measurement has a fresh host, and each round measures both, in turns.
//! A computing function has one connection, which asks it to compute, is closed
//! when `cpu_timeout` is spent, and comes back. The host has all CPUs, and so
//! has the load generator: what it takes of them is the same for both.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::{Parser, Subcommand};
use openline_kit::configuration::Configuration;
use openline_kit::process::Running;
use openline_kit::programs::{self, Programs};
use openline_kit::socket::{Event, LOST, Socket};
use openline_kit::table::{Table, spread};
use openline_load::{Options, Report};
use tokio::process::Command;
use tokio::task::LocalSet;
use tokio_tungstenite::tungstenite::Message;

use crate::load;

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

    #[command(flatten)]
    programs: programs::Options,

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

/// The figures that are shown of each.
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
    let programs = arguments.programs.find(&["echo", "fault-compute"])?;
    let (mut quiet, mut noisy) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        for turn in 0..2 {
            let (functions, all) = match (round + turn) % 2 {
                0 => (0, &mut quiet),
                _ => (arguments.functions, &mut noisy),
            };
            all.push(measure(arguments, &programs, functions).await?);
        }
    }
    print(arguments, &quiet, &noisy)
}

/// One measurement while so many functions compute.
async fn measure(
    arguments: &Arguments,
    programs: &Programs,
    functions: u32,
) -> anyhow::Result<Measured> {
    let configuration = configuration(programs, functions);
    let (command, _file) = configuration.serve(Command::new(&programs.host))?;
    let running = Running::start(command).await?;
    let host = running.address;
    let mut options = Options::new(format!("ws://{host}/echo").parse()?);
    options.connections = 10;
    options.rate = Some(arguments.rate);
    options.duration = Duration::from_secs(arguments.seconds);
    options.threads = 1;
    let ended = Rc::new(std::cell::Cell::new(0));
    let neighbours = LocalSet::new();
    for number in 0..functions {
        let ended = Rc::clone(&ended);
        neighbours.spawn_local(async move {
            loop {
                match compute(host, number).await {
                    Ok(()) => ended.set(ended.get() + 1),
                    Err(_) => tokio::time::sleep(RETRY_AFTER).await,
                }
            }
        });
    }
    let report = neighbours.run_until(load::run(&options, None)).await?;
    drop(neighbours);
    running.kill().await?;
    let ended = ended.get();
    if functions > 0 && ended == 0 {
        bail!("no function computed: there was nothing to measure");
    }
    Ok(Measured { report, ended })
}

/// Has a function compute until it is ended.
async fn compute(host: SocketAddr, number: u32) -> anyhow::Result<()> {
    let mut socket = Socket::open(host, &format!("/compute-{number}"), &[]).await?;
    socket.send(Message::text("compute")).await?;
    loop {
        if let Event::Closed(closed) = socket.event().await {
            ensure!(closed.code != LOST, "the connection is lost");
            return Ok(());
        }
    }
}

/// A host with the echo and so many functions that compute, all with the
/// default limits.
fn configuration(programs: &Programs, functions: u32) -> Configuration {
    let echo = Configuration::new("").function("echo", &programs.function("echo"), "/echo", "");
    let compute = programs.function("fault-compute");
    (0..functions).fold(echo, |configuration, number| {
        let name = format!("compute-{number}");
        configuration.function(&name, &compute, &format!("/{name}"), "")
    })
}

fn print(arguments: &Arguments, quiet: &[Measured], noisy: &[Measured]) -> anyhow::Result<()> {
    let Arguments {
        rounds,
        seconds,
        functions,
        rate,
        ..
    } = arguments;
    let busy = format!("{functions} functions compute");
    let mut table = Table::new(["median (least–most)", "no other function", &busy]);
    for (name, figure) in ROWS {
        let spread = |measured: &[Measured]| spread(measured.iter().filter_map(figure), 0);
        table.row([name.to_owned(), spread(quiet), spread(noisy)]);
    }
    let table = table.text();
    let title = format!("{rounds} rounds of {seconds} s; {rate} messages/s to the echo");
    Ok(write!(io::stdout(), "{title}\n\n{table}")?)
}
