//! The cost of code that comes and goes under open connections: the first
//! message after hibernation beside one to a warm instance, and the longest
//! wait for an answer while new versions are deployed, beside the same without.
//!
//! Each measurement has a fresh host, and each round measures both of a pair,
//! in turns. Waking: one connection sends a message, waits for its reply, and
//! lets 2 ms go by; with `idle_timeout = "0 ms"` the instance has gone by then.
//! Deploying: many connections send numbers at a fixed rate, and a time is
//! counted from when a message was due. Host and load share the CPUs.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use openline_kit::configuration::Configuration;
use openline_kit::exchange;
use openline_kit::process::{Running, unused_address};
use openline_kit::programs::{self, Programs};
use openline_kit::socket::Socket;
use openline_kit::table::{Spread, Table};
use openline_kit::versions::variant;
use tokio::process::Command;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::tungstenite::Message;

/// How long an instance without anything to do is given to be gone.
const BETWEEN: Duration = Duration::from_millis(2);
/// How often each connection sends while versions are deployed.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long after a deploy the next one comes.
const DEPLOYS_EVERY: Duration = Duration::from_millis(500);

/// Measures waking and deploying
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Rounds; each measures all
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,

    /// Messages of one measurement of waking
    #[arg(long, value_name = "N", default_value_t = 1000)]
    messages: u32,

    /// Connections that exchange numbers while versions are deployed
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: u32,

    /// Deploys of one measurement
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    deploys: u8,

    #[command(flatten)]
    programs: programs::Options,
}

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, the host does not start, or an
/// answer is wrong.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = arguments.programs.find(&["echo", "echo-async"])?;
    let rounds = arguments.rounds;
    let median = format!("median of {rounds} rounds (least–most)");
    let mut table = Table::new(["", &median]);
    for component in ["echo", "echo-async"] {
        let (mut warm, mut woken) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            warm.push(wake(arguments, &programs, component, "10 s").await?);
            woken.push(wake(arguments, &programs, component, "0 ms").await?);
        }
        for (what, times) in [
            ("reply of a warm instance", warm),
            ("reply after hibernation", woken),
        ] {
            table.row([format!("{component}: {what}, p50"), spread(&times)]);
        }
    }
    let (mut quiet, mut deploying) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        quiet.push(gap(arguments, &programs, 0).await?);
        deploying.push(gap(arguments, &programs, arguments.deploys).await?);
    }
    let (connections, deploys) = (arguments.connections, arguments.deploys);
    let label = format!("longest wait of {connections} connections");
    table.row([label, spread(&quiet)]);
    let label = format!("the same during {deploys} deploys");
    table.row([label, spread(&deploying)]);
    Ok(write!(io::stdout(), "{}", table.text())?)
}

/// The median time from a message to its reply.
async fn wake(
    arguments: &Arguments,
    programs: &Programs,
    component: &str,
    idle_timeout: &str,
) -> anyhow::Result<Duration> {
    let (running, _) = start(programs, component, idle_timeout).await?;
    let mut socket = connect(&running).await?;
    let mut times = Vec::new();
    for number in 0..arguments.messages {
        tokio::time::sleep(BETWEEN).await;
        let sent = Instant::now();
        exchange(&mut socket, number).await?;
        times.push(sent.elapsed());
    }
    running.kill().await?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// The longest time that any connection has waited for a reply.
async fn gap(arguments: &Arguments, programs: &Programs, deploys: u8) -> anyhow::Result<Duration> {
    let (running, admin) = start(programs, "echo", "10 s").await?;
    let longest = Rc::new(Cell::new(Duration::ZERO));
    let over = Rc::new(Cell::new(false));
    let connections = LocalSet::new();
    let mut exchanges = Vec::new();
    let count = arguments.connections;
    for index in 0..count {
        let mut socket = connect(&running).await?;
        let (longest, over) = (Rc::clone(&longest), Rc::clone(&over));
        exchanges.push(connections.spawn_local(async move {
            // Evenly: not all at one moment.
            let first = Instant::now() + INTERVAL * index / count.max(1);
            let mut ticks = tokio::time::interval_at(first, INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for number in 0.. {
                let due = ticks.tick().await;
                if over.get() {
                    break;
                }
                exchange(&mut socket, number).await?;
                longest.set(longest.get().max(due.elapsed()));
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    let component = fs::read(programs.function("echo"))?;
    let deploying = async {
        for number in 0..arguments.deploys {
            tokio::time::sleep(DEPLOYS_EVERY).await;
            if number < deploys {
                deploy(admin, &component, number).await?;
            }
        }
        tokio::time::sleep(DEPLOYS_EVERY).await;
        over.set(true);
        Ok::<_, anyhow::Error>(())
    };
    connections.run_until(deploying).await?;
    connections
        .run_until(async {
            for exchange in exchanges {
                exchange.await??;
            }
            Ok::<_, anyhow::Error>(())
        })
        .await?;
    running.kill().await?;
    Ok(longest.get())
}

async fn start(
    programs: &Programs,
    component: &str,
    idle_timeout: &str,
) -> anyhow::Result<(Running, SocketAddr)> {
    // Found first, taken a moment later: nothing else asks for ports here.
    let admin = unused_address()?;
    let idle_timeout = format!("[function.instance]\nidle_timeout = \"{idle_timeout}\"");
    let component = programs.function(component);
    let (command, _file) = Configuration::new(&format!("admin = \"{admin}\""))
        .function("echo", &component, "/echo", &idle_timeout)
        .serve(Command::new(&programs.host))?;
    Ok((Running::start(command).await?, admin))
}

async fn connect(running: &Running) -> anyhow::Result<Socket> {
    Ok(Socket::open(running.address, "/echo", &[]).await?)
}

async fn exchange(socket: &mut Socket, number: u32) -> anyhow::Result<()> {
    socket.echo(Message::text(number.to_string())).await
}

/// Sends the component with another custom section behind it: a new version.
async fn deploy(admin: SocketAddr, component: &[u8], number: u8) -> anyhow::Result<()> {
    let component = variant(component, number);
    let path = "/v1/functions/echo/versions";
    let body = Some(("application/wasm", &component[..]));
    let answer = exchange::ask(admin, "POST", path, body).await?;
    let is_done = (200..300).contains(&answer.status);
    let said = String::from_utf8_lossy(&answer.body);
    ensure!(is_done, "not deployed: {said}");
    Ok(())
}

/// The median of the rounds, the least and the most.
fn spread(times: &[Duration]) -> String {
    let microseconds = times.iter().map(|time| time.as_secs_f64() * 1e6);
    let shown = |spread: Spread| {
        spread.shown_by(|microseconds| match microseconds {
            ..10_000.0 => format!("{microseconds:.0} µs"),
            _ => format!("{:.0} ms", microseconds / 1e3),
        })
    };
    Spread::of(microseconds).map_or_else(String::new, shown)
}
