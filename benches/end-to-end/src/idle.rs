//! Idle connections: what each costs the host's process in resident memory when
//! it sleeps and no instance is left, before it has carried anything and after
//! it has carried a large message; beside the native echo.
//!
//! The connections are this process's, one task each, bounded by their number.
//! Messages are echoed in waves, so that this program and the host hold a few
//! of them at a time.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_kit::configuration::Configuration;
use openline_kit::process::Running;
use openline_kit::programs;
use openline_kit::socket::Socket;
use openline_kit::state::state;
use openline_kit::table::{Table, grouped};
use openline_load::process::resident_bytes;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use crate::native;

/// Connections that are opened, or carry a message, at a time.
const WAVE: usize = 16;
/// Memory that the native echo may need; past it, it is left out.
const NATIVE_BYTES_MAX: u64 = 6 << 30;
/// How long the host has for becoming quiet.
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

    #[command(flatten)]
    programs: programs::Options,
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

/// Does what the command line says, and prints the results on stdout.
///
/// # Errors
///
/// Where a program or function is missing, a server does not start, or the
/// host does not become quiet.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    native::raise_open_files().context("cannot raise the limit of open files")?;
    let programs = arguments.programs.find(&["echo"])?;
    // Nothing but idleness: an instance goes as soon as it has nothing to do,
    // no connection's time is up before the measurement is over, and there are
    // no pings, as no peer here would answer them.
    let idleness = "[function.instance]\nidle_timeout = \"1 s\"\n\
                    [function.limit]\nconnection_time = \"1 d\"\nping_interval = \"0 s\"";
    let (command, _file) = Configuration::new("")
        .function("echo", &programs.function("echo"), "/echo", idleness)
        .serve(Command::new(&programs.host))?;
    let mut all = vec![measure(arguments, command, "host", "/echo").await?];
    let native = programs::program(None, "native_echo")?;
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
    let running = Running::start(command).await?;
    let address = running.address;
    // The first connection costs more than the others: it is not counted.
    let first = exchange(open(address, path).await?, 64).await?;
    let is_host = name == "host";
    // When it sleeps, the host has given back what starting needed.
    quiet(address, 1, is_host).await?;
    let before = resident_bytes(running.process)?;
    let clients: Vec<Socket> = stream::iter(0..count)
        .map(|_| open(address, path))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, is_host).await?;
    let fresh = resident_bytes(running.process)?;
    let clients: Vec<Socket> = stream::iter(clients)
        .map(|client| exchange(client, arguments.message))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, is_host).await?;
    let used = resident_bytes(running.process)?;
    drop((first, clients));
    running.kill().await?;
    let each = |bytes: u64| (bytes as f64 - before as f64) / f64::from(count);
    Ok(Measured {
        name,
        fresh: each(fresh),
        used: each(used),
    })
}

async fn open(address: SocketAddr, path: &str) -> anyhow::Result<Socket> {
    Ok(Socket::open(address, path, &[]).await?)
}

/// Has a message echoed. The client's own buffers are given back with it.
async fn exchange(mut client: Socket, bytes: usize) -> anyhow::Result<Socket> {
    client.echo(Message::binary(vec![7; bytes])).await?;
    Ok(client.without_buffers().await)
}

/// Waits until so many connections sleep and no instance is left, and then until
/// allocators have given memory back.
async fn quiet(host: SocketAddr, connections: u32, is_host: bool) -> anyhow::Result<()> {
    // The native echo has nothing to say of itself.
    if is_host {
        asleep(host, u64::from(connections)).await?;
    }
    tokio::time::sleep(SETTLE).await;
    Ok(())
}

async fn asleep(host: SocketAddr, connections: u64) -> anyhow::Result<()> {
    let deadline = Instant::now() + QUIET_TIMEOUT;
    loop {
        let state: State = serde_json::from_value(state(host).await?)?;
        let Connections { open, asleep } = state.connections;
        // Some are awake at any time, when a ping is answered.
        let most = connections / 10;
        if open == connections && asleep + most >= open && state.instances == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let instances = state.instances;
            bail!(
                "{open} connections, {asleep} asleep, {instances} instances after {QUIET_TIMEOUT:?}"
            );
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn print(arguments: &Arguments, all: &[Measured]) -> anyhow::Result<()> {
    let (count, bytes) = (arguments.connections, arguments.message);
    let mut table = Table::new(["", "before traffic", &format!("after {bytes} bytes")]);
    for Measured { name, fresh, used } in all {
        table.row([(*name).to_owned(), grouped(*fresh, 0), grouped(*used, 0)]);
    }
    let table = table.text();
    let title = format!("{count} idle connections, resident bytes each");
    Ok(write!(io::stdout(), "{title}\n\n{table}")?)
}
