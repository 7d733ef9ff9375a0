//! What an answer of HTTP costs: of a function, of a native server with hyper, of
//! `wasmtime serve`, Deno and Bun; a greeting, bodies of 1 MiB, calls of gRPC, events
//! for many that listen, and calls to another server.
//!
//! A round makes every measurement on every server, with fresh processes on CPUs of
//! their own; the servers take turns in being first. Ratios are taken within a round.
//! The other server that calls go to shares the client's CPUs.

mod calls;
mod client;
mod line;
mod server;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use openline_kit::programs;
use openline_kit::table::{Table, spread};

use crate::native;
use crate::pinning::{self, Pinning};
use client::{Answer, CPU, Figures, Order, Task};
use server::{ALL, Server, Site, Work};

/// How long a server is used before it is measured, so that what is compiled at run
/// time is compiled.
const WARM_UP: Duration = Duration::from_secs(1);

/// Requests a second that every server can answer.
const RATE: u32 = 2_000;

/// Measures what an answer of HTTP costs
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

    /// How many listen to events
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=19_000))]
    subscribers: u32,

    /// Only measurements whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Only these servers, and the native one
    #[arg(long, value_name = "NAME", value_delimiter = ';')]
    servers: Vec<String>,

    /// The program of wasmtime, to measure `wasmtime serve`
    #[arg(long, value_name = "FILE")]
    wasmtime: Option<PathBuf>,

    #[command(flatten)]
    programs: programs::Options,
}

/// What this program does when it has started itself.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(name = client::SUBCOMMAND, hide = true)]
    Client { order: String },
}

struct Measurement {
    name: String,
    task: Task,
}

impl Measurement {
    fn work(&self) -> Work {
        match self.task {
            Task::Ask { .. } => Work::Answers,
            Task::Call { .. } => Work::Calls,
            Task::Publish { .. } => Work::Events,
        }
    }
}

fn measurements(arguments: &Arguments) -> Vec<Measurement> {
    let ask = |name: &str, what, connections, rate| Measurement {
        name: name.to_owned(),
        task: Task::Ask {
            what,
            connections,
            rate,
        },
    };
    let subscribers = arguments.subscribers;
    let mut all = vec![
        ask("hello", Answer::Hello, 50, None),
        ask("hello, 2,000 a second", Answer::Hello, 50, Some(RATE)),
        ask("1 MiB down", Answer::Download, 8, None),
        ask("1 MiB up", Answer::Upload, 8, None),
        ask("1 MiB up and down", Answer::Echo, 8, None),
        ask("call out", Answer::Call, 50, None),
        Measurement {
            name: "call of gRPC".to_owned(),
            task: Task::Call {
                connections: 5,
                each: 10,
            },
        },
        Measurement {
            name: format!("event to {subscribers} that listen"),
            task: Task::Publish { subscribers },
        },
    ];
    if let Some(only) = &arguments.only {
        all.retain(|measurement| measurement.name.contains(only.as_str()));
    }
    all
}

/// Figures by server and round.
type Taken = Vec<Vec<Figures>>;

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
    let functions = ["fault-hello", "fault-hello-async", "grpc", "notify"];
    let ours = arguments.programs.find(&functions)?;
    let site = Site::new(ours, arguments.wasmtime.as_deref())?;
    let servers = servers(arguments, &site)?;
    let (pinning, measurements) = (Pinning::halves(), measurements(arguments));
    let mut all: Vec<Taken> = vec![vec![Vec::new(); servers.len()]; measurements.len()];
    let busy = load_average();
    for round in 0..arguments.rounds as usize {
        for (measurement, taken) in measurements.iter().zip(&mut all) {
            for turn in 0..servers.len() {
                let index = (round + turn) % servers.len();
                let server = servers[index];
                if !server.does(measurement.work()) {
                    continue;
                }
                tell(round, &measurement.name, server);
                let figures = take(&site, server, measurement, &pinning, arguments.seconds);
                let figures = figures.await;
                taken[index].push(
                    figures.with_context(|| format!("{}, {}", measurement.name, server.name()))?,
                );
            }
        }
    }
    let mut output = io::stdout().lock();
    let busy = (busy, load_average());
    writeln!(
        output,
        "Load average before and after: {}, {}\n",
        busy.0, busy.1
    )?;
    write!(output, "{}", tables(&measurements, &servers, &all))?;
    Ok(output.flush()?)
}

/// The servers that are there, the native one first. The others are told of.
fn servers(arguments: &Arguments, site: &Site) -> anyhow::Result<Vec<Server>> {
    let mut servers = Vec::new();
    for server in ALL {
        let name = server.name();
        let chosen = &arguments.servers;
        if server != Server::Native && !chosen.is_empty() && !chosen.iter().any(|each| each == name)
        {
            continue;
        }
        match site.version(server) {
            Some(version) => {
                writeln!(io::stderr(), "{name}: {version}")?;
                servers.push(server);
            }
            None => writeln!(io::stderr(), "skipped: {name}: it is not there")?,
        }
    }
    ensure!(servers.len() > 1, "there is nothing to compare");
    Ok(servers)
}

/// Progress, for a person who watches.
fn tell(round: usize, name: &str, server: Server) {
    if io::stderr().is_terminal() {
        let (round, server) = (round + 1, server.name());
        // A line that cannot be printed is not worth an error.
        let _ = writeln!(io::stderr(), "round {round}: {name}, {server}");
    }
}

/// What else the machine does, where the system tells.
fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

async fn take(
    site: &Site,
    server: Server,
    measurement: &Measurement,
    pinning: &Pinning,
    seconds: u64,
) -> anyhow::Result<Figures> {
    let load = pinning.load.as_deref();
    let calls_out = matches!(
        measurement.task,
        Task::Ask {
            what: Answer::Call,
            ..
        }
    );
    let other = match calls_out {
        true => Some(
            site.start(Server::Native, Work::Answers, None, load)
                .await?,
        ),
        false => None,
    };
    let address = other.as_ref().map(|other| other.running.address);
    let cpus = pinning.server.as_deref();
    let started = site
        .start(server, measurement.work(), address, cpus)
        .await?;
    let order = Order {
        task: measurement.task,
        address: started.running.address,
        process: started.running.process,
        other: address,
        warm_up: WARM_UP,
        time: Duration::from_secs(seconds),
    };
    let figures = pinning::this_program(client::SUBCOMMAND, &order, load).await;
    started.running.kill().await?;
    if let Some(other) = other {
        other.running.kill().await?;
    }
    figures
}

/// The figures, what they are of those of the native server, and the goals.
fn tables(measurements: &[Measurement], servers: &[Server], all: &[Taken]) -> String {
    let head = || {
        let head = vec![String::new(), String::new()];
        let names = servers.iter().map(|server| server.name().to_owned());
        head.into_iter().chain(names)
    };
    let (mut figures, mut ratios) = (Table::new(head()), Table::new(head()));
    for (measurement, taken) in measurements.iter().zip(all) {
        let Some(first) = taken.iter().flatten().next() else {
            continue;
        };
        for (place, (figure, _)) in first.iter().enumerate() {
            let row = |cell: &dyn Fn(usize) -> String| {
                let cells = (0..servers.len()).map(cell);
                let names = [measurement.name.clone(), figure.clone()];
                names.into_iter().chain(cells).collect::<Vec<_>>()
            };
            figures.row(row(&|server| {
                let most = values(&taken[server], place).fold(0.0, f64::max);
                spread(
                    values(&taken[server], place),
                    if most < 100.0 { 2 } else { 0 },
                )
            }));
            ratios.row(row(&|server| spread(ratio(taken, (server, 0), place), 2)));
        }
    }
    format!(
        "{}\nAs a multiple of the native server:\n\n{}\n{}",
        figures.markdown(),
        ratios.markdown(),
        goals(measurements, servers, all)
    )
}

fn values(rounds: &[Figures], place: usize) -> impl Iterator<Item = f64> {
    rounds.iter().map(move |figures| figures[place].1)
}

/// Of two servers, by round.
fn ratio(taken: &Taken, (mine, theirs): (usize, usize), place: usize) -> Vec<f64> {
    let (mine, theirs) = (values(&taken[mine], place), values(&taken[theirs], place));
    mine.zip(theirs)
        .map(|(mine, theirs)| mine / theirs)
        .collect()
}

/// The goals that were set, with what was measured.
fn goals(measurements: &[Measurement], servers: &[Server], all: &[Taken]) -> String {
    let server = |server| servers.iter().position(|each| *each == server);
    let taken = |name: &str| {
        let index = measurements.iter().position(|each| each.name == name)?;
        Some(&all[index])
    };
    let cpu = |taken: &Taken, server: usize| -> Vec<f64> {
        let figures = taken[server].iter().flatten();
        let figures = figures.filter(|(name, _)| name == CPU);
        figures.map(|(_, value)| *value).collect()
    };
    let divided = |mine: Vec<f64>, theirs: Vec<f64>| -> Vec<f64> {
        let both = mine.into_iter().zip(theirs);
        both.map(|(mine, theirs)| mine / theirs).collect()
    };
    let mut table = Table::new(["goal", "at most", "measured", ""]);
    let mut goal = |name: String, most: f64, ratios: Vec<f64>| {
        let middle = openline_kit::table::Spread::of(ratios.iter().copied());
        let Some(middle) = middle.map(|spread| spread.median) else {
            return;
        };
        let word = if middle <= most { "reached" } else { "missed" };
        let measured = spread(ratios, 2);
        table.row([name, format!("{most:.1}"), measured, word.to_owned()]);
    };
    for mine in [Server::Openline, Server::OpenlineAsync] {
        let Some((index, hello)) = server(mine).zip(taken("hello")) else {
            continue;
        };
        let of = mine.name();
        let hellos = cpu(hello, index);
        let ratios = divided(hellos.clone(), cpu(hello, 0));
        goal(format!("hello of {of}, CPU, of native's"), 1.5, ratios);
        if let Some(deno) = server(Server::Deno) {
            let ratios = divided(hellos, cpu(hello, deno));
            goal(format!("hello of {of}, CPU, of Deno's"), 1.0, ratios);
        }
        let Some(call) = taken("call out") else {
            continue;
        };
        // What the call adds to a greeting.
        let added = |server: usize| -> Vec<f64> {
            let both = cpu(call, server).into_iter().zip(cpu(hello, server));
            both.map(|(call, hello)| call - hello).collect()
        };
        let ratios = divided(added(index), added(0));
        goal(
            format!("call out of {of}, CPU added, of native's"),
            1.3,
            ratios,
        );
    }
    table.markdown()
}
