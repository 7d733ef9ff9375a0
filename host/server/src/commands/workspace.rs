//! The cargo workspace around a new crate.
//!
//! A stand-alone crate in a folder that a workspace's `members` cover makes
//! cargo refuse the whole workspace. cargo itself is asked whether they do, so
//! that its rules for globs, `exclude` and path dependencies need not be
//! repeated here.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// The package that a crate needs beside its own, once in a workspace.
pub(super) const SDK: &str = "openline-sdk";

/// A workspace in a folder above.
#[derive(Debug)]
pub(crate) struct Outer {
    pub(crate) manifest: PathBuf,
    /// The packages in it, or why cargo does not list them.
    before: Result<Vec<Package>, String>,
}

#[derive(Debug)]
struct Package {
    name: String,
    folder: PathBuf,
}

impl Outer {
    /// The nearest workspace around a folder, without the new crate.
    pub(crate) fn around(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let manifests = folder.ancestors().map(|folder| folder.join("Cargo.toml"));
        let manifest = manifests.into_iter().find(|file| is_workspace(file))?;
        let before = packages(&manifest);
        Some(Self { manifest, before })
    }

    /// Why cargo does not list its packages, if it does not.
    pub(crate) fn unknown(&self) -> Option<&str> {
        self.before.as_ref().err().map(String::as_str)
    }

    /// Checks that cargo accepts it as it is now; the error is cargo's.
    pub(crate) fn check(&self) -> Result<(), String> {
        packages(&self.manifest).map(drop)
    }

    /// Its copy of the SDK, if there is one: a workspace cannot have two.
    pub(crate) fn sdk(&self) -> Option<&Path> {
        let mut packages = self.before.as_ref().ok()?.iter();
        let found = packages.find(|package| package.name == SDK);
        found.map(|package| &*package.folder)
    }

    /// A folder's path for the workspace's `exclude`.
    pub(crate) fn named(&self, folder: &Path) -> String {
        let folder = folder.canonicalize();
        let root = self.manifest.parent().unwrap_or(&self.manifest);
        let path = folder.as_deref().unwrap_or(root);
        shown(path.strip_prefix(root).unwrap_or(path))
    }
}

fn is_workspace(manifest: &Path) -> bool {
    let Ok(text) = fs::read_to_string(manifest) else {
        return false;
    };
    text.parse::<toml::Table>()
        .is_ok_and(|table| table.contains_key("workspace"))
}

/// The packages of a workspace, as cargo has them.
fn packages(manifest: &Path) -> Result<Vec<Package>, String> {
    let metadata = metadata(manifest)?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let packages = packages.filter_map(|package| {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        Some(Package {
            name: package["name"].as_str()?.to_owned(),
            folder: manifest.parent()?.to_owned(),
        })
    });
    Ok(packages.collect())
}

/// Where the SDK is that a crate depends on by path, if it does; or why cargo
/// does not say.
pub(super) fn sdk_of(manifest: &Path) -> Result<Option<PathBuf>, String> {
    let metadata = metadata(manifest)?;
    let real = manifest.canonicalize().ok();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut here = packages.filter(|package| {
        let path = package["manifest_path"].as_str();
        path.and_then(|path| Path::new(path).canonicalize().ok()) == real
    });
    let dependencies = here.next().and_then(|it| it["dependencies"].as_array());
    let mut dependencies = dependencies.into_iter().flatten();
    Ok(dependencies.find_map(|it| match it["name"].as_str() {
        Some(SDK) => it["path"].as_str().map(PathBuf::from),
        _ => None,
    }))
}

/// Cargo's metadata of a workspace without its dependencies. Uses no network.
fn metadata(manifest: &Path) -> Result<serde_json::Value, String> {
    let output = Command::new("cargo")
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .arg("--manifest-path")
        .arg(manifest)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`cargo` cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo's answer is not JSON: {error}"))
}

/// The relative path from a folder to another one, as in a manifest.
pub(crate) fn way(from: &Path, to: &Path) -> String {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (from, to) = (real(from), real(to));
    let pairs = from.components().zip(to.components());
    let common = pairs.take_while(|(one, other)| one == other).count();
    let up = from.components().skip(common).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(to.components().skip(common)).collect();
    shown(&way)
}

/// Formats a path with slashes, as cargo's files have them on every system.
fn shown(path: &Path) -> String {
    path.display().to_string().replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_between_two_folders() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/b", "a/c/d"] {
            fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let at = |name: &str| folder.path().join(name);
        assert_eq!(way(&at("a/b"), &at("a/c/d")), "../c/d");
        assert_eq!(way(&at("a"), &at("a/c")), "c");
    }

    #[test]
    fn a_manifest_without_the_table_is_no_workspace() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("Cargo.toml");
        for (text, expected) in [
            ("[workspace]\n", true),
            ("workspace = 1", true),
            ("[package]\nname = \"workspace\"\n", false),
            ("not = [toml", false),
        ] {
            fs::write(&file, text).unwrap();
            assert_eq!(is_workspace(&file), expected, "{text}");
        }
        assert!(!is_workspace(folder.path()));
    }
}
