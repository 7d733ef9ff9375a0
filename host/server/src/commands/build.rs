//! `openline build`: turns a crate into a component that the host can run.
//!
//! Finds a toolchain, or installs one with time limits and without questions,
//! lets `openline-build` compile, and checks the result against the contract
//! before it reports success.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use openline_build::{BuildError, Built, Options, Toolchain};
use openline_hint::Hinted;

use crate::causes;
use crate::commands::check::Checked;
use crate::telemetry::{print, tell};

const EXAMPLES: &str = "\
Examples:
  openline build
  openline build functions/chat --out chat.wasm";

/// The words after `openline build`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BuildArguments {
    /// The folder of the crate.
    #[arg(value_name = "DIR", default_value = ".")]
    directory: PathBuf,
    /// Where to put the component [default: openline/NAME.wasm in the crate's
    /// target folder].
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Compiles a crate to a component, lets `check` inspect it and name the
/// handler that it exports, and prints where the component is and how large.
///
/// # Errors
///
/// When there is no toolchain and none can be installed, when the crate does
/// not become a component, and when the component is not a function.
pub(crate) fn run(
    arguments: &BuildArguments,
    check: impl FnOnce(&[u8]) -> anyhow::Result<Checked>,
) -> anyhow::Result<()> {
    let built = compile(&arguments.directory)?;
    let (path, checked) = hand_over(&built, arguments.out.as_deref(), check)?;
    tell(&next_step(&from_here(&path), &checked));
    Ok(())
}

/// What can be done with a component.
fn next_step(path: &Path, checked: &Checked) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let rule = format!("have a rule of a firewall name it, `run_function = {stem:?}`");
    let subscription = "give it a [[function.subscription]] with the channels that wake it";
    let more = match (checked.inspects, checked.hears) {
        (true, true) => format!("{rule}, and {subscription}"),
        (true, false) => rule,
        (false, _) => subscription.to_owned(),
    };
    match checked.is_reachable {
        false => format!(
            "no route can lead to it: configure it as a function, `name = {stem:?}`, and {more}"
        ),
        true => {
            let served = format!("to serve it at /{stem}: openline run {}", path.display());
            match checked.inspects || checked.hears {
                true => format!("{served}; for its other handlers, configure it and {more}"),
                false => served,
            }
        }
    }
}

/// Checks a component, puts it at its path, and prints the path.
fn hand_over(
    built: &Built,
    out: Option<&Path>,
    check: impl FnOnce(&[u8]) -> anyhow::Result<Checked>,
) -> anyhow::Result<(PathBuf, Checked)> {
    let checked = check(&built.bytes)
        .with_context(|| format!("`{}` is not a function for Openline", built.name))?;
    if let Some(file) = out {
        fs::write(file, &built.bytes).map_err(|error| {
            let hint = causes::of_writing(error.kind());
            let what = format!("`{}` could not be written: {error}", file.display());
            Hinted::new(what, hint)
        })?;
    }
    let path = out.unwrap_or(&built.path);
    let (shown, size) = (from_here(path), built.bytes.len());
    print(&format!(
        "{}: {size} bytes, {}",
        shown.display(),
        checked.handlers
    ))?;
    Ok((path.to_owned(), checked))
}

fn compile(directory: &Path) -> anyhow::Result<Built> {
    // Check this first, so that no toolchain is searched for or installed in
    // vain.
    if !directory.join("Cargo.toml").is_file() {
        let directory = directory.to_owned();
        return Err(BuildError::NoManifest { directory }.into());
    }
    let mut report = |progress: &str| tell(&format!("{progress} ..."));
    let toolchain = Toolchain::find_or_install(directory, &mut report)?;
    tell(&format!("building a component ({toolchain})"));
    Ok(openline_build::build(
        directory,
        &toolchain,
        &Options::default(),
    )?)
}

/// A path below the current folder, as a person there would write it.
fn from_here(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    fn built() -> Built {
        Built {
            name: "echo".to_owned(),
            path: "target/openline/echo.wasm".into(),
            bytes: b"component".to_vec(),
            inputs: Vec::new(),
        }
    }

    fn checked(is_reachable: bool, inspects: bool, hears: bool) -> Checked {
        Checked {
            handlers: "websocket-handler".to_owned(),
            is_reachable,
            inspects,
            hears,
        }
    }

    #[test]
    fn what_to_do_next_is_something_that_works() {
        let path = Path::new("target/openline/gate.wasm");
        let served = next_step(path, &checked(true, false, false));
        assert_eq!(
            served,
            "to serve it at /gate: openline run target/openline/gate.wasm"
        );
        let asked = next_step(path, &checked(false, true, false));
        assert!(asked.contains("`run_function = \"gate\"`"), "{asked}");
        assert!(!asked.contains("openline run"), "{asked}");
        assert!(!asked.contains("subscription"), "{asked}");
        let woken = next_step(path, &checked(false, false, true));
        assert!(woken.contains("[[function.subscription]]"), "{woken}");
        assert!(!woken.contains("run_function"), "{woken}");
        let all = next_step(path, &checked(true, true, true));
        for part in ["openline run", "run_function", "[[function.subscription]]"] {
            assert!(all.contains(part), "{all}");
        }
    }

    #[test]
    fn a_component_that_passes_the_check_is_written_where_asked() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("there.wasm");
        let check = |bytes: &[u8]| {
            assert_eq!(bytes, b"component");
            Ok(checked(true, false, false))
        };
        let (path, _) = hand_over(&built(), Some(&out), check).unwrap();
        assert_eq!(path, out);
        assert_eq!(fs::read(&out).unwrap(), b"component");
        let (path, _) = hand_over(&built(), None, check).unwrap();
        assert_eq!(path, built().path);
    }

    #[test]
    fn a_component_that_fails_the_check_is_not_handed_over() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("there.wasm");
        let check = |_: &[u8]| bail!("it exports nothing");
        let error = hand_over(&built(), Some(&out), check).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "`echo` is not a function for Openline: it exports nothing"
        );
        assert!(!out.exists());
    }

    #[test]
    fn a_folder_that_is_no_crate_is_an_error_with_a_hint() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = BuildArguments {
            directory: directory.path().to_owned(),
            out: None,
        };
        let error = run(&arguments, |_| bail!("there is nothing to check"));
        let text = crate::hints::explained(&error.unwrap_err());
        assert!(text.starts_with("there is no `Cargo.toml` in"), "{text}");
        assert!(text.contains("\nhint: "), "{text}");
    }
}
