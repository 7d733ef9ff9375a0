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

use anyhow::{Context, bail};
use clap::Parser;
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

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,
}

/// Programs and functions, and a folder for what hosts write.
struct Place {
    host: PathBuf,
    native: PathBuf,
    guests: PathBuf,
    folder: tempfile::TempDir,
}

/// What is started.
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
    writeln!(output, "{:<30} {:>22} {:>22}", "", "listens", "first echo")?;
    for (server, (listening, echoed)) in SERVERS.iter().zip(&mut times) {
        let (listening, echoed) = (spread(listening), spread(echoed));
        writeln!(output, "{:<30} {listening:>22} {echoed:>22}", server.name())?;
    }
    Ok(())
}

/// The median, the least and the most, in milliseconds.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let (Some(least), Some(most)) = (times.first(), times.last()) else {
        return "–".into();
    };
    let shown = |time: &Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    let median = shown(&times[times.len() / 2]);
    format!("{median} ({}–{})", shown(least), shown(most))
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
        let (command, path) = match self {
            Self::Native => (place.native(), "/"),
            Self::Host {
                functions, data, ..
            } => {
                let data = if data { place.data() } else { String::new() };
                let path = match functions {
                    ["echo", ..] => "/echo",
                    _ => "/echo-async",
                };
                (place.host(functions, &data, "")?, path)
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
        let program = std::env::current_exe().context("cannot find this program")?;
        let folder = program.parent().context("this program is in no folder")?;
        let target = folder.parent().unwrap_or(folder);
        let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
        let host = or(&arguments.host, folder.join("openline"));
        let native = folder.join("native_echo");
        let guests = or(&arguments.guests, target.join("guests"));
        for (file, hint) in [
            (&host, "cargo build --release -p openline"),
            (&native, "cargo build --release -p openline-end-to-end"),
            (&guests.join("echo.wasm"), "make guests"),
        ] {
            if !file.is_file() {
                bail!("there is no `{}`\nhint: `{hint}`", file.display());
            }
        }
        Ok(Self {
            host,
            native,
            guests: guests.canonicalize()?,
            folder: tempfile::tempdir()?,
        })
    }
}
