//! What channels cost over real connections, by the protocol of Centrifugo's
//! clients: a publication to many, subscriptions that come and go, recovery by
//! many peers, memory, and a publish from outside. Where a program of Centrifugo
//! is given, both servers are measured in turns by the same client.
//!
//! Each measurement has a fresh server on CPUs of its own and a client in a
//! process of its own. The host is killed before its peers recover: what they
//! have missed is read from its data directory. Centrifugo's engine in memory
//! keeps nothing over that, so its peers recover from the process that was there.
//! Ratios are taken within a round.

mod client;
mod site;
mod speaker;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, Subcommand};
use openline_kit::programs;
use openline_kit::table::{Table, grouped, spread};

use crate::native;
use crate::pinning::{self, Pinning};
use client::{Figures, Order, Task};
use site::{Server, Site};

/// Measures what channels cost
#[derive(Debug, Parser)]
pub struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,

    /// Rounds of all measurements
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,

    /// Seconds that a measurement with a rate takes
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,

    /// The most subscribers of one publication
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1_000..=19_000))]
    subscribers: u32,

    /// Only measurements whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,

    /// Centrifugo's program, version 5 or 6, to measure beside
    #[arg(long, value_name = "FILE")]
    centrifugo: Option<PathBuf>,

    #[command(flatten)]
    programs: programs::Options,
}

/// What this program does when it has started itself.
#[derive(Debug, Subcommand)]
enum Part {
    #[command(name = client::SUBCOMMAND, hide = true)]
    Client { order: String },
}

/// Peers that come back after a restart, and what each of them has missed.
const RECOVERING: u32 = 1_000;
const MISSED: u32 = 50;

/// Connections of the measurements of memory, and the channels of each.
const HOLDERS: u32 = 1_000;
const HELD_EACH: u32 = 100;

/// Publications that are kept, on channels that keep so many each.
const KEPT: u32 = 100_000;
const KEPT_EACH: u32 = 100;

/// Publishes from outside whose times are taken.
const REQUESTS: u32 = 5_000;

fn tasks(arguments: &Arguments) -> Vec<(String, Task)> {
    let number = |count: u32| grouped(f64::from(count), 0);
    let mut all = Vec::new();
    for subscribers in [1_000, arguments.subscribers] {
        for (what, channel) in [("", "plain:1"), (", with history", "kept:1")] {
            let name = format!("publication to {} subscribers{what}", number(subscribers));
            let channel = channel.to_owned();
            all.push((
                name,
                Task::FanOut {
                    subscribers,
                    channel,
                },
            ));
        }
    }
    all.push(("subscribe and leave".to_owned(), Task::ComeAndGo));
    all.push((
        format!("recovery of {MISSED} by {} peers", number(RECOVERING)),
        Task::Recover {
            peers: RECOVERING,
            missed: MISSED,
        },
    ));
    for shared in [false, true] {
        let of = if shared { "shared" } else { "own" };
        all.push((
            format!("memory of a subscription, {of} channels"),
            Task::Hold {
                connections: HOLDERS,
                each: HELD_EACH,
                shared,
            },
        ));
    }
    let (publications, each) = (KEPT, KEPT_EACH);
    all.push((
        "memory of a kept publication".to_owned(),
        Task::Keep { publications, each },
    ));
    let requests = REQUESTS;
    all.push((
        "publish from outside".to_owned(),
        Task::Outside { requests },
    ));
    if let Some(only) = &arguments.only {
        all.retain(|(name, _)| name.contains(only.as_str()));
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
    if let Some(Part::Client { order }) = &arguments.part {
        return client::obey(order).await;
    }
    let site = Site::new(
        arguments.programs.find(&[])?,
        arguments.centrifugo.as_deref(),
    )?;
    let (pinning, tasks, servers) = (Pinning::halves(), tasks(arguments), site.servers());
    let mut figures: Vec<Vec<Vec<Figures>>> = vec![vec![Vec::new(); servers.len()]; tasks.len()];
    for round in 0..arguments.rounds as usize {
        for (index, (name, task)) in tasks.iter().enumerate() {
            for turn in 0..servers.len() {
                let which = (round + turn) % servers.len();
                tell(round, name, servers[which]);
                let taken = measure(&site, servers[which], task, &pinning, arguments.seconds);
                let taken = taken.await;
                let taken = taken.with_context(|| format!("{name}, {}", servers[which].name()))?;
                figures[index][which].push(taken);
            }
        }
    }
    Ok(write!(
        io::stdout(),
        "{}",
        table(&tasks, &servers, &figures)
    )?)
}

/// Progress, for a person who watches.
fn tell(round: usize, name: &str, server: Server) {
    if io::stderr().is_terminal() {
        let (round, server) = (round + 1, server.name());
        // A line that cannot be printed is not worth an error.
        let _ = writeln!(io::stderr(), "round {round}: {name}, {server}");
    }
}

async fn measure(
    site: &Site,
    server: Server,
    task: &Task,
    pinning: &Pinning,
    seconds: u32,
) -> anyhow::Result<Figures> {
    let mut started = site.start(server, pinning.server.as_deref()).await?;
    let mut order = Order {
        task: task.clone(),
        address: started.running.address,
        process: started.running.process,
        key: site.key().to_owned(),
        seconds,
        position: None,
    };
    if let Task::Recover { .. } = task {
        let position = client::miss(&order).await?;
        if server == Server::Openline {
            started = started.again(site, pinning.server.as_deref()).await?;
        }
        order.position = Some(position);
        order.address = started.running.address;
        order.process = started.running.process;
    }
    let load = pinning.load.as_deref();
    let figures = pinning::this_program(client::SUBCOMMAND, &order, load).await;
    started.running.kill().await?;
    figures
}

fn table(tasks: &[(String, Task)], servers: &[Server], figures: &[Vec<Vec<Figures>>]) -> String {
    let mut head = vec!["".to_owned(), "".to_owned()];
    head.extend(servers.iter().map(|server| server.name().to_owned()));
    if servers.len() > 1 {
        head.push("ratio".to_owned());
    }
    let mut table = Table::new(head);
    for ((name, _), taken) in tasks.iter().zip(figures) {
        let Some(first) = taken[0].first() else {
            continue;
        };
        for (place, (figure, _)) in first.iter().enumerate() {
            let values = |server: usize| {
                let rounds = taken[server].iter();
                rounds.filter_map(move |figures| figures.get(place).map(|(_, value)| *value))
            };
            let mut row = vec![name.clone(), figure.clone()];
            for server in 0..servers.len() {
                let most = values(server).fold(0.0, f64::max);
                let decimals = if most < 100.0 { 2 } else { 0 };
                row.push(spread(values(server), decimals));
            }
            if servers.len() > 1 {
                let ratios = values(0).zip(values(1)).map(|(mine, theirs)| mine / theirs);
                row.push(spread(ratios, 2));
            }
            table.row(row);
        }
    }
    table.markdown()
}
