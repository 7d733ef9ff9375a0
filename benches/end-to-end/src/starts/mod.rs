//! Starting: how long after the process was made its first message is echoed,
//! beside the native echo; and what a thousand warm instances cost in time and
//! memory, beside as many connections on one instance.
//!
//! The host finds its components compiled, as at every start but the first.
//! Servers take turns, each start is a fresh process, and the peers are
//! blocking sockets of this one thread, so that it takes little of the machine.

mod instances;
mod peer;
mod process;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use openline_kit::programs::{self, Programs};
use openline_kit::table::{Table, spread};
use tokio::time::Instant;

use peer::Peer;
use process::Started;

/// Measures starting and warm instances
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Starts of each server
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    starts: u32,

    /// Warm instances; 0 leaves them out
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=3000))]
    instances: u32,

    /// How often the instances are made
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    #[command(flatten)]
    programs: programs::Options,
}

/// Programs and functions, and a folder for what hosts write.
struct Place {
    programs: Programs,
    native: PathBuf,
    folder: tempfile::TempDir,
}

/// The server that is started.
#[derive(Clone, Copy, Debug)]
enum Server {
    Native,
    Host {
        name: &'static str,
        functions: &'static [&'static str],
        /// With a data directory, as `make run` has.
        data: bool,
    },
}

const SERVERS: [Server; 4] = [
    Server::Native,
    Server::Host {
        name: "echo",
        functions: &["echo"],
        data: false,
    },
    Server::Host {
        name: "echo-async",
        functions: &["echo-async"],
        data: false,
    },
    Server::Host {
        name: "all samples, data directory",
        functions: &["echo", "echo-async", "chat", "counter"],
        data: true,
    },
];

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, a server does not start, or an
/// answer is wrong.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let place = Place::find(arguments)?;
    let mut output = io::stdout().lock();
    starting(arguments, &place, &mut output)?;
    if arguments.instances > 0 {
        instances::measure(arguments, &place, &mut output)?;
    }
    Ok(output.flush()?)
}

fn starting(arguments: &Arguments, place: &Place, output: &mut impl Write) -> anyhow::Result<()> {
    let mut times = [(); SERVERS.len()].map(|()| (Vec::new(), Vec::new()));
    // The first of each compiles, and is not counted.
    for round in 0..=arguments.starts {
        for (server, (listening, echoed)) in SERVERS.iter().zip(&mut times) {
            let (heard, answered) = server.start(place)?;
            if round > 0 {
                listening.push(heard);
                echoed.push(answered);
            }
        }
    }
    let starts = arguments.starts;
    writeln!(
        output,
        "from the start of the process, ms; median of {starts} (least–most)\n"
    )?;
    let mut table = Table::new(["", "listens", "first echo"]);
    for (server, (listening, echoed)) in SERVERS.iter().zip(&times) {
        let name = server.name().to_owned();
        table.row([name, milliseconds(listening), milliseconds(echoed)]);
    }
    Ok(write!(output, "{}", table.text())?)
}

/// The median, the least and the most.
fn milliseconds(times: &[Duration]) -> String {
    spread(times.iter().map(|time| time.as_secs_f64() * 1e3), 1)
}

impl Server {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Host { name, .. } => name,
        }
    }

    /// When it listened, and when its first message was echoed.
    fn start(self, place: &Place) -> anyhow::Result<(Duration, Duration)> {
        // The configuration is there while the server starts.
        let (command, path, _file) = match self {
            Self::Native => (place.native(), "/", None),
            Self::Host {
                functions, data, ..
            } => {
                let data = if data { place.data() } else { String::new() };
                let path = match functions {
                    ["echo", ..] => "/echo",
                    _ => "/echo-async",
                };
                let (command, file) = place.host(functions, &data, "")?;
                (command, path, Some(file))
            }
        };
        let began = Instant::now();
        let started = Started::start(command)?;
        let heard = began.elapsed();
        let mut peer = Peer::connect(started.address)?;
        peer.upgrade(path)?;
        peer.exchange(b"first")?;
        let answered = began.elapsed();
        drop(peer);
        started.stop()?;
        Ok((heard, answered))
    }
}

impl Place {
    fn find(arguments: &Arguments) -> anyhow::Result<Self> {
        let functions = ["echo", "echo-async", "chat", "counter"];
        let native = programs::program(None, "native_echo")?;
        programs::exists(&native, "cargo build --release -p openline-end-to-end")?;
        Ok(Self {
            programs: arguments.programs.find(&functions)?,
            native,
            folder: tempfile::tempdir()?,
        })
    }
}
