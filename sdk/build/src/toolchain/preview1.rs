//! `wasm32-wasip1` without rustup: Debian's compiler, its sources of the
//! standard library, and WASI's C library.
//!
//! The compiler and the sources must have the same version, and cargo builds
//! the standard library from them with each crate (under a minute, once in a
//! target folder). Debian's compiler has no linker for WebAssembly, so this
//! uses that of a rustup toolchain, or LLVM's `wasm-ld` from Debian's package
//! `lld`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::compiler::{compilers, question, release};
use super::{Target, Toolchain};
use crate::bounded;

/// The Debian packages that make up the toolchain, from the security suite of
/// Debian 12 or newer.
pub(super) const PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc", "lld"];

const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const SOURCES: &str = "/usr/lib/rustlib/src/rust";
const LIBRARIES: &str = "/usr/lib/wasm32-wasi";

/// The oldest compiler that knows the language edition of the SDK. Debian 12
/// has 1.63 as plain `rustc`.
const MINOR_VERSION_MIN: u32 = 85;

/// The time limit for the lists of packages, some 10 MB.
const UPDATE_TIMEOUT: Duration = Duration::from_secs(180);
/// The time limit for the packages, some 150 MB, which also take a while to
/// unpack.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);

/// Finds the compiler, or says which part of it is missing.
pub(super) fn find(directory: &Path) -> Result<Toolchain, String> {
    for (file, package) in [
        (RUSTC, "rustc-web"),
        (CARGO, "cargo-web"),
        (
            "/usr/lib/rustlib/src/rust/library/Cargo.toml",
            "rust-web-src",
        ),
        ("/usr/lib/wasm32-wasi/libc.a", "wasi-libc"),
    ] {
        if !Path::new(file).is_file() {
            return Err(format!("`{file}` is missing (Debian's package {package})"));
        }
    }
    let version = release(&question(Command::new(RUSTC).arg("-vV"))?);
    let sources = fs::read_to_string(Path::new(SOURCES).join("src/version")).ok();
    check_versions(&version, sources.as_deref().map(str::trim))?;
    let linker = linker(directory).ok_or_else(|| {
        "no linker: neither `rust-lld` of a rustup toolchain nor `wasm-ld` (Debian's package lld)"
            .to_owned()
    })?;
    Ok(toolchain(version, &linker))
}

/// Installs Debian's packages, where that is possible.
pub(super) fn install(directory: &Path, report: &mut dyn FnMut(&str)) -> Result<(), String> {
    if on_path("apt-get").is_none() {
        return Err("Debian's packages cannot be installed, there is no `apt-get`".to_owned());
    }
    let user = question(Command::new("id").arg("-u"))?;
    if user.trim() != "0" {
        return Err("installing Debian's packages takes root".to_owned());
    }
    let mut packages = PACKAGES.to_vec();
    if linker(directory).is_some() {
        packages.retain(|&package| package != "lld");
    }
    report("updating the lists of Debian's packages");
    // A list that cannot be updated may still be good enough to install from.
    let updated = apt_get(&["update"], UPDATE_TIMEOUT);
    report(&format!("installing {}", packages.join(" ")));
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments, INSTALL_TIMEOUT).map_err(|failure| match updated {
        Ok(()) => failure,
        Err(before) => format!("{before}; {failure}"),
    })
}

fn apt_get(arguments: &[&str], limit: Duration) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Each option bounds a single wait, below the limit for the whole.
        .args(["-o", "Acquire::http::Timeout=20"])
        .args(["-o", "Acquire::https::Timeout=20"])
        .args(["-o", "Acquire::Retries=1"])
        .args(["-o", "DPkg::Lock::Timeout=60"])
        .arg("--quiet")
        .args(arguments);
    let finished = bounded::run(&mut command, limit).map_err(|error| error.to_string())?;
    if finished.status.success() {
        Ok(())
    } else {
        let (verb, words) = (arguments[0], finished.last_words());
        Err(format!("`apt-get {verb}` failed: {words}"))
    }
}

fn toolchain(version: String, linker: &Path) -> Toolchain {
    // Passed to cargo as configuration, not as `RUSTFLAGS`, so that it adds to
    // a crate's own configuration instead of replacing it, and paths may have
    // spaces.
    let target = Target::Preview1.triple();
    let linker = quoted(&linker.to_string_lossy());
    let libraries = quoted(&format!("-L{LIBRARIES}"));
    Toolchain {
        target: Target::Preview1,
        version,
        cargo: CARGO.into(),
        rustc: RUSTC.into(),
        arguments: vec![
            "-Zbuild-std=std,panic_abort".to_owned(),
            "--config".to_owned(),
            format!("target.{target}.linker={linker}"),
            "--config".to_owned(),
            // The C library is Debian's; the compiler comes with none.
            format!("target.{target}.rustflags=[\"-Clink-self-contained=no\",{libraries}]"),
        ],
        // Building the standard library is not a stable feature of cargo.
        environment: vec![("RUSTC_BOOTSTRAP", OsString::from("1"))],
    }
}

/// A TOML string.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Refuses a compiler that is too old, or whose version differs from that of
/// the sources; `None` if the sources have no version.
fn check_versions(compiler: &str, sources: Option<&str>) -> Result<(), String> {
    let minor = compiler
        .strip_prefix("1.")
        .and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < MINOR_VERSION_MIN) {
        return Err(format!(
            "`{RUSTC}` is {compiler}, but 1.{MINOR_VERSION_MIN} or newer is needed"
        ));
    }
    match sources {
        Some(sources) if sources != compiler => Err(format!(
            "`{RUSTC}` is {compiler}, but `{SOURCES}` is the standard library of {sources}"
        )),
        _ => Ok(()),
    }
}

/// Finds a linker for WebAssembly.
fn linker(directory: &Path) -> Option<PathBuf> {
    compilers(directory)
        .flatten()
        .find_map(|compiler| linker_in(&compiler.sysroot))
        .or_else(|| on_path("wasm-ld"))
}

/// The linker in a Rust toolchain, on any machine.
fn linker_in(sysroot: &Path) -> Option<PathBuf> {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib")).ok()?;
    hosts
        .flatten()
        .map(|host| host.path().join("bin/rust-lld"))
        .find(|linker| linker.is_file())
}

fn on_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_and_sources_have_to_fit() {
        assert_eq!(check_versions("1.96.0", Some("1.96.0")), Ok(()));
        assert_eq!(check_versions("1.96.0", None), Ok(()));
        let error = check_versions("1.95.0", Some("1.96.0")).unwrap_err();
        assert!(error.contains("standard library of 1.96.0"), "{error}");
        let error = check_versions("1.63.0", Some("1.63.0")).unwrap_err();
        assert!(error.contains("1.85 or newer"), "{error}");
        assert!(check_versions("", None).is_err());
    }

    #[test]
    fn the_linker_of_a_toolchain_is_found() {
        let sysroot = tempfile::tempdir().unwrap();
        assert_eq!(linker_in(sysroot.path()), None);
        let folder = sysroot.path().join("lib/rustlib/some-host/bin");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("rust-lld"), "").unwrap();
        assert_eq!(linker_in(sysroot.path()), Some(folder.join("rust-lld")));
    }

    #[test]
    fn paths_may_have_quotes() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
