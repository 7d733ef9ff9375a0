//! The host that is soaked: a process of its own, its log in a file.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

/// How long the host has to say where it listens: it may have to compile two
/// dozen components first.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A host that listens; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Host {
    child: Child,
    /// Kept, so that the host can go on writing.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    pub(crate) process: u32,
}

impl Host {
    /// Starts the host and waits until it listens. Its log goes to a file.
    pub(crate) async fn start(
        program: &Path,
        configuration: &Path,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let log_file = File::create(log).with_context(|| log.display().to_string())?;
        let mut child = Command::new(program)
            .args(["serve", "--config"])
            .arg(configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        let stdout = child.stdout.take().context("the host has no stdout")?;
        let process = child.id().context("the host has ended")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        tokio::time::timeout(START_TIMEOUT, stdout.read_line(&mut line))
            .await
            .with_context(|| format!("the host did not start within {START_TIMEOUT:?}"))??;
        let address = line.split("http://").nth(1).map(str::trim);
        let Some(address) = address.and_then(|address| address.parse().ok()) else {
            // What it said about that is the message.
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the host did not start: {}", said.trim());
        };
        Ok(Self {
            child,
            _stdout: stdout,
            address,
            process,
        })
    }

    /// Asks the host to end, as an orchestrator does.
    pub(crate) async fn terminate(&self) -> anyhow::Result<()> {
        let status = Command::new("kill")
            .args(["-TERM", &self.process.to_string()])
            .status()
            .await
            .context("cannot run `kill`")?;
        if !status.success() {
            bail!("the host had ended before it was asked to");
        }
        Ok(())
    }

    /// Waits for the host's end, so long. None: it has not ended.
    pub(crate) async fn ended(&mut self, within: Duration) -> anyhow::Result<Option<ExitStatus>> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => Ok(Some(status.context("cannot wait for the host")?)),
            Err(_) => Ok(None),
        }
    }
}
