//! Tests of the adversary's own options, before the plans of a run without any.
//! They start this very program again, which must refuse what it cannot carry
//! out: a run that tries nothing would pass for one that found nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;

use super::options::Arguments;
use super::plan::{Act, Timed};
use super::{focus, plans};

/// Whether a run has no options of its own, only words that choose tests.
pub fn are_due(arguments: &Arguments) -> bool {
    std::env::args().count() == 1 + arguments.filter.len()
}

/// Panics if an option is refused that can be carried out, or the other way
/// round.
pub fn check(folder: &Path) {
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(path("no-plan.json"), "{").unwrap();
    let plan = || focus::calm(&mut fastrand::Rng::with_seed(0), false);
    let (mut versionless, mut functionless) = (plan(), plan());
    versionless.functions[0].component.version = 'z';
    let what = Act::Away(versionless.functions.len(), 1);
    functionless.operator.push(Timed { at_ms: 0, what });
    for (name, plan) in [
        ("no-version.json", versionless),
        ("no-function.json", functionless),
    ] {
        fs::write(path(name), plan.json()).unwrap();
    }
    let last = u64::MAX.to_string();
    for (options, said) in [
        (["--count", "0"], "--count"),
        (["--until", "nonsense"], "one writer"),
        (["--until", "order,"], "one writer"),
        (["--jobs", "0"], "1..=64"),
        (["--jobs", "65"], "1..=64"),
        (["--budget", &last], "31536000"),
        (["--shrink", &last], "31536000"),
        (
            ["--plan", &path("missing.json")],
            "missing.json`: No such file",
        ),
        (["--plan", &path("no-plan.json")], "no-plan.json`: EOF"),
        (["--plan", &path("no-version.json")], "version `z`"),
        (["--plan", &path("no-function.json")], "function 1 of 1"),
        (["--folder", &path("no-plan.json")], "no-plan.json`: "),
        (["--folder", "/dev/null/folder"], "/dev/null/folder`: "),
        (["--binary", &path("missing")], "missing`: No such file"),
        (["--binary", folder.to_str().unwrap()], "is not a file"),
    ] {
        refused(&options, said);
    }
    refused(&["--seed", &last, "--count", "2"], "so many seeds");
    // At their limits.
    for (options, seeds) in [
        (["--seed", &last, "--count", "1"], vec![u64::MAX]),
        (["--seed", "7", "--count", "2"], vec![7, 8]),
    ] {
        let arguments = Arguments::parse_from(["adversary"].iter().chain(&options));
        let plans = plans(&arguments).unwrap();
        assert_eq!(plans.map(|plan| plan.seed).collect::<Vec<_>>(), seeds);
    }
    let most = ["adversary", "--jobs", "64", "--until", "order,one writer"];
    assert_eq!(Arguments::parse_from(most).until, ["order", "one writer"]);
}

/// This program refuses these options, in these words among others.
fn refused(options: &[&str], said: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
    assert!(error.starts_with("error: "), "{options:?}: {error}");
    assert!(error.contains(said), "{options:?}: {error}");
    let hint = error.contains("\nhint: ") || error.contains("--help");
    assert!(hint, "{options:?}: {error}");
}
