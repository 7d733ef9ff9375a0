//! `wasm32-wasip2`: the compiler that `rustc` on the path stands for, with the
//! target's standard library, installed by rustup or by a distribution.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::compiler::{Compiler, compilers};
use super::{Target, Toolchain};
use crate::bounded;

/// The time limit for the standard library, a download of some 20 MB.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(120);
/// The same if `wasm32-wasip1` could be used instead: then it is not worth
/// waiting at each start for a network that swallows packets.
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
            // Report the first compiler, which is the one that the user
            // expects; the second is only a fallback.
            Ok(_) | Err(_) => {}
        }
    }
    Err(reason)
}

/// Lets rustup download the target. `alternative` says that another compiler
/// can be used if this takes long.
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
    // Prefer the toolchain's own programs: on the path may be rustup's proxies,
    // which could choose another toolchain. A toolchain made by hand may lack
    // them.
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
