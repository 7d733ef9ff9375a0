//! A host whose functions are being written: it watches their source, builds
//! what changes, and lets open connections go on with the new code.
//!
//! The host itself is that of `serve`; it is asked to reload over a channel,
//! and does so as on SIGHUP. One build runs at a time: a file that is saved
//! meanwhile is built after it. `inputs` decides which changes a build is due
//! for.

pub(crate) mod build;
mod ignored;
mod inputs;
mod links;
pub(crate) mod project;
pub(crate) mod watch;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use openline_admin::development::{Current, Development, Problem};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::build::{Outcome, of_text};
use self::inputs::{Inputs, Verdict};
use self::project::Project;
use self::watch::{Changes, Watcher};
use crate::assemble::Source;
use crate::hints::explained;
use crate::host::{self, Reload, Reloads, Served};
use crate::signal::Signals;
use crate::telemetry::{complain, tell};
use crate::watchdog::Watchdog;

/// Builds, serves and watches until a signal asks to stop.
pub(crate) async fn run(
    project: Project,
    development: Arc<Development>,
    mut signals: Signals,
    watchdog: Watchdog,
) -> anyhow::Result<()> {
    if project.source.base.read()?.config.server.data.is_some() {
        tell("`data` is not used in development: what functions keep is forgotten at the end");
    }
    let watcher = Watcher::new().context("changes of files cannot be watched")?;
    let planned = project.clone();
    watcher.watch(move || planned.plan()).await?;
    if let Some(package) = &project.package {
        // Whatever was built before is not what the source says now.
        let _ = std::fs::remove_file(&package.paths.development);
    }
    let (reloads, requests) = mpsc::channel(1);
    let source = Source::Development(Box::new(project.source.clone()));
    let mut developer = Developer {
        project,
        development: Arc::clone(&development),
        watcher,
        inputs: Inputs::new(),
        reloads,
        waiting: Vec::new(),
    };
    // Before the host listens, so that the first peers find the function.
    let first = tokio::select! {
        first = developer.build() => first,
        () = signals.stop() => return Ok(()),
    };
    let reloads = Reloads {
        requests,
        development,
    };
    tokio::select! {
        ended = host::serve_with(source, Some(reloads), signals, watchdog) => ended,
        never = developer.work(first) => match never {},
    }
}

struct Developer {
    project: Project,
    development: Arc<Development>,
    watcher: Watcher,
    inputs: Inputs,
    reloads: mpsc::Sender<Reload>,
    /// Functions without a component, as last told.
    waiting: Vec<String>,
}

enum Never {}

impl Developer {
    /// Runs until it is dropped.
    async fn work(&mut self, first: Option<Outcome>) -> Never {
        if let Some(version) = self.finish(first).await {
            tell(&version);
        }
        tell("watching for changes; Ctrl-C ends");
        loop {
            let changes = self.watcher.changed().await;
            self.react(changes).await;
        }
    }

    async fn react(&mut self, changes: Changes) {
        let served = changes.served.clone();
        let Verdict { due, repeated } = self.judge(changes).await;
        for path in repeated {
            let shown = self.shown(&path);
            let what = format!(
                "{shown} changes with each build: it starts none until something else changes it"
            );
            let hint = "have what writes it, as a macro or a build script, leave it alone when nothing is different";
            tell(&openline_hint::explained(what, Some(hint)));
        }
        let Some(path) = due.as_deref().or(served.as_deref()) else {
            return;
        };
        let project = self.project.clone();
        if let Err(error) = self.watcher.watch(move || project.plan()).await {
            complain(&error.context("changes of files may be missed from now on"));
        }
        let path = self.shown(path);
        let outcome = match &due {
            Some(_) => {
                tell(&format!("{path} has changed: building"));
                self.build().await
            }
            None => {
                tell(&format!("{path} has changed"));
                self.catch_up(false).await;
                None
            }
        };
        if let Some(done) = self.finish(outcome).await {
            tell(&done);
        }
    }

    /// Decides whether a build is due. Reads what has changed.
    async fn judge(&mut self, changes: Changes) -> Verdict {
        let judged = self.with_inputs(move |inputs| inputs.judge(&changes)).await;
        judged.unwrap_or_default()
    }

    /// Builds the crate, if there is one.
    async fn build(&mut self) -> Option<Outcome> {
        let package = self.project.package.clone()?;
        let (packages, outside) = self.watcher.watched();
        self.development.building();
        self.watcher.building(true);
        let building = self.with_inputs(move |inputs| {
            inputs.begin(&packages, &outside);
            let outcome = package.build();
            let built = outcome.built.as_ref();
            let made_of = built.map(|built| built.inputs.as_slice());
            inputs.end(made_of.ok(), outcome.scripts_ran);
            (outcome, inputs.names().cloned())
        });
        let built = building.await;
        self.watcher.building(false);
        let (outcome, names) = built?;
        if let Some(names) = names
            && let Err(error) = self.watcher.watch_inputs(names).await
        {
            complain(&error.context("changes of files may be missed from now on"));
        }
        self.catch_up(true).await;
        Some(outcome)
    }

    /// Looks for changes that the system has not reported. Call it once the
    /// system watches the current files. Earlier changes, since the last build
    /// began, may never be reported: those of a file outside of packages that
    /// the build was the first to name, and those since the last look at files
    /// where the system reports nothing.
    async fn catch_up(&mut self, during: bool) {
        let missed = self.with_inputs(|inputs| inputs.missed()).await;
        self.watcher.missed(&missed.unwrap_or_default(), during);
    }

    /// Runs `work` on the known inputs, on a thread that may block. `None` if
    /// it panics; no inputs are known then.
    async fn with_inputs<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Inputs) -> T + Send + 'static,
    ) -> Option<T> {
        let mut inputs = std::mem::replace(&mut self.inputs, Inputs::new());
        let working = tokio::task::spawn_blocking(move || {
            let done = work(&mut inputs);
            (inputs, done)
        });
        match working.await {
            Ok((inputs, done)) => {
                self.inputs = inputs;
                Some(done)
            }
            Err(panic) => {
                complain(&anyhow::Error::new(panic).context("the build came to no end"));
                None
            }
        }
    }

    /// Has the host take the component that was built, and returns the outcome
    /// in words.
    async fn finish(&mut self, outcome: Option<Outcome>) -> Option<String> {
        let (problems, took) = match outcome {
            Some(Outcome {
                built: Err(reason),
                problems,
                took,
                ..
            }) => {
                let errors = problems.iter().filter(|one| one.level == "error").count();
                self.development.failed(problems);
                if let Some(reason) = reason {
                    complain(&anyhow::anyhow!(reason));
                }
                let seconds = took.as_secs_f64();
                let then = self.what_goes_on();
                return Some(format!(
                    "not built, {errors} error(s) in {seconds:.1} s: {then}"
                ));
            }
            Some(Outcome { problems, took, .. }) => (problems, Some(took)),
            None => (Vec::new(), None),
        };
        let began = Instant::now();
        let served = match self.reload().await? {
            Ok(served) => served,
            Err(error) => {
                let mut problems = problems;
                problems.insert(0, of_text(&explained(&error)));
                self.development.failed(problems);
                complain(&error);
                return Some(format!("not taken: {}", self.what_goes_on()));
            }
        };
        self.tell_who_waits();
        let took = match took {
            Some(took) => format!("built in {:.1} s, ", took.as_secs_f64()),
            None => String::new(),
        };
        let took = format!("{took}loaded in {:.1} s", began.elapsed().as_secs_f64());
        Some(self.taken(&served, problems, &took))
    }

    /// The situation after a build that failed, in words.
    fn what_goes_on(&self) -> String {
        let current = self.development.current();
        let names: Vec<_> = current
            .iter()
            .map(|current| format!("{} {}", current.function, head(&current.version)))
            .collect();
        match &names[..] {
            [] => "nothing serves yet; waiting for a change".to_owned(),
            names => format!("{} goes on; waiting for a change", names.join(", ")),
        }
    }

    /// Notes which versions serve now, and returns the news in words.
    fn taken(&self, served: &[Served], problems: Vec<Problem>, took: &str) -> String {
        let current = |served: &Served| Current {
            function: served.function.clone(),
            version: served.version.to_string(),
        };
        let before = self.development.current();
        let changed = served.iter().filter(|one| !before.contains(&current(one)));
        let changed: Vec<_> = changed.map(|one| words(one, &before)).collect();
        self.development
            .succeeded(served.iter().map(current).collect(), problems);
        if changed.is_empty() {
            return format!("{took}: nothing is different");
        }
        format!("{took}: {}", changed.join("; "))
    }

    /// `None` when the host is ending.
    async fn reload(&self) -> Option<anyhow::Result<Vec<Served>>> {
        let (reply, reloaded) = oneshot::channel();
        self.reloads.send(reply).await.ok()?;
        reloaded.await.ok()
    }

    fn tell_who_waits(&mut self) {
        let read = self.project.source.read();
        let config = read.map(|read| read.config);
        let functions = config.map(|config| config.functions).unwrap_or_default();
        let waiting = functions.iter().filter(|each| each.component.is_none());
        let waiting: Vec<_> = waiting.map(|each| each.name.to_string()).collect();
        for name in waiting.iter().filter(|name| !self.waiting.contains(name)) {
            tell(&format!(
                "function `{name}` is not served until its component is there"
            ));
        }
        self.waiting = waiting;
    }

    /// A path as a person in the crate's folder would write it.
    fn shown(&self, path: &Path) -> String {
        let folder = self
            .project
            .package
            .as_ref()
            .map(|package| &package.directory);
        let folder = folder.and_then(|folder| folder.canonicalize().ok());
        let below = folder.and_then(|folder| Some(path.strip_prefix(folder).ok()?.to_owned()));
        below.as_deref().unwrap_or(path).display().to_string()
    }
}

/// The first letters of a digest, the form that people see.
fn head(version: &str) -> &str {
    version.get(..12).unwrap_or(version)
}

/// The news of a function, in words.
fn words(served: &Served, before: &[Current]) -> String {
    let (name, version) = (&served.function, served.version.short());
    if !before.iter().any(|other| other.function == *name) {
        return format!("{name} serves {} with version {version}", served.route);
    }
    match served.connections {
        0 => format!("{name} is version {version}"),
        1 => format!("{name} is version {version}, 1 connection goes on with it"),
        count => format!("{name} is version {version}, {count} connections go on with it"),
    }
}
