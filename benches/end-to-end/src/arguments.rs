//! The command line of the end-to-end benchmark.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::load;
use crate::pinning::Pinning;
use crate::server::{Programs, Server};

/// The program's own folder holds the other programs; its parent the functions
/// as `make guests` leaves them.
const HOST: &str = "openline";
const NATIVE: &str = "native_echo";
const GUESTS: &str = "guests";

/// Measures a native echo server and Openline in turns, under the same load
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Rounds; each measures every setting on every server
    // The least that shows a spread and has a middle.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Seconds of one measurement
    // 40,000 messages at 10,000 a second: forty above the p99.9.
    #[arg(long, value_name = "SECONDS", default_value_t = 4.0)]
    seconds: f64,

    /// Seconds of load before each measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    warm_up: f64,

    /// Connections held for the memory of an idle one
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    idle_connections: u32,

    /// A short run for trying: two rounds of one second, 1,000 idle connections
    #[arg(long, conflicts_with_all = ["rounds", "seconds", "warm_up", "idle_connections"])]
    quick: bool,

    /// What to measure
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Server::Native, Server::Echo, Server::EchoAsync])]
    servers: Vec<Server>,

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The native server's program [default: `native_echo` beside this program]
    #[arg(long, value_name = "FILE")]
    native: Option<PathBuf>,

    /// Read buffer of the native server, in bytes [default: the host's]
    // 2 KiB, so that both do the same reads and hold the same memory.
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 10, hide_default_value = true)]
    native_read_buffer: usize,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,

    /// CPUs of the server, such as `0` or `0-1` [default: the first half]
    #[arg(long, value_name = "LIST")]
    server_cpus: Option<String>,

    /// CPUs of the load generator [default: the other half]
    #[arg(long, value_name = "LIST")]
    load_cpus: Option<String>,

    /// Leave it to the system where processes run
    #[arg(long, conflicts_with_all = ["server_cpus", "load_cpus"])]
    no_pinning: bool,

    /// Print everything measured as JSON instead of a table
    #[arg(long)]
    pub json: bool,

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

/// What to do, decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: u32,
    pub(crate) duration: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) idle_connections: u32,
    pub(crate) servers: Vec<Server>,
    pub(crate) programs: Programs,
    pub(crate) pinning: Pinning,
}

impl Arguments {
    /// The options of the load to generate, when that is this process's part.
    #[must_use]
    pub fn load(&self) -> Option<&str> {
        let Part::Load { options } = self.part.as_ref()?;
        Some(options)
    }

    pub(crate) fn plan(&self) -> anyhow::Result<Plan> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let folder = program.parent().context("this program is in no folder")?;
        let target = folder.parent().unwrap_or(folder);
        let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
        let pinning = if self.no_pinning {
            Pinning::default()
        } else {
            let halves = Pinning::halves();
            Pinning {
                server: self.server_cpus.clone().or(halves.server),
                load: self.load_cpus.clone().or(halves.load),
            }
        };
        let (rounds, seconds, warm_up, idle_connections) = if self.quick {
            (2, 1.0, 0.3, 1_000)
        } else {
            (
                self.rounds,
                self.seconds,
                self.warm_up,
                self.idle_connections,
            )
        };
        let duration = |seconds| {
            Duration::try_from_secs_f64(seconds)
                .with_context(|| format!("`{seconds}` is not a number of seconds"))
        };
        let mut servers = self.servers.clone();
        servers.sort_unstable();
        servers.dedup();
        Ok(Plan {
            rounds,
            duration: duration(seconds)?,
            warm_up: duration(warm_up)?,
            idle_connections,
            servers,
            programs: Programs {
                host: or(&self.host, folder.join(HOST)),
                native: or(&self.native, folder.join(NATIVE)),
                native_read_buffer: self.native_read_buffer,
                guests: or(&self.guests, target.join(GUESTS)),
            },
            pinning,
        })
    }
}
