//! The command line of `peers`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use super::client;
use super::measurement::{self, Group, Measurement};
use super::peer::Peer;
use super::programs::Programs;
use super::take::Conditions;
use crate::load;
use crate::pinning::Pinning;

/// Idle connections of the two measurements. The second is about as many as the
/// usual limit of open files and the ports of one address have room for.
const IDLE: [u32; 2] = [5_000, 15_000];
const IDLE_QUICK: [u32; 1] = [1_000];
/// Open files besides the connections.
const FILES_SPARE: u64 = 500;

/// Measures the host beside native servers, JavaScript runtimes and websocketd
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Rounds; each makes every measurement on every server
    // The least that shows a spread and has a middle.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Seconds of one measurement
    // 30,000 messages at 10,000 a second: three hundred above the p99.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,

    /// Seconds of load before each measurement
    // What a runtime compiles while it runs is compiled by then.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,

    /// Seconds that connections are idle before memory is read
    // Allocators give back and garbage is collected after a few.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    settle: f64,

    /// A short run for trying: two rounds of one second, 1,000 idle connections
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "warm_up", "settle"])]
    quick: bool,

    /// Servers [default: all that there are]
    #[arg(long, value_name = "PEER", value_enum, value_delimiter = ',')]
    only: Vec<Peer>,

    /// Measurements [default: all]
    #[arg(long, value_name = "SETTING", value_enum, value_delimiter = ',')]
    settings: Vec<Group>,

    /// Text messages for all, not only for websocketd
    #[arg(long)]
    text: bool,

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The native server's program [default: `native_echo` beside this program]
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,

    /// What `benches/peers/setup.sh` has filled [default: `peers` in the target
    /// folder]
    #[arg(long, value_name = "FOLDER")]
    peers: Option<PathBuf>,

    /// CPUs of the server, such as `0` or `0-1` [default: the first half]
    #[arg(long, value_name = "LIST")]
    server_cpus: Option<String>,

    /// CPUs of the load generator [default: the other half]
    #[arg(long, value_name = "LIST")]
    load_cpus: Option<String>,

    /// Leave it to the system where processes run
    #[arg(long, conflicts_with_all = ["server_cpus", "load_cpus"])]
    no_pinning: bool,

    /// Show what the servers say on stderr
    #[arg(long)]
    loud: bool,

    /// Print everything measured as JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,

    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program starts itself for.
#[derive(Debug, Subcommand)]
pub(crate) enum Part {
    /// Generates one load
    #[command(hide = true, name = load::SUBCOMMAND)]
    Load {
        /// The load generator's options as JSON
        options: String,
    },
    /// Does what the load generator does not
    #[command(hide = true, name = client::SUBCOMMAND)]
    Client {
        /// What to do, as JSON
        order: String,
    },
}

/// What to do, decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) peers: Vec<Peer>,
    pub(crate) measurements: Vec<Measurement>,
    pub(crate) conditions: Conditions,
    /// Measurements that this machine does not allow, and why.
    pub(crate) skipped: Vec<String>,
}

impl Arguments {
    pub(crate) fn part(&self) -> Option<&Part> {
        self.part.as_ref()
    }

    /// `files_max` is the limit of open files.
    pub(crate) fn plan(&self, files_max: u64) -> anyhow::Result<Plan> {
        let (rounds, seconds, warm_up, settle) = match self.quick {
            true => (2, 1.0, 0.5, 2.0),
            false => (self.rounds, self.seconds, self.warm_up, self.settle),
        };
        let duration = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("`{seconds}` is not a number of seconds"))
        };
        let (idle, skipped) = self.idle(files_max);
        let mut groups = self.settings.clone();
        if groups.is_empty() {
            groups = <Group as clap::ValueEnum>::value_variants().to_vec();
        }
        // In the order of the tables, which is that of the rounds: half of the
        // peak comes behind the peak.
        groups.sort_unstable();
        groups.dedup();
        let mut peers = self.only.clone();
        if peers.is_empty() {
            peers = Peer::ALL.to_vec();
        }
        peers.sort_unstable();
        peers.dedup();
        let groups = groups.into_iter();
        Ok(Plan {
            rounds,
            peers,
            measurements: groups
                .flat_map(|group| measurement::of(group, &idle))
                .collect(),
            conditions: Conditions {
                programs: self.programs()?,
                pinning: self.pinning(),
                duration: duration(seconds)?,
                warm_up: duration(warm_up)?,
                settle: duration(settle)?,
                is_text: self.text,
            },
            skipped,
        })
    }

    fn idle(&self, files_max: u64) -> (Vec<u32>, Vec<String>) {
        let wanted = if self.quick { &IDLE_QUICK[..] } else { &IDLE };
        let fits = |connections: &u32| u64::from(*connections) + FILES_SPARE <= files_max;
        let (fit, rest): (Vec<u32>, Vec<u32>) = wanted.iter().partition(|count| fits(count));
        let skipped = rest.iter().map(|connections| {
            format!("{connections} idle connections: the limit of open files is {files_max}")
        });
        (fit, skipped.collect())
    }

    fn pinning(&self) -> Pinning {
        if self.no_pinning {
            return Pinning::default();
        }
        let halves = Pinning::halves();
        Pinning {
            server: self.server_cpus.clone().or(halves.server),
            load: self.load_cpus.clone().or(halves.load),
        }
    }

    fn programs(&self) -> anyhow::Result<Programs> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let folder = program.parent().context("this program is in no folder")?;
        let target = folder.parent().unwrap_or(folder);
        let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
        Ok(Programs {
            host: or(&self.host, folder.join("openline")),
            native: or(&self.native, folder.join("native_echo")),
            guests: or(&self.guests, target.join("guests")),
            peers: or(&self.peers, target.join("peers")),
            are_loud: self.loud,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;
    use crate::peers::measurement::{Measurement, USUAL};
    use crate::peers::peer::Peer;

    #[test]
    fn what_is_chosen_is_what_is_measured_in_a_fixed_order() {
        let arguments = [
            "peers",
            "--only",
            "bun,native",
            "--settings",
            "half-peak,echo",
        ];
        let plan = Arguments::parse_from(arguments).plan(20_000).unwrap();
        assert_eq!(plan.peers, [Peer::Native, Peer::Bun]);
        assert_eq!(plan.measurements[0], USUAL);
        assert_eq!(plan.measurements.last(), Some(&Measurement::HalfPeak));
    }

    #[test]
    fn idle_connections_are_left_out_where_files_do_not_suffice() {
        let plan = Arguments::parse_from(["peers"]).plan(8_000).unwrap();
        let idle = |connections| {
            plan.measurements
                .contains(&Measurement::Idle { connections })
        };
        assert!(idle(5_000) && !idle(15_000));
        assert!(plan.skipped[0].starts_with("15000 idle connections: "));
    }
}
