//! What the edge costs: TLS and HTTP/2, for each message, each line on which
//! nothing happens, and each handshake, beside the same without them and beside
//! the native echo with rustls.
//!
//! A round makes every measurement on every server, with fresh processes on
//! CPUs of their own. What TLS costs in addition is the difference within a
//! round. `crowd` has as many lines over HTTP/2 as are asked for.

mod client;
mod crowd;
mod line;
mod server;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use openline_kit::programs;
use openline_kit::table::{Table, spread};

use crate::native;
use crate::pinning::{self, Pinning};
use client::{FIGURE, Figures, Order, Task};
use server::{ALL, Server, Setup};

/// Streams of a TCP connection while idle lines are measured: below the
/// host's default.
const STREAMS: u32 = 100;

/// Measures what TLS and HTTP/2 cost beside HTTP/1.1 and a native echo
#[derive(Debug, Parser)]
pub struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// Rounds of all measurements
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds that a measurement takes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,

    /// Idle lines whose memory is measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(..=15_000))]
    idle: u32,

    /// Instead of all this, so many lines over HTTP/2 in one host
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    crowd: Option<u32>,

    /// Whether the crowd comes over TLS
    #[arg(long, requires = "crowd")]
    tls: bool,

    /// The native server [default: `native_echo` beside this program]
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,

    #[command(flatten)]
    programs: programs::Options,
}

/// What this program does when it has started itself.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(name = client::SUBCOMMAND, hide = true)]
    Client { order: String },
    #[command(name = crowd::SUBCOMMAND, hide = true)]
    Crowd { order: String },
}

/// A measurement, with its name and unit.
struct Measurement {
    name: &'static str,
    task: Task,
    /// What a figure is divided by to be shown.
    unit: f64,
}

fn measurements(idle: u32) -> Vec<Measurement> {
    let echo = |name, depth, message_bytes| Measurement {
        name,
        task: Task::Echo {
            lines: 50,
            depth,
            message_bytes,
        },
        unit: 1.0,
    };
    let handshakes = |name, resumes| Measurement {
        name,
        task: Task::Handshakes { resumes },
        unit: 1.0,
    };
    let mut all = vec![
        echo("50 × 1 × 125 bytes, CPU, µs/message", 1, 125),
        echo("50 × 16 × 125 bytes, CPU, µs/message", 16, 125),
        echo("50 × 1 × 16 KiB, CPU, µs/message", 1, 16 << 10),
        handshakes("handshake, CPU, µs", false),
        handshakes("the same, resumed, CPU, µs", true),
    ];
    if idle > 0 {
        all.push(Measurement {
            name: "idle line, KiB",
            task: Task::Idle {
                lines: idle,
                each: STREAMS,
            },
            unit: 1024.0,
        });
    }
    all
}

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, or a measurement fails.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    native::raise_open_files().context("cannot raise the limit of open files")?;
    match &arguments.part {
        Some(Part::Client { order }) => return client::obey(order).await,
        Some(Part::Crowd { order }) => return crowd::obey(order).await,
        None => {}
    }
    let native = programs::program(arguments.native.as_deref(), "native_echo")?;
    if let Some(lines) = arguments.crowd {
        let programs = arguments.programs.find(&[crowd::FUNCTION])?;
        let setup = Setup::new(programs, native)?;
        return crowd::measure(&setup, lines, arguments.tls).await;
    }
    programs::exists(&native, "cargo build --release -p openline-end-to-end")?;
    let setup = Setup::new(arguments.programs.find(&["echo"])?, native)?;
    let pinning = Pinning::halves();
    let measurements = measurements(arguments.idle);
    // By measurement, server and round.
    let mut figures = vec![[const { Vec::new() }; ALL.len()]; measurements.len()];
    for round in 0..arguments.rounds as usize {
        for (measurement, figures) in measurements.iter().zip(&mut figures) {
            for turn in 0..ALL.len() {
                let index = (round + turn) % ALL.len();
                let time = Duration::from_secs(arguments.seconds);
                tell(round, measurement, ALL[index]);
                let figure = take(&setup, &pinning, measurement.task, ALL[index], time).await;
                let figure = figure
                    .with_context(|| format!("{}: {}", ALL[index].name(), measurement.name))?;
                figures[index].push(figure / measurement.unit);
            }
        }
    }
    Ok(write!(io::stdout(), "{}", table(&measurements, &figures))?)
}

/// Progress, for a person who watches.
fn tell(round: usize, measurement: &Measurement, server: Server) {
    if io::stderr().is_terminal() {
        let (name, server) = (measurement.name, server.name());
        // A line that cannot be printed is not worth an error.
        let _ = writeln!(io::stderr(), "round {}: {name}, {server}", round + 1);
    }
}

async fn take(
    setup: &Setup,
    pinning: &Pinning,
    task: Task,
    server: Server,
    time: Duration,
) -> anyhow::Result<f64> {
    let message_bytes = match task {
        Task::Echo { message_bytes, .. } => message_bytes,
        _ => 0,
    };
    let started = setup.start(server, message_bytes, pinning.server.as_deref());
    let started = started.await?;
    let order = Order {
        task,
        way: server.way,
        address: started.address,
        path: server.path().to_owned(),
        authority: setup.certificate(),
        process: started.running.process,
        warm_up: Duration::from_secs(1),
        // Lines fall asleep, and allocators give memory back.
        time: match task {
            Task::Idle { .. } => time.max(Duration::from_secs(6)),
            _ => time,
        },
    };
    let load = pinning.load.as_deref();
    let figures: Figures = pinning::this_program(client::SUBCOMMAND, &order, load).await?;
    started.running.kill().await?;
    figures.get(FIGURE).copied().context("there is no figure")
}

/// All figures, and what TLS and HTTP/2 add to them.
fn table(measurements: &[Measurement], figures: &[[Vec<f64>; ALL.len()]]) -> String {
    let mut all = Table::new([""].into_iter().chain(ALL.map(Server::name)));
    let mut added = Table::new([
        "",
        "TLS, native",
        "TLS, openline",
        "of native's",
        "HTTP/2",
        "HTTP/2 with TLS",
    ]);
    for (measurement, figures) in measurements.iter().zip(figures) {
        let cells = figures
            .iter()
            .map(|rounds| spread(rounds.iter().copied(), 2));
        all.row([measurement.name.to_owned()].into_iter().chain(cells));
        let [native, native_tls, plain, tls, http2, http2_tls] = figures;
        let more = |with: &[f64], without: &[f64]| -> Vec<f64> {
            with.iter()
                .zip(without)
                .map(|(with, without)| with - without)
                .collect()
        };
        let (theirs, ours) = (more(native_tls, native), more(tls, plain));
        let ratio = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
        added.row([
            measurement.name.to_owned(),
            spread(theirs.iter().copied(), 2),
            spread(ours.iter().copied(), 2),
            spread(ratio, 2),
            spread(more(http2, plain), 2),
            spread(more(http2_tls, plain), 2),
        ]);
    }
    format!(
        "{}\nWhat is added to the same by HTTP/1.1 without TLS:\n\n{}",
        all.markdown(),
        added.markdown()
    )
}
