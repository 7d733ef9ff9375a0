//! The adversary: random configurations and random operations against the real
//! binary, and judges that watch all the time.
//!
//! `cargo test -p openline --test adversary -- --help` says how to use it. A
//! seed makes a plan; what fails is shrunk, and written as a plan that
//! `--plan FILE` carries out again. It is a program of its own, so that no
//! other test disturbs its times.
#![expect(unreachable_pub, reason = "a test binary has no outside")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
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
mod peer;
mod plan;
mod run;
mod shrink;
mod soak;
mod strangers;
mod swarm;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use clap::Parser;
use parking_lot::Mutex;
use tokio::time::Instant;

use judge::Violation;
use plan::{Component, Plan};
use run::{Outcome, Setup};
use shrink::Shrinking;

/// The letter in the guests by which versions differ is the last of this.
const VERSION: &[u8] = b"adversary-version-a";

/// Tries what no author thought of.
#[derive(Parser)]
#[command(
    after_help = "examples:\n  --seed 7 --count 1           one plan\n  --budget 3600                as many plans as an hour allows\n  --plan FILE                  a plan that has failed, once more\n  --soak --budget 600          ten minutes of plans in one host"
)]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many plans.
    #[arg(long)]
    count: Option<u64>,
    /// For so many seconds; the default is what each test run takes.
    #[arg(long, default_value_t = 120)]
    budget: u64,
    /// One host lives through all plans, and must keep nothing of any.
    #[arg(long)]
    soak: bool,
    /// Carries out a plan from a file.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// Another binary than the one that was built with this.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where plans that fail are written, and each run has its files.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// How long to shrink a plan that fails, in seconds.
    #[arg(long, default_value_t = 240)]
    shrink: u64,
    /// How many plans are carried out side by side.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Ends with the first plan that breaks one of these invariants.
    #[arg(long, value_name = "INVARIANT", value_delimiter = ',')]
    until: Vec<String>,
    /// Says what happened how often.
    #[arg(long)]
    counts: bool,
    /// Words that choose tests; this one is `adversary`.
    #[arg(hide = true)]
    filter: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if !arguments.filter.is_empty() && !arguments.filter.iter().any(|it| "adversary".contains(it)) {
        return ExitCode::SUCCESS;
    }
    let usual = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("adversary");
    let folder = arguments.folder.clone().unwrap_or_else(usual);
    fs::create_dir_all(&folder).unwrap();
    // Hosts are started in folders below it.
    let folder = folder.canonicalize().unwrap();
    let setup = Setup {
        binary: arguments
            .binary
            .clone()
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_openline").into()),
        components: components(&folder),
        echo: openline_guests::ECHO.into(),
        folder,
    };
    if arguments.soak {
        return match soak::run(&setup, &arguments) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        };
    }
    let (held, failed) = try_plans(&setup, &arguments);
    println!("adversary: {held} passed, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Carries out plans side by side; answers how many held and how many failed.
fn try_plans(setup: &Setup, arguments: &Arguments) -> (usize, usize) {
    let (held, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let awaited = AtomicBool::new(false);
    let begun = Instant::now();
    let budget = Duration::from_secs(arguments.budget);
    let plans = Mutex::new(plans(arguments).enumerate());
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

fn plans(arguments: &Arguments) -> Box<dyn Iterator<Item = Plan> + Send> {
    if let Some(file) = &arguments.plan {
        let plan = Plan::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        return Box::new(std::iter::once(plan));
    }
    let count = arguments.count.unwrap_or(u64::MAX);
    let seeds = (arguments.seed..).take(usize::try_from(count).unwrap());
    Box::new(seeds.map(plan_of))
}

/// Two of three seeds concentrate on a few features; the others have classes of
/// operations switched on.
fn plan_of(seed: u64) -> Plan {
    match focus::plan(seed) {
        Some(plan) => plan,
        None => swarm::widen(generate::plan(seed)),
    }
}

/// Answers which invariants were broken.
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

/// Writes the plan and what was seen of it, and says where.
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

/// Two versions of each handler.
fn components(folder: &Path) -> Vec<(Component, PathBuf)> {
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
        for version in ['a', 'b'] {
            let mut bytes = bytes.clone();
            bytes[at] = u8::try_from(version).unwrap();
            let name = if asynchronous { "async" } else { "plain" };
            let file = folder.join(format!("{name}-{version}.wasm"));
            fs::write(&file, bytes).unwrap();
            let component = Component {
                asynchronous,
                version,
            };
            components.push((component, file));
        }
    }
    components
}
