//! The source folders of a crate: its own, and those of its path dependencies.
//!
//! Asks cargo about one workspace after the other, without the network.
//! Bounded by [`FOLDERS_MAX`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Toolchain;
use crate::cargo::Package;
use crate::compile::{package_of, read_workspace};
use crate::error::BuildError;

/// The most folders: far more than a function has. A crate that reaches this is
/// a mistake, which should not take minutes.
const FOLDERS_MAX: usize = 64;

/// The parts of a crate to watch for changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The name of the crate.
    pub name: String,
    /// The folders of packages: the crate's own first, then those of its path
    /// dependencies, direct or not.
    pub folders: Vec<PathBuf>,
    /// Where cargo puts compiled files, none of which is a source.
    pub target_directory: PathBuf,
}

impl Sources {
    /// Finds out about the crate in a folder.
    ///
    /// # Errors
    ///
    /// When the folder does not contain a crate with a `cdylib` library, and
    /// when cargo cannot read it.
    pub fn of(directory: &Path, toolchain: &Toolchain) -> Result<Self, BuildError> {
        let workspace = read_workspace(directory, toolchain)?;
        let target_directory = workspace.target_directory.clone();
        let package = package_of(workspace, directory)?;
        let name = package.name.clone();
        let mut seen = BTreeSet::new();
        let mut folders = Vec::new();
        let mut waiting = vec![package];
        while let Some(package) = waiting.pop() {
            let Some(folder) = package.manifest.parent() else {
                continue;
            };
            if folders.len() == FOLDERS_MAX || !seen.insert(folder.to_owned()) {
                continue;
            }
            folders.push(folder.to_owned());
            for path in &package.paths {
                // If it cannot be read, the build will report it.
                waiting.extend(read(path, toolchain));
            }
        }
        Ok(Self {
            name,
            folders,
            target_directory,
        })
    }
}

fn read(folder: &Path, toolchain: &Toolchain) -> Option<Package> {
    let workspace = read_workspace(folder, toolchain).ok()?;
    workspace.package_in(folder).ok()
}
