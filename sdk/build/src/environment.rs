//! Cleans the environment for compilers that are started here.
//!
//! Under `cargo run`, `cargo clippy` or a build script, cargo describes its own
//! build in variables, and people set some for their builds. The build of a
//! component is another build, for another target, often with another compiler:
//! with these variables it would use the wrong flags, the wrong compiler or a
//! locked folder. So all variables that configure a build are removed; those
//! that say how to reach a registry, where to put files and how to print stay.

use std::process::Command;

/// Cargo's variables that stay, by the start of their names.
const KEPT: [&str; 10] = [
    "CARGO_HOME",
    // The job server of an outer cargo, whose jobs both share.
    "CARGO_MAKEFLAGS",
    "CARGO_BUILD_JOBS",
    // Where the user wants compiled files; `Options` can override it.
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_TARGET_DIR",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTR",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
];

/// Variables that are removed, by the start of their names.
const REMOVED: [&str; 6] = ["CARGO", "__CARGO", "CLIPPY_", "DEP_", "RUSTC", "RUSTDOC"];

/// Variables that are removed, by their whole names.
const REMOVED_WHOLE: [&str; 10] = [
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
    "RUST_RECURSION_COUNT",
    "TARGET",
];

/// Removes the variables from a command that describe another build.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(describes_another_build) {
            command.env_remove(name);
        }
    }
}

fn describes_another_build(name: &str) -> bool {
    // Keep linkers: build scripts and macros need that of the machine itself.
    let linker = name.starts_with("CARGO_TARGET_") && name.ends_with("_LINKER");
    let kept = linker || KEPT.iter().any(|start| name.starts_with(start));
    let removed =
        REMOVED_WHOLE.contains(&name) || REMOVED.iter().any(|start| name.starts_with(start));
    removed && !kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_configures_another_build_goes() {
        for name in [
            "CARGO",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_CFG_TARGET_OS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_FEATURE_STD",
            "CARGO_MANIFEST_DIR",
            "CARGO_PKG_NAME",
            "CARGO_PROFILE_RELEASE_OPT_LEVEL",
            "CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS",
            "CLIPPY_ARGS",
            "OUT_DIR",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTC_WRAPPER",
            "RUSTDOCFLAGS",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "TARGET",
        ] {
            assert!(describes_another_build(name), "{name}");
        }
    }

    #[test]
    fn what_has_nothing_to_do_with_it_stays() {
        for name in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MINE_INDEX",
            "CARGO_TARGET_DIR",
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER",
            "CARGO_TERM_COLOR",
            "HOME",
            "HOSTNAME",
            "PATH",
            "RUSTUP_HOME",
            "RUST_BACKTRACE",
            "TARGETS",
        ] {
            assert!(!describes_another_build(name), "{name}");
        }
    }
}
