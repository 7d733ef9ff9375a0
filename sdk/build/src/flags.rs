//! Finds compiler flags that were meant for one target but set for all: a
//! linker flag for this machine is an error for WebAssembly.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The cargo configuration whose flags also apply to a target. The search
/// follows cargo's: from a folder upwards, then the user's configuration.
pub(crate) fn file(directory: &Path, target: &str) -> Option<PathBuf> {
    let directory = directory.canonicalize().ok()?;
    let above = directory.ancestors().map(|folder| folder.join(".cargo"));
    let users = env::var_os("CARGO_HOME").map(PathBuf::from);
    let files = above
        .chain(users)
        .flat_map(|folder| ["config.toml", "config"].map(|name| folder.join(name)));
    files
        .filter(|file| file.is_file())
        .find(|file| fs::read_to_string(file).is_ok_and(|text| gives_flags(&text, target)))
}

/// Whether a configuration has `rustflags` for all targets, for those of a
/// condition, or for this one. It only looks at lines, which is enough for a
/// hint.
fn gives_flags(text: &str, target: &str) -> bool {
    let mut section = String::new();
    text.lines().any(|line| {
        let line: String = line.split_whitespace().collect();
        if line.starts_with('[') {
            section = line;
            return false;
        }
        let of_all = section == "[build]" && line.starts_with("rustflags=");
        let of_some = section.starts_with("[target.")
            && (section.contains("cfg(") || section.contains(target))
            && line.starts_with("rustflags=");
        of_all || of_some || line.starts_with("build.rustflags=")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_for_other_targets_are_not_meant() {
        for (text, expected) in [
            (
                "[build]\nrustflags = [\"-Clink-arg=-fuse-ld=mold\"]\n",
                true,
            ),
            ("build.rustflags = \"-C x\"", true),
            ("[target.'cfg(all())']\n rustflags=[]\n", true),
            ("[target.wasm32-wasip2]\nrustflags = []\n", true),
            ("[target.x86_64-unknown-linux-gnu]\nrustflags = []\n", false),
            ("[build]\njobs = 2\n# rustflags = []\n", false),
        ] {
            assert_eq!(gives_flags(text, "wasm32-wasip2"), expected, "{text}");
        }
    }

    #[test]
    fn a_configuration_above_the_crate_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("functions/one");
        fs::create_dir_all(&inner).unwrap();
        fs::create_dir(folder.path().join(".cargo")).unwrap();
        let config = folder.path().join(".cargo/config.toml");
        fs::write(&config, "[build]\nrustflags = []\n").unwrap();
        let config = config.canonicalize().unwrap();
        assert_eq!(file(&inner, "wasm32-wasip2"), Some(config));
    }
}
