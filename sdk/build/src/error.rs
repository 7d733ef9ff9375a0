//! Why a crate did not become a component, and the hint.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use openline_hint::Hint;

use crate::component::ComponentError;

/// Why a crate did not become a component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The folder is not a crate.
    #[error("there is no `Cargo.toml` in `{}`", directory.display())]
    NoManifest {
        /// The folder.
        directory: PathBuf,
    },
    /// Cargo does not understand the folder.
    #[error("cargo cannot read the crate in `{}`\n{message}", directory.display())]
    Unreadable {
        /// The folder.
        directory: PathBuf,
        /// Cargo's message.
        message: String,
    },
    /// The folder has a workspace but no crate.
    #[error("`{}` is a workspace, not a crate", directory.display())]
    NoPackage {
        /// The folder.
        directory: PathBuf,
        /// The packages of the workspace.
        members: Vec<String>,
    },
    /// The crate has no library that could become a component.
    #[error("the crate `{package}` does not make a library for WebAssembly")]
    NoCdylib {
        /// The crate.
        package: String,
        /// Its `Cargo.toml`.
        manifest: PathBuf,
    },
    /// Cargo could not be started.
    #[error("`{}` could not be run", program.display())]
    Start {
        /// The path of cargo.
        program: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The crate does not compile; cargo has printed why.
    #[error("the crate in `{}` does not compile for {target}", directory.display())]
    Compile {
        /// The folder.
        directory: PathBuf,
        /// The target of the compilation.
        target: &'static str,
        /// The cargo configuration that sets flags for the compiler which also
        /// apply to this target, if there is one.
        flags: Option<PathBuf>,
    },
    /// Cargo succeeded, but reported no file for this crate.
    #[error("cargo has compiled the crate `{package}` but made no WebAssembly file of it")]
    NoArtifact {
        /// The crate.
        package: String,
    },
    /// The linker's output is not a component and cannot become one.
    #[error("the crate `{package}` compiles, but does not make a component")]
    Component {
        /// The crate.
        package: String,
        /// The problem.
        #[source]
        source: ComponentError,
    },
    /// A file could not be read or written.
    #[error("`{}` could not be {verb}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        verb: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

// === impl BuildError ===

impl Hint for BuildError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::NoManifest { .. } => {
                "name the folder of a crate, or make one with `openline new NAME`".into()
            }
            Self::NoPackage { members, .. } => {
                let members = members.join(", ");
                format!("name the folder of one of its members ({members})").into()
            }
            Self::NoCdylib { manifest, .. } => {
                let manifest = manifest.display();
                format!("add to `{manifest}`:\n  [lib]\n  crate-type = [\"cdylib\"]").into()
            }
            Self::Compile { flags: None, .. } => "cargo has said why, above".into(),
            Self::Compile {
                flags: Some(file),
                target,
                ..
            } => format!(
                "cargo has said why, above; if it is an argument that is not known, `{}` sets `rustflags` also for {target}: put what is for this machine under its own `[target.TRIPLE]`",
                file.display()
            )
            .into(),
            Self::Component { .. } => {
                "the crate has to export its handler with `openline_sdk::export!`".into()
            }
            Self::Unreadable { .. }
            | Self::Start { .. }
            | Self::NoArtifact { .. }
            | Self::File { .. } => return None,
        })
    }
}
