//! The installed compilers, and their answers about themselves.
//!
//! Asking never uses the network: rustup is kept from downloading a missing
//! toolchain.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bounded;

/// Asking a compiler for its version takes milliseconds; a minute is enough
/// even on a busy machine.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(60);

/// The compiler that `rustc` starts in a directory.
pub(super) struct Compiler {
    pub(super) sysroot: PathBuf,
    pub(super) version: String,
}

/// The compilers that `rustc` on the path may stand for: with the toolchain
/// that the environment asks for, and without the one that an outer `cargo
/// +toolchain` chose.
pub(super) fn compilers(directory: &Path) -> impl Iterator<Item = Result<Compiler, String>> {
    let chosen = env::var_os("RUSTUP_TOOLCHAIN").is_some();
    let choices = if chosen {
        &[true, false][..]
    } else {
        &[true][..]
    };
    choices.iter().map(move |&keep| {
        let ask = |arguments: &[&str]| {
            let mut command = Command::new("rustc");
            if !keep {
                command.env_remove("RUSTUP_TOOLCHAIN");
            }
            question(command.current_dir(directory).args(arguments))
        };
        Ok(Compiler {
            sysroot: PathBuf::from(ask(&["--print", "sysroot"])?.trim()),
            version: release(&ask(&["-vV"])?),
        })
    })
}

/// Asks a program something that it can answer from the disk.
pub(super) fn question(command: &mut Command) -> Result<String, String> {
    // Otherwise rustup would download a missing toolchain.
    command.env("RUSTUP_AUTO_INSTALL", "0");
    let program = command.get_program().to_string_lossy().into_owned();
    let finished = bounded::run(command, QUESTION_TIMEOUT).map_err(|error| error.to_string())?;
    if finished.status.success() {
        Ok(finished.output)
    } else {
        let (status, words) = (finished.status, finished.last_words());
        Err(format!("`{program}` failed ({status}): {words}"))
    }
}

/// The version in the output of `rustc -vV` and `cargo -vV`; empty if there is
/// none.
pub(super) fn release(text: &str) -> String {
    text.lines()
        .find_map(|line| line.strip_prefix("release: "))
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_a_compiler_says() {
        let text = "rustc 1.95.0 (59807616e 2026-04-14)\nbinary: rustc\nrelease: 1.95.0\n";
        assert_eq!(release(text), "1.95.0");
        assert_eq!(release("clang"), "");
    }
}
