//! Finds the files from which a library was compiled, from the rule for make
//! that cargo writes next to it.
//!
//! Bounded by [`RULE_BYTES_MAX`]; a longer rule counts as none.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The longest rule that is read: forty thousand files at a hundred bytes a
/// path.
const RULE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The files that cargo names for a library: sources of its package and of its
/// path dependencies, files that they include, and files for which build
/// scripts ask to run again. Empty if there is no readable rule.
pub(crate) fn of(library: &Path) -> Vec<PathBuf> {
    let mut rule = String::new();
    let read = File::open(library.with_extension("d"))
        .and_then(|file| file.take(RULE_BYTES_MAX + 1).read_to_string(&mut rule));
    match read {
        Ok(bytes) if bytes as u64 <= RULE_BYTES_MAX => parse(&rule),
        _ => Vec::new(),
    }
}

/// The paths after the colon of each line. A space in a path is escaped with a
/// backslash; nothing else is escaped.
fn parse(rule: &str) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for line in rule.lines() {
        let Some((_, prerequisites)) = line.split_once(": ") else {
            continue;
        };
        let mut path = String::new();
        for part in prerequisites.split(' ') {
            match part.strip_suffix('\\') {
                Some(part) => path.extend([part, " "]),
                None => {
                    path.push_str(part);
                    let path = std::mem::take(&mut path);
                    if !path.is_empty() {
                        paths.push(path.into());
                    }
                }
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_also_with_spaces_in_it() {
        let rule = "/c/target/a\\ b.wasm: /c/src/lib.rs /c/two\\ \\ words.txt\n\nempty:\n";
        assert_eq!(
            parse(rule),
            ["/c/src/lib.rs", "/c/two  words.txt"].map(PathBuf::from)
        );
        assert!(parse("no rule").is_empty());
    }

    #[test]
    fn a_rule_as_long_as_may_be_and_longer() {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("made.wasm");
        assert!(of(&library).is_empty(), "there is none");
        let most = usize::try_from(RULE_BYTES_MAX).unwrap();
        for (bytes, paths) in [(most, 1), (most + 1, 0)] {
            let rule = format!("made.wasm: {}", "a".repeat(bytes - "made.wasm: ".len()));
            std::fs::write(library.with_extension("d"), rule).unwrap();
            assert_eq!(of(&library).len(), paths, "{bytes}");
        }
    }
}
