//! The soak from its start to its end: a host, a baseline, two equal rounds of
//! load with a look at what is left after each, the permits, the drain.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use crate::arguments::Arguments;
use crate::check::{self, Check};
use crate::configuration::Configuration;
use crate::drain::drain;
use crate::host::Host;
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
    let programs = arguments.programs()?;
    let plan = Plan {
        connections: arguments.connections,
        connections_per_second: arguments.connections_per_second,
        length: arguments.round()?,
        seed: arguments
            .seed
            .unwrap_or_else(|| fastrand::u64(1..=SEED_MAX)),
        choice: arguments.choice()?,
    };
    let configuration = Configuration::new(plan.connections, &programs.guests)?;
    allow_files(u64::from(configuration.connections) + SPARE_FILES)?;
    let folder = tempfile::tempdir().context("cannot make a folder for the host")?;
    let file = folder.path().join("openline.toml");
    std::fs::write(&file, &configuration.text).context("cannot write the configuration")?;
    let log = folder.path().join("host.log");
    tell(&format!(
        "{} connections, two rounds of {:?}, seed {}",
        plan.connections, plan.length, plan.seed
    ));
    let host = Host::start(&programs.host, &file, &log).await?;
    let is_ok = Box::pin(soak(host, plan, configuration.connections)).await;
    if !matches!(is_ok, Ok(true)) {
        keep(folder, &log);
    }
    is_ok
}

/// Leaves the host's log for whoever looks for the cause.
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

async fn soak(mut host: Host, plan: Plan, connections_max: u32) -> anyhow::Result<bool> {
    let site = Arc::new(Site {
        host: host.address,
        tally: Tally::default(),
    });
    let progress = Progress::new(&site, host.process);
    let mut checks: Checks = Vec::new();

    tell("warming up");
    round::warm_up(&site, &plan).await;
    settle::baseline(site.host, host.process).await?;
    round::stir(&site).await;
    let baseline = settle::baseline(site.host, host.process).await?;

    let first = one_round(&site, &host, &progress, &plan, "round 1", &baseline).await?;
    checks.push(left(&site, "after round 1", &baseline, &first));
    let second = one_round(&site, &host, &progress, &plan, "round 2", &baseline).await?;
    checks.push(left(&site, "after round 2", &baseline, &second));
    checks.push((
        "memory".to_owned(),
        check::memory(plan.connections, &baseline, &first, &second),
    ));
    checks.push(("peers".to_owned(), vec![check::peers(&site.tally)]));

    tell("counting permits");
    let mut permits = permits::connections(&site, connections_max).await;
    settle::again(site.host, host.process, &baseline).await?;
    permits.push(permits::requests(&site).await?);
    let last = settle::again(site.host, host.process, &baseline).await?;
    permits.extend(check::nothing_left(&baseline, &last));
    permits.extend(all_ended(&site, &last));
    checks.push(("permits, and what they left".to_owned(), permits));

    tell("draining");
    checks.push(("end".to_owned(), drain(&site, &mut host).await?));

    let report = Report {
        seed: plan.seed,
        baseline: &baseline,
        last: &second,
        resident_bytes_peak: progress.resident_bytes_peak(),
        tally: &site.tally,
        checks: &checks,
    };
    drop(progress);
    std::io::stdout()
        .write_all(report.render().as_bytes())
        .context("cannot write the report")?;
    Ok(report.is_ok())
}

/// A round, and the wait for the host to be as it was.
async fn one_round(
    site: &Arc<Site>,
    host: &Host,
    progress: &Progress,
    plan: &Plan,
    part: &'static str,
    baseline: &Reading,
) -> anyhow::Result<Reading> {
    let showing = progress.show(part, plan.length);
    round::run(site, plan).await;
    drop(showing);
    tell(&format!("{part}: every peer is through, the host settles"));
    settle::again(site.host, host.process, baseline).await?;
    round::stir(site).await;
    settle::again(site.host, host.process, baseline).await
}

fn left(site: &Site, part: &str, baseline: &Reading, now: &Reading) -> (String, Vec<Check>) {
    let mut checks = check::nothing_left(baseline, now);
    checks.extend(all_ended(site, now));
    (part.to_owned(), checks)
}

fn all_ended(site: &Site, now: &Reading) -> Vec<Check> {
    let opened = site.tally.opened.load(std::sync::atomic::Ordering::Relaxed);
    check::all_ended(&now.state, opened)
}
