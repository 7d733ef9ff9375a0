//! Idle connections: what each costs the host's process in resident memory when
//! it sleeps and no instance is left, before it has carried anything and after
//! it has carried large messages, beside the native echo; what an answer costs that
//! a function holds; and what a connection costs in CPU time when it is pinged.
//!
//! The connections are this process's, one task each, bounded by their number.
//! Messages are echoed in waves, so that this program and the host hold a few
//! of them at a time.

mod cpu;
mod held;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use futures_util::{StreamExt, TryStreamExt, stream};
use openline_kit::configuration::Configuration;
use openline_kit::process::Running;
use openline_kit::programs::{self, Programs};
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

/// Measures what idle connections cost in memory and in CPU time
#[derive(Debug, Parser)]
pub struct Arguments {
    /// Connections whose memory is measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..=60_000))]
    connections: u32,

    /// Answers that a function holds whose memory is measured; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(..=60_000))]
    held: u32,

    /// Bytes of the messages that each carries, one after the other
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = [64 << 10, 1 << 20])]
    messages: Vec<usize>,

    /// Connections whose CPU time is measured, one number after the other; 0 for
    /// none
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1_000, 8_000, 15_000], value_parser = clap::value_parser!(u32).range(..=60_000))]
    pinged: Vec<u32>,

    #[command(flatten)]
    programs: programs::Options,
}

/// Bytes for each connection.
struct Measured {
    name: &'static str,
    /// Before traffic, and after each message.
    bytes: Vec<f64>,
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
    let programs = arguments.programs.find(&["echo", "fault-web"])?;
    if arguments.connections > 0 {
        print_memory(arguments, &memory(arguments, &programs).await?)?;
    }
    if arguments.held > 0 {
        let each = held::measure(&programs, arguments.held).await?;
        let count = grouped(f64::from(arguments.held), 0);
        let each = grouped(each, 0);
        writeln!(
            io::stdout(),
            "{count} idle held answers, resident bytes each: {each}\n"
        )?;
    }
    let mut table = Table::new(["connections", "µs a second each", "the host without them"]);
    for count in arguments.pinged.iter().filter(|count| **count > 0) {
        let cpu::Measured { base, each } = cpu::measure(&programs, *count).await?;
        table.row([
            grouped(f64::from(*count), 0),
            grouped(each, 2),
            grouped(base, 0),
        ]);
    }
    if arguments.pinged.iter().all(|count| *count == 0) {
        return Ok(());
    }
    let title = format!(
        "CPU time of idle connections over {:?}, with pings",
        cpu::WINDOW
    );
    Ok(write!(io::stdout(), "{title}\n\n{}", table.text())?)
}

async fn memory(arguments: &Arguments, programs: &Programs) -> anyhow::Result<Vec<Measured>> {
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
    let largest = arguments.messages.iter().copied().max().unwrap_or_default();
    let needs = u64::from(arguments.connections) * 2 * largest as u64;
    if native.is_file() && needs <= NATIVE_BYTES_MAX {
        all.push(measure(arguments, Command::new(native), "native", "/").await?);
    }
    Ok(all)
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
    let mut clients: Vec<Socket> = stream::iter(0..count)
        .map(|_| open(address, path))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    quiet(address, count + 1, is_host).await?;
    let mut resident = vec![resident_bytes(running.process)?];
    for bytes in &arguments.messages {
        clients = stream::iter(clients)
            .map(|client| exchange(client, *bytes))
            .buffer_unordered(WAVE)
            .try_collect()
            .await?;
        quiet(address, count + 1, is_host).await?;
        resident.push(resident_bytes(running.process)?);
    }
    drop((first, clients));
    running.kill().await?;
    let each = |bytes: &u64| (*bytes as f64 - before as f64) / f64::from(count);
    Ok(Measured {
        name,
        bytes: resident.iter().map(each).collect(),
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

fn print_memory(arguments: &Arguments, all: &[Measured]) -> anyhow::Result<()> {
    let messages = arguments.messages.iter();
    let after = messages.map(|bytes| format!("after {bytes} bytes"));
    let head = ["".to_owned(), "before traffic".to_owned()];
    let head: Vec<_> = head.into_iter().chain(after).collect();
    let mut table = Table::new(head.iter().map(String::as_str));
    for Measured { name, bytes } in all {
        let cells = bytes.iter().map(|bytes| grouped(*bytes, 0));
        table.row(std::iter::once((*name).to_owned()).chain(cells));
    }
    let title = format!(
        "{} idle connections, resident bytes each",
        arguments.connections
    );
    Ok(write!(io::stdout(), "{title}\n\n{}\n", table.text())?)
}
