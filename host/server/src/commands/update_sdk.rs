//! `openline update-sdk`: replaces the copy of the SDK that `openline new` has
//! written into a crate by that of this release.
//!
//! Only such a copy is replaced, whole or not at all: the new one is written
//! beside the old one before it takes its place. On Linux the two change places
//! in one step, because cargo refuses a crate whose SDK is missing, even for a
//! moment; elsewhere the next run makes good what a killed one has left. A copy
//! that is that of this release already stays as it is, so that cargo does not
//! build it again.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use clap::Args;
use openline_hint::Hinted;

use super::{new, workspace};
use crate::telemetry::{print, tell};

/// The contents of a copy's folder: these and nothing else.
const PARTS: [&str; 4] = ["Cargo.toml", "src", "wit", "wit-deps"];
/// Beside the copy, for a moment. Hidden, so that nothing that watches the crate
/// takes them for sources.
const WRITTEN: &str = ".openline-sdk.new";
const REPLACED: &str = ".openline-sdk.old";

const EXAMPLES: &str = "\
Examples:
  openline update-sdk
  openline update-sdk functions/chat";

/// The words after `openline update-sdk`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UpdateSdkArguments {
    /// The folder of the crate.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
}

/// Replaces the copy and prints where it is.
///
/// # Errors
///
/// When the crate has no copy of the SDK that `openline new` has written, and
/// when a file cannot be written. The old copy is in its place then.
pub(crate) fn run(arguments: &UpdateSdkArguments) -> anyhow::Result<()> {
    let (sdk, change) = update(&arguments.directory)?;
    print(&sdk.display().to_string())?;
    let release = env!("CARGO_PKG_VERSION");
    tell(&match change {
        Change::Replaced => format!("this is the SDK of openline {release}; next: openline build"),
        Change::Nothing => format!("this is the SDK of openline {release} already"),
    });
    Ok(())
}

/// What an update has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Replaced,
    Nothing,
}

fn update(directory: &Path) -> anyhow::Result<(PathBuf, Change)> {
    let manifest = directory.join("Cargo.toml");
    if !manifest.is_file() {
        let what = format!("there is no `Cargo.toml` in `{}`", directory.display());
        bail!(Hinted::new(what, "name the folder of a crate"));
    }
    let found = workspace::sdk_of(&manifest);
    let found = found.map_err(|words| {
        let what = format!("cargo cannot read the crate: {words}");
        anyhow!(Hinted::new(
            what,
            "mend what cargo reports, and run this again"
        ))
    })?;
    let Some(sdk) = found else {
        let what = format!("the crate does not depend on `{}` by path", workspace::SDK);
        let hint = "make a crate with `openline new NAME`, and move the code into it";
        bail!(Hinted::new(what, hint));
    };
    put_back(&sdk);
    if let Some(reason) = no_copy(&sdk) {
        let shown = sdk.display();
        let what = format!("`{shown}` is no copy that `openline new` has written: {reason}");
        let (name, manifest) = (workspace::SDK, manifest.display());
        let hint = format!("change the dependency `{name}` in `{manifest}` yourself");
        bail!(Hinted::new(what, hint));
    }
    let change = replace(&sdk);
    let change = change.map_err(|error| {
        let what = format!("`{}` could not be replaced: {error}", sdk.display());
        let folder = sdk.parent().unwrap_or(&sdk).display();
        let hint = format!("check that you may write to `{folder}`, and that the disk has room");
        anyhow!(Hinted::new(what, hint))
    })?;
    Ok((sdk, change))
}

/// Puts the old copy back that a run has moved away which was cut off before the
/// new one took its place.
fn put_back(sdk: &Path) {
    let is_missing = sdk
        .symlink_metadata()
        .is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if is_missing {
        // If there is none, the check of the copy says so.
        let _ = fs::rename(sdk.with_file_name(REPLACED), sdk);
    }
}

/// Why a folder is not a copy that may be replaced, if that is so.
fn no_copy(sdk: &Path) -> Option<String> {
    if sdk.is_symlink() {
        return Some("it is a link".into());
    }
    let entries = match fs::read_dir(sdk) {
        Ok(entries) => entries,
        Err(error) => return Some(error.to_string()),
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let mut others = names
        .iter()
        .filter(|name| !PARTS.iter().any(|part| name == part));
    if let Some(other) = others.next() {
        return Some(format!("there is `{}` in it", other.display()));
    }
    let mut missing = PARTS
        .iter()
        .filter(|part| !names.iter().any(|name| name == *part));
    let missing = missing.next()?;
    Some(format!("there is no `{missing}` in it"))
}

/// Writes a new copy and has it take the place of the old one, unless they are
/// the same.
fn replace(sdk: &Path) -> io::Result<Change> {
    let (written, replaced) = (sdk.with_file_name(WRITTEN), sdk.with_file_name(REPLACED));
    // Leftovers of a run that was cut off.
    for left in [&written, &replaced] {
        match fs::remove_dir_all(left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let moved = new::write_sdk(&written).and_then(|()| {
        if is_same(&written, sdk)? {
            return Ok(Change::Nothing);
        }
        if exchange(&written, sdk) {
            return Ok(Change::Replaced);
        }
        fs::rename(sdk, &replaced)?;
        fs::rename(&written, sdk).inspect_err(|_| {
            // The first error is the one to report.
            let _ = fs::rename(&replaced, sdk);
        })?;
        Ok(Change::Replaced)
    });
    for left in [&written, &replaced] {
        // The next run removes it.
        let _ = fs::remove_dir_all(left);
    }
    moved
}

/// Has two folders change places at once; `false` where the system cannot.
#[cfg(target_os = "linux")]
fn exchange(one: &Path, other: &Path) -> bool {
    use rustix::fs::{CWD, RenameFlags, renameat_with};

    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

/// Whether two folders have the same files with the same contents.
fn is_same(one: &Path, other: &Path) -> io::Result<bool> {
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder)?;
        let names = entries.map(|entry| Ok(entry?.file_name()));
        names.collect::<io::Result<BTreeSet<OsString>>>()
    };
    let shared = names(one)?;
    if shared != names(other)? {
        return Ok(false);
    }
    for name in shared {
        let (one, other) = (one.join(&name), other.join(&name));
        let types = [&one, &other].map(|path| Ok(path.symlink_metadata()?.file_type()));
        let is_same = match types {
            [Ok(first), Ok(second)] if first != second => false,
            [Ok(both), Ok(_)] if both.is_dir() => is_same(&one, &other)?,
            [Ok(both), Ok(_)] => both.is_file() && fs::read(one)? == fs::read(other)?,
            [Err(error), _] | [_, Err(error)] => return Err(error),
        };
        if !is_same {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    /// A crate with a copy that is not that of this release.
    fn outdated(parent: &Path, name: &str) -> PathBuf {
        new::create(parent, name, false).unwrap();
        let folder = parent.join(name);
        let sdk = folder.join("vendor/openline-sdk");
        fs::write(sdk.join("src/lib.rs"), "// old").unwrap();
        fs::write(sdk.join("src/gone.rs"), "// old").unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_copy_becomes_that_of_this_release() {
        let parent = tempfile::tempdir().unwrap();
        let folder = outdated(parent.path(), "mine");
        // Leftovers of a run that was cut off.
        fs::create_dir(folder.join("vendor").join(WRITTEN)).unwrap();
        fs::create_dir(folder.join("vendor").join(REPLACED)).unwrap();
        let (sdk, change) = update(&folder).unwrap();
        assert_eq!(change, Change::Replaced);
        assert!(sdk.ends_with("vendor/openline-sdk"), "{}", sdk.display());
        new::create(parent.path(), "other", false).unwrap();
        let other = parent.path().join("other/vendor/openline-sdk");
        assert_eq!(names(&sdk.join("src")), names(&other.join("src")));
        let text = |sdk: &Path| fs::read_to_string(sdk.join("src/lib.rs")).unwrap();
        assert_eq!(text(&sdk), text(&other));
        assert_eq!(names(&sdk), PARTS);
        assert_eq!(names(&folder.join("vendor")), ["openline-sdk"]);
    }

    /// A process may be killed at any moment, and cargo may read at any.
    #[cfg(target_os = "linux")]
    #[test]
    fn there_is_a_whole_copy_at_each_moment() {
        use std::sync::atomic::{AtomicBool, Ordering};

        let parent = tempfile::tempdir().unwrap();
        let folder = outdated(parent.path(), "mine");
        let sdk = folder.join("vendor/openline-sdk");
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let parts = PARTS.map(|part| sdk.join(part));
                while !is_done.load(Ordering::Relaxed) {
                    for part in &parts {
                        assert!(part.exists(), "{}", part.display());
                    }
                }
            });
            for _ in 0..100 {
                fs::write(sdk.join("src/more.rs"), "").unwrap();
                assert_eq!(replace(&sdk).unwrap(), Change::Replaced);
            }
            is_done.store(true, Ordering::Relaxed);
            looking.join().unwrap();
        });
    }

    #[test]
    fn a_copy_that_is_that_of_this_release_stays_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        new::create(parent.path(), "mine", false).unwrap();
        let folder = parent.path().join("mine");
        let source = folder.join("vendor/openline-sdk/src/lib.rs");
        let file = fs::File::options().append(true).open(&source).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(update(&folder).unwrap().1, Change::Nothing);
        let modified = || source.metadata().unwrap().modified().unwrap();
        assert_eq!(modified(), SystemTime::UNIX_EPOCH);
        assert_eq!(names(&folder.join("vendor")), ["openline-sdk"]);
        // One letter is a difference, and so is one file more or less.
        let text = fs::read_to_string(&source).unwrap();
        fs::write(&source, text.replacen('a', "b", 1)).unwrap();
        assert_eq!(update(&folder).unwrap().1, Change::Replaced);
        assert_eq!(fs::read_to_string(&source).unwrap(), text);
        let more = source.with_file_name("more.rs");
        fs::write(&more, "").unwrap();
        assert_eq!(update(&folder).unwrap().1, Change::Replaced);
        assert!(!more.exists());
        fs::remove_file(&source).unwrap();
        assert_eq!(update(&folder).unwrap().1, Change::Replaced);
        assert!(source.exists());
    }

    #[test]
    fn a_run_that_is_cut_off_between_the_copies_is_made_good_by_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let folder = outdated(parent.path(), "mine");
        let vendor = folder.join("vendor");
        fs::rename(vendor.join("openline-sdk"), vendor.join(REPLACED)).unwrap();
        fs::create_dir(vendor.join(WRITTEN)).unwrap();
        let (sdk, change) = update(&folder).unwrap();
        assert_eq!(change, Change::Replaced);
        assert!(!sdk.join("src/gone.rs").exists());
        assert_eq!(names(&vendor), ["openline-sdk"]);
    }

    #[test]
    fn the_copy_of_a_workspace_is_found_from_each_of_its_crates() {
        let root = tempfile::tempdir().unwrap();
        let text = "[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n";
        fs::write(root.path().join("Cargo.toml"), text).unwrap();
        let first = outdated(root.path(), "first");
        new::create(root.path(), "second", false).unwrap();
        let (sdk, _) = update(&root.path().join("second")).unwrap();
        let expected = first.join("vendor/openline-sdk");
        assert_eq!(
            sdk.canonicalize().unwrap(),
            expected.canonicalize().unwrap()
        );
        assert!(!sdk.join("src/gone.rs").exists());
    }

    #[test]
    fn what_is_no_copy_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = outdated(parent.path(), "mine");
        let sdk = folder.join("vendor/openline-sdk");
        fs::write(sdk.join("notes.txt"), "mine").unwrap();
        let refused = |reason: &str| {
            let error = crate::hints::explained(&update(&folder).unwrap_err());
            assert!(error.contains(reason), "{error}");
            assert!(error.contains("\nhint: "), "{error}");
        };
        refused("there is `notes.txt` in it");
        fs::remove_file(sdk.join("notes.txt")).unwrap();
        // A crate of the same name that somebody has written.
        for part in ["wit", "wit-deps"] {
            fs::rename(sdk.join(part), folder.join(part)).unwrap();
            refused(&format!("there is no `{part}` in it"));
            fs::rename(folder.join(part), sdk.join(part)).unwrap();
        }
        #[cfg(unix)]
        {
            fs::rename(&sdk, folder.join("vendor/elsewhere")).unwrap();
            std::os::unix::fs::symlink("elsewhere", &sdk).unwrap();
            refused("it is a link");
            fs::remove_file(&sdk).unwrap();
            fs::rename(folder.join("vendor/elsewhere"), &sdk).unwrap();
        }
        assert!(sdk.join("src/gone.rs").exists());
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let without = manifest.replace("openline-sdk = {", "# {");
        fs::write(folder.join("Cargo.toml"), without).unwrap();
        refused("does not depend on `openline-sdk` by path");
        fs::remove_file(folder.join("Cargo.toml")).unwrap();
        refused("there is no `Cargo.toml`");
    }
}
