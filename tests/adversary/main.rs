//! The adversary: random configurations and random operations against the real
//! binary, and judges that watch all the time.
//!
//! `cargo test -p openline --test adversary -- --help` explains its use. A seed
//! makes a plan; a plan that fails is shrunk and written to a file, which
//! `--plan FILE` carries out again. It is a program of its own, so that other
//! tests do not disturb its times.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on should say so and fail"
)]

mod carried;
mod checks;
mod deployed;
mod endings;
mod focus;
mod generate;
mod host;
mod judge;
mod line;
mod log;
mod operator;
mod options;
mod peer;
mod plan;
mod refusals;
mod run;
mod shrink;
mod soak;
mod strangers;
mod swarm;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use parking_lot::Mutex;
use tokio::time::Instant;

use judge::Violation;
use options::{Arguments, Unusable};
use plan::{Component, Plan, VERSIONS};
use run::{Outcome, Setup};
use shrink::Shrinking;

/// The last letter of this text in the guests differs between versions.
const VERSION: &[u8] = b"adversary-version-a";

/// Plans in the order of their seeds, or one from a file.
type Plans = Box<dyn Iterator<Item = Plan> + Send>;

/// The exit code when the adversary's options cannot be carried out.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.filter.is_empty() && !arguments.filter.iter().any(|it| "adversary".contains(it)) {
        return ExitCode::SUCCESS;
    }
    let (setup, plans) = match prepare(&arguments) {
        Ok(prepared) => prepared,
        Err(unusable) => {
            eprintln!("error: {unusable}\nhint: {}", unusable.hint());
            return ExitCode::from(EXIT_USAGE);
        }
    };
    if refusals::are_due(&arguments) {
        refusals::check(&setup.folder);
    }
    if arguments.soak {
        return match soak::run(&setup, &arguments, plans) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    let (held, failed) = try_plans(&setup, &arguments, plans);
    println!("adversary: {held} passed, {failed} failed");
    match (held, failed) {
        // Without a plan nothing was tried.
        (1.., 0) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Finds and makes what is needed to carry out plans.
fn prepare(arguments: &Arguments) -> Result<(Setup, Plans), Unusable> {
    let plans = plans(arguments)?;
    let usual = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("adversary");
    let folder = arguments.folder.clone().unwrap_or_else(usual);
    let made = || {
        fs::create_dir_all(&folder)?;
        // Hosts are started in folders below it.
        let folder = folder.canonicalize()?;
        Ok((components(&folder)?, folder))
    };
    let (components, folder) = made().map_err(|error| Unusable::Folder {
        folder: folder.clone(),
        error,
    })?;
    let setup = Setup {
        binary: binary(arguments)?,
        components,
        echo: openline_guests::ECHO.into(),
        folder,
    };
    Ok((setup, plans))
}

/// The program under test. It is started in another folder.
fn binary(arguments: &Arguments) -> Result<PathBuf, Unusable> {
    let Some(file) = &arguments.binary else {
        return Ok(env!("CARGO_BIN_EXE_openline").into());
    };
    let found = file.canonicalize().and_then(|found| match found.is_file() {
        true => Ok(found),
        false => Err(io::Error::other("it is not a file")),
    });
    found.map_err(|error| Unusable::Binary {
        file: file.clone(),
        error,
    })
}

/// Carries out plans side by side; answers how many held and how many failed.
fn try_plans(setup: &Setup, arguments: &Arguments, plans: Plans) -> (usize, usize) {
    let (held, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let awaited = AtomicBool::new(false);
    let begun = Instant::now();
    let budget = Duration::from_secs(arguments.budget);
    let plans = Mutex::new(plans.enumerate());
    let is_over = |number: usize| {
        let late = arguments.count.is_none() && begun.elapsed() > budget;
        number > 0 && late || awaited.load(Ordering::Relaxed)
    };
    let work = || {
        while let Some((number, plan)) = { plans.lock().next() }
            && !is_over(number)
        {
            let broken = try_plan(setup, arguments, plan);
            let until = |invariant: &&str| arguments.until.iter().any(|it| it == invariant);
            if broken.iter().any(until) {
                awaited.store(true, Ordering::Relaxed);
            }
            let counter = if broken.is_empty() { &held } else { &failed };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    std::thread::scope(|scope| {
        (0..arguments.jobs.max(1)).for_each(|_| _ = scope.spawn(work));
    });
    (held.into_inner(), failed.into_inner())
}

fn plans(arguments: &Arguments) -> Result<Plans, Unusable> {
    if let Some(file) = &arguments.plan {
        let plan = Plan::read(file).map_err(|reason| Unusable::Plan {
            file: file.clone(),
            reason,
        })?;
        return Ok(Box::new(std::iter::once(plan)));
    }
    let seeds = arguments.seed..=arguments.last_seed()?;
    Ok(Box::new(seeds.map(plan_of)))
}

/// Two of three seeds concentrate on a few features; the others have classes of
/// operations switched on.
fn plan_of(seed: u64) -> Plan {
    match focus::plan(seed) {
        Some(plan) => plan,
        None => swarm::widen(generate::plan(seed)),
    }
}

/// Returns the broken invariants.
fn try_plan(setup: &Setup, arguments: &Arguments, plan: Plan) -> Vec<&'static str> {
    let begun = Instant::now();
    let outcome = setup.run(&plan, &format!("seed-{}", plan.seed));
    let (seed, seconds) = (plan.seed, begun.elapsed().as_secs_f32());
    let operations = plan.operations();
    let word = if outcome.violations.is_empty() {
        "held"
    } else {
        "BROKEN"
    };
    println!("seed {seed}: {word}, {operations} operations in {seconds:.1} s; {plan}");
    if arguments.counts {
        println!("  {:?}", outcome.counts);
    }
    let broken: Vec<_> = outcome.violations.iter().map(|it| it.invariant).collect();
    if broken.is_empty() {
        return broken;
    }
    report(setup, &plan, &outcome, "");
    let shrinking = Shrinking {
        setup,
        invariant: outcome.violations[0].invariant,
        until: Instant::now() + Duration::from_secs(arguments.shrink),
    };
    if arguments.shrink > 0 {
        let small = shrinking.shrink(plan);
        println!("  shrunk to {} operations; {small}", small.operations());
        report(setup, &small, &outcome, "-shrunk");
    }
    broken
}

/// Writes the plan and its results, and prints where.
fn report(setup: &Setup, plan: &Plan, outcome: &Outcome, suffix: &str) {
    let name = format!("failed-{}{suffix}", plan.seed);
    let file = |extension: &str| setup.folder.join(format!("{name}.{extension}"));
    fs::write(file("json"), plan.json()).unwrap();
    println!("  the plan: {}", file("json").display());
    if !suffix.is_empty() {
        return;
    }
    let mut text = format!("{plan}\n{:?}\n", outcome.counts);
    let mut kinds: BTreeMap<&str, &Violation> = BTreeMap::new();
    for violation in &outcome.violations {
        kinds.entry(violation.invariant).or_insert(violation);
        text += &format!("{}: {}\n", violation.invariant, violation.text);
        for line in &violation.trail {
            text += &format!("    {line}\n");
        }
    }
    for violation in kinds.values() {
        println!("  {}: {}", violation.invariant, violation.text);
        for line in violation.trail.iter().rev().take(8).rev() {
            println!("      {line}");
        }
    }
    fs::write(file("txt"), text).unwrap();
    fs::write(file("log"), &outcome.log).unwrap();
    println!(
        "  all that was broken: {}; the host's log: {}",
        file("txt").display(),
        file("log").display()
    );
}

/// All versions of each handler.
fn components(folder: &Path) -> io::Result<Vec<(Component, PathBuf)>> {
    let guests = [
        (false, openline_guests::FAULT_ADVERSARY),
        (true, openline_guests::FAULT_ADVERSARY_ASYNC),
    ];
    let mut components = Vec::new();
    for (asynchronous, path) in guests {
        let bytes = fs::read(path).unwrap();
        let at = bytes
            .windows(VERSION.len())
            .position(|window| window == VERSION);
        let at = at.expect("the guest holds its version") + VERSION.len() - 1;
        for version in VERSIONS {
            let mut bytes = bytes.clone();
            bytes[at] = u8::try_from(version).unwrap();
            let name = if asynchronous { "async" } else { "plain" };
            let file = folder.join(format!("{name}-{version}.wasm"));
            fs::write(&file, bytes)?;
            let component = Component {
                asynchronous,
                version,
            };
            components.push((component, file));
        }
    }
    Ok(components)
}
