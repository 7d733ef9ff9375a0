//! A crowd: very many lines over HTTP/2 in one host. Each has one message
//! answered, all get one publication, and a drain closes all of them.
//!
//! The lines are those of clients in processes of their own, with
//! [`STREAMS`] on each TCP connection and one task for each.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use openline_kit::bytes::{frame, server_frame};
use openline_kit::configuration::Configuration;
use openline_kit::process::signal;
use openline_kit::table::{Table, grouped};
use openline_load::process::{CpuSample, resident_bytes};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::Instant;

use super::line::{Dialer, Line, Way};
use super::server::{self, Setup};

/// The hidden subcommand of this program.
pub(super) const SUBCOMMAND: &str = "crowd";

/// The function: it answers commands, and publishes to all.
pub(super) const FUNCTION: &str = "fault-hub";

/// Lines on each TCP connection, and lines of one client's process.
const STREAMS: u32 = 1_000;
const LINES_PER_CLIENT: u32 = 50_000;

/// How long any part may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long the host is left alone before its memory is read.
const SETTLE: Duration = Duration::from_secs(6);
/// How long the host may drain.
const DRAIN_SECONDS: u64 = 60;

/// The steps: `REST` is the host's alone, `PUBLISH` one client's.
const OPEN: &str = "open";
const ASK: &str = "ask and be told";
const PUBLISH: &str = "publish";
const RECEIVE: &str = "a publication to all";
const CLOSE: &str = "drain";
const REST: &str = "rest";

/// The first byte of a text.
const TEXT: u8 = 0x81;
/// What each line asks, and what it is told.
const ASKED: &[u8] = b"count nothing";
const TOLD: &[u8] = b"0";
/// What is published.
const PUBLISHED: &[u8] = b"to all";
/// Close code of a line whose host drains.
const GOING_AWAY: u16 = 1001;

/// An order to a client's process.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    address: SocketAddr,
    way: Way,
    authority: PathBuf,
    lines: u32,
}

/// A client's process, which does a step for each line that it reads and says
/// when it is done.
struct Client {
    _child: Child,
    stdin: ChildStdin,
    stdout: tokio::io::Lines<BufReader<ChildStdout>>,
}

/// Measures, and prints the results on stdout.
pub(super) async fn measure(setup: &Setup, lines: u32, is_tls: bool) -> anyhow::Result<()> {
    let (command, _file) =
        configuration(setup, lines, is_tls).serve(Command::new(&setup.programs.host))?;
    let mut started = server::start(command).await?;
    let process = started.running.process;
    let way = match is_tls {
        true => Way::Http2Tls,
        false => Way::Http2,
    };
    let mut clients = Vec::new();
    for first in (0..lines).step_by(LINES_PER_CLIENT as usize) {
        clients.push(Client::start(&Order {
            address: started.address,
            way,
            authority: setup.certificate(),
            lines: LINES_PER_CLIENT.min(lines - first),
        })?);
    }
    let mut table = Table::new([
        "",
        "seconds",
        "CPU of the host, µs a line",
        "memory, KiB a line",
    ]);
    let bytes_before = resident_bytes(process)?;
    for step in [OPEN, REST, ASK, REST, RECEIVE, REST] {
        let (begin, cpu) = (Instant::now(), CpuSample::take(process)?);
        match step {
            REST => tokio::time::sleep(SETTLE).await,
            _ => all(&mut clients, step).await?,
        }
        let took = begin.elapsed();
        let cpu = CpuSample::take(process)?.since(&cpu);
        let bytes = resident_bytes(process)?.saturating_sub(bytes_before);
        row(&mut table, step, took, lines, Some((cpu, bytes)));
    }
    let begin = Instant::now();
    signal(process, "TERM")?;
    all(&mut clients, CLOSE).await?;
    // The host may have ended, and with it what it has used.
    row(&mut table, CLOSE, begin.elapsed(), lines, None);
    drop(clients);
    let ended = started.running.ended(PATIENCE).await?;
    ensure!(ended.is_some_and(|it| it.success()), "the host: {ended:?}");
    let title = format!("{} lines over HTTP/2", grouped(f64::from(lines), 0));
    let way = if is_tls { " with TLS" } else { "" };
    Ok(write!(
        io::stdout(),
        "{title}{way}\n\n{}",
        table.markdown()
    )?)
}

/// `used` is the host's CPU time and the growth of its memory.
fn row(table: &mut Table, step: &str, took: Duration, lines: u32, used: Option<(Duration, u64)>) {
    let lines = f64::from(lines);
    let cpu = used.map(|(cpu, _)| grouped(cpu.as_secs_f64() * 1e6 / lines, 1));
    let memory = used.map(|(_, bytes)| grouped(bytes as f64 / 1024.0 / lines, 2));
    table.row([
        step.to_owned(),
        grouped(took.as_secs_f64(), 1),
        cpu.unwrap_or_default(),
        memory.unwrap_or_default(),
    ]);
}

fn configuration(setup: &Setup, lines: u32, is_tls: bool) -> Configuration {
    let certificate = setup.listener(is_tls);
    let server = format!(
        "connections = {}\nhttp2_streams = {STREAMS}\ndrain_timeout = \"{DRAIN_SECONDS} s\"\n{certificate}",
        lines + 1
    );
    // Seats for all, in few instances; and no pings, which no line here answers.
    let function = "[function.instance]\ninstances = 100\nconcurrency = 10000\n\
                    [function.limit]\nconnection_time = \"1 d\"\nping_interval = \"0 s\"";
    let file = setup.programs.function(FUNCTION);
    Configuration::new(&server).function(FUNCTION, &file, "/", function)
}

/// Has all clients do a step; only one of them publishes.
async fn all(clients: &mut [Client], step: &str) -> anyhow::Result<()> {
    let asking = async {
        if step == RECEIVE {
            clients[0].say(PUBLISH).await?;
            clients[0].done(PUBLISH).await?;
        }
        for client in &mut *clients {
            client.say(step).await?;
        }
        for client in &mut *clients {
            client.done(step).await?;
        }
        anyhow::Ok(())
    };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.with_context(|| format!("`{step}` took longer than {PATIENCE:?}"))?
}

impl Client {
    fn start(order: &Order) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut child = Command::new(program)
            .arg(SUBCOMMAND)
            .arg(serde_json::to_string(order)?)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take().context("it has no stdin")?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        Ok(Self {
            _child: child,
            stdin,
            stdout: BufReader::new(stdout).lines(),
        })
    }

    async fn say(&mut self, step: &str) -> anyhow::Result<()> {
        Ok(self.stdin.write_all(format!("{step}\n").as_bytes()).await?)
    }

    async fn done(&mut self, step: &str) -> anyhow::Result<()> {
        let said = self.stdout.next_line().await?;
        ensure!(
            said.as_deref() == Some(step),
            "a client failed at `{step}`: {said:?}"
        );
        Ok(())
    }
}

/// A client's side.
pub(super) async fn obey(order: &str) -> anyhow::Result<()> {
    let order: Order = serde_json::from_str(order).context("the order is not valid")?;
    LocalSet::new().run_until(follow(&order)).await
}

async fn follow(order: &Order) -> anyhow::Result<()> {
    let trust = (order.authority.as_path(), false);
    let dialer = Dialer::new(order.address, "/", order.way, trust)?;
    let input = pipe::Receiver::from_owned_fd(io::stdin().as_fd().try_clone_to_owned()?)?;
    let mut steps = BufReader::new(input).lines();
    let mut lines: Vec<Line> = Vec::new();
    let mut publisher = Vec::new();
    while let Some(step) = steps.next_line().await? {
        match &*step {
            OPEN => lines = dialer.open_all(order.lines, STREAMS).await?,
            ASK => {
                for line in &mut lines {
                    line.send(&frame(TEXT, ASKED)).await?;
                }
                each_gets(&mut lines, &server_frame(TEXT, TOLD)).await?;
            }
            PUBLISH => {
                publisher = dialer.open_all(1, 1).await?;
                let text = [b"rest ", PUBLISHED].concat();
                publisher[0].send(&frame(TEXT, &text)).await?;
                // How many get it.
                publisher[0].receive(&mut Vec::new()).await?;
            }
            RECEIVE => each_gets(&mut lines, &server_frame(TEXT, PUBLISHED)).await?,
            CLOSE => {
                lines.append(&mut publisher);
                closed(std::mem::take(&mut lines)).await?;
            }
            other => anyhow::bail!("an unknown step: `{other}`"),
        }
        say(&step).await?;
    }
    Ok(())
}

async fn each_gets(lines: &mut [Line], bytes: &[u8]) -> anyhow::Result<()> {
    for line in lines {
        line.expect(bytes).await?;
    }
    Ok(())
}

/// Waits until the host has closed all, each at its time.
async fn closed(lines: Vec<Line>) -> anyhow::Result<()> {
    let mut all = JoinSet::new();
    for line in lines {
        all.spawn_local(async move { line.closed().await });
    }
    while let Some(code) = all.join_next().await {
        ensure!(code?? == GOING_AWAY, "another close code");
    }
    Ok(())
}

async fn say(step: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{step}")?;
    Ok(output.flush()?)
}
