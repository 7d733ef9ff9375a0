//! A server's process: what it is told, when it listens, and its end.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

use super::Place;

/// A server that listens; dropping it kills it.
pub(super) struct Started {
    child: Child,
    /// Kept, so that the server can go on writing.
    _stdout: BufReader<ChildStdout>,
    pub(super) address: SocketAddr,
}

impl Place {
    /// What a configuration says of a host with a data directory.
    pub(super) fn data(&self) -> String {
        format!("data = {:?}", self.folder.path().join("data"))
    }

    pub(super) fn native(&self) -> Command {
        let mut command = Command::new(&self.native);
        command.args(["--listen", "127.0.0.1:0"]);
        command
    }

    /// The host with these functions, each on a route of its name; `server` and
    /// `instance` are what is said about the host and the instances of each.
    pub(super) fn host(
        &self,
        functions: &[&str],
        server: &str,
        instance: &str,
    ) -> anyhow::Result<Command> {
        let folder = self.folder.path();
        let cache = folder.join("cache");
        let mut text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\ncache = {cache:?}\ndrain_timeout = \"0 s\"\n{server}\n"
        );
        for name in functions {
            let component = self.guests.join(format!("{name}.wasm"));
            let _ = writeln!(
                text,
                "[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"/{name}\"\n[function.instance]\n{instance}"
            );
        }
        let file = folder.join("openline.toml");
        fs::write(&file, text)?;
        let mut command = Command::new(&self.host);
        command.args(["serve", "--log", "error", "--config"]);
        command.arg(file).stderr(Stdio::null());
        Ok(command)
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
        let address = line.split("http://").nth(1).map(str::trim);
        let address = address
            .with_context(|| format!("the server did not say where it listens: `{line}`"))?
            .trim_end_matches('/')
            .parse()?;
        Ok(Self {
            child,
            _stdout: stdout,
            address,
        })
    }

    /// Resident bytes.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1));
        let kibibytes: u64 = kibibytes.context("no VmRSS")?.parse()?;
        Ok(kibibytes * 1024)
    }

    /// Has it end in order, so that the next one finds nothing to mend.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        let process = self.child.id().to_string();
        let told = Command::new("kill").args(["-TERM", &process]).status();
        ensure!(told?.success(), "the server cannot be told to end");
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
