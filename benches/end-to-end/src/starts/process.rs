//! A server's process: what it is told, when it listens, and its end. It blocks:
//! a runtime would take a part of what is measured.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::Context;
use openline_kit::configuration::Configuration;
use openline_kit::process::{address_in, signal};
use openline_load::process::resident_bytes;
use tempfile::NamedTempFile;

use super::Place;

/// A server that listens; dropping it kills it.
pub(super) struct Started {
    child: Child,
    /// Kept, so that the server can go on writing.
    _stdout: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

impl Place {
    /// The configuration's line for a host with a data directory.
    pub(super) fn data(&self) -> String {
        format!("data = {:?}", self.folder.path().join("data"))
    }

    pub(super) fn native(&self) -> Command {
        let mut command = Command::new(&self.native);
        command.args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// The host with these functions, each on a route of its name; `server` and
    /// `instance` are what is said about the host and the instances of each. The
    /// file must be there until it listens.
    pub(super) fn host(
        &self,
        functions: &[&str],
        server: &str,
        instance: &str,
    ) -> anyhow::Result<(Command, NamedTempFile)> {
        let cache = self.folder.path().join("cache");
        let server = format!("cache = {cache:?}\ndrain_timeout = \"0 s\"\n{server}");
        let instance = format!("[function.instance]\n{instance}");
        let configuration = functions
            .iter()
            .fold(Configuration::new(&server), |all, name| {
                let component = self.programs.function(name);
                all.function(name, &component, &format!("/{name}"), &instance)
            });
        let host = tokio::process::Command::new(&self.programs.host);
        let (command, file) = configuration.serve(host)?;
        let mut command = command.into_std();
        command.stderr(Stdio::null());
        Ok((command, file))
    }
}

impl Started {
    /// Starts a server and waits until it says where it listens.
    pub(super) fn start(mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("the server cannot be started")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let address = address_in(&line);
        Ok(Self {
            address: address
                .with_context(|| format!("the server did not say where it listens: `{line}`"))?,
            child,
            _stdout: stdout,
        })
    }

    /// Resident bytes.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        Ok(resident_bytes(self.child.id())?)
    }

    /// Has it end in order, so that the next one finds nothing to mend.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        signal(self.child.id(), "TERM").context("the server cannot be told to end")?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
