//! Servers in processes of their own: how they are started, how they say that they
//! listen, and how they end. A process ends with its [`Running`].

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

/// How long a server may take to listen: a host may have to compile two dozen
/// components first, on a machine that is busy.
pub const START_TIMEOUT: Duration = Duration::from_secs(120);

/// How often a server that says nothing is asked whether it accepts.
const KNOCK_AGAIN: Duration = Duration::from_millis(1);

/// How long the end of a server that does not listen, and what it said, are waited
/// for.
const TOLD_MAX: Duration = Duration::from_secs(5);

/// A server that listens; dropping it kills it.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub child: Child,
    /// Its output after the line with its address. Kept open, so that it can go
    /// on writing.
    pub stdout: Lines<BufReader<ChildStdout>>,
    /// Where it listens.
    pub address: SocketAddr,
    /// The number that the system gave the process.
    pub process: u32,
}

/// How a server says that it listens.
#[derive(Debug, Clone, Copy)]
pub enum Ready {
    /// Its first line on stdout ends with `http://ADDRESS`, or
    /// `https://`.
    Says,
    /// Its first line on stdout is an object with the `port`, of the loopback
    /// address: workerd's `--control-fd`.
    SaysPort,
    /// It does not say so: it accepts connections here.
    Accepts(SocketAddr),
}

impl Ready {
    async fn wait(
        self,
        stdout: &mut Lines<BufReader<impl AsyncRead + Unpin>>,
    ) -> anyhow::Result<SocketAddr> {
        if let Self::Accepts(address) = self {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(KNOCK_AGAIN).await;
            }
            return Ok(address);
        }
        let line = stdout.next_line().await?.unwrap_or_default();
        let address = match self {
            Self::SaysPort => port_in(&line).map(|port| (Ipv4Addr::LOCALHOST, port).into()),
            _ => address_in(&line),
        };
        address.with_context(|| format!("it did not say where it listens: `{line}`"))
    }
}

impl Running {
    /// Starts a server and waits until its first line says where it listens.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or does not say so within [`START_TIMEOUT`].
    pub async fn start(command: Command) -> anyhow::Result<Self> {
        Self::start_until(Ready::Says, command, START_TIMEOUT).await
    }

    /// Starts a server and waits until it listens, but not longer than `patience`.
    ///
    /// # Errors
    ///
    /// Where it cannot be started, or does not listen in time.
    pub async fn start_until(
        ready: Ready,
        mut command: Command,
        patience: Duration,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("it cannot be started")?;
        let stdout = child.stdout.take().context("it has no stdout")?;
        let process = child.id().context("it has ended")?;
        let mut stdout = BufReader::new(stdout).lines();
        let listening = tokio::time::timeout(patience, ready.wait(&mut stdout)).await;
        if listening.is_err() {
            // It is over; what it has said can still be read.
            let _ = child.start_kill();
        }
        let listening = listening.with_context(|| format!("it did not listen within {patience:?}"));
        let address = match listening.and_then(|address| address) {
            Ok(address) => address,
            Err(error) => return Err(error.context(told(&mut child).await)),
        };
        Ok(Self {
            child,
            stdout,
            address,
            process,
        })
    }

    /// Kills the server and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Where the system does not let it.
    pub async fn kill(mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Waits for the end of the server, so long. None: it has not ended.
    ///
    /// # Errors
    ///
    /// Where the system does not say.
    pub async fn ended(&mut self, within: Duration) -> io::Result<Option<ExitStatus>> {
        let ended = tokio::time::timeout(within, self.child.wait()).await;
        ended.ok().transpose()
    }
}

/// How a server that does not listen ended, and what it has said on stderr, if
/// that is read.
async fn told(child: &mut Child) -> String {
    // Where it has ended already, that is what is seen.
    let ended = tokio::time::timeout(TOLD_MAX, child.wait()).await;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        // A process that it has started may keep it open.
        let _ = tokio::time::timeout(TOLD_MAX, stderr.read_to_end(&mut said)).await;
    }
    let said = String::from_utf8_lossy(&said);
    format!("{ended:?}; it said:\n{said}")
}

/// The address behind `http://` in a line such as `listening on http://…`.
#[must_use]
pub fn address_in(line: &str) -> Option<SocketAddr> {
    let plain = line.split_once("http://");
    let (_, address) = plain.or_else(|| line.split_once("https://"))?;
    address.trim().trim_end_matches('/').parse().ok()
}

fn port_in(line: &str) -> Option<u16> {
    let said: Value = serde_json::from_str(line).ok()?;
    said.get("port")?.as_u64()?.try_into().ok()
}

/// Sends a process a signal by its short name, such as `TERM`.
///
/// # Errors
///
/// Where there is no such process or signal.
pub fn signal(process: u32, name: &str) -> io::Result<()> {
    let process = i32::try_from(process).map_err(io::Error::other)?;
    let signal = Signal::from_str(&format!("SIG{name}"))?;
    Ok(kill(Pid::from_raw(process), signal)?)
}

/// An address of this machine that nothing listens at. Another program may take
/// it before it is used.
///
/// # Errors
///
/// Where no port is left.
pub fn unused_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn addresses_and_ports_are_read() {
        let address = "127.0.0.1:80".parse().ok();
        assert_eq!(address_in("listening on http://127.0.0.1:80"), address);
        assert_eq!(address_in("admin http://127.0.0.1:80/\n"), address);
        assert_eq!(address_in("http://nowhere"), None);
        assert_eq!(port_in(r#"{"event":"listen","port":80}"#), Some(80));
        assert_eq!(port_in(r#"{"port":65536}"#), None);
        assert_eq!(port_in("80"), None);
    }

    #[tokio::test]
    async fn a_server_is_there_when_it_has_said_so_and_ends_by_a_signal() {
        let command = shell("echo listening on http://127.0.0.1:1; exec sleep 600");
        let mut running = Running::start(command).await.unwrap();
        assert_eq!(running.address.port(), 1);
        signal(running.process, "TERM").unwrap();
        let status = running.ended(START_TIMEOUT).await.unwrap().unwrap();
        assert!(!status.success());
        assert!(signal(running.process, "NOTHING").is_err());
    }

    #[tokio::test]
    async fn a_server_that_does_not_listen_is_an_error() {
        for (line, said) in [
            ("exit 1", "where it listens: ``"),
            ("echo no", "where it listens: `no`"),
            ("exec sleep 600", "it did not listen within"),
        ] {
            let patience = Duration::from_millis(if said.contains("within") { 50 } else { 60_000 });
            let started = Running::start_until(Ready::Says, shell(line), patience).await;
            let error = format!("{:#}", started.unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_asked() {
        let address = unused_address().unwrap();
        let starting = Running::start_until(
            Ready::Accepts(address),
            shell("exec sleep 600"),
            START_TIMEOUT,
        );
        let listening = async { tokio::net::TcpListener::bind(address).await.unwrap() };
        let (running, _listener) = tokio::join!(starting, listening);
        assert_eq!(running.unwrap().address, address);
    }
}
