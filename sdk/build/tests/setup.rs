//! `openline-build setup` on machines that lack programs: shell scripts, the
//! only programs on the path, play those of the machine.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a panic here fails a test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A machine with some programs, and a sysroot for its compiler.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        fs::create_dir(machine.path("bin")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, program: &str, script: &str) -> Self {
        let file = self.path("bin").join(program);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// Adds a compiler of version 1.90.0.
    fn with_rustc(self) -> Self {
        let sysroot = self.path("sysroot");
        let script = format!(
            "if [ \"$1\" = -vV ]; then echo 'release: 1.90.0'; else echo '{}'; fi",
            sysroot.display()
        );
        self.with("rustc", &script)
    }

    /// Runs `setup` for one target, so that the real machine's other toolchains
    /// make no difference.
    fn setup(&self, target: &str) -> Output {
        self.setup_into(target, Stdio::piped())
    }

    /// The same, with another standard output.
    fn setup_into(&self, target: &str, stdout: Stdio) -> Output {
        Command::new(env!("CARGO_BIN_EXE_openline-build"))
            .arg("setup")
            .env("OPENLINE_WASM_TARGET", target)
            .env("PATH", self.path("bin"))
            .env_remove("RUSTUP_TOOLCHAIN")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_target_is_added_with_rustup() {
    let machine = Machine::new().with_rustc();
    let library = machine.path("sysroot/lib/rustlib/wasm32-wasip2/lib");
    let script = format!(
        "[ \"$*\" = 'target add wasm32-wasip2' ] && /bin/mkdir -p '{0}' && : > '{0}/libstd-0.rlib'",
        library.display()
    );
    let machine = machine.with("rustup", &script);
    let first = machine.setup("wasm32-wasip2");
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert_eq!(
        text(&first.stderr),
        "adding the Rust target wasm32-wasip2 with rustup ...\n"
    );
    assert_eq!(
        text(&first.stdout),
        "wasm32-wasip2, compiled by rustc 1.90.0 (`rustc`)\n"
    );

    let second = machine.setup("wasm32-wasip2");
    assert!(second.status.success());
    assert_eq!(text(&second.stderr), "", "there is nothing left to do");

    if cfg!(target_os = "linux") {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let third = machine.setup_into("wasm32-wasip2", full.unwrap().into());
        assert_eq!(third.status.code(), Some(1));
        let said = text(&third.stderr);
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
}

#[test]
fn a_failure_of_rustup_is_told_with_what_to_do() {
    let machine = Machine::new()
        .with_rustc()
        .with("rustup", "echo 'error: could not download' >&2; exit 1");
    let output = machine.setup("wasm32-wasip2");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    for expected in [
        "error: no Rust toolchain that compiles to WebAssembly was found",
        "does not have the target; `rustup target add wasm32-wasip2` failed: error: could not download",
        "\nhint: run `rustup target add wasm32-wasip2`",
    ] {
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_machine_without_rust_is_told_what_to_install() {
    let output = Machine::new().setup("wasm32-wasip2");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("`rustc` could not be run"), "{error}");
    assert!(error.contains("`rustup` could not be run"), "{error}");
    assert!(error.contains("\nhint: "), "{error}");
}

#[test]
fn without_root_no_package_is_installed() {
    // No compiler or linker is on the path, so the real machine's compiler for
    // this target, if there is one, is not enough.
    let machine = Machine::new()
        .with("id", "echo 1000")
        .with("apt-get", "echo 'must not be run' >&2; exit 1");
    let output = machine.setup("wasm32-wasip1");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("takes root"), "{error}");
    assert!(!error.contains("must not be run"), "{error}");
}

#[test]
fn a_target_that_is_not_known_is_refused() {
    let output = Machine::new().setup("wasm32-unknown-unknown");
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("`OPENLINE_WASM_TARGET` is `wasm32-unknown-unknown`"),
        "{error}"
    );
}
