//! The host beside native servers, JavaScript runtimes and websocketd, in turns
//! on one machine under one load, as ratios to the native echo that flushes
//! once for all that it has read.
//!
//! A round makes every measurement on every server, each with fresh processes;
//! the servers take turns in being first. A failure is noted, and the others
//! are measured. `benches/README.md` says how and why; `benches/peers/` has the
//! servers. `end_to_end` is the same beside native servers alone.

mod arguments;
mod client;
mod goals;
mod machine;
mod measurement;
mod peer;
mod programs;
mod render;
mod results;
mod take;

use std::io::{self, IsTerminal, Write};

use anyhow::{Context, ensure};
use openline_kit::programs::target;
use serde::Serialize;

pub use arguments::Arguments;

use crate::criterion::{self, InProcess};
use crate::load;
use crate::native;
use crate::pinning::Pinning;
use arguments::{Part, Plan};
use machine::Machine;
use measurement::{MESSAGES_PER_SECOND, Measurement, USUAL};
use peer::{BASE, Peer};
use results::{Results, Section};

/// Everything, for a program.
#[derive(Debug, Serialize)]
struct Measured {
    machine: Machine,
    rounds: u32,
    seconds: f64,
    warm_up_seconds: f64,
    pinning: Pinning,
    servers: Vec<Server>,
    /// Everything that was not measured, and why.
    skipped: Vec<String>,
    #[serde(flatten)]
    results: Results,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    in_process: Vec<InProcess>,
}

/// A server that is measured.
#[derive(Debug, Serialize)]
struct Server {
    peer: Peer,
    version: String,
}

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where no server can be measured, or the results cannot be written.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.part() {
        Some(Part::Load { options }) => return load::generate(options).await,
        Some(Part::Client { order }) => {
            native::raise_open_files()?;
            return client::obey(order).await;
        }
        None => {}
    }
    // Its servers have it too.
    let files = native::raise_open_files().context("cannot raise the limit of open files")?;
    let mut plan = arguments.plan(files)?;
    let servers = servers(&mut plan);
    ensure!(
        !servers.is_empty(),
        "there is no server to measure\nhint: `make bench` builds the host and the native echo, \
         `make bench-peers` installs the others"
    );
    let results = rounds(&plan).await;
    let measured = Measured {
        machine: Machine::here(),
        rounds: plan.rounds,
        seconds: plan.conditions.duration.as_secs_f64(),
        warm_up_seconds: plan.conditions.warm_up.as_secs_f64(),
        pinning: plan.conditions.pinning,
        servers,
        skipped: plan.skipped,
        results,
        in_process: match arguments.in_process {
            true => criterion::read(&target()?.join("criterion")),
            false => Vec::new(),
        },
    };
    let mut output = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut output, &measured)?;
        writeln!(output)?;
    } else {
        write!(output, "{}", render::render(&measured))?;
    }
    Ok(output.flush()?)
}

/// The servers that are there; the others leave the plan.
fn servers(plan: &mut Plan) -> Vec<Server> {
    let mut servers = Vec::new();
    for peer in std::mem::take(&mut plan.peers) {
        match plan.conditions.programs.version(peer) {
            Ok(version) => servers.push(Server { peer, version }),
            Err(reason) => {
                // Only this terminal is told where it was looked for.
                warn(&format!("skipped: {}: {reason}", peer.name()));
                plan.skipped
                    .push(format!("{}: it is not there", peer.name()));
            }
        }
    }
    plan.peers = servers.iter().map(|server| server.peer).collect();
    servers
}

/// All rounds. A measurement that fails is none; the others go on.
async fn rounds(plan: &Plan) -> Results {
    let measurements = plan.measurements.iter();
    let mut sections: Vec<_> = measurements
        .map(|measurement| Section::new(*measurement, &plan.peers))
        .collect();
    let peak_section = sections
        .iter()
        .position(|section| section.measurement == USUAL);
    for round in 0..plan.rounds as usize {
        for index in 0..sections.len() {
            let peak = peak_section.and_then(|index| {
                let column = sections[index].column(BASE)?;
                column.of_round(round, MESSAGES_PER_SECOND)
            });
            let section = &mut sections[index];
            let measurement = section.measurement;
            let count = section.columns.len();
            for turn in 0..count {
                let column = &mut section.columns[(round + turn) % count];
                tell(round, plan, measurement, column.peer);
                let taken = plan.conditions.take(measurement, column.peer, peak).await;
                let taken = taken.map_err(|error| {
                    let failure = format!("round {}: {error:#}", round + 1);
                    warn(&format!(
                        "{}, {}, {failure}",
                        section.name,
                        column.peer.name()
                    ));
                    column.failures.push(failure);
                });
                column.rounds.push(taken.ok());
            }
        }
    }
    Results { sections }
}

/// Progress, for a person who watches.
fn tell(round: usize, plan: &Plan, measurement: Measurement, peer: Peer) {
    if io::stderr().is_terminal() {
        let (rounds, name, peer) = (plan.rounds, measurement.name(), peer.name());
        warn(&format!("round {} of {rounds}: {name}, {peer}", round + 1));
    }
}

fn warn(line: &str) {
    // A line that cannot be printed is not worth an error.
    let _ = writeln!(io::stderr(), "{line}");
}
