//! `wasm32-wasip2`: the target's standard library beside the compiler that
//! `rustc` on the path is, put there by rustup or by a distribution.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::compiler::{Compiler, compilers};
use super::{Target, Toolchain};
use crate::bounded;

/// The standard library is a download of some 20 MB.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(120);
/// The same where `wasm32-wasip1` would do: then a network that swallows
/// packets is not worth waiting for at each start.
const INSTALL_TIMEOUT_SHORT: Duration = Duration::from_secs(30);

/// Finds a compiler that has the target, or says why there is none.
pub(super) fn find(directory: &Path) -> Result<Toolchain, String> {
    let mut reason = "there is no `rustc` on the path".to_owned();
    for (index, compiler) in compilers(directory).enumerate() {
        match compiler {
            Ok(compiler) if has_target(&compiler.sysroot) => return Ok(toolchain(&compiler)),
            Ok(Compiler { sysroot, version }) if index == 0 => {
                let sysroot = sysroot.display();
                reason = format!("rustc {version} in `{sysroot}` does not have the target");
            }
            Err(error) if index == 0 => reason = error,
            // The second compiler is a fall-back; the first is the one that
            // a person expects to be used, and to read about.
            Ok(_) | Err(_) => {}
        }
    }
    Err(reason)
}

/// Has rustup download the target. `alternative` says that there is another
/// compiler to use if this takes long.
pub(super) fn install(
    directory: &Path,
    alternative: bool,
    report: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let target = Target::Preview2;
    let limit = if alternative {
        INSTALL_TIMEOUT_SHORT
    } else {
        INSTALL_TIMEOUT
    };
    report(&format!("adding the Rust target {target} with rustup"));
    let mut rustup = Command::new("rustup");
    rustup
        .current_dir(directory)
        .args(["target", "add", target.triple()]);
    let finished = bounded::run(&mut rustup, limit).map_err(|error| error.to_string())?;
    if finished.status.success() {
        Ok(())
    } else {
        let words = finished.last_words();
        Err(format!("`rustup target add {target}` failed: {words}"))
    }
}

fn toolchain(compiler: &Compiler) -> Toolchain {
    let programs = compiler.sysroot.join("bin");
    // Rather than what is on the path: that may be rustup's proxy, and choose
    // another toolchain. A toolchain made by hand may lack them.
    let own_or_any = |name: &str| {
        let own = programs.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if own.is_file() { own } else { name.into() }
    };
    Toolchain {
        target: Target::Preview2,
        version: compiler.version.clone(),
        cargo: own_or_any("cargo"),
        rustc: own_or_any("rustc"),
        arguments: Vec::new(),
        environment: Vec::new(),
    }
}

/// Whether the target's standard library is installed in a sysroot.
fn has_target(sysroot: &Path) -> bool {
    let library = sysroot
        .join("lib/rustlib")
        .join(Target::Preview2.triple())
        .join("lib");
    fs::read_dir(library).is_ok_and(|entries| {
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libstd-") && name.ends_with(".rlib")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_there_when_its_standard_library_is() {
        let sysroot = tempfile::tempdir().unwrap();
        assert!(!has_target(sysroot.path()));
        let library = sysroot.path().join("lib/rustlib/wasm32-wasip2/lib");
        fs::create_dir_all(&library).unwrap();
        assert!(!has_target(sysroot.path()));
        fs::write(library.join("libstd-0123456789abcdef.rlib"), "").unwrap();
        assert!(has_target(sysroot.path()));
    }
}
