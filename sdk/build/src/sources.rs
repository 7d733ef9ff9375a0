//! Which folders a crate is made of: its own, and those of the crates that it
//! depends on by path.
//!
//! Asks cargo about one workspace after the other, without the network.
//! Bounded by [`FOLDERS_MAX`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Toolchain;
use crate::cargo::Package;
use crate::compile::{package_of, read_workspace};
use crate::error::BuildError;

/// The most folders that are looked for: far above what a function has, so
/// that what reaches it is a mistake that should not take minutes.
const FOLDERS_MAX: usize = 64;

/// A crate as one who waits for changes of it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The name of the crate.
    pub name: String,
    /// The folders of packages: the crate's own first, then those it depends
    /// on by path, directly or not.
    pub folders: Vec<PathBuf>,
    /// Where cargo puts what it compiles: nothing there is a source.
    pub target_directory: PathBuf,
}

impl Sources {
    /// Finds out about the crate in a folder.
    ///
    /// # Errors
    ///
    /// When the folder is not that of a crate that makes a `cdylib` library,
    /// and when cargo cannot read it.
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
                // One that cannot be read will be said when it is built.
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
