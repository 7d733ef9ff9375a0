//! Real crates, compiled with the installed toolchain; set
//! `OPENLINE_WASM_TARGET` to test a certain one. The crates have no
//! dependencies, so nothing here needs a network, except to build the standard
//! library of `wasm32-wasip1` once.

#![expect(clippy::unwrap_used, reason = "a panic here fails a test")]

use std::fs;
use std::path::Path;

use openline_build::{
    BuildError, Built, Options, Profile, Said, Sources, Toolchain, build, build_told,
    build_workspace,
};
use openline_hint::Hint;
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

/// One target folder for all tests, so that shared parts are compiled once.
fn options(directory: &Path) -> Options {
    Options {
        target_directory: Some(env!("CARGO_TARGET_TMPDIR").into()),
        component_directory: Some(directory.join("components")),
        ..Options::default()
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

    let source = directory.path().join("src/lib.rs").canonicalize().unwrap();
    let inputs = built
        .inputs
        .iter()
        .map(|input| input.canonicalize().unwrap());
    assert_eq!(inputs.collect::<Vec<_>>(), [source]);

    // The second build compiles nothing, and leaves the file alone.
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

#[test]
fn what_the_compiler_finds_is_told_with_its_place() {
    let manifest = manifest("told");
    let source = "pub fn one() -> u32 {\n    two\n}\n";
    let directory = folder(&[("Cargo.toml", &manifest), ("src/lib.rs", source)]);
    let toolchain = Toolchain::find(directory.path()).unwrap();
    let options = Options {
        profile: Profile::Development,
        ..options(directory.path())
    };
    let (sender, receiver) = std::sync::mpsc::sync_channel(100);
    let listener = |said: Said<'_>| match said {
        Said::Diagnostic(diagnostic) => sender.send((Some(diagnostic), Vec::new())).unwrap(),
        Said::Progress(bytes) => sender.send((None, bytes.to_vec())).unwrap(),
        Said::ScriptRan => panic!("there is no build script"),
    };
    let error = build_told(directory.path(), &toolchain, &options, false, &listener).unwrap_err();
    assert!(matches!(error, BuildError::Compile { .. }), "{error}");
    let (diagnostics, progress): (Vec<_>, Vec<_>) = receiver.try_iter().unzip();
    let diagnostics: Vec<_> = diagnostics.into_iter().flatten().collect();
    let [one] = &diagnostics[..] else {
        panic!("{diagnostics:?}")
    };
    let place = one.place.as_ref().unwrap();
    assert_eq!(
        (&*place.file, place.line, place.column),
        ("src/lib.rs", 2, 5)
    );
    assert_eq!(one.code.as_deref(), Some("E0425"));
    assert!(one.rendered.contains("src/lib.rs:2:5"), "{}", one.rendered);
    let progress = String::from_utf8(progress.concat()).unwrap();
    assert!(progress.contains("could not compile `told`"), "{progress}");

    // Once corrected, it has its lines.
    fs::write(directory.path().join("src/lib.rs"), SOURCE).unwrap();
    let built = build_told(directory.path(), &toolchain, &options, false, &listener).unwrap();
    let lines = b".debug_line";
    assert!(built.bytes.windows(lines.len()).any(|bytes| bytes == lines));
}

#[test]
fn a_build_script_and_what_it_asks_for_are_inputs_and_its_end_is_told() {
    let manifest = manifest("scripted");
    let script = "fn main() { println!(\"cargo::rerun-if-changed=words.txt\"); }";
    let directory = folder(&[
        ("Cargo.toml", &manifest),
        ("src/lib.rs", SOURCE),
        ("build.rs", script),
        ("words.txt", ""),
    ]);
    let toolchain = Toolchain::find(directory.path()).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(100);
    let listener = |said: Said<'_>| {
        if matches!(said, Said::ScriptRan) {
            sender.send(()).unwrap();
        }
    };
    let options = options(directory.path());
    let built = build_told(directory.path(), &toolchain, &options, false, &listener).unwrap();
    assert_eq!(receiver.try_iter().count(), 1);
    let mut names: Vec<_> = built
        .inputs
        .iter()
        .filter_map(|input| input.file_name())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["build.rs", "lib.rs", "words.txt"]);
}

#[test]
fn the_folders_of_a_crate_are_its_own_and_those_it_depends_on_by_path() {
    let manifest = manifest("eater") + "[dependencies]\nfruit = { path = \"vendor/fruit\" }\n";
    let package = |name: &str| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n");
    let fruit =
        package("fruit") + "[workspace]\n[dependencies]\nseed = { path = \"../../seed\" }\n";
    let seed = package("seed") + "[workspace]\n";
    let directory = folder(&[
        (
            "eater/Cargo.toml",
            &(manifest + "[workspace]\nexclude = [\"vendor\"]\n"),
        ),
        ("eater/src/lib.rs", ""),
        ("eater/vendor/fruit/Cargo.toml", &fruit),
        ("eater/vendor/fruit/src/lib.rs", ""),
        ("eater/seed/Cargo.toml", &seed),
        ("eater/seed/src/lib.rs", ""),
    ]);
    let eater = directory.path().join("eater");
    let toolchain = Toolchain::find(&eater).unwrap();
    let sources = Sources::of(&eater, &toolchain).unwrap();
    assert_eq!(sources.name, "eater");
    let real = |path: &Path| path.canonicalize().unwrap();
    let folders: Vec<_> = sources.folders.iter().map(|folder| real(folder)).collect();
    let expected = [&*eater, &eater.join("vendor/fruit"), &eater.join("seed")].map(real);
    assert_eq!(folders, expected);
    assert!(sources.complete);
    for setting in [
        "Cargo.lock",
        ".cargo/config.toml",
        "vendor/fruit/rust-toolchain.toml",
    ] {
        let setting = eater.join(setting);
        assert!(sources.settings.contains(&setting), "{sources:?}");
    }
    // A crate that cargo cannot read now is listed all the same.
    std::fs::write(eater.join("vendor/fruit/Cargo.toml"), "[package").unwrap();
    let sources = Sources::of(&eater, &toolchain).unwrap();
    assert_eq!(sources.folders, [&*eater, &eater.join("vendor/fruit")]);
    assert!(!sources.complete);
}
