//! The changes of files that make a build due: those that could make another
//! component. A log in the crate's folder, a file that git ignores, and the
//! files that the build itself writes do not.
//!
//! Cargo names the inputs of the last build that succeeded. Until there is one,
//! and after a build that failed, any file may be the one that was missing.
//! Contents are compared with those at the beginning of the last build: a file
//! that is saved while a build runs is built after it, however late the system
//! reports the change, and even if it does not ([`Inputs::missed`]). Bounded: a
//! file that each build changes starts at most [`REPEATS_MAX`] builds, or
//! [`ROUNDS_MAX`] where a person may be the one who saves it.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::ignored::Ignored;
use super::links::hops;
use super::watch::Changes;

/// How many builds in a row a file starts that may have been written by the
/// build before. A generator that writes the same for the same sources is done
/// after one.
const REPEATS_MAX: u32 = 3;
/// How many builds in a row a file starts that changes while each of them runs,
/// whatever changes it: more than an editor that saves by itself keeps up with,
/// but for builds of minutes. A macro may write what it reads.
const ROUNDS_MAX: u32 = 10;
/// How far the times of files may lag behind the clock: they are those of the
/// kernel's last tick, of which there are at least 100 a second.
const TICK: Duration = Duration::from_millis(20);
/// How much of a file is read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// The files that cargo and rustup read by name, in a package or above it.
const MANIFESTS: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "rust-toolchain",
    "rust-toolchain.toml",
    ".cargo/config",
    ".cargo/config.toml",
];

/// A digest of a file's content; `None` for a file that cannot be read.
type Content = Option<u64>;

/// The files that the last build was made of, and their contents then.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// The folders of packages, without symbolic links.
    packages: Vec<PathBuf>,
    /// The inputs of the last build that succeeded; empty when there was none.
    names: BTreeSet<PathBuf>,
    /// When the last build began.
    began: Option<SystemTime>,
    /// Contents at the beginning of the last build.
    before: HashMap<PathBuf, Content>,
    /// The last build made something.
    succeeded: bool,
    /// When the last build script of the last build had run.
    scripts_ran: Option<SystemTime>,
    /// When the last build had ended.
    ended: Option<SystemTime>,
    /// A build has ended, and what changed while it ran was not judged yet.
    unjudged: bool,
    /// Files that the last builds may have written.
    repeats: HashMap<PathBuf, Repeat>,
    /// Where our own output goes: device and number of each file.
    outputs: Vec<(u64, u64)>,
}

/// A file that changes while builds run.
#[derive(Clone, Copy, Debug, Default)]
struct Repeat {
    /// How many of the last builds, without a gap, may have written it.
    builds: u32,
    /// In how many of the last builds, without a gap, it changed.
    rounds: u32,
    /// As the last one left it.
    content: Content,
}

/// The decision about changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// A build is due, for this file among others.
    pub(super) due: Option<PathBuf>,
    /// Files that start no more builds until something else changes them.
    pub(super) repeated: Vec<PathBuf>,
}

impl Inputs {
    /// Knows nothing yet except where our own output goes.
    pub(super) fn new() -> Self {
        let (output, error) = (io::stdout(), io::stderr());
        let outputs = [output.as_fd(), error.as_fd()].map(|fd| {
            let file = File::from(fd.try_clone_to_owned().ok()?);
            let metadata = file.metadata().ok()?;
            metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
        });
        Self {
            outputs: outputs.into_iter().flatten().collect(),
            ..Self::default()
        }
    }

    /// A build begins, of these packages, and of files outside of them. Reads all
    /// inputs.
    pub(super) fn begin(&mut self, packages: &[PathBuf], outside: &BTreeSet<PathBuf>) {
        let real = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| folder.clone());
        self.packages = packages.iter().map(real).collect();
        self.began = Some(now());
        let manifests = self.packages.iter().flat_map(|folder| {
            let names = MANIFESTS.iter();
            names.map(|name| folder.join(name))
        });
        let others = self.names.iter().chain(outside).cloned();
        let all = manifests.chain(others);
        self.before = all.map(|path| (path.clone(), content(&path))).collect();
    }

    /// The build has ended: with the inputs of its component, or without having
    /// made one.
    pub(super) fn end(&mut self, made_of: Option<&[PathBuf]>, scripts_ran: Option<SystemTime>) {
        self.succeeded = made_of.is_some_and(|names| !names.is_empty());
        if let Some(names) = made_of {
            self.names = names.iter().flat_map(|name| hops(name)).collect();
        }
        for (path, before) in &mut self.before {
            // Cargo has written it itself.
            if path.ends_with("Cargo.lock") {
                *before = content(path);
            }
        }
        self.scripts_ran = scripts_ran;
        self.ended = Some(now());
        self.unjudged = true;
    }

    /// The inputs of the last build, with the links on the way to them; `None`
    /// if it made nothing.
    pub(super) fn names(&self) -> Option<&BTreeSet<PathBuf>> {
        self.succeeded.then_some(&self.names)
    }

    /// Inputs that have changed since the last build began, whether the system
    /// has reported it or not. It does not report changes that were made before
    /// it was asked to: those of a file outside of packages that only this
    /// build has named, and those after the last look at files where it reports
    /// none.
    pub(super) fn missed(&self) -> Vec<PathBuf> {
        let known = self.before.iter();
        let known = known.filter(|(path, before)| content(path) != **before);
        let known = known.map(|(path, _)| path);
        let names = self.names.iter();
        let unknown = names.filter(|path| !self.before.contains_key(*path));
        let unknown = unknown.filter(|path| self.is_younger(path));
        known.chain(unknown).cloned().collect()
    }

    /// Whether a file has changed since the last build began, by its time. A
    /// file that has gone counts as changed.
    fn is_younger(&self, path: &Path) -> bool {
        let Some(began) = self.began else {
            return false;
        };
        let changed = path.metadata().map(|metadata| changed_at(&metadata));
        changed.map_or(true, |changed| {
            changed >= since_epoch(began.checked_sub(TICK))
        })
    }

    /// Decides about changes.
    pub(super) fn judge(&mut self, changes: &Changes) -> Verdict {
        let packages = self.packages.clone();
        let mut ignored = Ignored::new(&packages);
        let mut verdict = Verdict::default();
        let mut due = Vec::new();
        // The system may report it late.
        let (before, mut since): (Vec<_>, Vec<_>) = changes
            .sources
            .iter()
            .partition(|path| self.is_of_build(path));
        if std::mem::take(&mut self.unjudged) {
            let mut repeats = HashMap::new();
            for path in changes.during.iter().chain(before) {
                if !self.is_due_after(path, &mut ignored) {
                    continue;
                }
                let before = self.repeats.get(path).copied().unwrap_or_default();
                let repeat = before.again(self.may_be_made(path), content(path));
                match (before.is_spent(), repeat.is_spent()) {
                    (_, false) => due.push(path),
                    (false, true) => verdict.repeated.push(path.clone()),
                    (true, true) => {}
                }
                repeats.insert(path.clone(), repeat);
            }
            self.repeats = repeats;
        } else {
            since.extend(&changes.during);
        }
        let since = since.into_iter();
        due.extend(since.filter(|path| self.is_due(path, &mut ignored)));
        let missed = match changes.lost {
            true => self.missed(),
            false => Vec::new(),
        };
        due.extend(&missed);
        // Prefers to name a file that was there for more than a moment.
        let named = due.iter().find(|path| path.exists()).or(due.first());
        verdict.due = named.map(|path| (*path).clone());
        if changes.lost && !self.succeeded && verdict.due.is_none() {
            verdict.due = packages.first().cloned();
        }
        verdict
    }

    /// Whether the last change of a file was before the end of a build that is
    /// not judged yet.
    fn is_of_build(&self, path: &Path) -> bool {
        let (true, Some(ended), Ok(metadata)) = (self.unjudged, self.ended, path.metadata()) else {
            return false;
        };
        changed_at(&metadata) <= since_epoch(Some(ended))
    }

    /// Whether a build is due for a file that changed after the last one.
    fn is_due(&self, path: &Path, ignored: &mut Ignored<'_>) -> bool {
        if !self.may_matter(path, ignored) {
            return false;
        }
        match self.repeats.get(path) {
            Some(repeat) if repeat.is_spent() => {
                self.is_read(path) && content(path) != repeat.content
            }
            // After a failed build, saving it again tries again.
            _ => !self.succeeded || self.is_changed(path),
        }
    }

    /// Whether a build is due for a file that changed while the last one ran.
    fn is_due_after(&self, path: &Path, ignored: &mut Ignored<'_>) -> bool {
        let was_read = self.is_read(path) || self.is_in_input(path) || !self.succeeded;
        was_read && self.may_matter(path, ignored) && self.is_changed(path)
    }

    /// Whether a file has another content than at the beginning of the build.
    ///
    /// A file that was not known then and is not there now has changed nothing:
    /// tools write such files for a moment. It has if inputs have gone with it,
    /// or if a build failed, which may have been because of this file.
    fn is_changed(&self, path: &Path) -> bool {
        match self.before.get(path) {
            Some(before) => content(path) != *before,
            None => is_there(path) || !self.succeeded || self.has_inputs_at(path),
        }
    }

    /// Whether a path is an input, a folder with inputs, or in a folder that is
    /// one itself: a build script may name a folder to cargo.
    fn has_inputs_at(&self, path: &Path) -> bool {
        self.has_inputs_below(path) || self.is_in_input(path)
    }

    /// Whether a path is an input, or in a folder that is one itself.
    fn is_in_input(&self, path: &Path) -> bool {
        path.ancestors().any(|path| self.names.contains(path))
    }

    /// Whether a file that changed while a build ran may be written by it.
    /// Sources are written by build scripts or by people.
    fn may_be_made(&self, path: &Path) -> bool {
        if !self.is_read(path) && !is_rust(path) {
            return true;
        }
        let written = path.metadata().and_then(|metadata| metadata.modified());
        match (written, self.scripts_ran) {
            (Ok(written), Some(ran)) => written <= ran,
            _ => false,
        }
    }

    /// Whether cargo or the compiler reads a file, as far as is known.
    fn is_read(&self, path: &Path) -> bool {
        self.names.contains(path) || is_manifest(path)
    }

    /// Whether another content of a file could make another component.
    fn may_matter(&self, path: &Path, ignored: &mut Ignored<'_>) -> bool {
        if self.is_output(path) {
            return false;
        }
        if self.names.contains(path) {
            return true;
        }
        let is_log = path.extension().is_some_and(|it| it == "log");
        if is_log || ignored.has(path) {
            return false;
        }
        let anything = !self.succeeded || path.is_dir();
        anything
            || is_manifest(path)
            || is_rust(path)
            // A folder with inputs that has gone.
            || self.has_inputs_below(path)
            || self.is_beside_inputs(path)
    }

    /// Whether there are inputs in a file's folder, or in one above it that is
    /// not a package's own: a macro may read whole folders, and a folder that
    /// has gone had inputs below it.
    fn is_beside_inputs(&self, path: &Path) -> bool {
        let holds_package = |folder: &&Path| {
            self.packages
                .iter()
                .any(|package| package.starts_with(folder))
        };
        let mut folders = path.ancestors().take_while(|folder| !holds_package(folder));
        folders.any(|folder| self.has_inputs_below(folder))
    }

    /// Whether a path is an input, or a folder with inputs.
    fn has_inputs_below(&self, path: &Path) -> bool {
        // Paths are sorted by their parts: those below a folder follow it.
        let mut from = self.names.range(path.to_owned()..);
        from.next().is_some_and(|name| name.starts_with(path))
    }

    fn is_output(&self, path: &Path) -> bool {
        let Ok(metadata) = path.metadata() else {
            return false;
        };
        self.outputs.contains(&(metadata.dev(), metadata.ino()))
    }
}

impl Repeat {
    /// It has changed during one more build, which may have written it.
    fn again(self, may_be_made: bool, content: Content) -> Self {
        Self {
            builds: match may_be_made {
                true => self.builds.saturating_add(1),
                false => 0,
            },
            rounds: self.rounds.saturating_add(1),
            content,
        }
    }

    /// Whether it starts no more builds.
    fn is_spent(self) -> bool {
        self.builds >= REPEATS_MAX || self.rounds >= ROUNDS_MAX
    }
}

/// The time by the clock that files are dated with.
#[expect(
    clippy::disallowed_methods,
    reason = "compared with times of files; where the clock jumps, a build is missed or one too many"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// Seconds and nanoseconds, as files are dated.
fn since_epoch(time: Option<SystemTime>) -> (i64, i64) {
    let passed = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    let passed = passed.unwrap_or_default();
    let seconds = i64::try_from(passed.as_secs()).unwrap_or(i64::MAX);
    (seconds, passed.subsec_nanos().into())
}

/// When a file was last changed or renamed, in seconds and nanoseconds.
fn changed_at(metadata: &Metadata) -> (i64, i64) {
    (metadata.ctime(), metadata.ctime_nsec())
}

fn is_manifest(path: &Path) -> bool {
    MANIFESTS.iter().any(|manifest| path.ends_with(manifest))
}

/// Whether there is a file or folder that can be read. A link that leads
/// nowhere does not count.
fn is_there(path: &Path) -> bool {
    // In a folder that may not be read there may be one.
    path.try_exists().unwrap_or(true)
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn content(path: &Path) -> Content {
    // Reading a pipe would wait for its writer.
    if !path.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let (mut hasher, mut piece) = (DefaultHasher::new(), vec![0; PIECE_BYTES]);
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(hasher.finish()),
            read => hasher.write(&piece[..read]),
        }
    }
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
