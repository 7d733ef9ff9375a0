//! Where the servers' programs are, which version they have, and how each is
//! started: one process, no options beyond what its documentation recommends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command as Probe, Stdio};

use anyhow::Context;
use openline_kit::configuration::Configuration;
use openline_kit::process::{Ready, Running, START_TIMEOUT, unused_address};
use openline_kit::programs;
use openline_load::Target;
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::peer::Peer;
use crate::pinning;

/// Read buffer of the native server for large messages, in bytes: what the host's
/// has then grown to.
const NATIVE_READ_BUFFER_LARGE: usize = 32 << 10;

/// Instances of the function, for 20,000 connections at the default
/// concurrency of 100: the default has room for 10,000.
const INSTANCES: u32 = 200;
/// The same where each connection has its own: the thousand that are measured,
/// and some.
const INSTANCES_ISOLATED: u32 = 1_100;

/// The work of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    Echo,
    /// Messages that are larger than the first read buffer; as `Echo` for all
    /// but the native echo.
    EchoLarge,
    /// The host's function with `concurrency = 1`; as `Echo` for others.
    EchoIsolated,
    /// With permessage-deflate, without context takeover.
    EchoCompressed,
    FanOut,
}

/// Where the programs and the functions are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) ours: programs::Programs,
    pub(crate) native: PathBuf,
    /// Read buffer of the native server's connections, in bytes.
    pub(crate) native_read_buffer: usize,
    /// The folder that `benches/peers/setup.sh` has filled.
    pub(crate) peers: PathBuf,
    /// Whether what they say on stderr is shown.
    pub(crate) are_loud: bool,
}

/// A server that listens; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Started {
    running: Running,
    pub(crate) target: Target,
    pub(crate) process: u32,
}

impl Started {
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.running.kill().await.context("it cannot be stopped")
    }
}

impl Programs {
    /// The server's version, as it says itself, or why it cannot be measured.
    pub(crate) fn version(&self, peer: Peer) -> Result<String, String> {
        let program = self.program(peer)?;
        let said = || version_of(&program).ok_or("it does not say its version".to_owned());
        match peer {
            Peer::Native | Peer::NativeFlushEach => {
                exists(&program)?;
                Ok("hyper 1, tokio-tungstenite 0.30".to_owned())
            }
            Peer::Openline | Peer::OpenlineAsync => {
                for name in ["echo", "echo-async", "fan-out"] {
                    exists(&self.ours.function(name))?;
                }
                said()
            }
            Peer::Bun => Ok(format!("Bun {}", said()?)),
            Peer::Node => {
                let package = self.peers.join("node_modules/ws/package.json");
                let text = fs::read(&package).map_err(|_| missing(&package))?;
                let package: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
                let version = package.get("version").and_then(|version| version.as_str());
                Ok(format!("Node {}, ws {}", said()?, version.unwrap_or("?")))
            }
            Peer::Deno | Peer::Workerd => said(),
            // The program calls itself a development build.
            Peer::Websocketd => {
                exists(&program)?;
                let version = fs::read_to_string(self.peers.join("websocketd/version"));
                let version = version.unwrap_or_default();
                Ok(format!("websocketd {} (Debian)", version.trim()))
            }
        }
    }

    fn program(&self, peer: Peer) -> Result<PathBuf, String> {
        let package = |scope: &str, file: &str| {
            let folder = self.peers.join("node_modules").join(scope);
            let packages = fs::read_dir(&folder).into_iter().flatten().flatten();
            // One for each platform that might be this one.
            let mut programs = packages.map(|package| package.path().join(file));
            let found = programs.find(|program| version_of(program).is_some());
            found.ok_or_else(|| missing(&folder))
        };
        match peer {
            Peer::Native | Peer::NativeFlushEach => Ok(self.native.clone()),
            Peer::Openline | Peer::OpenlineAsync => Ok(self.ours.host.clone()),
            Peer::Bun => package("@oven", "bin/bun"),
            Peer::Deno => package("@deno", "deno"),
            Peer::Node => Ok("node".into()),
            Peer::Workerd => package("@cloudflare", "bin/workerd"),
            Peer::Websocketd => Ok(self.peers.join("websocketd/usr/bin/websocketd")),
        }
    }

    /// Starts a server on these CPUs and waits until it listens. Its target is
    /// the echo, or for [`Work::FanOut`] where subscribers connect.
    pub(crate) async fn start(
        &self,
        peer: Peer,
        work: Work,
        cpus: Option<&str>,
    ) -> anyhow::Result<Started> {
        let program = self.program(peer).map_err(anyhow::Error::msg)?;
        let mut command = pinning::command(&program, cpus);
        let mut ready = Ready::Says;
        // Read while the host starts.
        let mut _file: Option<NamedTempFile> = None;
        match peer {
            Peer::Native | Peer::NativeFlushEach => {
                let buffer = match work {
                    Work::EchoLarge => self.native_read_buffer.max(NATIVE_READ_BUFFER_LARGE),
                    _ => self.native_read_buffer,
                };
                command.args(["--read-buffer", &buffer.to_string()]);
                if peer == Peer::NativeFlushEach {
                    command.arg("--flush-each");
                }
            }
            Peer::Openline | Peer::OpenlineAsync => {
                let configured = self.configure(peer, work).serve(command)?;
                (command, _file) = (configured.0, Some(configured.1));
            }
            Peer::Bun => self.script(&mut command, &[], "bun.js"),
            Peer::Deno => self.script(&mut command, &["run", "--allow-net"], "deno.js"),
            Peer::Node => self.script(&mut command, &[], "node.js"),
            Peer::Workerd => {
                ready = Ready::SaysPort;
                self.script(&mut command, &["serve", "--control-fd=1"], "workerd.capnp");
            }
            Peer::Websocketd => {
                let address = unused_address()?;
                ready = Ready::Accepts(address);
                let port = format!("--port={}", address.port());
                command.args(["--address=127.0.0.1", &port, "--loglevel=error", "cat"]);
            }
        }
        if work == Work::EchoCompressed {
            // Read by the scripts.
            command.env("COMPRESSION", "shared");
        }
        if !self.are_loud {
            command.stderr(Stdio::null());
        }
        let path = match (work, peer) {
            (Work::FanOut, _) => "/fan-out/subscribe",
            (_, Peer::Openline | Peer::OpenlineAsync) => "/echo",
            _ => "/",
        };
        let running = Running::start_until(ready, command, START_TIMEOUT);
        let running = running.await.with_context(|| peer.name())?;
        Ok(Started {
            target: format!("ws://{}{path}", running.address).parse()?,
            process: running.process,
            running,
        })
    }

    fn script(&self, command: &mut Command, arguments: &[&str], file: &str) {
        command.args(arguments).arg(self.peers.join(file));
        command
            .env("NO_COLOR", "1")
            .env("DENO_NO_UPDATE_CHECK", "1");
    }

    /// The host's configuration: its defaults, but for room for more
    /// connections than they have.
    fn configure(&self, peer: Peer, work: Work) -> Configuration {
        let (name, route) = match (work, peer) {
            (Work::FanOut, _) => ("fan-out", "/fan-out/{role}"),
            (_, Peer::OpenlineAsync) => ("echo-async", "/echo"),
            _ => ("echo", "/echo"),
        };
        let (instances, concurrency) = match work {
            Work::EchoIsolated => (INSTANCES_ISOLATED, "concurrency = 1"),
            _ => (INSTANCES, ""),
        };
        let limit = match work {
            // The JSON message is above the default threshold.
            Work::EchoCompressed => "[function.limit]\ncompression = \"shared\"\n",
            _ => "",
        };
        let instance =
            format!("{limit}[function.instance]\ninstances = {instances}\n{concurrency}");
        Configuration::new(&format!("instances = {INSTANCES_ISOLATED}")).function(
            name,
            &self.ours.function(name),
            route,
            &instance,
        )
    }
}

/// The first line that the program prints for `--version`.
fn version_of(program: &Path) -> Option<String> {
    let mut probe = Probe::new(program);
    probe.arg("--version").stdin(Stdio::null());
    let output = probe
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?;
    // The platform and the kind of build follow in brackets.
    Some(line.split(" (").next().unwrap_or(line).trim().to_owned())
}

fn exists(file: &Path) -> Result<(), String> {
    file.is_file().then_some(()).ok_or_else(|| missing(file))
}

fn missing(file: &Path) -> String {
    format!("there is no `{}`", file.display())
}
