//! The servers that are measured, and how each is started: one process, no options
//! beyond what its documentation recommends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command as Probe, Stdio};

use anyhow::Context;
use openline_kit::process::{Ready, Running, START_TIMEOUT, unused_address};
use openline_kit::programs::{self, Programs};
use tempfile::TempDir;
use tokio::process::Command;

use crate::pinning;

/// The host's configuration: its defaults, with room for those that listen, and with
/// leave to call one other server.
const HOST: &str = r#"
[server]
listen = "127.0.0.1:0"

[[function]]
name = "hello"
component = "HELLO"

[[function.trigger]]
route = "/{*path}"
methods = ["GET", "POST"]

[function.outbound]
hosts = [OTHER]

[[function]]
name = "greeter"
component = "GREETER"

[[function.trigger]]
route = "/openline.greeter.v1.Greeter/{method}"
methods = ["POST"]

[[function]]
name = "notify"
component = "NOTIFY"

[[function.trigger]]
route = "/notify/{channel}"
methods = ["GET", "POST"]

[function.instance]
instances = 200
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Native,
    Openline,
    OpenlineAsync,
    Wasmtime,
    WasmtimeAsync,
    Deno,
    Bun,
}

pub(super) const ALL: [Server; 7] = [
    Server::Native,
    Server::Openline,
    Server::OpenlineAsync,
    Server::Wasmtime,
    Server::WasmtimeAsync,
    Server::Deno,
    Server::Bun,
];

/// What a server is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// The answers of `guests/faults/hello`.
    Answers,
    Calls,
    Events,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Openline => "openline",
            Self::OpenlineAsync => "openline, async",
            Self::Wasmtime => "wasmtime serve",
            Self::WasmtimeAsync => "wasmtime serve, async",
            Self::Deno => "Deno",
            Self::Bun => "Bun",
        }
    }

    pub(super) fn does(self, work: Work) -> bool {
        match work {
            Work::Answers => true,
            // The sample is asynchronous, and what others have is not this service.
            Work::Calls => matches!(self, Self::Native | Self::OpenlineAsync),
            Work::Events => matches!(self, Self::Native | Self::Openline | Self::Deno | Self::Bun),
        }
    }
}

/// Where everything is.
pub(super) struct Site {
    ours: Programs,
    native: PathBuf,
    wasmtime: Option<PathBuf>,
    /// The folder that `benches/peers/setup.sh` has filled.
    peers: PathBuf,
}

/// A server that listens; dropping it kills it.
pub(super) struct Started {
    pub(super) running: Running,
    /// Its configuration.
    _folder: TempDir,
}

impl Site {
    pub(super) fn new(ours: Programs, wasmtime: Option<&Path>) -> anyhow::Result<Self> {
        let native = programs::program(None, "native_http")?;
        programs::exists(&native, "cargo build --release -p openline-end-to-end")?;
        let host = std::path::absolute(&ours.host).context("no current folder")?;
        let wasmtime = wasmtime.map(std::path::absolute).transpose();
        Ok(Self {
            ours: Programs { host, ..ours },
            native,
            wasmtime: wasmtime.context("no current folder")?,
            peers: programs::target()?.join("peers"),
        })
    }

    /// The version of a server that is there.
    pub(super) fn version(&self, server: Server) -> Option<String> {
        if server == Server::Native {
            return Some("hyper 1, tonic 0.14".to_owned());
        }
        let mut probe = Probe::new(self.program(server)?);
        let output = probe.arg("--version").stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let line = text.lines().next()?;
        let version = line.split(" (").next().unwrap_or(line).trim();
        // Bun says its number alone.
        let is_number = version.starts_with(|first: char| first.is_ascii_digit());
        Some(match is_number {
            true => format!("{} {version}", server.name()),
            false => version.to_owned(),
        })
    }

    fn program(&self, server: Server) -> Option<PathBuf> {
        let package = |scope: &str, file: &str| {
            let packages = fs::read_dir(self.peers.join("node_modules").join(scope));
            let mut programs = packages.ok()?.flatten().map(|each| each.path().join(file));
            programs.find(|program| program.is_file())
        };
        match server {
            Server::Native => Some(self.native.clone()),
            Server::Openline | Server::OpenlineAsync => Some(self.ours.host.clone()),
            Server::Wasmtime | Server::WasmtimeAsync => self.wasmtime.clone(),
            Server::Deno => package("@deno", "deno"),
            Server::Bun => package("@oven", "bin/bun"),
        }
    }

    /// Starts a server on these CPUs, which may call `other`, and waits until it
    /// listens.
    pub(super) async fn start(
        &self,
        server: Server,
        work: Work,
        other: Option<SocketAddr>,
        cpus: Option<&str>,
    ) -> anyhow::Result<Started> {
        let program = self.program(server).context("it is not there")?;
        let folder = TempDir::new()?;
        let mut command = pinning::command(&program, cpus);
        let mut ready = Ready::Says;
        match server {
            Server::Native => {
                command.args((work == Work::Calls).then_some("--grpc"));
            }
            Server::Openline | Server::OpenlineAsync => {
                let file = folder.path().join("openline.toml");
                fs::write(&file, self.configuration(server, other))?;
                command.args(["serve", "--log", "error", "--config"]);
                command.arg(file);
            }
            Server::Wasmtime | Server::WasmtimeAsync => {
                let address = unused_address()?;
                ready = Ready::Accepts(address);
                command.args(["serve", "-Scli", "--addr", &address.to_string()]);
                if server == Server::WasmtimeAsync {
                    command.args(["-Sp3", "-Wcomponent-model-async"]);
                }
                command.arg(self.ours.function(function(server)));
            }
            Server::Deno => script(
                &mut command,
                &["run", "--allow-net"],
                &self.peers.join("deno-http.js"),
            ),
            Server::Bun => script(&mut command, &[], &self.peers.join("bun-http.js")),
        }
        command.stderr(Stdio::null());
        let running = Running::start_until(ready, command, START_TIMEOUT).await;
        Ok(Started {
            running: running.with_context(|| server.name())?,
            _folder: folder,
        })
    }

    fn configuration(&self, server: Server, other: Option<SocketAddr>) -> String {
        let of = |name| self.ours.function(name).display().to_string();
        let other = other.map(|address| format!("\"http://{address}\""));
        HOST.replace("OTHER", &other.unwrap_or_default())
            .replace("HELLO", &of(function(server)))
            .replace("GREETER", &of("grpc"))
            .replace("NOTIFY", &of("notify"))
    }
}

fn function(server: Server) -> &'static str {
    match server {
        Server::OpenlineAsync | Server::WasmtimeAsync => "fault-hello-async",
        _ => "fault-hello",
    }
}

fn script(command: &mut Command, arguments: &[&str], file: &Path) {
    command.args(arguments).arg(file);
    command
        .env("NO_COLOR", "1")
        .env("DENO_NO_UPDATE_CHECK", "1");
}
