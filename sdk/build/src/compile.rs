//! Compiles crates to components: one crate, or a workspace in one go.
//!
//! Cargo's messages go to standard error as it prints them, or to a listener;
//! its standard output is read here to learn which files it made. A component
//! is written completely or not at all, and only if its content is new, so that
//! a program that watches the file sees only real changes.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::thread;

use crate::Toolchain;
use crate::cargo::{Artifact, Package, Workspace, is_local_script};
use crate::component::componentize;
use crate::diagnostic::Diagnostic;
use crate::error::BuildError;
use crate::{flags, inputs};

/// The cargo profile of [`Profile::Development`], which crates need not define.
const DEVELOPMENT: &str = "openline-development";
/// How much of cargo's progress is passed on at once: more than it ever prints
/// at a time.
const PROGRESS_BYTES: usize = 4096;

/// Where files go. The defaults are the usual places of a crate.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where cargo puts compiled files; `None` leaves it to cargo. A build
    /// script must name a folder of its own, because cargo holds a lock on the
    /// one for which the script runs.
    pub target_directory: Option<PathBuf>,
    /// Where the components go, as `NAME.wasm`; `None` means the folder
    /// `openline` in the target folder.
    pub component_directory: Option<PathBuf>,
    /// The purpose of the component.
    pub profile: Profile,
}

/// The purpose of a component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Small and fast, with the crate's profile `release`.
    #[default]
    Release,
    /// Quick to build, with useful traps: a little optimised, with the checks
    /// of cargo's profile `dev` and the lines of the source.
    Development,
}

/// A message of cargo during a build.
#[derive(Debug)]
pub enum Said<'a> {
    /// The compiler found something.
    Diagnostic(Diagnostic),
    /// The build script of a local crate has run, or did not have to. The
    /// libraries that need it are compiled after that.
    ScriptRan,
    /// A piece of cargo's output for people, as it came.
    Progress(&'a [u8]),
}

/// Receives cargo's messages, from two threads at once.
pub type Listener<'a> = &'a (dyn Fn(Said<'_>) + Sync);

/// A component that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The name of the crate, which is the stem of the file.
    pub name: String,
    /// The component's file.
    pub path: PathBuf,
    /// The content of the file.
    pub bytes: Vec<u8>,
    /// The absolute paths of the files from which it was made, without those in
    /// packages of a registry. Empty if cargo does not list them.
    pub inputs: Vec<PathBuf>,
}

/// Compiles the crate in a folder and makes a component from it.
///
/// # Errors
///
/// When the folder does not contain a crate with a `cdylib` library, when the
/// crate does not compile, when the result is not a component, and when a file
/// cannot be read or written.
pub fn build(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
) -> Result<Built, BuildError> {
    build_one(directory, toolchain, options, None)
}

/// The same, but cargo's messages go to `listener` instead of standard error.
/// `colours` asks cargo for coloured text.
///
/// # Errors
///
/// As for [`build`].
pub fn build_told(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
    colours: bool,
    listener: Listener<'_>,
) -> Result<Built, BuildError> {
    build_one(directory, toolchain, options, Some((colours, listener)))
}

fn build_one(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
    told: Option<(bool, Listener<'_>)>,
) -> Result<Built, BuildError> {
    let workspace = read_workspace(directory, toolchain)?;
    let folder = component_directory(&workspace, options);
    let package = package_of(workspace, directory)?;
    let artifacts = run_cargo(directory, toolchain, options, &["--lib"], told)?;
    finish(&package, &artifacts, &folder)
}

/// Compiles every crate with a `cdylib` library of the workspace in a folder,
/// all with one run of cargo, and makes a component from each. The result is
/// sorted by name.
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
    let artifacts = run_cargo(
        directory,
        toolchain,
        options,
        &["--workspace", "--lib"],
        None,
    )?;
    packages
        .iter()
        .map(|package| finish(package, &artifacts, &folder))
        .collect()
}

/// The package in a folder, if a component can be made from it.
pub(crate) fn package_of(workspace: Workspace, directory: &Path) -> Result<Package, BuildError> {
    let package = workspace
        .package_in(directory)
        .map_err(|members| BuildError::NoPackage {
            directory: directory.to_owned(),
            members,
        })?;
    if package.is_cdylib {
        return Ok(package);
    }
    let Package { name, manifest, .. } = package;
    Err(BuildError::NoCdylib {
        package: name,
        manifest,
    })
}

pub(crate) fn read_workspace(
    directory: &Path,
    toolchain: &Toolchain,
) -> Result<Workspace, BuildError> {
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

/// Compiles, and returns all WebAssembly libraries, whether new or up to date.
fn run_cargo(
    directory: &Path,
    toolchain: &Toolchain,
    options: &Options,
    selection: &[&str],
    told: Option<(bool, Listener<'_>)>,
) -> Result<Vec<Artifact>, BuildError> {
    let mut cargo = cargo_build(directory, toolchain, options);
    cargo.args(selection);
    match told {
        // Diagnostics go to standard error as text, the rest as lines of JSON.
        None => cargo.arg("--message-format=json-render-diagnostics"),
        Some((colours, _)) => cargo
            .arg("--message-format=json-diagnostic-rendered-ansi")
            .env("CARGO_TERM_COLOR", if colours { "always" } else { "never" })
            .stderr(Stdio::piped()),
    };
    let mut child = cargo
        .spawn()
        .map_err(|source| not_started(&cargo, source))?;
    let (output, progress) = (child.stdout.take(), child.stderr.take());
    let listener = told.map(|(_, listener)| listener);
    let artifacts = thread::scope(|scope| {
        if let (Some(progress), Some(listener)) = (progress, listener) {
            scope.spawn(move || hand_on(progress, listener));
        }
        let output = output.into_iter().flat_map(|output| {
            let lines = BufReader::new(output).lines();
            lines.map_while(Result::ok)
        });
        let mut artifacts = Vec::new();
        for line in output {
            if let Some(listener) = listener {
                if let Some(diagnostic) = Diagnostic::parse(&line) {
                    listener(Said::Diagnostic(diagnostic));
                } else if is_local_script(&line) {
                    listener(Said::ScriptRan);
                }
            }
            artifacts.extend(Artifact::parse(&line));
        }
        artifacts
    });
    let status = child.wait().map_err(|source| not_started(&cargo, source))?;
    if status.success() {
        Ok(artifacts)
    } else {
        Err(BuildError::Compile {
            directory: directory.to_owned(),
            target: toolchain.target().triple(),
            flags: flags::file(directory, toolchain.target().triple()),
        })
    }
}

/// The cargo command that both ways of building share.
fn cargo_build(directory: &Path, toolchain: &Toolchain, options: &Options) -> process::Command {
    let mut cargo = toolchain.cargo(directory);
    cargo
        .arg("build")
        .args(toolchain.build_arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    match options.profile {
        Profile::Release => cargo.arg("--release"),
        Profile::Development => {
            cargo.args(["--profile", DEVELOPMENT]);
            // Without optimisation a component is several times as large, and
            // the host takes as much longer to compile it; at level one it is
            // built just as quickly. Traps need only the line tables.
            for setting in [
                "inherits=\"dev\"",
                "opt-level=1",
                "debug=\"line-tables-only\"",
            ] {
                cargo.args(["--config", &format!("profile.{DEVELOPMENT}.{setting}")]);
            }
            &mut cargo
        }
    };
    if let Some(target_directory) = &options.target_directory {
        cargo.arg("--target-dir").arg(target_directory);
    }
    cargo
}

/// Passes on what a program prints, as it comes.
fn hand_on(mut from: impl Read, listener: Listener<'_>) {
    let mut piece = [0; PROGRESS_BYTES];
    // A pipe that cannot be read has ended.
    while let Ok(length @ 1..) = from.read(&mut piece) {
        listener(Said::Progress(&piece[..length]));
    }
}

/// Makes and writes the component of one crate.
fn finish(package: &Package, artifacts: &[Artifact], folder: &Path) -> Result<Built, BuildError> {
    let name = package.name.clone();
    // A dependency can also have a `cdylib`, hence the comparison.
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
    Ok(Built {
        name,
        path,
        bytes,
        inputs: inputs::of(&artifact.wasm),
    })
}

fn write_if_different(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|present| present == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // Next to the file, because a rename works only within one file system; and
    // with a name of its own, because another process may do the same.
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
