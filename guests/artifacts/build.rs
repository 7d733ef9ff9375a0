//! Compiles every function of the workspace `guests`, with one run of cargo, to
//! `target/guests/NAME.wasm`, and generates the list of them for the library.
//! Needs a toolchain for WebAssembly and installs none. The build shares no
//! folder, and so no lock, with the cargo that runs this script.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use openline_build::{Built, Options, TARGET_VARIABLE, Toolchain, build_workspace};
use openline_hint::{Hint, explained};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut standard_error = io::stderr();
            // If standard error is closed, there is nowhere left to report it.
            let _ = writeln!(standard_error, "error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                let _ = writeln!(standard_error, "caused by: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let manifest_directory = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let root = manifest_directory
        .ancestors()
        .nth(2)
        .ok_or("this package is not in guests/artifacts")?;
    let guests = root.join("guests");
    watch(root, &guests)?;
    let toolchain = Toolchain::find(&guests).map_err(|error| {
        let mut hint = "run `make setup`, which installs one where it can".to_owned();
        if let Some(otherwise) = error.hint() {
            hint += &format!("; or {otherwise}");
        }
        explained(&error, Some(&hint))
    })?;
    // The same place for every profile and target folder of this build, because
    // the configuration file of the samples names it.
    let components = root.join("target/guests");
    let options = Options {
        target_directory: Some(components.join("build")),
        component_directory: Some(components),
        ..Options::default()
    };
    let built = build_workspace(&guests, &toolchain, &options)?;
    for guest in &built {
        backdate(&guest.path)?;
        print(&format!("rerun-if-changed={}", guest.path.display()));
    }
    let generated = PathBuf::from(env::var("OUT_DIR")?).join("guests.rs");
    fs::write(generated, library(&built)?)?;
    Ok(())
}

/// Tells cargo which files the functions are made from.
fn watch(root: &Path, guests: &Path) -> io::Result<()> {
    print(&format!("rerun-if-env-changed={TARGET_VARIABLE}"));
    print(&format!("rerun-if-changed={}", root.join("wit").display()));
    // Without this package and `openline-build`, which cargo watches itself,
    // and without files that cargo or an editor makes.
    for (folder, left_out) in [
        (guests, ["artifacts", "target", ""]),
        (&root.join("sdk"), ["build", "target", "Cargo.lock"]),
    ] {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if !left_out.iter().any(|&each| name == each) {
                print(&format!("rerun-if-changed={}", entry.path().display()));
            }
        }
    }
    Ok(())
}

/// Sets the time of a component that this run has written to that of this
/// program.
///
/// Cargo watches the component, so that it is made again if it is deleted. But
/// cargo would take a file that is newer than the start of this run for one
/// that has changed since.
fn backdate(path: &Path) -> io::Result<()> {
    let ours = fs::metadata(env::current_exe()?)?.modified()?;
    let file = fs::File::options().append(true).open(path)?;
    if file.metadata()?.modified()? > ours {
        file.set_modified(ours)?;
    }
    Ok(())
}

/// The part of the library that depends on the list of functions.
fn library(built: &[Built]) -> Result<String, Box<dyn Error>> {
    let (mut constants, mut all, mut calls) = (String::new(), String::new(), String::new());
    for Built { name, path, .. } in built {
        let path = path
            .to_str()
            .ok_or("the path of this checkout is not UTF-8")?;
        let identifier = name.replace('-', "_");
        let constant = identifier.to_uppercase();
        writeln!(
            constants,
            "/// Where the component of the function `{name}` is."
        )?;
        writeln!(constants, "pub const {constant}: &str = {path:?};")?;
        writeln!(all, "    ({name:?}, {constant}),")?;
        writeln!(calls, "        $each!({identifier});")?;
    }
    Ok(format!(
        "{constants}\n\
         /// The name and the path of every function, sorted by name.\n\
         pub const ALL: &[(&str, &str)] = &[\n{all}];\n\n\
         /// Calls a macro for every function, with its name as an identifier\n\
         /// (`echo_async`), so that one can demand something of each.\n\
         #[macro_export]\n\
         macro_rules! for_each_guest {{\n    \
             ($each:ident) => {{\n{calls}    }};\n\
         }}\n"
    ))
}

/// Gives cargo an instruction.
fn print(instruction: &str) {
    // If cargo does not read this, it has ended.
    let _ = writeln!(io::stdout(), "cargo:{instruction}");
}
