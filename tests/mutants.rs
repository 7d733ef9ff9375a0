//! The patches that take out mends (`scripts/mutants.sh` builds each and has
//! the adversary find it), and the faults that the models must find
//! (`host/models/mutants/check.sh`), apply to the sources as they are.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Fewer would be no proof of anything.
const MUTANTS_MIN: usize = 10;

#[test]
fn each_mutant_still_applies_and_says_what_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join(".git").exists() {
        println!("skipped: the sources are no git checkout");
        return;
    }
    let mut count = 0;
    for entry in fs::read_dir(root.join("tests/adversary/mutants")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_none_or(|extension| extension != "patch")
        {
            continue;
        }
        count += 1;
        let text = fs::read_to_string(&path).unwrap();
        let (header, _) = text.split_once("\ndiff --git ").unwrap();
        for word in ["Takes out: ", "\nBreaks: ", "\nBudget: "] {
            assert!(header.contains(word), "{}: no {word:?}", path.display());
        }
        assert_applies(&root, &path);
    }
    assert!(count >= MUTANTS_MIN, "{count} mutants");
}

fn assert_applies(root: &Path, patch: &Path) {
    let checked = Command::new("git")
        .args(["apply", "--check"])
        .arg(patch.canonicalize().unwrap())
        .current_dir(root)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{} does not apply any more: {}",
        patch.display(),
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn each_fault_of_the_models_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    if !root.join(".git").exists() {
        println!("skipped: the sources are no git checkout");
        return;
    }
    let entries = fs::read_dir(root.join("host/models/mutants")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let patches: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "patch"))
        .collect();
    for patch in &patches {
        assert_applies(&root, patch);
    }
    assert!(patches.len() >= MUTANTS_MIN, "{} faults", patches.len());
}
