//! How people and editors save files, on a real file system.

use std::fs;

use tempfile::TempDir;

use super::super::inputs::Inputs;
use super::*;
use crate::assemble::development::real;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A package with a source file, watched.
struct Package {
    folder: TempDir,
    plan: Plan,
    watcher: Watcher,
}

impl Package {
    async fn new() -> Self {
        Self::with(Watcher::new().unwrap()).await
    }

    async fn with(watcher: Watcher) -> Self {
        Self::made(watcher, |_| {}).await
    }

    /// One with links in it.
    #[cfg(unix)]
    async fn linked(link: impl Fn(&Path)) -> Self {
        Self::made(Watcher::new().unwrap(), link).await
    }

    async fn made(watcher: Watcher, link: impl Fn(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["src", "target/debug", ".git", "out"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("src/lib.rs"), "// one").unwrap();
        link(folder.path());
        let plan = Plan {
            packages: vec![folder.path().to_owned()],
            target_directory: Some(folder.path().join("out")),
            files: vec![folder.path().join("openline.toml")],
            ..Plan::default()
        };
        let package = Self {
            folder,
            plan,
            watcher,
        };
        package.watch().await;
        package
    }

    async fn watch(&self) {
        let plan = self.plan.clone();
        self.watcher.watch(move || plan).await.unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    async fn changes(&self) -> Changes {
        timeout(PATIENCE, self.watcher.changed()).await.unwrap()
    }

    /// Writes a file elsewhere, and returns the changes that are noticed.
    async fn changes_after(&self, file: &Path) -> Changes {
        fs::write(file, "# changed").unwrap();
        self.changes().await
    }

    /// A change of this source is noticed, at once or after others.
    async fn among_others(&self, name: &str) {
        let path = real(&self.path(name));
        while !self.changes().await.sources.contains(&path) {}
    }

    /// A change of this source, and nothing else, is noticed.
    async fn source(&self, name: &str) {
        let expected = Changes {
            sources: [real(&self.path(name))].into(),
            ..Changes::default()
        };
        assert_eq!(self.changes().await, expected);
    }
}

#[tokio::test]
async fn a_file_that_is_written_is_noticed_however_it_is_written() {
    let package = Package::new().await;
    package.write("src/lib.rs", "// two");
    package.source("src/lib.rs").await;
    // Beside it, then renamed over it.
    package.write("src/.lib.rs.1234", "// three");
    fs::rename(package.path("src/.lib.rs.1234"), package.path("src/lib.rs")).unwrap();
    package.source("src/lib.rs").await;
    fs::remove_file(package.path("src/lib.rs")).unwrap();
    package.source("src/lib.rs").await;
    fs::create_dir_all(package.path("src/deep")).unwrap();
    package.source("src/deep").await;
    package.write("src/deep/mod.rs", "// four");
    package.source("src/deep/mod.rs").await;
    package.write("Cargo.toml", "");
    package.source("Cargo.toml").await;
}

#[tokio::test]
async fn a_folder_that_is_made_anew_is_watched_again() {
    let package = Package::new().await;
    fs::rename(package.path("src"), package.path(".src")).unwrap();
    package.source("src").await;
    package.watch().await;
    fs::create_dir(package.path("src")).unwrap();
    package.source("src").await;
    package.watch().await;
    package.write("src/lib.rs", "// anew");
    package.source("src/lib.rs").await;
}

#[tokio::test]
async fn a_package_in_a_package_that_is_replaced_is_noticed_and_watched_again() {
    let mut package = Package::new().await;
    let write = |folder: &str| {
        fs::create_dir_all(package.path(folder)).unwrap();
        package.write(&format!("{folder}/lib.rs"), "");
    };
    write("vendor/inner/src");
    write("vendor/.inner.new/src");
    package.plan.packages.push(package.path("vendor/inner"));
    package.watch().await;
    let rename = |from: &str, to: &str| {
        fs::rename(package.path(from), package.path(to)).unwrap();
    };
    rename("vendor/inner", "vendor/.inner.old");
    rename("vendor/.inner.new", "vendor/inner");
    package.among_others("vendor/inner").await;
    package.watch().await;
    package.write("vendor/inner/src/lib.rs", "// anew");
    package.among_others("vendor/inner/src/lib.rs").await;
}

#[tokio::test]
async fn packages_that_cargo_cannot_read_now_stay_watched() {
    let mut package = Package::new().await;
    let other = tempfile::tempdir().unwrap();
    let dependency = other.path().join("dependency");
    fs::create_dir_all(dependency.join("src")).unwrap();
    let source = dependency.join("src/lib.rs");
    package.plan.packages.push(dependency.clone());
    package.watch().await;
    // As after an error in a manifest: only the crate itself is known.
    package.plan.packages.pop();
    package.plan.target_directory = None;
    package.plan.partial = true;
    package.watch().await;
    let changes = package.changes_after(&source).await;
    assert_eq!(changes.sources, [real(&source)].into());
    package.write("out/made.rs", "");
    // Gone and come back.
    let away = other.path().join("away");
    for (from, to) in [(&dependency, &away), (&away, &dependency)] {
        fs::rename(from, to).unwrap();
        assert!(package.changes().await.sources.contains(&real(&dependency)));
        package.watch().await;
    }
    let changes = package.changes_after(&source).await;
    assert_eq!(changes.sources, [real(&source)].into());
    // One that is no dependency any more.
    package.plan.partial = false;
    package.watch().await;
    fs::write(&source, "// two").unwrap();
    package.write("src/lib.rs", "// last");
    package.source("src/lib.rs").await;
}

#[tokio::test]
async fn a_file_outside_of_packages_that_the_crate_is_made_of_is_watched_and_no_other() {
    let mut package = Package::new().await;
    let other = tempfile::tempdir().unwrap();
    let path = |name: &str| other.path().join(name);
    fs::write(path("included.txt"), "one").unwrap();
    package.plan.settings = vec![path("Cargo.toml"), path("included/.cargo")];
    package.watch().await;
    let inputs = ["included.txt", "missing/words.txt"].map(path);
    package.watcher.watch_inputs(inputs.into()).await.unwrap();
    for name in ["included.txt", "Cargo.toml", "included.txt"] {
        fs::write(path("beside.txt"), "").unwrap();
        let changes = package.changes_after(&path(name)).await;
        assert_eq!(changes.sources, [real(&path(name))].into());
        // The same holds after the next plan.
        package.watch().await;
    }
    // It is made of something else now.
    package.watcher.watch_inputs(BTreeSet::new()).await.unwrap();
    fs::write(path("included.txt"), "two").unwrap();
    package.write("src/lib.rs", "// last");
    package.source("src/lib.rs").await;
}

#[test]
fn as_many_files_outside_of_packages_as_are_watched_and_more() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().canonicalize().unwrap();
    let plan = Plan {
        packages: vec![real.join("package")],
        ..Plan::default()
    };
    let names = (0..=OUTSIDE_MAX).map(|number| real.join(format!("{number}.txt")));
    let names: Vec<_> = names.collect();
    // Those in the package count for nothing.
    let inside = real.join("package/src/lib.rs");
    for (count, is_past) in [(OUTSIDE_MAX, false), (OUTSIDE_MAX + 1, true)] {
        let inputs = names[..count].iter().chain([&inside]).cloned().collect();
        let (plan, left_out) = plan.real(&inputs);
        assert_eq!(plan.outside.len(), OUTSIDE_MAX);
        assert_eq!(left_out.is_some(), is_past, "{left_out:?}");
    }
}

#[test]
fn as_many_packages_of_earlier_plans_as_are_watched_and_more() {
    let plan = |range: std::ops::RangeInclusive<usize>| Plan {
        packages: range.map(|number| format!("/{number}").into()).collect(),
        partial: true,
        ..Plan::default()
    };
    for count in [PACKAGES_MAX - 1, PACKAGES_MAX, PACKAGES_MAX + 1] {
        let after = plan(1..=1).after(&plan(1..=count));
        assert_eq!(after.packages.len(), count.min(PACKAGES_MAX));
        assert_eq!(after.packages[0], Path::new("/1"));
    }
}

#[tokio::test]
async fn what_is_no_source_is_passed_over() {
    let package = Package::new().await;
    package.watcher.building(true);
    for name in [
        "target/debug/made.rs",
        "targetRwW0Mu",
        "out/made.rs",
        ".git/index",
        "src/.lib.rs.swp",
        "src/lib.rs~",
        "src/#lib.rs#",
        "src/4913",
        "src/lib.rs___jb_tmp___",
        "src/lib.rs___jb_old___",
        "Cargo.lock",
    ] {
        package.write(name, "");
    }
    // Read, which is not written.
    fs::read(package.path("src/lib.rs")).unwrap();
    // Told in order: what came before would be named.
    package.write("src/last.rs", "");
    let expected = Changes {
        during: [real(&package.path("src/last.rs"))].into(),
        ..Changes::default()
    };
    assert_eq!(package.changes().await, expected);
    package.watcher.building(false);
    package.write("Cargo.lock", "# updated");
    package.source("Cargo.lock").await;
}

#[tokio::test]
async fn what_was_missed_is_added_where_it_is_watched() {
    let package = Package::new().await;
    let paths = |names: &[&str]| -> Vec<_> {
        let names = names.iter();
        names.map(|name| real(&package.path(name))).collect()
    };
    let missed = paths(&["src/lib.rs", "out/made.rs", "target/made.rs", "Cargo.lock"]);
    package.watcher.missed(&missed, true);
    let expected = Changes {
        during: [missed[0].clone()].into(),
        ..Changes::default()
    };
    assert_eq!(package.changes().await, expected);
    package.watcher.missed(&missed, false);
    let expected = Changes {
        sources: [missed[0].clone(), missed[3].clone()].into(),
        ..Changes::default()
    };
    assert_eq!(package.changes().await, expected);
}

/// Asked to watch a file once more, the polling watcher forgets what it was.
#[tokio::test]
async fn what_changes_between_two_looks_at_files_is_missed_by_the_watcher_alone() {
    let seen = Arc::new(Seen::default());
    let error = notify::Error::new(ErrorKind::MaxFilesWatch);
    let backend = polling(&seen, &error).unwrap();
    let package = Package::with(Watcher::with(backend, seen)).await;
    let mut inputs = Inputs::new();
    let names = [real(&package.path("src/lib.rs"))];
    let (packages, outside) = package.watcher.watched();
    for _ in 0..2 {
        inputs.begin(&packages, &outside);
        inputs.end(Some(&names), None);
    }
    package.write("src/lib.rs", "// two");
    package.watch().await;
    package.watcher.missed(&inputs.missed(), true);
    // Perhaps the watcher has told as well.
    assert_eq!(
        inputs.judge(&package.changes().await).due.as_ref(),
        Some(&names[0])
    );
}

#[tokio::test]
async fn the_configuration_is_served_and_no_source() {
    let package = Package::new().await;
    package.write("openline.toml", "");
    let expected = Changes {
        served: Some(real(&package.path("openline.toml"))),
        ..Changes::default()
    };
    assert_eq!(package.changes().await, expected);
}

#[tokio::test]
async fn a_burst_is_one_change() {
    let package = Package::new().await;
    for number in 0..50 {
        package.write("src/lib.rs", &number.to_string());
        package.write("openline.toml", &number.to_string());
    }
    let changes = package.changes().await;
    assert!(!changes.sources.is_empty() && changes.served.is_some());
    let more = timeout(QUIET, package.watcher.changed()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn files_are_looked_at_where_the_system_does_not_tell() {
    let seen = Arc::new(Seen::default());
    let error = notify::Error::new(ErrorKind::MaxFilesWatch);
    assert!(is_exhausted(&error));
    let backend = polling(&seen, &error).unwrap();
    let package = Package::with(Watcher::with(backend, seen)).await;
    package.write("src/lib.rs", "// longer than before");
    assert!(!package.changes().await.sources.is_empty());
}

#[test]
fn as_many_paths_as_are_told_apart_and_more() {
    let mut changes = Changes::default();
    for number in 0..PATHS_MAX {
        changes.add(Path::new(&number.to_string()), false);
    }
    changes.add(Path::new("0"), false);
    assert!(!changes.lost);
    assert_eq!(changes.sources.len(), PATHS_MAX);
    changes.add(Path::new("another"), true);
    assert!(!changes.lost);
    changes.add(Path::new("another"), false);
    assert!(changes.lost);
    assert_eq!(changes.sources.len(), PATHS_MAX);
}

#[cfg(unix)]
#[tokio::test]
async fn what_links_lead_to_is_watched() {
    use std::os::unix::fs::symlink;

    let elsewhere = tempfile::tempdir().unwrap();
    let there = |name: &str| elsewhere.path().canonicalize().unwrap().join(name);
    fs::create_dir_all(there("more/deep")).unwrap();
    for name in [
        "word.rs",
        "more/mod.rs",
        "real.toml",
        "other.toml",
        "manifest",
    ] {
        fs::write(there(name), "").unwrap();
    }
    let package = Package::linked(|folder| {
        symlink(there("word.rs"), folder.join("src/word.rs")).unwrap();
        symlink(there("more"), folder.join("src/more")).unwrap();
        symlink(there("manifest"), folder.join("build.rs")).unwrap();
        symlink(there("real.toml"), folder.join("openline.toml")).unwrap();
    })
    .await;
    // Written until it is what was noticed: what came before may be told late.
    let source = async |package: &Package, name: &str| {
        while !(package.changes_after(&there(name)).await.sources).contains(&there(name)) {}
    };
    for name in ["word.rs", "more/mod.rs", "more/deep/new.rs", "manifest"] {
        source(&package, name).await;
    }
    // In place, and by another link that takes its place.
    let served = async |package: &Package, name: &str| {
        while package.changes_after(&there(name)).await.served != Some(there(name)) {}
    };
    served(&package, "real.toml").await;
    symlink(there("other.toml"), package.path(".new")).unwrap();
    fs::rename(package.path(".new"), package.path("openline.toml")).unwrap();
    while package.changes().await.served != Some(real(&package.path("openline.toml"))) {}
    package.watch().await;
    served(&package, "other.toml").await;
}

#[test]
fn folders_are_walked_on_a_thread_that_may_wait_for_a_disk() {
    use futures_util::FutureExt;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let package = Package::new().await;
        // The only such thread has something else to do.
        let (done, doing) = std::sync::mpsc::sync_channel::<()>(0);
        spawn_blocking(move || doing.recv());
        let plan = package.plan.clone();
        let mut walking = Box::pin(package.watcher.watch(move || plan));
        assert!(walking.as_mut().now_or_never().is_none());
        drop(done);
        walking.await.unwrap();
    });
}
