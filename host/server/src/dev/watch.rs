//! Notices that someone saves a file: sources, of which [`Inputs`] decides
//! whether a build is due, and the configuration and components, which mean a
//! reload.
//!
//! Folders are watched, not files: editors write beside a file and rename over
//! it. The targets of links are watched as well, within bounds (see `links`),
//! and so are the folders of files outside of packages that the crate is made
//! of. A burst of changes counts as one. Bounded: [`PATHS_MAX`] paths are kept,
//! [`PACKAGES_MAX`] packages and [`OUTSIDE_MAX`] files outside are watched. The
//! system reports changes; where it has no more watches to give away, files are
//! looked at every second instead.
//!
//! [`Inputs`]: super::inputs::Inputs

use std::collections::BTreeSet;
use std::io::ErrorKind as IoErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::{
    Config, ErrorKind, Event, EventKind, PollWatcher, RecommendedWatcher, RecursiveMode,
    Watcher as _,
};
use openline_hint::explained;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::links::{Linked, hops};
use crate::assemble::development::real;
use crate::telemetry::tell;

/// How long it must be quiet before a change counts as complete: editors and
/// version control write several files in less.
const QUIET: Duration = Duration::from_millis(100);
/// The longest wait for the end of a burst.
const BURST_MAX: Duration = Duration::from_secs(2);
/// Files of a burst that are told apart: more than a person changes at once.
/// Any others are found by their contents.
pub(super) const PATHS_MAX: usize = 1000;
/// Packages that are watched, those of earlier plans among them.
const PACKAGES_MAX: usize = 128;
/// Files outside of packages that are watched, each with its folder.
pub(super) const OUTSIDE_MAX: usize = 256;
/// How often files are looked at where the system reports no changes.
const POLL: Duration = Duration::from_secs(1);

/// The files and folders to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Folders of packages; everything in them is source, except hidden files
    /// and those that cargo makes.
    pub(crate) packages: Vec<PathBuf>,
    /// Files that decide how cargo builds, in whatever folder.
    pub(crate) settings: Vec<PathBuf>,
    /// There may be more packages: those known before are still watched.
    pub(crate) partial: bool,
    /// Where cargo puts what it makes.
    pub(crate) target_directory: Option<PathBuf>,
    /// The configuration and components.
    pub(crate) files: Vec<PathBuf>,
    /// Files outside of packages of which a change is one of the crate: settings
    /// and what it was made of, with links on the way. Found when it is watched.
    pub(crate) outside: BTreeSet<PathBuf>,
    /// The targets of links in packages, found when the plan is watched.
    pub(crate) linked: Linked,
}

/// The changes that were noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// In packages, and where links in them lead.
    pub(crate) sources: BTreeSet<PathBuf>,
    /// The same, noticed while cargo was at work.
    pub(crate) during: BTreeSet<PathBuf>,
    /// Other sources may have changed as well.
    pub(crate) lost: bool,
    /// A reload is due; one path is enough to name.
    pub(crate) served: Option<PathBuf>,
}

/// Watches until it is dropped.
pub(crate) struct Watcher {
    watching: Arc<Mutex<Watching>>,
    seen: Arc<Seen>,
}

/// State that is used only by threads that may wait for a disk. Locked while
/// folders are walked.
struct Watching {
    backend: Box<dyn notify::Watcher + Send>,
    seen: Arc<Seen>,
    /// As it was last found.
    plan: Plan,
    /// The files that the crate was last made of.
    inputs: BTreeSet<PathBuf>,
    /// The messages about unwatched files that were already printed.
    told: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Seen {
    plan: Mutex<Plan>,
    changes: Mutex<Changes>,
    something: Notify,
    building: AtomicBool,
}

// === impl Watcher ===

impl Watcher {
    /// Begins without anything to watch.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let seen = Arc::new(Seen::default());
        let backend: Box<dyn notify::Watcher + Send> =
            match RecommendedWatcher::new(seen.handler(), config()) {
                Ok(watcher) => Box::new(watcher),
                Err(error) => polling(&seen, &error)?,
            };
        Ok(Self::with(backend, seen))
    }

    fn with(backend: Box<dyn notify::Watcher + Send>, seen: Arc<Seen>) -> Self {
        let watching = Watching {
            backend,
            seen: Arc::clone(&seen),
            plan: Plan::default(),
            inputs: BTreeSet::new(),
            told: BTreeSet::new(),
        };
        Self {
            watching: Arc::new(Mutex::new(watching)),
            seen,
        }
    }

    /// Watches the files of the plan that `plan` returns. Call it again after a
    /// change: a folder that was replaced is no longer watched. Walks the
    /// folders, and calls `plan`, on a thread that may wait for a disk.
    pub(crate) async fn watch(
        &self,
        plan: impl FnOnce() -> Plan + Send + 'static,
    ) -> anyhow::Result<()> {
        let watching = Arc::clone(&self.watching);
        spawn_blocking(move || watching.lock().watch(plan())).await?
    }

    /// Watches these files from now on as well, in place of those that it was
    /// told before: what the crate was made of. Those in packages are watched
    /// already.
    pub(crate) async fn watch_inputs(&self, inputs: BTreeSet<PathBuf>) -> anyhow::Result<()> {
        let watching = Arc::clone(&self.watching);
        spawn_blocking(move || watching.lock().watch_inputs(inputs)).await?
    }

    /// Whether cargo is at work, which writes `Cargo.lock` itself.
    pub(crate) fn building(&self, building: bool) {
        // Locked, so that no change is noted later as one during a build.
        let _changes = self.seen.changes.lock();
        self.seen.building.store(building, Ordering::Relaxed);
    }

    /// Adds files that have changed without a report from the system, if they
    /// are watched. `during` says that they changed while cargo was at work.
    pub(crate) fn missed(&self, files: &[PathBuf], during: bool) {
        for file in files {
            self.seen.add(file, Some(during));
        }
    }

    /// The folders of packages that are watched, without symbolic links, and the
    /// files outside of them.
    pub(crate) fn watched(&self) -> (Vec<PathBuf>, BTreeSet<PathBuf>) {
        let plan = self.seen.plan.lock();
        (plan.packages.clone(), plan.outside.clone())
    }

    /// Waits until something has changed, and it has been quiet for a moment.
    pub(crate) async fn changed(&self) -> Changes {
        self.seen.changed().await
    }
}

// === impl Watching ===

impl Watching {
    fn watch(&mut self, plan: Plan) -> anyhow::Result<()> {
        self.plan = plan.after(&self.plan);
        let (plan, left_out) = self.plan.real(&self.inputs);
        *self.seen.plan.lock() = plan.clone();
        for words in plan.linked.left_out.iter().chain(&left_out) {
            if self.told.insert(words.clone()) {
                tell(words);
            }
        }
        match self.try_watch(&plan) {
            Err(error) if is_exhausted(&error) => {
                self.backend = polling(&self.seen, &error)?;
                Ok(self.try_watch(&plan)?)
            }
            done => Ok(done?),
        }
    }

    fn watch_inputs(&mut self, inputs: BTreeSet<PathBuf>) -> anyhow::Result<()> {
        if self.inputs == inputs {
            return Ok(());
        }
        self.inputs = inputs;
        self.watch(self.plan.clone())
    }

    fn try_watch(&mut self, plan: &Plan) -> notify::Result<()> {
        for (folder, mode) in plan.folders() {
            match self.backend.watch(&folder, mode) {
                // Removed meanwhile; its parent reports when it is there again.
                Err(error) if is_absence(&error) => {}
                done => done?,
            }
        }
        Ok(())
    }
}

/// Links are followed here, where there are bounds.
fn config() -> Config {
    Config::default().with_follow_symlinks(false)
}

fn polling(
    seen: &Arc<Seen>,
    error: &notify::Error,
) -> notify::Result<Box<dyn notify::Watcher + Send>> {
    let what =
        format!("the system does not tell of changes ({error}): files are looked at every second");
    let hint = "on Linux, raise `fs.inotify.max_user_watches` or `max_user_instances` with sysctl";
    tell(&explained(what, Some(hint)));
    // By their contents: their times are looked at in whole seconds.
    let config = config()
        .with_poll_interval(POLL)
        .with_compare_contents(true);
    Ok(Box::new(PollWatcher::new(seen.handler(), config)?))
}

fn is_absence(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == IoErrorKind::NotFound,
        _ => false,
    }
}

/// Whether the system has no more watches to give away.
fn is_exhausted(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::MaxFilesWatch => true,
        // ENOSPC has a kind of its own.
        ErrorKind::Io(error) => error.kind() == IoErrorKind::StorageFull,
        _ => false,
    }
}

// === impl Seen ===

impl Seen {
    fn handler(self: &Arc<Self>) -> impl Fn(notify::Result<Event>) + Send + 'static {
        let seen = Arc::clone(self);
        move |event| seen.take(&event)
    }

    fn take(&self, event: &notify::Result<Event>) {
        match event {
            // Reading is no change.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) if event.need_rescan() => self.lost("a queue of the system was full"),
            Ok(event) => event.paths.iter().for_each(|path| self.note(path)),
            Err(error) if is_absence(error) => {}
            Err(error) => self.lost(&error.to_string()),
        }
    }

    /// Some changes were not reported: anything may have changed.
    fn lost(&self, reason: &str) {
        tracing::debug!(reason, "changes of files may have been missed");
        self.changes.lock().lost = true;
        self.something.notify_one();
    }

    fn note(&self, path: &Path) {
        let is_served = self.plan.lock().files.iter().any(|file| file == path);
        if !is_served {
            return self.add(path, None);
        }
        let mut changes = self.changes.lock();
        // Rather than a file that was only there for a moment.
        if changes.served.as_ref().is_none_or(|kept| !kept.exists()) {
            changes.served = Some(path.to_owned());
        }
        drop(changes);
        self.something.notify_one();
    }

    /// Adds a path, if it is a source. Looks up whether cargo is at work unless
    /// the caller says so.
    fn add(&self, path: &Path, during: Option<bool>) {
        if !self.plan.lock().is_source(path) {
            return;
        }
        let mut changes = self.changes.lock();
        let during = during.unwrap_or_else(|| self.building.load(Ordering::Relaxed));
        if during && path.ends_with("Cargo.lock") {
            return;
        }
        changes.add(path, during);
        drop(changes);
        self.something.notify_one();
    }

    async fn changed(&self) -> Changes {
        self.something.notified().await;
        let latest = Instant::now() + BURST_MAX;
        while Instant::now() < latest && timeout(QUIET, self.something.notified()).await.is_ok() {}
        std::mem::take(&mut *self.changes.lock())
    }
}

// === impl Changes ===

impl Changes {
    fn add(&mut self, path: &Path, building: bool) {
        let kept = if building {
            &mut self.during
        } else {
            &mut self.sources
        };
        if kept.len() < PATHS_MAX || kept.contains(path) {
            kept.insert(path.to_owned());
        } else {
            self.lost = true;
        }
    }
}

// === impl Plan ===

impl Plan {
    /// This plan after an earlier one: where cargo could not read all packages,
    /// those that it could read before are kept.
    fn after(mut self, before: &Self) -> Self {
        if !self.partial {
            return self;
        }
        for package in &before.packages {
            if self.packages.len() < PACKAGES_MAX && !self.packages.contains(package) {
                self.packages.push(package.clone());
            }
        }
        for file in &before.settings {
            if self.settings.len() < OUTSIDE_MAX && !self.settings.contains(file) {
                self.settings.push(file.clone());
            }
        }
        self.target_directory = self
            .target_directory
            .or_else(|| before.target_directory.clone());
        self
    }

    /// With paths as events have them, and the files outside of packages; and
    /// what is left out, in words.
    fn real(&self, inputs: &BTreeSet<PathBuf>) -> (Self, Option<String>) {
        // A file that is missing now may come back.
        let folder = |folder: &PathBuf| folder.canonicalize().unwrap_or_else(|_| real(folder));
        let mut plan = Self {
            packages: self.packages.iter().map(folder).collect(),
            target_directory: self.target_directory.as_ref().map(folder),
            files: self.files.iter().flat_map(|file| hops(file)).collect(),
            ..Self::default()
        };
        let left_out = plan.find_outside(self.settings.iter().chain(inputs));
        (plan.with_links(), left_out)
    }

    /// Finds which of these files are outside of packages; says which are too
    /// many.
    fn find_outside<'a>(&mut self, files: impl Iterator<Item = &'a PathBuf>) -> Option<String> {
        let found = files.flat_map(|file| hops(file));
        let mut found = found.filter(|file| {
            let made = self.target_directory.as_ref();
            !self.is_in_package(file) && made.is_none_or(|made| !file.starts_with(made))
        });
        let mut outside = BTreeSet::new();
        let past = found.find(|file| {
            let is_full = outside.len() == OUTSIDE_MAX && !outside.contains(file);
            if !is_full {
                outside.insert(file.clone());
            }
            is_full
        });
        drop(found);
        self.outside = outside;
        let past = past?;
        let past = past.display();
        Some(format!(
            "{past} is not watched: the crate is made of more than {OUTSIDE_MAX} files outside of its packages"
        ))
    }

    fn with_links(mut self) -> Self {
        let is_watched = |path: &Path| self.is_source(path);
        let mut links = Linked::of(&self.source_folders(), is_watched);
        // Links beside the manifest; the package's own folder is not searched.
        let beside = self.packages.iter().flat_map(std::fs::read_dir).flatten();
        let beside = beside.flatten().map(|entry| entry.path());
        let beside = beside.filter(|path| path.is_symlink() && self.is_source(path));
        links.extend(&beside.collect::<Vec<_>>(), is_watched);
        self.linked = links;
        self
    }

    /// The folders in packages that are watched with all that is below.
    fn source_folders(&self) -> Vec<PathBuf> {
        let entries = self.packages.iter().flat_map(std::fs::read_dir).flatten();
        let folders = entries.flatten().filter(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_folder && self.is_source(&entry.path())
        });
        folders.map(|entry| entry.path()).collect()
    }

    /// The folders to watch. Not the whole of a package: the folder in which
    /// cargo works has thousands, and changes all the time.
    fn folders(&self) -> Vec<(PathBuf, RecursiveMode)> {
        let tops = self.packages.iter().cloned();
        let tops = tops.map(|top| (top, RecursiveMode::NonRecursive));
        let below = self.source_folders().into_iter();
        let below = below.map(|folder| (folder, RecursiveMode::Recursive));
        let mut found: Vec<_> = tops.chain(below).collect();
        let files = self.files.iter().chain(&self.outside);
        let files = files.chain(&self.linked.files);
        // Its parent reports it when a package goes and comes back.
        let single = files.chain(&self.packages).filter_map(|it| it.parent());
        for folder in single.chain(self.linked.folders.iter().map(PathBuf::as_path)) {
            // Watching it in another mode would end the watch of what is below.
            let known = found.iter().any(|(other, mode)| match mode {
                RecursiveMode::Recursive => folder.starts_with(other),
                RecursiveMode::NonRecursive => folder == other,
            });
            if !known {
                found.push((folder.to_owned(), RecursiveMode::NonRecursive));
            }
        }
        found
    }

    /// Whether a path is in a package, and neither made by cargo nor an
    /// editor's own; or where a link in a package leads.
    fn is_source(&self, path: &Path) -> bool {
        let is_kept_here = path.file_name().is_some_and(is_kept);
        let is_linked = self.linked.files.contains(path)
            || (is_kept_here
                && path
                    .parent()
                    .is_some_and(|it| self.linked.folders.contains(it)));
        is_linked || self.outside.contains(path) || self.is_in_package(path)
    }

    fn is_in_package(&self, path: &Path) -> bool {
        let mut inside = self
            .packages
            .iter()
            .filter_map(|package| path.strip_prefix(package).ok());
        // A package's own folder is not: it may be gone, or be another one now.
        let is_made = |inside: &Path| {
            let first = inside.components().next();
            first.is_some_and(|first| is_target(first.as_os_str()))
        };
        let outer = inside.next();
        outer.is_some_and(|outer| !is_made(outer) && outer.iter().all(is_kept))
            // A package may lie in another one.
            && inside.all(|inner| !is_made(inner))
            && self
                .target_directory
                .as_ref()
                .is_none_or(|target| !path.starts_with(target))
    }
}

/// Whether a name is that of cargo's folder, or the one that it has while cargo
/// makes it: with six letters behind it.
fn is_target(name: &std::ffi::OsStr) -> bool {
    let name = name.to_string_lossy();
    let rest = name.strip_prefix("target");
    rest.is_some_and(|rest| {
        let letters = rest.bytes().all(|byte| byte.is_ascii_alphanumeric());
        rest.is_empty() || (rest.len() == 6 && letters)
    })
}

/// Whether a file or folder is not one that editors and other tools keep for
/// themselves: hidden ones, copies, swap files, files that are renamed when
/// they are written, and the one by which vim tries whether it may write.
pub(super) fn is_kept(name: &std::ffi::OsStr) -> bool {
    /// With the copies of JetBrains' editors: `lib.rs___jb_tmp___` becomes the
    /// file, and the file `lib.rs___jb_old___`, once `lib.rs___jb_bak___`.
    const ENDS: [&str; 9] = [
        "~",
        ".swp",
        ".tmp",
        ".bak",
        ".orig",
        ".rej",
        "___jb_tmp___",
        "___jb_old___",
        "___jb_bak___",
    ];
    let name = name.to_string_lossy();
    let starts = [".", "#"].iter().any(|start| name.starts_with(start));
    let ends = ENDS.iter().any(|end| name.ends_with(end));
    !starts && !ends && name != "4913" && name != "node_modules"
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
