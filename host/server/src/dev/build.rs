//! One build of the crate: cargo's words go to the terminal as they come, and
//! the compiler's messages are kept for the page.
//!
//! Bounded: the end of what cargo printed is kept ([`PROGRESS_BYTES_MAX`]), and
//! as many problems as one reads ([`PROBLEMS_MAX`]).

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use openline_admin::development::Problem;
use openline_build::{
    BuildError, Built, Diagnostic, Options, Profile, Said, Sources, Toolchain, build_told,
    without_colours,
};
use openline_hint::Hint;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::inputs;
use crate::assemble::development::BuiltPaths;
use crate::telemetry::pass_on;

/// More than cargo says of a manifest that it cannot use.
const PROGRESS_BYTES_MAX: usize = 16 * 1024;
/// The page keeps fewer; the terminal still shows the rest.
const PROBLEMS_MAX: usize = 100;

/// The crate that is built again and again.
#[derive(Clone, Debug)]
pub(crate) struct Crate {
    pub(crate) directory: PathBuf,
    pub(crate) toolchain: Toolchain,
    pub(crate) name: String,
    pub(crate) paths: BuiltPaths,
}

/// The outcome of a build.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Or a message to print beside those of cargo, if there is one.
    pub(crate) built: Result<Built, Option<String>>,
    /// Errors first to last, with the warnings between them.
    pub(crate) problems: Vec<Problem>,
    pub(crate) took: Duration,
    /// When the last build script had run, by the clock of files.
    pub(crate) scripts_ran: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Heard {
    problems: Vec<Problem>,
    progress: Vec<u8>,
    scripts_ran: Option<SystemTime>,
}

impl Crate {
    pub(crate) fn new(directory: &Path, toolchain: Toolchain, sources: &Sources) -> Self {
        let folder = sources.target_directory.join("openline");
        let file = format!("{}.wasm", sources.name);
        Self {
            directory: directory.to_owned(),
            toolchain,
            name: sources.name.clone(),
            paths: BuiltPaths {
                release: folder.join(&file),
                development: folder.join("development").join(&file),
            },
        }
    }

    /// Builds it. Takes as long as cargo does.
    pub(crate) fn build(&self) -> Outcome {
        let began = Instant::now();
        let options = Options {
            component_directory: self.paths.development.parent().map(Path::to_owned),
            profile: Profile::Development,
            ..Options::default()
        };
        let colours = std::io::stderr().is_terminal();
        let heard = Mutex::new(Heard::default());
        let listener = |said: Said<'_>| heard.lock().take(said, colours);
        let built = build_told(
            &self.directory,
            &self.toolchain,
            &options,
            colours,
            &listener,
        );
        let mut heard = heard.into_inner();
        let built = built.map_err(|error| heard.explain(&error));
        Outcome {
            built,
            problems: heard.problems,
            took: began.elapsed(),
            scripts_ran: heard.scripts_ran,
        }
    }
}

impl Heard {
    fn take(&mut self, said: Said<'_>, colours: bool) {
        match said {
            Said::Diagnostic(diagnostic) => {
                let shown = if colours {
                    &diagnostic.coloured
                } else {
                    &diagnostic.rendered
                };
                pass_on(shown.as_bytes());
                if self.problems.len() < PROBLEMS_MAX {
                    self.problems.push(problem(diagnostic));
                }
            }
            Said::ScriptRan => self.scripts_ran = Some(inputs::now()),
            Said::Progress(bytes) => {
                pass_on(bytes);
                self.progress.extend_from_slice(bytes);
                let excess = self.progress.len().saturating_sub(PROGRESS_BYTES_MAX);
                self.progress.drain(..excess);
            }
        }
    }

    /// Why there is no component, in words for the terminal; the page is left
    /// with at least one error.
    fn explain(&mut self, error: &BuildError) -> Option<String> {
        if self.problems.iter().any(|problem| problem.level == "error") {
            // The compiler cannot know where its flags are from.
            return match error {
                BuildError::Compile { flags: Some(_), .. } => Some(explained(error)),
                _ => None,
            };
        }
        // Cargo itself has failed: by the manifest, or by a dependency.
        let progress = without_colours(&String::from_utf8_lossy(&self.progress));
        let said = match progress.find("error") {
            Some(start) if matches!(error, BuildError::Compile { .. }) => &progress[start..],
            _ => "",
        };
        if !said.is_empty() {
            self.problems.push(of_text(said));
            return None;
        }
        self.problems.push(of_text(&causes(error)));
        Some(explained(error))
    }
}

/// An error with those below it and its hint.
fn explained(error: &BuildError) -> String {
    openline_hint::explained(causes(error), error.hint().as_deref())
}

/// An error with those below it.
fn causes(error: &dyn std::error::Error) -> String {
    let below = std::iter::successors(error.source(), |error| error.source());
    below.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn problem(diagnostic: Diagnostic) -> Problem {
    let place = diagnostic.place;
    Problem {
        line: place.as_ref().map(|place| place.line),
        column: place.as_ref().map(|place| place.column),
        file: place.map(|place| place.file),
        level: diagnostic.level,
        code: diagnostic.code,
        message: diagnostic.message,
        rendered: diagnostic.rendered,
    }
}

/// An error known only as text, which may name a place as cargo does: `-->
/// FILE:LINE:COLUMN`.
pub(crate) fn of_text(text: &str) -> Problem {
    let place = text.split("--> ").nth(1).and_then(|rest| {
        let mut parts = rest.lines().next()?.rsplitn(3, ':');
        let column = parts.next()?.trim().parse().ok()?;
        let line = parts.next()?.parse().ok()?;
        Some((parts.next()?.to_owned(), line, column))
    });
    let first = text.lines().find(|line| !line.trim().is_empty());
    let first = first.unwrap_or("it failed and did not say why");
    Problem {
        file: place.as_ref().map(|(file, _, _)| file.clone()),
        line: place.as_ref().map(|(_, line, _)| *line),
        column: place.map(|(_, _, column)| column),
        level: "error".into(),
        code: None,
        message: first.trim_start_matches("error: ").to_owned(),
        rendered: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_a_place_becomes_an_error_there() {
        let text = "cargo cannot read it\nerror: unknown key\n --> sub/Cargo.toml:3:14\n  |\n";
        let problem = of_text(text);
        assert_eq!(problem.file.as_deref(), Some("sub/Cargo.toml"));
        assert_eq!((problem.line, problem.column), (Some(3), Some(14)));
        assert_eq!(problem.message, "cargo cannot read it");
        assert_eq!(problem.rendered, text);
        for text in ["", "error: no place", "--> here", "--> a:b:c"] {
            assert_eq!(of_text(text).file, None, "{text}");
        }
        assert_eq!(of_text("error: no place").message, "no place");
    }

    #[test]
    fn what_cargo_itself_says_is_an_error_when_the_compiler_found_none() {
        let mut heard = Heard::default();
        let line = b"   Compiling x\n\x1b[1merror\x1b[0m: no matching package named `y`\n";
        heard.take(Said::Progress(line), false);
        let error = BuildError::Compile {
            directory: "x".into(),
            target: "wasm32-wasip2",
            flags: None,
        };
        assert_eq!(heard.explain(&error), None);
        assert_eq!(heard.problems[0].message, "no matching package named `y`");
    }

    #[test]
    fn what_is_kept_of_progress_is_bounded() {
        let mut heard = Heard::default();
        for byte in [b'1', b'2'] {
            heard.progress = vec![byte; PROGRESS_BYTES_MAX];
            heard.take(Said::Progress(b""), false);
            assert_eq!(heard.progress.len(), PROGRESS_BYTES_MAX);
            heard.take(Said::Progress(b"\n"), false);
            assert_eq!(heard.progress.len(), PROGRESS_BYTES_MAX);
            assert_eq!(heard.progress.last(), Some(&b'\n'));
        }
    }
}
