//! Runs the rounds.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::thread;

use openline_load::Report;
use serde::Serialize;

use crate::arguments::{Arguments, Plan};
use crate::criterion::{self, InProcess};
use crate::load;
use crate::pinning::Pinning;
use crate::server::Server;
use crate::setting::{self, Setting};
use crate::summary::{Measured, Section};
use crate::table;

/// Everything, for a program.
#[derive(Debug, Serialize)]
struct Results {
    machine: String,
    rounds: u32,
    seconds: f64,
    warm_up_seconds: f64,
    pinning: Pinning,
    sections: Vec<Section>,
    in_process: Vec<InProcess>,
}

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, a server does not start, or a load
/// gives no report.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if let Some(options) = arguments.load() {
        return load::generate(options).await;
    }
    let plan = arguments.plan()?;
    for server in &plan.servers {
        server.check(&plan.programs)?;
    }
    let results = Results {
        machine: machine(),
        rounds: plan.rounds,
        seconds: plan.duration.as_secs_f64(),
        warm_up_seconds: plan.warm_up.as_secs_f64(),
        sections: rounds(&plan).await?,
        pinning: plan.pinning,
        in_process: criterion::folder().map_or_else(Vec::new, |folder| criterion::read(&folder)),
    };
    let mut output = io::stdout().lock();
    if arguments.json {
        serde_json::to_writer_pretty(&mut output, &results)?;
        writeln!(output)?;
    } else {
        write!(
            output,
            "{}\n\n{}",
            head(&results),
            table::render(&results.sections, &results.in_process)
        )?;
    }
    Ok(output.flush()?)
}

/// All rounds: every setting on every server, one after the other. The servers
/// take turns in being first.
async fn rounds(plan: &Plan) -> anyhow::Result<Vec<Section>> {
    let settings = setting::all(plan.idle_connections);
    let fresh = || -> Vec<_> {
        let servers = plan.servers.iter();
        let measured = |server: &Server| Measured {
            server: *server,
            reports: Vec::new(),
        };
        servers.map(measured).collect()
    };
    let mut all: Vec<_> = settings.iter().map(|_| fresh()).collect();
    for round in 1..=plan.rounds {
        for (setting, measured) in settings.iter().zip(&mut all) {
            for turn in 0..measured.len() {
                let first = usize::try_from(round).unwrap_or_default();
                let index = (first + turn) % measured.len();
                let one = &mut measured[index];
                tell(round, plan, setting, one.server);
                one.reports.push(measure(plan, setting, one.server).await?);
            }
        }
    }
    let sections = settings.into_iter().zip(all);
    Ok(sections
        .map(|(setting, measured)| Section::new(setting, measured, plan.pinning.server_cores()))
        .collect())
}

/// Past messages of this size, in bytes, the native echo has a read buffer of
/// the second: what the host's grows to.
const READ_BUFFER_SMALL: usize = 4 << 10;
const READ_BUFFER_LARGE: usize = 32 << 10;

/// One measurement: a fresh server, a fresh load generator.
async fn measure(plan: &Plan, setting: &Setting, server: Server) -> anyhow::Result<Report> {
    let Pinning { server: cpus, load } = &plan.pinning;
    let mut programs = plan.programs.clone();
    if setting.message_bytes > READ_BUFFER_SMALL {
        programs.native_read_buffer = programs.native_read_buffer.max(READ_BUFFER_LARGE);
    }
    let running = server.start(&programs, cpus.as_deref()).await?;
    let options = setting.options(
        running.target.clone(),
        plan.duration,
        plan.warm_up,
        plan.pinning.load_threads(),
        running.process,
    );
    let report = load::run(&options, load.as_deref()).await?;
    running.stop().await?;
    Ok(report)
}

/// Progress, for a person who watches.
fn tell(round: u32, plan: &Plan, setting: &Setting, server: Server) {
    let mut stderr = io::stderr();
    if stderr.is_terminal() {
        let (rounds, setting, server) = (plan.rounds, setting.name(), server.name());
        // Progress that cannot be shown is not worth an error.
        let _ = writeln!(stderr, "round {round} of {rounds}: {setting}, {server}");
    }
}

fn head(results: &Results) -> String {
    let Results {
        machine,
        rounds,
        seconds,
        warm_up_seconds,
        pinning,
        ..
    } = results;
    let side = |cpus: &Option<String>| match cpus {
        Some(cpus) => format!("on CPU {cpus}"),
        None => "not pinned".to_owned(),
    };
    format!(
        "{machine}\n{rounds} rounds, {seconds} s each after {warm_up_seconds} s of warm-up; \
         server {}, load generator {}",
        side(&pinning.server),
        side(&pinning.load)
    )
}

/// What the figures were measured on.
fn machine() -> String {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split(':').nth(1))
        .map_or("unknown processor", str::trim);
    format!("{cores} × {model}, {}", std::env::consts::OS)
}
