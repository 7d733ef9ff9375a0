//! The servers that are measured, each a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use openline_load::Target;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::pinning;

/// How long a server has to say where it listens: the host may have to compile
/// its component first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a server that says nothing is asked whether it accepts.
const KNOCK_AGAIN: Duration = Duration::from_millis(1);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// hyper and tokio-tungstenite, one flush for all that was read
    Native,
    /// The same with a flush for each message
    NativeFlushEach,
    /// The host with the plain echo function
    Echo,
    /// The host with the asynchronous echo function
    EchoAsync,
}

/// Where the programs and the functions are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) host: PathBuf,
    pub(crate) native: PathBuf,
    /// Read buffer of the native server's connections, in bytes.
    pub(crate) native_read_buffer: usize,
    pub(crate) guests: PathBuf,
}

/// A server that listens; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Kept, so that the server can go on writing.
    _stdout: BufReader<ChildStdout>,
    pub(crate) target: Target,
    pub(crate) process: u32,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeFlushEach => "native, flush each",
            Self::Echo => "echo",
            Self::EchoAsync => "echo-async",
        }
    }

    /// The program, its arguments, and the path of the echo.
    fn command(self, programs: &Programs) -> (&Path, Vec<PathBuf>, &'static str) {
        let native = |more: &[&str]| {
            let buffer = programs.native_read_buffer.to_string();
            let buffer = ["--read-buffer", &buffer].map(PathBuf::from);
            buffer
                .into_iter()
                .chain(more.iter().map(PathBuf::from))
                .collect()
        };
        let function = |name: &str| vec!["run".into(), programs.guests.join(name)];
        match self {
            Self::Native => (&programs.native, native(&[]), "/"),
            Self::NativeFlushEach => (&programs.native, native(&["--flush-each"]), "/"),
            Self::Echo => (&programs.host, function("echo.wasm"), "/echo"),
            Self::EchoAsync => (&programs.host, function("echo-async.wasm"), "/echo-async"),
        }
    }

    /// Checks that the files are there, before anything is measured.
    pub(crate) fn check(self, programs: &Programs) -> anyhow::Result<()> {
        let (program, arguments, _) = self.command(programs);
        if !program.is_file() {
            let package = match self {
                Self::Native | Self::NativeFlushEach => "openline-end-to-end",
                Self::Echo | Self::EchoAsync => "openline",
            };
            bail!(
                "there is no program `{}`\nhint: `cargo build --release -p {package}`",
                program.display()
            );
        }
        let missing = arguments
            .iter()
            .find(|path| path.extension().is_some() && !path.is_file());
        if let Some(path) = missing {
            bail!(
                "there is no function `{}`\nhint: `make guests`",
                path.display()
            );
        }
        Ok(())
    }

    /// Starts the server on these CPUs and waits until it listens.
    pub(crate) async fn start(
        self,
        programs: &Programs,
        cpus: Option<&str>,
    ) -> anyhow::Result<Running> {
        let (program, arguments, path) = self.command(programs);
        let mut command = pinning::command(program, cpus);
        command.args(arguments).args(["--listen", "127.0.0.1:0"]);
        Running::start(command, self.name(), path).await
    }
}

/// How a server lets know that it listens.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ready {
    /// Its first line on stdout ends with `http://ADDRESS`.
    Says,
    /// Its first line on stdout is an object with the `port`, of the loopback
    /// address: workerd's `--control-fd`.
    SaysPort,
    /// It does not: it accepts connections here.
    Accepts(SocketAddr),
}

impl Ready {
    async fn wait(self, stdout: &mut BufReader<ChildStdout>, name: &str) -> anyhow::Result<String> {
        if let Self::Accepts(address) = self {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(KNOCK_AGAIN).await;
            }
            return Ok(address.to_string());
        }
        let mut line = String::new();
        stdout.read_line(&mut line).await?;
        let address = match self {
            Self::Says => line.split("http://").nth(1).map(str::to_owned),
            _ => {
                let said: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                let port = said.get("port").and_then(serde_json::Value::as_u64);
                port.map(|port| format!("127.0.0.1:{port}"))
            }
        };
        let address =
            address.with_context(|| format!("{name} did not say where it listens: `{line}`"))?;
        Ok(address.trim().trim_end_matches('/').to_owned())
    }
}

impl Running {
    /// Starts a server and waits until it says where it listens. The target
    /// is `path` there.
    pub(crate) async fn start(command: Command, name: &str, path: &str) -> anyhow::Result<Self> {
        Self::start_until(Ready::Says, command, name, path).await
    }

    /// Starts a server and waits until it listens. The target is `path` there.
    pub(crate) async fn start_until(
        ready: Ready,
        mut command: Command,
        name: &str,
        path: &str,
    ) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the server {name}"))?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let process = child.id().context("the server has ended")?;
        let mut stdout = BufReader::new(stdout);
        let address = tokio::time::timeout(START_TIMEOUT, ready.wait(&mut stdout, name))
            .await
            .with_context(|| format!("{name} did not start within {START_TIMEOUT:?}"))??;
        let target = format!("ws://{address}{path}").parse()?;
        Ok(Self {
            child,
            _stdout: stdout,
            target,
            process,
        })
    }

    /// Kills the server and waits until it is gone.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot stop the server")
    }
}
