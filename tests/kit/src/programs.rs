//! Finds what was built: programs beside this one, functions in the target folder.
//! A test runs from the folder `deps`, which is beside the programs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

/// The host's program, and the folder in which `make guests` leaves functions.
const HOST: &str = "openline";
const GUESTS: &str = "guests";

/// Where a benchmark finds the host and the functions.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// The host's program [default: `openline` beside this program]
    #[arg(long, value_name = "FILE")]
    pub host: Option<PathBuf>,

    /// The folder of the functions [default: `guests` in the target folder]
    #[arg(long, value_name = "FOLDER")]
    pub guests: Option<PathBuf>,
}

/// The host and the functions.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The host's program.
    pub host: PathBuf,
    /// The folder of the functions, from the root: configurations that name them
    /// are in other folders.
    pub guests: PathBuf,
}

impl Options {
    /// Where the host and the functions are, if they are there.
    ///
    /// # Errors
    ///
    /// Where the system does not say where this program is.
    pub fn places(&self) -> anyhow::Result<Programs> {
        let default = || Ok::<_, anyhow::Error>(target()?.join(GUESTS));
        let guests = self.guests.clone().map_or_else(default, Ok)?;
        Ok(Programs {
            host: program(self.host.as_deref(), HOST)?,
            guests: std::path::absolute(guests).context("no current folder")?,
        })
    }

    /// Finds the host, and functions by their names.
    ///
    /// # Errors
    ///
    /// Where one of them is not there.
    pub fn find(&self, functions: &[&str]) -> anyhow::Result<Programs> {
        let programs = self.places()?;
        exists(&programs.host, "cargo build --release -p openline")?;
        for name in functions {
            exists(&programs.function(name), "make guests")?;
        }
        Ok(programs)
    }
}

impl Programs {
    /// The file of a function.
    #[must_use]
    pub fn function(&self, name: &str) -> PathBuf {
        self.guests.join(format!("{name}.wasm"))
    }
}

/// A program from the root, where it is given, or else the one of that name
/// beside this one.
///
/// # Errors
///
/// Where the system does not say where this program is.
pub fn program(given: Option<&Path>, name: &str) -> anyhow::Result<PathBuf> {
    match given {
        Some(file) => std::path::absolute(file).context("no current folder"),
        None => Ok(folder()?.join(name)),
    }
}

/// Asserts that there is a file; the hint is the command that makes it.
///
/// # Errors
///
/// Where there is none.
pub fn exists(file: &Path, hint: &str) -> anyhow::Result<()> {
    if !file.is_file() {
        bail!("there is no `{}`\nhint: `{hint}`", file.display());
    }
    Ok(())
}

/// The folder of the programs that were built with this one.
fn folder() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let folder = program.parent().context("this program is in no folder")?;
    let is_test = folder.ends_with("deps");
    let programs = folder.parent().filter(|_| is_test);
    Ok(programs.unwrap_or(folder).to_owned())
}

/// The folder that cargo builds in.
///
/// # Errors
///
/// Where the system does not say where this program is.
pub fn target() -> anyhow::Result<PathBuf> {
    let folder = folder()?;
    Ok(folder.parent().unwrap_or(&folder).to_owned())
}

/// The host's program that was built with this test.
#[must_use]
pub(crate) fn openline() -> PathBuf {
    program(None, HOST).unwrap()
}

/// A folder that tests keep files in from run to run, such as compiled
/// components.
#[must_use]
pub(crate) fn kept() -> PathBuf {
    target().unwrap().join("tmp")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_with_a_hint() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("host");
        let options = Options {
            host: Some(host.clone()),
            guests: Some(folder.path().into()),
        };
        let missing = |functions: &[&str]| options.find(functions).unwrap_err().to_string();
        assert!(missing(&[]).ends_with("host`\nhint: `cargo build --release -p openline`"));
        std::fs::write(host, "").unwrap();
        assert!(missing(&["echo"]).ends_with("echo.wasm`\nhint: `make guests`"));
        std::fs::write(folder.path().join("echo.wasm"), "").unwrap();
        let found = options.find(&["echo"]).unwrap();
        assert!(found.function("echo").is_file());
    }

    #[test]
    fn a_test_is_below_the_programs() {
        assert!(openline().parent().unwrap().join("deps").is_dir());
        assert!(target().unwrap().is_dir());
    }
}
