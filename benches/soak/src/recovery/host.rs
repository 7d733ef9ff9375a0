//! The host that is disturbed: its configuration, its data directory and its
//! component, and what happens to it. It keeps its address.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use openline_kit::process::{Running, signal, unused_address};
use openline_kit::programs::Programs;
use openline_kit::versions::variant;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::progress::tell;

/// A function that does with channels as a message says.
pub(crate) const COMPONENT: &str = "fault-broker";

/// How long the host may take to end by itself.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// How long the host may take to compile and serve another version.
const RELOADED_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Something that happens to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// SIGKILL and a start.
    Kill,
    /// Another version, which takes the open connections.
    Migrate,
    /// SIGTERM and a start.
    Restart,
    /// Another version, for which connections come back.
    Drain,
}

impl Disturbance {
    pub(super) const ALL: [Self; 4] = [Self::Kill, Self::Migrate, Self::Restart, Self::Drain];

    /// As a report has it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Kill => "kills",
            Self::Migrate => "deploys that migrate connections",
            Self::Restart => "restarts",
            Self::Drain => "deploys that drain connections",
        }
    }
}

/// A host in a process of its own, with a folder.
#[derive(Debug)]
pub(super) struct Host {
    program: PathBuf,
    folder: tempfile::TempDir,
    component: Vec<u8>,
    /// Counts the versions.
    version: u8,
    address: SocketAddr,
    running: Option<Running>,
}

impl Host {
    pub(super) async fn start(programs: &Programs) -> anyhow::Result<Self> {
        let file = programs.function(COMPONENT);
        let mut host = Self {
            program: programs.host.clone(),
            folder: tempfile::tempdir().context("cannot make a folder for the host")?,
            component: fs::read(&file).with_context(|| file.display().to_string())?,
            version: 0,
            address: unused_address()?,
            running: None,
        };
        host.write(Disturbance::Migrate)?;
        host.begin().await?;
        Ok(host)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps its folder, so that a person can look for a cause.
    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
        tell(&format!(
            "the host's folder is {}",
            self.folder.path().display()
        ));
    }

    pub(super) async fn disturb(&mut self, disturbance: Disturbance) -> anyhow::Result<()> {
        let mut running = self.running.take().context("it has ended")?;
        match disturbance {
            Disturbance::Kill => running.kill().await?,
            Disturbance::Restart => {
                signal(running.process, "TERM")?;
                match running.ended(ENDED_WITHIN).await? {
                    Some(status) if status.success() => {}
                    other => bail!("the host did not end as it should: {other:?}"),
                }
            }
            Disturbance::Migrate | Disturbance::Drain => {
                self.version = self.version.wrapping_add(1);
                self.write(disturbance)?;
                let before = self.reloads()?;
                signal(running.process, "HUP")?;
                self.running = Some(running);
                return self.reloaded(before).await;
            }
        }
        self.begin().await
    }

    /// Waits until the host says that it serves the next version.
    async fn reloaded(&self, before: usize) -> anyhow::Result<()> {
        let end = Instant::now() + RELOADED_WITHIN;
        while self.reloads()? == before {
            if Instant::now() > end {
                bail!("the host has not deployed a version within {RELOADED_WITHIN:?}");
            }
            sleep(ASK_AGAIN).await;
        }
        Ok(())
    }

    /// How often the host has said that it has reloaded.
    fn reloads(&self) -> anyhow::Result<usize> {
        let log = fs::read_to_string(self.path("host.log"))?;
        if let Some(line) = log.lines().find(|line| line.contains("not reloaded")) {
            bail!("a version was not deployed: {line}");
        }
        Ok(log
            .lines()
            .filter(|line| line.contains("reloaded:"))
            .count())
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("host.log"))?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]);
        command.arg(self.path("openline.toml")).stderr(log);
        let running = Running::start(command).await;
        self.running = Some(running.with_context(|| {
            let said = fs::read_to_string(self.path("host.log")).unwrap_or_default();
            format!("the host did not start: {}", said.trim())
        })?);
        Ok(())
    }

    /// Writes the configuration and the component, which the host reads when it is
    /// asked to.
    fn write(&self, deploy: Disturbance) -> anyhow::Result<()> {
        let component = self.path("broker.wasm");
        replace(&component, &variant(&self.component, self.version))?;
        let migration = match deploy {
            Disturbance::Drain => "drain",
            _ => "migrate",
        };
        let Self { address, .. } = self;
        let configuration = format!(
            "[server]\nlisten = \"{address}\"\ndata = \"data\"\nadmin = \"off\"\n\n\
             [[function]]\nname = \"broker\"\ncomponent = {component:?}\nroute = \"/broker\"\n\
             migration = \"{migration}\"\n\n\
             [[function.channel]]\npattern = \"room:*\"\ndurable = true\n\
             history = {{ count = 50000, time = \"1 h\", bytes = \"64 MiB\" }}\n"
        );
        replace(&self.path("openline.toml"), configuration.as_bytes())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Replaces a file in one step: the host may be about to read it.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, bytes)?;
    fs::rename(new, path).with_context(|| path.display().to_string())
}
