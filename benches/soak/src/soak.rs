//! The soak from its start to its end: a host, a baseline, two equal rounds of
//! load with a look at what is left after each, the drain.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context, bail};
use openline_kit::process::Running;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::check::{self, Check};
use crate::configuration::{components, configuration};
use crate::drain::drain;
use crate::peer::Site;
use crate::permits;
use crate::progress::{Progress, tell};
use crate::report::Report;
use crate::round::{self, Plan};
use crate::settle::{self, Reading};
use crate::tally::Tally;

/// Files besides the connections: standard streams, the runtime's own, `/proc`.
const SPARE_FILES: u64 = 256;

/// Seeds that are easy to write down.
const SEED_MAX: u64 = 999_999;

type Checks = Vec<(String, Vec<Check>)>;

/// Whether all was as it should be.
pub(crate) async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let programs = arguments.programs.find(&components())?;
    let plan = Plan {
        connections: arguments.connections,
        connections_per_second: arguments.connections_per_second,
        length: arguments.round()?,
        seed: arguments
            .seed
            .unwrap_or_else(|| fastrand::u64(1..=SEED_MAX)),
        choice: arguments.choice()?,
    };
    let (configuration, connections_max) = configuration(plan.connections, &programs);
    allow_files(u64::from(connections_max) + SPARE_FILES)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the host")?;
    let file = folder.path().join("openline.toml");
    fs::write(&file, configuration.text()).context("cannot write the configuration")?;
    let log = folder.path().join("host.log");
    tell(&format!(
        "{} connections, two rounds of {:?}, seed {}",
        plan.connections, plan.length, plan.seed
    ));
    let host = start(&programs.host, &file, &log).await?;
    // The host is ended with this program, which is why it is not just left to
    // die of a signal.
    let is_ok = tokio::select! {
        is_ok = Box::pin(soak(host, plan, connections_max)) => is_ok,
        stopped = stopped() => stopped,
    };
    if !matches!(is_ok, Ok(true)) {
        keep(folder, &log);
    }
    is_ok
}

/// Starts the host, whose log goes to a file.
async fn start(host: &Path, file: &Path, log: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new(host);
    command.args(["serve", "--config"]).arg(file);
    command.stderr(File::create(log).with_context(|| log.display().to_string())?);
    Running::start(command).await.with_context(|| {
        // Its own words about that are the message.
        let said = fs::read_to_string(log).unwrap_or_default();
        format!("the host did not start: {}", said.trim())
    })
}

/// Waits until this program is asked to stop.
async fn stopped() -> anyhow::Result<bool> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupt = tokio::signal::ctrl_c() => interrupt?,
    }
    bail!("stopped before its end")
}

/// Keeps the host's log, so that a person can look for the cause.
fn keep(folder: tempfile::TempDir, log: &Path) {
    let _ = folder.keep();
    tell(&format!("the host's log is in {}", log.display()));
}

/// Raises this process's limit of open files; the host raises its own.
fn allow_files(needed: u64) -> anyhow::Result<()> {
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => bail!(
            "{needed} open files are needed, and the limit is {limit}\n\
             hint: `ulimit -n {needed}`, or ask for fewer connections"
        ),
        // Where the limit cannot be read or set, opening the files will tell.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// The things that all parts of a soak need.
struct Soak {
    host: Running,
    site: Arc<Site>,
    plan: Plan,
    /// The host's bound of connections.
    connections_max: u32,
    progress: Progress,
}

async fn soak(host: Running, plan: Plan, connections_max: u32) -> anyhow::Result<bool> {
    let site = Arc::new(Site {
        host: host.address,
        tally: Tally::default(),
    });
    let progress = Progress::new(&site, host.process);
    let mut soak = Soak {
        host,
        site,
        plan,
        connections_max,
        progress,
    };
    tell("warming up");
    let baseline = soak.warm_up().await?;
    let mut checks: Checks = Vec::new();
    let first = soak.round("round 1", &baseline, &mut checks).await?;
    let second = soak.round("round 2", &baseline, &mut checks).await?;
    checks.push((
        "memory".to_owned(),
        check::memory(&baseline, &first, &second),
    ));
    let peers = vec![check::peers(&soak.site.tally)];
    checks.push(("peers".to_owned(), peers));
    tell("draining");
    let end = drain(&soak.site, &mut soak.host, soak.connections_max).await?;
    checks.push(("end".to_owned(), end));

    let report = Report {
        seed: soak.plan.seed,
        baseline: &baseline,
        last: &second,
        resident_bytes_peak: soak.progress.resident_bytes_peak(),
        tally: &soak.site.tally,
        checks: &checks,
    };
    std::io::stdout()
        .write_all(report.render().as_bytes())
        .context("cannot write the report")?;
    Ok(report.is_ok())
}

impl Soak {
    /// Peers of every kind, then as many connections as the host allows: what
    /// it makes once, and keeps, is made before the baseline is read.
    async fn warm_up(&self) -> anyhow::Result<Reading> {
        let (address, process) = (self.site.host, self.host.process);
        round::warm_up(&self.site, &self.plan).await;
        settle::baseline(address, process).await?;
        permits::connections(&self.site, self.connections_max).await;
        settle::baseline(address, process).await
    }

    /// A round, the permits, and then what is left.
    async fn round(
        &self,
        part: &'static str,
        baseline: &Reading,
        checks: &mut Checks,
    ) -> anyhow::Result<Reading> {
        let (address, process) = (self.site.host, self.host.process);
        let showing = self.progress.show(part, self.plan.length);
        round::run(&self.site, &self.plan).await;
        drop(showing);
        tell(&format!(
            "{part}: every peer is through; counting what is left"
        ));
        settle::again(address, process, baseline).await?;
        let mut after = permits::connections(&self.site, self.connections_max).await;
        settle::again(address, process, baseline).await?;
        after.push(permits::requests(&self.site).await?);
        let left = settle::again(address, process, baseline).await?;
        after.extend(check::nothing_left(baseline, &left));
        let opened = self.site.tally.opened.load(Relaxed);
        after.extend(check::all_ended(&left.state, opened));
        checks.push((format!("after {part}"), after));
        Ok(left)
    }
}
