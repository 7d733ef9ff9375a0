//! The command line of `peers`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use openline_kit::programs;

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
/// The defaults of `end_to_end`: servers, settings, idle connections, seconds.
/// 40,000 messages at 10,000 a second are forty above the p99.9.
const PEERS_NATIVE: [Peer; 3] = [Peer::Native, Peer::Openline, Peer::OpenlineAsync];
const GROUPS_NATIVE: [Group; 3] = [Group::Echo, Group::Rate, Group::Idle];
const IDLE_NATIVE: [u32; 1] = [5_000];
const SECONDS_NATIVE: f64 = 4.0;
/// 30,000 messages at 10,000 a second: three hundred above the p99.
const SECONDS: f64 = 3.0;
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

    /// Seconds of one measurement [default: 3, beside native servers alone 4]
    #[arg(long, value_name = "SECONDS")]
    seconds: Option<f64>,

    /// Seconds of load before each measurement
    // A runtime that compiles while it runs has done so by then.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,

    /// Seconds that connections are idle before memory is read
    // Allocators give back and garbage is collected after a few.
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    settle: f64,

    /// Idle connections, a measurement each [default: 5000 and 15000, beside
    /// native servers alone 5000]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    idle_connections: Vec<u32>,

    /// A short run for trying: two rounds of one second, 1,000 idle connections
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "warm_up", "settle", "idle_connections"])]
    quick: bool,

    /// Servers [default: all that there are, or the host and its native echo]
    #[arg(long, value_name = "PEER", value_enum, value_delimiter = ',')]
    only: Vec<Peer>,

    /// Measurements [default: all, beside native servers alone `echo,rate,idle`]
    #[arg(long, value_name = "SETTING", value_enum, value_delimiter = ',')]
    settings: Vec<Group>,

    /// Text messages for all, not only for websocketd
    #[arg(long)]
    text: bool,

    #[command(flatten)]
    programs: programs::Options,

    /// The native server's program [default: `native_echo` beside this program]
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,

    /// Read buffer of the native server, in bytes [default: the host's]
    // 2 KiB, so that both do the same reads and hold the same memory.
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 10, hide_default_value = true)]
    native_read_buffer: usize,

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

    /// Adds what criterion has measured.
    #[arg(skip)]
    pub(crate) in_process: bool,

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

/// The plan of a run: every choice is made.
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
    /// Fills in what `end_to_end` measures by default: the host beside native
    /// servers alone.
    #[must_use]
    pub fn beside_native(mut self) -> Self {
        if self.only.is_empty() {
            self.only = PEERS_NATIVE.to_vec();
        }
        if self.settings.is_empty() {
            self.settings = GROUPS_NATIVE.to_vec();
        }
        if self.idle_connections.is_empty() && !self.quick {
            self.idle_connections = IDLE_NATIVE.to_vec();
        }
        self.seconds = self.seconds.or(Some(SECONDS_NATIVE));
        self.in_process = true;
        self
    }

    pub(crate) fn part(&self) -> Option<&Part> {
        self.part.as_ref()
    }

    /// `files_max` is the limit of open files.
    pub(crate) fn plan(&self, files_max: u64) -> anyhow::Result<Plan> {
        let (rounds, seconds, warm_up, settle) = match self.quick {
            true => (2, 1.0, 0.5, 2.0),
            false => {
                let seconds = self.seconds.unwrap_or(SECONDS);
                (self.rounds, seconds, self.warm_up, self.settle)
            }
        };
        let duration = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("`{seconds}` is not a number of seconds"))
        };
        let mut groups = self.settings.clone();
        if groups.is_empty() {
            groups = Group::value_variants().to_vec();
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
        let wanted = groups.flat_map(|group| measurement::of(group, self.idle()));
        let fits = |measurement: &Measurement| {
            u64::from(measurement.connections()) + FILES_SPARE <= files_max
        };
        let (measurements, rest): (Vec<_>, Vec<_>) = wanted.partition(fits);
        let skipped = rest.iter().map(|measurement| {
            let name = measurement.name();
            format!("{name}: the limit of open files is {files_max}")
        });
        Ok(Plan {
            rounds,
            peers,
            measurements,
            conditions: Conditions {
                programs: self.programs()?,
                pinning: self.pinning(),
                duration: duration(seconds)?,
                warm_up: duration(warm_up)?,
                settle: duration(settle)?,
                is_text: self.text,
            },
            skipped: skipped.collect(),
        })
    }

    fn idle(&self) -> &[u32] {
        match (self.quick, self.idle_connections.as_slice()) {
            (true, _) => &IDLE_QUICK,
            (false, []) => &IDLE,
            (false, given) => given,
        }
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
        let peers = || anyhow::Ok(programs::target()?.join("peers"));
        Ok(Programs {
            ours: self.programs.places()?,
            native: programs::program(self.native.as_deref(), "native_echo")?,
            native_read_buffer: self.native_read_buffer,
            peers: self.peers.clone().map_or_else(peers, Ok)?,
            are_loud: self.loud,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Arguments, FILES_SPARE, Plan};
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
    fn beside_native_servers_alone_less_is_measured() {
        let arguments = Arguments::parse_from(["end_to_end"]).beside_native();
        let plan = arguments.plan(20_000).unwrap();
        assert_eq!(plan.peers, super::PEERS_NATIVE);
        assert_eq!(plan.measurements.len(), 7);
        assert_eq!(plan.conditions.duration.as_secs(), 4);
        let arguments = ["end_to_end", "--quick", "--only", "bun"];
        let plan = Arguments::parse_from(arguments).beside_native();
        let plan = plan.plan(20_000).unwrap();
        assert_eq!(plan.peers, [Peer::Bun]);
        let idle = Measurement::Idle { connections: 1_000 };
        assert_eq!(plan.measurements.last(), Some(&idle));
        assert_eq!(plan.conditions.duration.as_secs(), 1);
    }

    #[test]
    fn many_connections_are_left_out_where_files_do_not_suffice() {
        let plan = |files| Arguments::parse_from(["peers"]).plan(files).unwrap();
        let idle = |plan: &Plan, connections| {
            plan.measurements
                .contains(&Measurement::Idle { connections })
        };
        let few = plan(8_000);
        assert!(idle(&few, 5_000) && !idle(&few, 15_000));
        let skipped = few.skipped.iter();
        let skipped: Vec<_> = skipped.filter_map(|text| text.split(": ").next()).collect();
        let wanted = [
            "saturation",
            "15,000 idle connections",
            "10,000 idle connections that have compressed",
            "8,000 idle connections with pings",
            "15,000 idle connections with pings",
        ];
        assert_eq!(skipped, wanted);
        assert!(idle(&plan(15_000 + FILES_SPARE), 15_000));
        assert!(!idle(&plan(14_999 + FILES_SPARE), 15_000));
    }
}
