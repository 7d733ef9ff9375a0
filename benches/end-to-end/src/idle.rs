//! Idle connections: what each costs the host's process in resident memory when
//! it sleeps and no instance is left, before it has carried anything and after
//! it has carried a large message; beside the native echo.
//!
//! The connections are this process's, one task each, bounded by their number.
//! Messages are echoed in waves, so that this program and the host hold a few
//! of them at a time.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::native;
use crate::server::Running;

/// Connections that are opened, or carry a message, at a time.
const WAVE: usize = 16;
/// How long the host has for becoming quiet.
/// What the native echo may need; past it, it is left out.
const NATIVE_BYTES_MAX: u64 = 6 << 30;
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);
/// How often it is asked whether it has.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How long allocators have, after that, to give memory back.
const SETTLE: Duration = Duration::from_secs(6);

/// Measures what idle connections cost in memory
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,

    /// Bytes of the message that each carries
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20)]
    message: usize,

    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    host: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    guests: Option<PathBuf>,
}

/// Bytes for each connection.
struct Measured {
    name: &'static str,
    fresh: f64,
    used: f64,
}

#[derive(Deserialize)]
struct State {
    connections: Connections,
    instances: u64,
}

#[derive(Deserialize)]
struct Connections {
    open: u64,
    asleep: u64,
}

type Client = WebSocketStream<TcpStream>;

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, a server does not start, or the
/// host does not become quiet.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    native::raise_open_files().context("cannot raise the limit of open files")?;
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = program.parent().context("this program is in no folder")?;
    let or = |given: &Option<PathBuf>, default| given.clone().unwrap_or(default);
    let host = or(&arguments.host, folder.join("openline"));
    let guests = or(
        &arguments.guests,
        folder.parent().unwrap_or(folder).join("guests"),
    );
    let echo = guests.join("echo.wasm");
    for (file, hint) in [
        (&host, "cargo build --release -p openline"),
        (&echo, "make guests"),
    ] {
        if !file.is_file() {
            bail!("there is no `{}`\nhint: `{hint}`", file.display());
        }
    }
    let echo = echo.canonicalize()?;
    let file = tempfile::Builder::new().suffix(".toml").tempfile()?;
    // Nothing but idleness: an instance goes as soon as it has nothing to do,
    // no connection's time is up before the measurement is over, and nobody here
    // answers pings.
    let configuration = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n[[function]]\nname = \"echo\"\ncomponent = {echo:?}\n\
         route = \"/echo\"\n\n[function.instance]\nidle_timeout = \"1 s\"\n\n\
         [function.limit]\nconnection_time = \"1 d\"\nping_interval = \"0 s\"\n"
    );
    fs::write(file.path(), configuration)?;
    let mut command = Command::new(host);
    command.args(["serve", "--log", "error", "--config"]);
    command.arg(file.path());
    let mut all = vec![measure(arguments, command, "host", "/echo").await?];
    let native = folder.join("native_echo");
    // It keeps a buffer of the largest message for each connection.
    let needs = u64::from(arguments.connections) * 2 * arguments.message as u64;
    if native.is_file() && needs <= NATIVE_BYTES_MAX {
        all.push(measure(arguments, Command::new(native), "native", "/").await?);
    }
    print(arguments, &all)
}

async fn measure(
    arguments: &Arguments,
    command: Command,
    name: &'static str,
    path: &str,
) -> anyhow::Result<Measured> {
    let count = arguments.connections;
    let running = Running::start(command, name, path).await?;
    let target = running.target.to_string();
    let address = target
        .trim_start_matches("ws://")
        .split('/')
        .next()
        .unwrap_or_default();
    let address: SocketAddr = address.parse()?;
    // What the first connection costs is not the others'.
    let first = exchange(open(&target, address).await?, 64).await?;
    let is_host = name == "host";
    // When it sleeps, the host has given back what starting needed.
    quiet(address, 1, is_host).await?;
    let before = resident(running.process)?;
    let clients: Vec<Client> = stream::iter(0..count)
        .map(|_| open(&target, address))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, is_host).await?;
    let fresh = resident(running.process)?;
    let clients: Vec<Client> = stream::iter(clients)
        .map(|client| exchange(client, arguments.message))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, is_host).await?;
    let used = resident(running.process)?;
    drop((first, clients));
    running.stop().await?;
    let each = |bytes: u64| (bytes as f64 - before as f64) / f64::from(count);
    Ok(Measured {
        name,
        fresh: each(fresh),
        used: each(used),
    })
}

async fn open(target: &str, address: SocketAddr) -> anyhow::Result<Client> {
    let socket = TcpStream::connect(address).await?;
    let (client, _) = tokio_tungstenite::client_async(target, socket).await?;
    Ok(client)
}

/// Has a message echoed. The client's own buffers are given back with it.
async fn exchange(mut client: Client, bytes: usize) -> anyhow::Result<Client> {
    client.send(Message::binary(vec![7; bytes])).await?;
    loop {
        match client.next().await.context("the connection has ended")?? {
            Message::Binary(echo) if echo.len() == bytes => break,
            Message::Ping(_) | Message::Pong(_) => {}
            other => bail!("not the echo: {} bytes", other.len()),
        }
    }
    let role = tokio_tungstenite::tungstenite::protocol::Role::Client;
    Ok(WebSocketStream::from_raw_socket(client.into_inner(), role, None).await)
}

/// Waits until so many connections sleep and no instance is left.
async fn quiet(host: SocketAddr, connections: u32, is_host: bool) -> anyhow::Result<()> {
    let connections = u64::from(connections);
    let deadline = Instant::now() + QUIET_TIMEOUT;
    // The native echo has nothing to say of itself.
    while let Some(state) = state_of(host, is_host).await? {
        let Connections { open, asleep } = state.connections;
        // Some are awake at any time, when a ping is answered.
        let most = connections / 10;
        if open == connections && asleep + most >= open && state.instances == 0 {
            break;
        }
        if Instant::now() > deadline {
            let instances = state.instances;
            bail!(
                "{open} connections, {asleep} asleep, {instances} instances after {QUIET_TIMEOUT:?}"
            );
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

async fn state_of(host: SocketAddr, is_host: bool) -> anyhow::Result<Option<State>> {
    match is_host {
        true => Ok(Some(state(host).await?)),
        false => Ok(None),
    }
}

async fn state(host: SocketAddr) -> anyhow::Result<State> {
    let mut stream = TcpStream::connect(host).await?;
    let request =
        format!("GET /.openline/state HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    Ok(serde_json::from_str(body)?)
}

/// Resident bytes of a process.
fn resident(process: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kibibytes: u64 = kibibytes.context("no VmRSS")?.parse()?;
    Ok(kibibytes * 1024)
}

fn print(arguments: &Arguments, all: &[Measured]) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    let (count, bytes) = (arguments.connections, arguments.message);
    writeln!(output, "{count} idle connections, resident bytes each\n")?;
    let after = format!("after {bytes} bytes");
    writeln!(output, "{:<8} {:>14} {after:>22}", "", "before traffic")?;
    for Measured { name, fresh, used } in all {
        writeln!(output, "{name:<8} {fresh:>14.0} {used:>22.0}")?;
    }
    Ok(output.flush()?)
}
