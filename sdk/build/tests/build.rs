//! Real crates, compiled by whatever toolchain is installed; set
//! `OPENLINE_WASM_TARGET` to try a certain one. The crates have no
//! dependencies, so that nothing here needs a network (but for building the
//! standard library of `wasm32-wasip1`, once).

#![expect(clippy::unwrap_used, reason = "what fails here fails a test")]

use std::fs;
use std::path::Path;

use openline_build::{BuildError, Built, Options, Toolchain, build, build_workspace};
use tempfile::TempDir;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// The manifest of a crate; all tests share a target folder, so each has
/// names of its own.
fn manifest(name: &str) -> String {
    format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n[lib]\ncrate-type = [\"cdylib\"]\n")
}

/// Uses the standard library, and so WASI.
const SOURCE: &str = r#"
#[unsafe(no_mangle)]
pub extern "C" fn answer() -> u64 { println!("hello"); 42 }
"#;

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// One target folder for all: what is compiled for all is compiled once.
fn options(directory: &Path) -> Options {
    Options {
        target_directory: Some(env!("CARGO_TARGET_TMPDIR").into()),
        component_directory: Some(directory.join("components")),
    }
}

fn build_in(directory: &Path) -> Result<Built, BuildError> {
    let toolchain = Toolchain::find(directory).unwrap();
    build(directory, &toolchain, &options(directory))
}

#[test]
fn a_crate_becomes_a_component_named_like_it() {
    let manifest = manifest("small-crate");
    let directory = folder(&[("Cargo.toml", &manifest), ("src/lib.rs", SOURCE)]);
    let built = build_in(directory.path()).unwrap();
    assert_eq!(built.name, "small-crate");
    assert!(built.path.ends_with("components/small-crate.wasm"));
    assert!(built.bytes.starts_with(COMPONENT));
    assert_eq!(fs::read(&built.path).unwrap(), built.bytes);

    // Again: nothing is compiled, and the file is left alone.
    let modified = fs::metadata(&built.path).unwrap().modified().unwrap();
    let again = build_in(directory.path()).unwrap();
    assert_eq!(again.bytes, built.bytes);
    let metadata = fs::metadata(&built.path).unwrap();
    assert_eq!(metadata.modified().unwrap(), modified);
}

#[test]
fn a_workspace_is_built_at_once_into_folders_of_choice() {
    let (one, other) = (manifest("one"), manifest("the-other"));
    let directory = folder(&[
        (
            "Cargo.toml",
            "[workspace]\nmembers = [\"one\", \"faults/*\", \"plain\"]\nresolver = \"3\"",
        ),
        ("one/Cargo.toml", &one),
        ("one/src/lib.rs", SOURCE),
        ("faults/other/Cargo.toml", &other),
        ("faults/other/src/lib.rs", SOURCE),
        (
            "plain/Cargo.toml",
            "[package]\nname = \"plain\"\nedition = \"2024\"",
        ),
        ("plain/src/lib.rs", ""),
    ]);
    let options = options(directory.path());
    let toolchain = Toolchain::find(directory.path()).unwrap();
    let built = build_workspace(directory.path(), &toolchain, &options).unwrap();
    let names: Vec<&str> = built.iter().map(|built| built.name.as_str()).collect();
    assert_eq!(names, ["one", "the-other"]);
    assert!(directory.path().join("components/the-other.wasm").is_file());
    assert!(!directory.path().join("target").exists());

    let error = build(directory.path(), &toolchain, &options).unwrap_err();
    assert!(matches!(error, BuildError::NoPackage { .. }), "{error}");
    assert!(
        error.hint().unwrap().contains("(one, plain, the-other)"),
        "{error}"
    );
}

#[test]
fn a_crate_that_does_not_compile_is_an_error() {
    let manifest = manifest("broken");
    let directory = folder(&[("Cargo.toml", &manifest), ("src/lib.rs", "fn")]);
    let error = build_in(directory.path()).unwrap_err();
    assert!(matches!(error, BuildError::Compile { .. }), "{error}");
    assert!(!directory.path().join("components").exists());
}

#[test]
fn a_crate_without_a_cdylib_is_told_what_to_write() {
    let manifest = manifest("no-cdylib").replace("\"cdylib", "\"rlib");
    let directory = folder(&[("Cargo.toml", &manifest), ("src/lib.rs", SOURCE)]);
    let error = build_in(directory.path()).unwrap_err();
    assert!(matches!(error, BuildError::NoCdylib { .. }), "{error}");
    assert!(error.hint().unwrap().contains("crate-type = [\"cdylib\"]"));
}

#[test]
fn a_folder_that_is_no_crate_is_named() {
    let directory = folder(&[]);
    let error = build_in(directory.path()).unwrap_err();
    assert!(matches!(error, BuildError::NoManifest { .. }), "{error}");

    let directory = folder(&[("Cargo.toml", "[package]\nnam = 1")]);
    let error = build_in(directory.path()).unwrap_err();
    assert!(matches!(error, BuildError::Unreadable { .. }), "{error}");
    assert!(error.to_string().contains("Cargo.toml"), "{error}");
}
