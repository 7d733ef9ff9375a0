//! What it costs that code comes and goes under open connections: the first
//! message after hibernation beside one to a warm instance, and the longest
//! wait for an answer while new versions are deployed, beside the same without.
//!
//! Each measurement has a fresh host, and each round measures both of a pair,
//! in turns. Waking: one connection sends a message, waits for its reply, and
//! lets 2 ms go by; with `idle_timeout = "0 ms"` the instance has gone by then.
//! Deploying: many connections send numbers at a fixed rate, and a time is
//! counted from when a message was due. Host and load share the CPUs.

use std::cell::Cell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::server::Running;

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

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,
}

type Socket = WebSocketStream<TcpStream>;

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, the host does not start, or an
/// answer is wrong.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = program.parent().context("this program is in no folder")?;
    let target = folder.parent().unwrap_or(folder);
    let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
    let host = or(&arguments.host, folder.join("openline"));
    let guests = or(&arguments.guests, target.join("guests"));
    for (file, hint) in [
        (&host, "cargo build --release -p openline"),
        (&guests.join("echo.wasm"), "make guests"),
    ] {
        if !file.is_file() {
            bail!("there is no `{}`\nhint: `{hint}`", file.display());
        }
    }
    let guests = guests.canonicalize()?;
    let mut output = io::stdout().lock();
    writeln!(
        output,
        "{:<44} median of {} rounds (least–most)",
        "", arguments.rounds
    )?;
    for component in ["echo", "echo-async"] {
        let (mut warm, mut woken) = (Vec::new(), Vec::new());
        for _ in 0..arguments.rounds {
            warm.push(wake(arguments, &host, &guests, component, "10 s").await?);
            woken.push(wake(arguments, &host, &guests, component, "0 ms").await?);
        }
        let label = |what: &str| format!("{component}: {what}, p50");
        writeln!(
            output,
            "{:<44} {}",
            label("reply of a warm instance"),
            spread(&mut warm)
        )?;
        writeln!(
            output,
            "{:<44} {}",
            label("reply after hibernation"),
            spread(&mut woken)
        )?;
    }
    let (mut quiet, mut deploying) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        quiet.push(gap(arguments, &host, &guests, 0).await?);
        deploying.push(gap(arguments, &host, &guests, arguments.deploys).await?);
    }
    let label = format!("longest wait of {} connections", arguments.connections);
    writeln!(output, "{label:<44} {}", spread(&mut quiet))?;
    let label = format!("the same during {} deploys", arguments.deploys);
    writeln!(output, "{label:<44} {}", spread(&mut deploying))?;
    Ok(output.flush()?)
}

/// The median time from a message to its reply.
async fn wake(
    arguments: &Arguments,
    host: &Path,
    guests: &Path,
    component: &str,
    idle_timeout: &str,
) -> anyhow::Result<Duration> {
    let (running, _) = start(host, guests, component, idle_timeout).await?;
    let mut socket = connect(&running).await?;
    let mut times = Vec::new();
    for number in 0..arguments.messages {
        tokio::time::sleep(BETWEEN).await;
        let sent = Instant::now();
        exchange(&mut socket, number).await?;
        times.push(sent.elapsed());
    }
    running.stop().await?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// The longest time that any connection has waited for a reply.
async fn gap(
    arguments: &Arguments,
    host: &Path,
    guests: &Path,
    deploys: u8,
) -> anyhow::Result<Duration> {
    let (running, admin) = start(host, guests, "echo", "10 s").await?;
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
    let component = std::fs::read(guests.join("echo.wasm"))?;
    let deploying = async {
        for number in 0..arguments.deploys {
            tokio::time::sleep(DEPLOYS_EVERY).await;
            if number < deploys {
                deploy(&admin, &component, number).await?;
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
    running.stop().await?;
    Ok(longest.get())
}

async fn start(
    host: &Path,
    guests: &Path,
    component: &str,
    idle_timeout: &str,
) -> anyhow::Result<(Running, String)> {
    // Found first, taken a moment later: nothing else asks for ports here.
    let admin = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let file = guests.join(format!("{component}.wasm"));
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n\n[[function]]\nname = \"echo\"\ncomponent = {file:?}\nroute = \"/echo\"\n[function.instance]\nidle_timeout = \"{idle_timeout}\"\n"
    );
    let configuration = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(configuration.path(), text)?;
    let mut command = Command::new(host);
    command.args(["serve", "--log", "error", "--config"]);
    command.arg(configuration.path());
    let running = Running::start(command, "host", "/echo").await?;
    Ok((running, admin.to_string()))
}

async fn connect(running: &Running) -> anyhow::Result<Socket> {
    let target = running.target.to_string();
    let address = target.trim_start_matches("ws://").split('/').next();
    let socket = TcpStream::connect(address.unwrap_or_default()).await?;
    socket.set_nodelay(true)?;
    Ok(tokio_tungstenite::client_async(&target, socket).await?.0)
}

async fn exchange(socket: &mut Socket, number: u32) -> anyhow::Result<()> {
    let text = number.to_string();
    socket.send(Message::text(text.clone())).await?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(reply))) => {
                ensure!(reply.as_str() == text, "`{reply}` instead of `{text}`");
                return Ok(());
            }
            Some(Ok(_)) => {}
            other => bail!("a connection ended: {other:?}"),
        }
    }
}

/// Sends the component with another custom section behind it: a new version.
async fn deploy(admin: &str, component: &[u8], number: u8) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(admin).await?;
    let section = [0, 2, 1, number];
    let head = format!(
        "POST /v1/functions/echo/versions HTTP/1.1\r\nHost: {admin}\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        component.len() + section.len()
    );
    socket.write_all(head.as_bytes()).await?;
    socket.write_all(component).await?;
    socket.write_all(&section).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 20"), "not deployed: {answer}");
    Ok(())
}

/// The median of the rounds, the least and the most.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let (Some(least), Some(most)) = (times.first(), times.last()) else {
        return "–".into();
    };
    let median = times[times.len() / 2];
    let shown = |time: &Duration| {
        let microseconds = time.as_micros();
        if microseconds < 10_000 {
            format!("{microseconds} µs")
        } else {
            format!("{} ms", microseconds / 1000)
        }
    };
    format!("{} ({}–{})", shown(&median), shown(least), shown(most))
}
