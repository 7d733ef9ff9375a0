//! Reads cargo's JSON about crates.
//!
//! It reads only the few fields that are needed, and skips other fields and
//! lines, as cargo asks its readers to do.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// A folder as cargo sees it (`cargo metadata --no-deps`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Workspace {
    /// Every package of the workspace, sorted by name.
    pub(crate) packages: Vec<Package>,
    /// The folder of its `Cargo.lock`.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it compiles, unless told otherwise.
    pub(crate) target_directory: PathBuf,
}

/// One package of a workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// Whether it has a library that can become WebAssembly.
    pub(crate) is_cdylib: bool,
    /// The folders of its path dependencies.
    pub(crate) paths: Vec<PathBuf>,
}

/// A library that cargo has compiled, or that was up to date.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Artifact {
    /// The `Cargo.toml` of its package.
    pub(crate) manifest: PathBuf,
    /// The WebAssembly file.
    pub(crate) wasm: PathBuf,
}

// === impl Workspace ===

impl Workspace {
    /// Reads the output of `cargo metadata`; `None` if it is not that.
    pub(crate) fn parse(json: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(json).ok()?;
        let packages = value.get("packages")?.as_array()?;
        let mut packages: Vec<Package> =
            packages.iter().map(Package::parse).collect::<Option<_>>()?;
        packages.sort_by(|one, other| one.name.cmp(&other.name));
        Some(Self {
            packages,
            root: value.get("workspace_root")?.as_str()?.into(),
            target_directory: value.get("target_directory")?.as_str()?.into(),
        })
    }

    /// The package whose manifest is in a folder.
    pub(crate) fn package_in(self, directory: &Path) -> Result<Package, Vec<String>> {
        let names = self.packages.iter().map(|each| each.name.clone()).collect();
        let is_here = |package: &Package| {
            let folder = package.manifest.parent().map(Path::canonicalize);
            matches!((folder, directory.canonicalize()), (Some(Ok(one)), Ok(other)) if one == other)
        };
        self.packages.into_iter().find(is_here).ok_or(names)
    }
}

impl Package {
    fn parse(value: &Value) -> Option<Self> {
        let targets = value.get("targets")?.as_array()?;
        let dependencies = value.get("dependencies").and_then(Value::as_array);
        let path = |dependency: &Value| Some(dependency.get("path")?.as_str()?.into());
        Some(Self {
            paths: dependencies
                .map(|all| all.iter().filter_map(path).collect())
                .unwrap_or_default(),
            name: value.get("name")?.as_str()?.to_owned(),
            manifest: value.get("manifest_path")?.as_str()?.into(),
            is_cdylib: targets.iter().any(makes_cdylib),
        })
    }
}

// === impl Artifact ===

impl Artifact {
    /// Reads one line of `cargo build --message-format=json`; `None` if it is
    /// not about a WebAssembly library.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        if value.get("reason")? != "compiler-artifact" || !makes_cdylib(value.get("target")?) {
            return None;
        }
        let files = value.get("filenames")?.as_array()?;
        let wasm = files
            .iter()
            .filter_map(|file| file.as_str().map(Path::new))
            .find(|file| {
                file.extension()
                    .is_some_and(|extension| extension == "wasm")
            })?;
        Some(Self {
            manifest: value.get("manifest_path")?.as_str()?.into(),
            wasm: wasm.to_owned(),
        })
    }
}

/// Whether a line of `cargo build --message-format=json` says that the build
/// script of a local package, not one of a registry, has run.
pub(crate) fn is_local_script(line: &str) -> bool {
    let Ok(value) = serde_json::from_str::<Value>(line) else {
        return false;
    };
    let package = value.get("package_id").and_then(Value::as_str);
    let is_script = value.get("reason") == Some(&"build-script-executed".into());
    is_script && package.is_some_and(|package| package.starts_with("path+"))
}

/// Whether a target of a package is a library of the kind `cdylib`. Examples
/// can also be of that kind.
fn makes_cdylib(target: &Value) -> bool {
    let has = |field: &str| {
        let values = target.get(field).and_then(Value::as_array);
        values.is_some_and(|values| values.iter().any(|value| value == "cdylib"))
    };
    has("kind") && has("crate_types")
}

#[cfg(test)]
mod tests {
    use super::*;

    const METADATA: &str = r#"{"packages": [
        {"name": "one", "manifest_path": "/w/one/Cargo.toml", "version": "0.1.0",
         "targets": [{"kind": ["cdylib"], "crate_types": ["cdylib"], "name": "one"}]},
        {"name": "two", "manifest_path": "/w/two/Cargo.toml",
         "targets": [{"kind": ["example"], "crate_types": ["cdylib"]}, {"kind": ["lib"], "crate_types": ["lib"]}]}],
        "workspace_root": "/w", "target_directory": "/w/target", "version": 1}"#;

    #[test]
    fn a_workspace_is_read() {
        let workspace = Workspace::parse(METADATA).unwrap();
        assert_eq!(workspace.target_directory, Path::new("/w/target"));
        assert_eq!(workspace.root, Path::new("/w"));
        let kinds: Vec<_> = workspace
            .packages
            .iter()
            .map(|package| (package.name.as_str(), package.is_cdylib))
            .collect();
        assert_eq!(kinds, [("one", true), ("two", false)]);
        assert_eq!(Workspace::parse("error: no"), None);
    }

    #[test]
    fn a_folder_without_a_package_tells_which_there_are() {
        let directory = tempfile::tempdir().unwrap();
        let workspace = Workspace::parse(METADATA).unwrap();
        assert_eq!(
            workspace.package_in(directory.path()),
            Err(vec!["one".to_owned(), "two".to_owned()])
        );
    }

    #[test]
    fn a_wasm_library_is_read_from_a_line() {
        let line = r#"{"reason": "compiler-artifact", "manifest_path": "/w/one/Cargo.toml",
            "target": {"kind": ["cdylib", "rlib"], "crate_types": ["cdylib", "rlib"]},
            "filenames": ["/w/target/libone.rlib", "/w/target/one.wasm"]}"#;
        let artifact = Artifact {
            manifest: "/w/one/Cargo.toml".into(),
            wasm: "/w/target/one.wasm".into(),
        };
        assert_eq!(Artifact::parse(line), Some(artifact));
    }

    #[test]
    fn a_build_script_of_a_folder_is_told_from_those_of_registries() {
        let line = |reason: &str, package: &str| {
            format!(r#"{{"reason": "{reason}", "package_id": "{package}"}}"#)
        };
        let local = "path+file:///w/one#0.1.0";
        assert!(is_local_script(&line("build-script-executed", local)));
        assert!(!is_local_script(&line("compiler-artifact", local)));
        let far = "registry+https://github.com/rust-lang/crates.io-index#libc@0.2.0";
        assert!(!is_local_script(&line("build-script-executed", far)));
        assert!(!is_local_script("no JSON"));
    }

    #[test]
    fn lines_about_anything_else_are_passed_over() {
        for line in [
            "",
            "Hello from a build script",
            r#"{"reason": "build-finished", "success": true}"#,
            r#"{"reason": "compiler-artifact", "manifest_path": "/w/two/Cargo.toml",
                "target": {"kind": ["lib"], "crate_types": ["lib"]}, "filenames": ["/w/libtwo.rlib"]}"#,
        ] {
            assert_eq!(Artifact::parse(line), None, "{line}");
        }
    }
}
