//! The compilers for WebAssembly, and their arguments.
//!
//! There are two, tried in this order: a Rust toolchain with the target
//! `wasm32-wasip2`, as rustup has them ([`preview2`]), and Debian's compiler
//! for `wasm32-wasip1` with a standard library built from source
//! ([`preview1`]). Finding looks at files and asks compilers for their
//! version, nothing else; only [`Toolchain::find_or_install`] changes the
//! machine or uses the network, and every program it starts for that has a
//! time limit.

mod compiler;
mod error;
mod preview1;
mod preview2;

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment;

pub use error::ToolchainError;

/// The environment variable that forces a target: `wasm32-wasip2` or
/// `wasm32-wasip1`. If it is unset or empty, the first that works is used, in
/// that order.
pub const TARGET_VARIABLE: &str = "OPENLINE_WASM_TARGET";

/// The target of a compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// `wasm32-wasip2`: the linker already makes a component.
    Preview2,
    /// `wasm32-wasip1`: the linker makes a core module, which becomes a
    /// component with an adapter from WASI preview 1.
    Preview1,
}

/// A compiler for WebAssembly, ready for use. Paths that the compiler reports
/// are absolute.
#[derive(Clone, Debug)]
pub struct Toolchain {
    target: Target,
    version: String,
    cargo: PathBuf,
    rustc: PathBuf,
    /// Arguments that follow `cargo build`, without the target.
    arguments: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
}

// === impl Toolchain ===

impl Toolchain {
    /// Finds a compiler for use in `directory`, by which rustup chooses the
    /// toolchain (`rust-toolchain.toml`, overrides). Installs nothing and does
    /// not use the network.
    ///
    /// # Errors
    ///
    /// When [`TARGET_VARIABLE`] is not a known target, and when no compiler
    /// is installed; the text then says what to install.
    pub fn find(directory: &Path) -> Result<Self, ToolchainError> {
        let mut absences = Vec::new();
        for target in wanted_targets()? {
            match find_one(target, directory) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => absences.push((target, reason)),
            }
        }
        Err(ToolchainError::Missing { absences })
    }

    /// Finds a compiler as [`Toolchain::find`] does, or else installs one: with
    /// `rustup target add wasm32-wasip2`, or from Debian's packages if this is
    /// Debian and the user is root. Never asks anything; without a network it
    /// ends after at most a quarter of an hour, usually at once. Calls `report`
    /// with half a sentence before each slow step.
    ///
    /// # Errors
    ///
    /// As for [`Toolchain::find`]; the text also says why installing failed.
    pub fn find_or_install(
        directory: &Path,
        report: &mut dyn FnMut(&str),
    ) -> Result<Self, ToolchainError> {
        let targets = wanted_targets()?;
        let mut absences = Vec::new();
        for &target in &targets {
            let reason = match find_one(target, directory) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => reason,
            };
            let installed = match target {
                Target::Preview2 => {
                    let alternative = targets.contains(&Target::Preview1)
                        && find_one(Target::Preview1, directory).is_ok();
                    preview2::install(directory, alternative, report)
                }
                Target::Preview1 => preview1::install(directory, report),
            };
            match installed.map(|()| find_one(target, directory)) {
                Ok(Ok(toolchain)) => return Ok(toolchain),
                Ok(Err(reason)) => {
                    absences.push((target, format!("{reason}, even after installing it")));
                }
                Err(failure) => absences.push((target, format!("{reason}; {failure}"))),
            }
        }
        Err(ToolchainError::Missing { absences })
    }

    /// The target of the compiler.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target
    }

    /// Cargo in a directory, with an environment free of other builds. The
    /// caller adds the subcommand and its arguments.
    #[cfg_attr(
        not(feature = "component"),
        expect(dead_code, reason = "only compiling uses it")
    )]
    pub(crate) fn cargo(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.cargo);
        environment::clean(&mut command);
        command.current_dir(directory).env("RUSTC", &self.rustc);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// The arguments of `cargo build` that choose the target.
    #[cfg_attr(
        not(feature = "component"),
        expect(dead_code, reason = "only compiling uses it")
    )]
    pub(crate) fn build_arguments(&self) -> impl Iterator<Item = &str> {
        ["--target", self.target.triple()]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (target, version, rustc) = (self.target, &self.version, self.rustc.display());
        write!(
            formatter,
            "{target}, compiled by rustc {version} (`{rustc}`)"
        )
    }
}

/// The targets to look for, the preferred one first.
fn wanted_targets() -> Result<Vec<Target>, ToolchainError> {
    let value = env::var_os(TARGET_VARIABLE).unwrap_or_default();
    targets_named(&value.to_string_lossy())
}

fn targets_named(value: &str) -> Result<Vec<Target>, ToolchainError> {
    let both = [Target::Preview2, Target::Preview1];
    if value.is_empty() {
        return Ok(both.into());
    }
    match both.into_iter().find(|target| target.triple() == value) {
        Some(target) => Ok(vec![target]),
        None => Err(ToolchainError::UnknownTarget {
            value: value.to_owned(),
        }),
    }
}

fn find_one(target: Target, directory: &Path) -> Result<Toolchain, String> {
    match target {
        Target::Preview2 => preview2::find(directory),
        Target::Preview1 => preview1::find(directory),
    }
}

// === impl Target ===

impl Target {
    /// rustc's name for it.
    #[must_use]
    pub fn triple(self) -> &'static str {
        match self {
            Self::Preview2 => "wasm32-wasip2",
            Self::Preview1 => "wasm32-wasip1",
        }
    }

    /// How a person installs it.
    fn remedy(self) -> String {
        match self {
            Self::Preview2 => "run `rustup target add wasm32-wasip2`".to_owned(),
            Self::Preview1 => format!(
                "on Debian 12, as root, run `apt-get update` and `apt-get install -y --no-install-recommends {}`",
                preview1::PACKAGES.join(" ")
            ),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.triple())
    }
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint;

    use super::*;

    #[test]
    fn a_target_can_be_forced() {
        let both = vec![Target::Preview2, Target::Preview1];
        assert_eq!(targets_named(""), Ok(both));
        assert_eq!(targets_named("wasm32-wasip1"), Ok(vec![Target::Preview1]));
        let error = targets_named("wasm32-wasip9").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`OPENLINE_WASM_TARGET` is `wasm32-wasip9`"),
            "{text}"
        );
        assert!(error.hint().unwrap().starts_with("use `wasm32-wasip2` or"));
    }
}
