//! ARCHITECTURE.md's invariants and their checks are one list: each invariant
//! names checks that exist, and each check of the adversary's judges is named
//! by the invariant that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "adversary/checks.rs"]
mod checks;

use checks::CHECKS;

/// The judges' word for a failure of their own, not of the host.
const HARNESS: &str = "harness";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The invariants: the beginning of each, and the checks that it names.
fn invariants() -> BTreeMap<String, Vec<String>> {
    let text = read("ARCHITECTURE.md");
    let (_, section) = text.split_once("\n## Invariants\n").unwrap();
    let (section, _) = section.split_once("\nEvery queue and its bound").unwrap();
    let bullets = section.split("\n- **").skip(1);
    let invariants = bullets.map(|bullet| {
        let (title, rest) = bullet.split_once("**").unwrap();
        let held = rest.rsplit_once("*Held by:*").map_or("", |(_, held)| held);
        let names = held.split('`').skip(1).step_by(2);
        (title.to_owned(), names.map(str::to_owned).collect())
    });
    invariants.collect()
}

/// All sources of the adversary, except the list itself.
fn judges(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &judges(&path);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("checks.rs")
        {
            text += &fs::read_to_string(path).unwrap();
        }
    }
    text
}

#[test]
fn each_invariant_names_what_holds_it_and_that_is_there() {
    let invariants = invariants();
    assert!(invariants.len() > CHECKS.len(), "the list was not read");
    let lints = read("clippy.toml") + &read("Cargo.toml");
    let models = ["loom", "shuttle"].map(|of| read(&format!("host/models/{of}/tests/models.rs")));
    for (title, held) in &invariants {
        assert!(!held.is_empty(), "`{title}` does not say what holds it");
        for name in held {
            let there = match name.split_once(": ") {
                Some(("adversary", check)) => CHECKS.contains(&(check, title)),
                Some(("lint", lint)) => lints.contains(lint),
                Some(("tidy", test)) => read("tests/tidy.rs").contains(&format!("fn {test}()")),
                Some(("model", model)) => {
                    let line = format!("\n    {model},\n");
                    models.iter().any(|models| models.contains(&line))
                }
                _ => root().join(name).is_file(),
            };
            assert!(
                there,
                "`{title}` names `{name}`, which is not there or does not name it"
            );
        }
    }
}

#[test]
fn each_check_of_the_adversary_names_its_invariant() {
    let invariants = invariants();
    for (check, title) in CHECKS {
        let held = invariants.get(title);
        let held =
            held.unwrap_or_else(|| panic!("`{check}` names `{title}`, which is no invariant"));
        let name = format!("adversary: {check}");
        assert!(held.contains(&name), "`{title}` does not name `{name}`");
    }
}

#[test]
fn the_judges_blame_by_the_words_of_the_list() {
    let sources = judges(&root().join("tests/adversary"));
    let mut used = BTreeSet::new();
    for call in ["break_rule(", "blame("] {
        for (at, _) in sources.match_indices(call) {
            let argument = sources[at + call.len()..].trim_start();
            if let Some(rest) = argument.strip_prefix('"') {
                used.insert(rest.split('"').next().unwrap());
            }
        }
    }
    assert!(used.len() > 10, "the judges were not read: {used:?}");
    for word in used {
        let known = CHECKS.iter().any(|(check, _)| *check == word);
        assert!(known || word == HARNESS, "`{word}` is not in the list");
    }
    for (check, _) in CHECKS {
        let judged = sources.contains(&format!("\"{check}\""));
        assert!(judged, "no judge blames by `{check}`");
    }
}
