//! Compiles crates to components: one crate, or a workspace in one go.
//!
//! Cargo's messages go to standard error as it prints them; its standard
//! output is read here to learn which files it made. A component is written
//! whole or not at all, and only when it differs from what is there, so that
//! whoever watches its file sees changes and nothing else.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};

use crate::Toolchain;
use crate::cargo::{Artifact, Package, Workspace};
use crate::component::componentize;
use crate::error::BuildError;

/// Where things go. The default is what a person expects of a crate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where cargo puts what it compiles; `None` leaves it to cargo. A build
    /// script must name a folder of its own: cargo holds a lock on the one
    /// that it runs for.
    pub target_directory: Option<PathBuf>,
    /// Where the components go, as `NAME.wasm`; `None` is the folder
    /// `openline` in the target folder.
    pub component_directory: Option<PathBuf>,
}

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The name of the crate, which is the stem of the file.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// What is in the file.
    pub bytes: Vec<u8>,
}

/// Compiles the crate in a folder and makes a component of it.
///
/// # Errors
///
/// When the folder is not that of a crate with a `cdylib` library, when the
/// crate does not compile, when what it makes is no component, and when a
/// file cannot be read or written.
pub fn build(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
) -> Result<Built, BuildError> {
    let workspace = read_workspace(directory, toolchain)?;
    let folder = component_directory(&workspace, options);
    let package = workspace
        .package_in(directory)
        .map_err(|members| BuildError::NoPackage {
            directory: directory.to_owned(),
            members,
        })?;
    if !package.is_cdylib {
        let Package { name, manifest, .. } = package;
        return Err(BuildError::NoCdylib {
            package: name,
            manifest,
        });
    }
    let artifacts = run_cargo(directory, toolchain, options, &["--lib"])?;
    finish(&package, &artifacts, &folder)
}

/// Compiles every crate of the workspace in a folder that has a `cdylib`
/// library, all with one run of cargo, and makes a component of each. Sorted
/// by name.
///
/// # Errors
///
/// As for [`build`].
pub fn build_workspace(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
) -> Result<Vec<Built>, BuildError> {
    let workspace = read_workspace(directory, toolchain)?;
    let folder = component_directory(&workspace, options);
    let mut packages = workspace.packages;
    packages.retain(|package| package.is_cdylib);
    let artifacts = run_cargo(directory, toolchain, options, &["--workspace", "--lib"])?;
    packages
        .iter()
        .map(|package| finish(package, &artifacts, &folder))
        .collect()
}

fn read_workspace(directory: &Path, toolchain: &Toolchain) -> Result<Workspace, BuildError> {
    if !directory.join("Cargo.toml").is_file() {
        return Err(BuildError::NoManifest {
            directory: directory.to_owned(),
        });
    }
    let mut cargo = toolchain.cargo(directory);
    let output = cargo
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .stdin(Stdio::null())
        .output()
        .map_err(|source| not_started(&cargo, source))?;
    Workspace::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        BuildError::Unreadable {
            directory: directory.to_owned(),
            message: String::from_utf8_lossy(&output.stderr)
                .trim_end()
                .to_owned(),
        }
    })
}

fn component_directory(workspace: &Workspace, options: &Options) -> PathBuf {
    let target_directory = options.target_directory.as_ref();
    match &options.component_directory {
        Some(directory) => directory.clone(),
        None => target_directory
            .unwrap_or(&workspace.target_directory)
            .join("openline"),
    }
}

/// Compiles, and returns the WebAssembly libraries there are now, whether
/// new or up to date.
fn run_cargo(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
    selection: &[&str],
) -> Result<Vec<Artifact>, BuildError> {
    let mut cargo = toolchain.cargo(directory);
    cargo
        .args(["build", "--release"])
        // Diagnostics to standard error, as text; the rest as lines of JSON.
        .arg("--message-format=json-render-diagnostics")
        .args(selection)
        .args(toolchain.build_arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if let Some(target_directory) = &options.target_directory {
        cargo.arg("--target-dir").arg(target_directory);
    }
    let mut child = cargo
        .spawn()
        .map_err(|source| not_started(&cargo, source))?;
    let mut artifacts = Vec::new();
    if let Some(output) = child.stdout.take() {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        artifacts.extend(lines.filter_map(|line| Artifact::parse(&line)));
    }
    let status = child.wait().map_err(|source| not_started(&cargo, source))?;
    if status.success() {
        Ok(artifacts)
    } else {
        Err(BuildError::Compile {
            directory: directory.to_owned(),
            target: toolchain.target().triple(),
        })
    }
}

/// Makes the component of one crate and writes it.
fn finish(package: &Package, artifacts: &[Artifact], folder: &Path) -> Result<Built, BuildError> {
    let name = package.name.clone();
    // A dependency can have a `cdylib` too, hence the comparison.
    let artifact = artifacts
        .iter()
        .find(|artifact| artifact.manifest == package.manifest)
        .ok_or_else(|| BuildError::NoArtifact {
            package: name.clone(),
        })?;
    let wasm = fs::read(&artifact.wasm).map_err(|source| BuildError::File {
        path: artifact.wasm.clone(),
        verb: "read",
        source,
    })?;
    let bytes = componentize(wasm.into())
        .map_err(|source| BuildError::Component {
            package: name.clone(),
            source,
        })?
        .into_owned();
    let path = folder.join(format!("{name}.wasm"));
    write_if_different(&path, &bytes).map_err(|source| BuildError::File {
        path: path.clone(),
        verb: "written",
        source,
    })?;
    Ok(Built { name, path, bytes })
}

fn write_if_different(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Beside the file, for a rename works within one file system only; with
    // a name of its own, for another process may be doing the same.
    let temporary = path.with_extension(format!("wasm.{}", process::id()));
    fs::write(&temporary, bytes)?;
    fs::rename(&temporary, path)
}

fn not_started(cargo: &process::Command, source: io::Error) -> BuildError {
    BuildError::Start {
        program: cargo.get_program().into(),
        source,
    }
}
