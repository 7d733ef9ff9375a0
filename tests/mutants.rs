//! The patches that take out fixes apply to the present sources, and describe
//! themselves. (`scripts/mutants.sh` builds each, and checks that the adversary
//! or a test notices.)

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the patches are, the beginning of each, and their least number: fewer
/// would prove nothing.
const FOLDERS: [(&str, [&str; 3], usize); 2] = [
    (
        "tests/adversary/mutants",
        ["Takes out: ", "\nBreaks: ", "\nBudget: "],
        10,
    ),
    (
        "tests/mutants",
        ["Takes out: ", "\nTest: ", "\nFails: "],
        50,
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The patches of a folder: name, path, and the text before the first change.
fn patches(folder: &str) -> Vec<(String, PathBuf, String)> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "patch"));
    let read = paths.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let (header, _) = text.split_once("\ndiff --git ").unwrap();
        (name, path.canonicalize().unwrap(), header.to_owned())
    });
    read.collect()
}

/// The sources below a folder.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(fs::read_to_string(&path).unwrap());
        }
    }
}

fn applies(root: &Path, path: &Path) {
    let checked = Command::new("git")
        .args(["apply", "--check"])
        .arg(path)
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{} does not apply any more: {}",
        path.display(),
        String::from_utf8_lossy(&checked.stderr)
    );
}

/// Another script runs those of the models, which have only names.
#[test]
fn each_mutant_of_the_models_still_applies() {
    let root = root();
    if !root.join(".git").exists() {
        println!("skipped: the sources are no git checkout");
        return;
    }
    let mut patches = 0;
    for entry in fs::read_dir(root.join("host/models/mutants")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|it| it == "patch") {
            patches += 1;
            applies(&root, &path.canonicalize().unwrap());
        }
    }
    assert!(patches >= 25, "{patches}");
}

#[test]
fn each_mutant_still_applies_and_says_what_it_is() {
    let root = root();
    if !root.join(".git").exists() {
        println!("skipped: the sources are no git checkout");
        return;
    }
    for (folder, words, least) in FOLDERS {
        let patches = patches(folder);
        assert!(patches.len() >= least, "{folder}: {}", patches.len());
        for (name, path, header) in patches {
            for word in words {
                let said = header.split_once(word).map(|(_, rest)| rest);
                let said = said.and_then(|rest| rest.lines().next());
                assert!(
                    said.is_some_and(|said| !said.trim().is_empty()),
                    "{name}: no {word:?}"
                );
            }
            applies(&root, &path);
        }
    }
}

#[test]
fn each_mutant_has_a_name_of_its_own_and_a_row_in_its_table() {
    let mut names = BTreeSet::new();
    for (folder, ..) in FOLDERS {
        let table = fs::read_to_string(root().join(folder).join("README.md")).unwrap();
        for (name, _, header) in patches(folder) {
            // Those of the soak are in a table of their own.
            let is_listed = table.contains(&format!("| {name} |"));
            assert!(is_listed || header.contains("\nWith: "), "{folder}: {name}");
            assert!(names.insert(name.clone()), "{name} is there twice");
        }
    }
}

#[test]
fn each_test_that_a_mutant_names_is_there() {
    let root = root();
    for (name, _, header) in patches("tests/mutants") {
        let (_, test) = header.split_once("\nTest: ").unwrap();
        let test = test.lines().next().unwrap();
        let (package, test) = test.split_once(' ').unwrap();
        let folder = match package {
            "it" => root.join("tests"),
            "openline" => root.join("host/server/src"),
            _ => root.join(package.replace("openline-", "host/")).join("src"),
        };
        let function = format!("fn {}()", test.rsplit("::").next().unwrap());
        let mut found = Vec::new();
        sources(&folder, &mut found);
        let count = found.iter().filter(|text| text.contains(&function)).count();
        assert_eq!(count, 1, "{name}: {package} has `{function}`");
    }
}
