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

/// The files that cargo and rustup read in the folder of a workspace or of a
/// crate, and the folder that holds some of them.
const SETTINGS: [&str; 7] = [
    "Cargo.toml",
    "Cargo.lock",
    "rust-toolchain",
    "rust-toolchain.toml",
    ".cargo",
    ".cargo/config",
    ".cargo/config.toml",
];

/// A crate as one who waits for changes of it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The name of the crate.
    pub name: String,
    /// The folders of packages: the crate's own first, then those it depends
    /// on by path, directly or not. Also those in which cargo finds nothing now.
    pub folders: Vec<PathBuf>,
    /// Files that decide how cargo builds the packages, wherever their workspaces
    /// are. They need not be there.
    pub settings: Vec<PathBuf>,
    /// Whether cargo can read all packages. If it cannot, there may be more of
    /// them.
    pub complete: bool,
    /// Where cargo puts what it compiles: nothing there is a source.
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
        let mut roots = BTreeSet::from([workspace.root.clone()]);
        let package = package_of(workspace, directory)?;
        let name = package.name.clone();
        let own = package.manifest.parent().unwrap_or(directory).to_owned();
        // Cargo looks for its configuration from the folder of the crate upwards.
        roots.insert(own.clone());
        let mut folders = Vec::new();
        let mut complete = true;
        let mut waiting = vec![(own, Some(package))];
        while let Some((folder, package)) = waiting.pop() {
            if folders.len() == FOLDERS_MAX || folders.contains(&folder) {
                continue;
            }
            // One that cannot be read will be said when it is built.
            let package = package.or_else(|| {
                let (root, package) = read(&folder, toolchain)?;
                roots.insert(root);
                Some(package)
            });
            folders.push(folder);
            let paths = package.map(|package| package.paths);
            complete &= paths.is_some();
            let paths = paths.into_iter().flatten();
            waiting.extend(paths.map(|path| (path, None)));
        }
        let settings = roots.iter().flat_map(|root| {
            let names = SETTINGS.iter();
            names.map(|name| root.join(name))
        });
        Ok(Self {
            name,
            settings: settings.collect(),
            folders,
            complete,
            target_directory,
        })
    }
}

/// The package in a folder, and the root of its workspace.
fn read(folder: &Path, toolchain: &Toolchain) -> Option<(PathBuf, Package)> {
    let workspace = read_workspace(folder, toolchain).ok()?;
    let root = workspace.root.clone();
    Some((root, workspace.package_in(folder).ok()?))
}
