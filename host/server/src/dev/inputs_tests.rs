//! Builds that are due and builds that are not, on a real file system.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::assemble::development::real;

/// A package, and what is known of what it is made of.
struct Package {
    folder: TempDir,
    inputs: Inputs,
}

impl Package {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let package = Self {
            folder,
            inputs: Inputs::new(),
        };
        for name in ["src", "assets", "logs", ".git"] {
            fs::create_dir(package.path(name)).unwrap();
        }
        package.write("Cargo.toml", "");
        package.write("src/lib.rs", "1");
        package.write("assets/words.txt", "1");
        package
    }

    /// One that was built, with inputs in `src` and `assets`.
    fn built() -> Self {
        let mut package = Self::new();
        package.build(|_| {});
        package.build(|_| {});
        package
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Builds; `work` is what happens meanwhile.
    fn build(&mut self, work: impl FnOnce(&Self)) {
        self.begin();
        work(self);
        let names = ["src/lib.rs", "assets/words.txt"].map(|name| self.path(name));
        self.inputs.end(Some(&names), None);
    }

    fn fail(&mut self, work: impl FnOnce(&Self)) {
        self.begin();
        work(self);
        self.inputs.end(None, None);
    }

    fn begin(&mut self) {
        let packages = [self.folder.path().to_owned()];
        self.inputs.begin(&packages, &BTreeSet::new());
    }

    fn paths(&self, names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(|name| self.path(name)).collect()
    }

    fn judge(&mut self, during: &[&str], since: &[&str]) -> Verdict {
        let changes = Changes {
            sources: self.paths(since),
            during: self.paths(during),
            ..Changes::default()
        };
        self.inputs.judge(&changes)
    }

    /// Whether a build is due for this file, changed after the last build.
    fn is_due(&mut self, name: &str) -> bool {
        self.judge(&[], &[name]).due == Some(self.path(name))
    }

    /// The same of one that changed while the last build ran.
    fn is_due_after(&mut self, name: &str) -> bool {
        self.judge(&[name], &[]).due == Some(self.path(name))
    }
}

#[test]
fn a_build_is_due_for_inputs_that_changed_and_for_new_sources() {
    let mut package = Package::built();
    assert!(!package.is_due("src/lib.rs"), "it was only touched");
    for name in [
        "src/lib.rs",
        "assets/words.txt",
        "Cargo.toml",
        "build.rs",
        "src/new.rs",
        "other.rs",
        "assets/new.txt",
        "src/deep/new.txt",
    ] {
        fs::create_dir_all(package.path(name).parent().unwrap()).unwrap();
        package.write(name, "2");
        assert!(package.is_due(name), "{name}");
    }
    fs::remove_dir_all(package.path("src")).unwrap();
    assert!(package.is_due("src"));
}

#[test]
fn a_build_is_not_due_for_what_nothing_is_made_of() {
    let mut package = Package::built();
    package.write(".gitignore", "*.out\n");
    for name in ["dev.txt", "logs/dev.txt", "src/dev.log", "src/dev.out"] {
        package.write(name, "2");
        assert!(!package.is_due(name), "{name}");
    }
    // Before anything is known, what is ignored is all that is passed over.
    let mut package = Package::new();
    package.write(".gitignore", "*.out\n");
    for (name, expected) in [
        ("words.txt", true),
        ("dev.log", false),
        ("src/dev.out", false),
    ] {
        package.write(name, "2");
        assert_eq!(package.is_due(name), expected, "{name}");
    }
}

#[test]
fn a_file_that_is_there_for_a_moment_starts_no_build() {
    let mut package = Package::built();
    // As `sed -i` and editors make them.
    for name in ["src/x1", "src/new.rs", "assets/deep/new.txt", "src/deep"] {
        assert!(!package.is_due(name), "{name} has gone again");
        package.build(|_| {});
        assert!(!package.is_due_after(name), "{name} has gone again");
    }
    // An input that has gone is another matter.
    fs::remove_file(package.path("assets/words.txt")).unwrap();
    assert!(package.is_due("assets/words.txt"));
    assert!(package.is_due("assets"), "inputs were below it");
    // A file may have been why a build failed, and have been removed for that.
    package.fail(|_| {});
    assert!(package.is_due_after("src/in_the_way.rs"));
    assert!(package.is_due("src/in_the_way.rs"));
}

#[test]
fn a_file_that_has_gone_from_a_folder_that_is_an_input_starts_a_build() {
    let mut package = Package::built();
    package.begin();
    let names = ["src/lib.rs", "assets"].map(|name| package.path(name));
    package.inputs.end(Some(&names), None);
    assert!(package.is_due("assets/x1"));
    assert!(!package.is_due("src/x1"));
}

#[test]
fn an_input_that_git_ignores_is_one() {
    let mut package = Package::built();
    package.write(".gitignore", "words.txt\n");
    package.write("assets/words.txt", "2");
    assert!(package.is_due("assets/words.txt"));
}

#[test]
fn our_own_output_is_no_source() {
    let mut package = Package::new();
    package.write("src/said.rs", "2");
    let metadata = package.path("src/said.rs").metadata().unwrap();
    package.inputs.outputs = vec![(metadata.dev(), metadata.ino())];
    assert!(!package.is_due("src/said.rs"));
}

#[test]
fn what_is_saved_while_a_build_runs_is_built_after_it() {
    let mut package = Package::built();
    // However often, almost: an editor may save by itself.
    for number in 2..ROUNDS_MAX {
        package.build(|package| package.write("src/lib.rs", &format!("again {number}")));
        assert!(package.is_due_after("src/lib.rs"), "{number}");
    }
    // And however late it is told.
    package.build(|package| package.write("src/lib.rs", "late"));
    assert!(package.is_due("src/lib.rs"));
    package.build(|_| {});
    assert!(!package.is_due_after("src/lib.rs"), "it is as it was built");
}

#[test]
fn what_a_build_writes_and_does_not_read_starts_none() {
    let mut package = Package::built();
    for told_late in [false, true] {
        package.build(|package| package.write("src/made.txt", &told_late.to_string()));
        let due = if told_late {
            package.is_due("src/made.txt")
        } else {
            package.is_due_after("src/made.txt")
        };
        assert!(!due, "{told_late}");
    }
}

#[test]
fn an_input_that_each_build_writes_starts_as_many_as_may_be_and_no_more() {
    let mut package = Package::built();
    for number in 1..=REPEATS_MAX {
        package.begin();
        package.write("assets/words.txt", &format!("made {number}"));
        let names = ["src/lib.rs", "assets/words.txt"].map(|name| package.path(name));
        let ran = now() + Duration::from_secs(60);
        package.inputs.end(Some(&names), Some(ran));
        let verdict = package.judge(&["assets/words.txt"], &[]);
        let path = package.path("assets/words.txt");
        if number < REPEATS_MAX {
            assert_eq!((verdict.due, verdict.repeated), (Some(path), vec![]));
        } else {
            assert_eq!((verdict.due, verdict.repeated), (None, vec![path]));
        }
    }
    assert!(!package.is_due("assets/words.txt"));
    package.write("assets/words.txt", "by hand");
    assert!(package.is_due("assets/words.txt"));
}

/// As a macro does that writes what it reads.
#[test]
fn an_input_that_changes_during_each_build_starts_as_many_as_may_be_and_no_more() {
    let mut package = Package::built();
    let path = package.path("assets/words.txt");
    for number in 1..=ROUNDS_MAX + 1 {
        package.build(|package| package.write("assets/words.txt", &format!("made {number}")));
        let verdict = package.judge(&["assets/words.txt"], &[]);
        let expected = match number {
            ..ROUNDS_MAX => (Some(path.clone()), vec![]),
            ROUNDS_MAX => (None, vec![path.clone()]),
            _ => (None, vec![]),
        };
        assert_eq!((verdict.due, verdict.repeated), expected, "{number}");
    }
    package.write("assets/words.txt", "by hand");
    assert!(package.is_due("assets/words.txt"));
    // A build that leaves it alone starts the count again.
    package.build(|_| {});
    assert_eq!(package.judge(&[], &[]), Verdict::default());
    package.build(|package| package.write("assets/words.txt", "again"));
    assert!(package.is_due_after("assets/words.txt"));
}

#[test]
fn after_a_build_that_failed_anything_may_be_what_was_missing() {
    let mut package = Package::built();
    package.fail(|_| {});
    assert_eq!(package.judge(&[], &[]), Verdict::default());
    assert!(package.is_due("src/lib.rs"), "saved to try again");
    package.write("words.txt", "2");
    assert!(package.is_due("words.txt"));
    // But for a file that grows with each attempt, as a copy of our output.
    for number in 1..=REPEATS_MAX {
        package.fail(|package| package.write("copy.txt", &number.to_string()));
        let verdict = package.judge(&["copy.txt"], &[]);
        assert_eq!(verdict.due.is_some(), number < REPEATS_MAX, "{number}");
    }
    package.write("copy.txt", "not built");
    assert!(!package.is_due("copy.txt"));
    assert!(package.is_due("words.txt"));
}

#[test]
fn where_changes_were_not_told_contents_are_compared() {
    let mut package = Package::built();
    let lost = Changes {
        lost: true,
        ..Changes::default()
    };
    assert_eq!(package.inputs.judge(&lost).due, None);
    package.write("assets/words.txt", "2");
    let due = package.inputs.judge(&lost).due;
    assert_eq!(due, Some(package.path("assets/words.txt")));
    package.fail(|_| {});
    assert!(package.inputs.judge(&lost).due.is_some());
}

#[test]
fn what_was_saved_while_a_build_ran_is_found_without_being_told() {
    let mut package = Package::new();
    let outside = tempfile::tempdir().unwrap();
    let (read, other) = ("read.txt", "other.txt");
    for name in [read, other] {
        fs::write(outside.path().join(name), "1").unwrap();
    }
    let names = [package.path("src/lib.rs"), outside.path().join(read)].map(|it| real(&it));
    // Only this build knows what it is made of: nothing was read before it.
    package.begin();
    fs::write(&names[1], "2").unwrap();
    fs::write(outside.path().join(other), "2").unwrap();
    package.inputs.end(Some(&names), None);
    assert!(package.inputs.missed().contains(&names[1]));
    let changes = Changes {
        during: [names[1].clone()].into(),
        ..Changes::default()
    };
    assert_eq!(package.inputs.judge(&changes).due, Some(names[1].clone()));
    // One that has gone meanwhile.
    fs::remove_file(&names[1]).unwrap();
    assert!(package.inputs.missed().contains(&names[1]));
    fs::write(&names[1], "2").unwrap();
    // Saved before it began, as far as the clock of files can tell.
    package.inputs.began = Some(now() + Duration::from_secs(60));
    assert_eq!(package.inputs.missed(), Vec::<PathBuf>::new());

    // Those that are known are compared.
    let mut package = Package::built();
    assert_eq!(package.inputs.missed(), Vec::<PathBuf>::new());
    package.build(|package| package.write("src/lib.rs", "2"));
    assert_eq!(package.inputs.missed(), [package.path("src/lib.rs")]);
    package.fail(|package| package.write("src/lib.rs", "3"));
    assert_eq!(package.inputs.missed(), [package.path("src/lib.rs")]);
}

#[test]
fn what_cargo_writes_into_its_lock_file_starts_no_build() {
    let mut package = Package::new();
    package.build(|package| package.write("Cargo.lock", "# made"));
    assert!(
        !package
            .inputs
            .missed()
            .contains(&package.path("Cargo.lock"))
    );
    assert!(!package.is_due("Cargo.lock"), "it is told late");
    package.write("Cargo.lock", "# updated");
    assert!(package.is_due("Cargo.lock"));
}

#[test]
fn a_new_file_in_a_folder_that_is_an_input_is_built_after_the_build_that_it_came_in() {
    let mut package = Package::built();
    for (name, expected) in [("assets/new.txt", true), ("src/new.txt", false)] {
        package.begin();
        package.write(name, "1");
        let names = ["src/lib.rs", "assets"].map(|name| package.path(name));
        package.inputs.end(Some(&names), None);
        assert_eq!(package.is_due_after(name), expected, "{name}");
    }
}

#[test]
fn what_is_told_as_of_a_build_after_it_was_judged_is_not_dropped() {
    let mut package = Package::built();
    assert_eq!(package.judge(&[], &[]), Verdict::default());
    package.write("src/lib.rs", "2");
    assert!(package.is_due_after("src/lib.rs"));
}
