//! What git ignores: by the `.gitignore` of each folder from the repository's
//! down, its `info/exclude`, and the user's own file.
//!
//! Files are read when a path is asked about, and kept for as long as this is:
//! one is made for each burst of changes, so that a rule holds as soon as it is
//! saved.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The ignore rules of the folders of one repository.
pub(super) struct Ignored<'a> {
    /// Where rules begin to count in a folder without a repository.
    packages: &'a [PathBuf],
    rules: HashMap<PathBuf, Vec<Gitignore>>,
}

impl<'a> Ignored<'a> {
    pub(super) fn new(packages: &'a [PathBuf]) -> Self {
        let rules = HashMap::new();
        Self { packages, rules }
    }

    /// Whether git ignores a path, or a folder that it is in.
    pub(super) fn has(&mut self, path: &Path) -> bool {
        let is_repository = |folder: &&Path| folder.join(".git").exists();
        let package = self.packages.iter().map(PathBuf::as_path);
        let package = package.filter(|package| path.starts_with(package)).min();
        let Some(top) = path.ancestors().find(is_repository).or(package) else {
            return false;
        };
        let top = top.to_owned();
        let mut parts: Vec<_> = path
            .ancestors()
            .take_while(|part| *part != top.as_path())
            .collect();
        // The outer ones first: below an ignored folder no rule counts.
        parts.reverse();
        parts.into_iter().any(|part| self.names(part, &top))
    }

    /// Whether a rule ignores this very file or folder.
    fn names(&mut self, path: &Path, top: &Path) -> bool {
        let is_folder = path.is_dir();
        for folder in path.ancestors().skip(1) {
            let is_top = folder == top;
            let rules = self.rules.entry(folder.to_owned());
            let rules = rules.or_insert_with(|| rules_of(folder, is_top));
            for rules in rules {
                match rules.matched(path, is_folder) {
                    Match::Ignore(_) => return true,
                    Match::Whitelist(_) => return false,
                    Match::None => {}
                }
            }
            if is_top {
                break;
            }
        }
        false
    }
}

/// The rules of a folder, the strongest first. A line that git could not read
/// either is passed over.
fn rules_of(folder: &Path, is_top: bool) -> Vec<Gitignore> {
    let (own, _) = Gitignore::new(folder.join(".gitignore"));
    if !is_top {
        return vec![own];
    }
    let mut excluded = GitignoreBuilder::new(folder);
    // In a worktree it is elsewhere, and then not read.
    let _ = excluded.add(folder.join(".git/info/exclude"));
    let excluded = excluded.build().unwrap_or_else(|_| Gitignore::empty());
    let (of_user, _) = GitignoreBuilder::new(folder).build_global();
    vec![own, excluded, of_user]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rules_count_as_for_git() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join(".git/info")).unwrap();
        fs::create_dir_all(root.join("crate/src/made")).unwrap();
        fs::write(root.join(".git/info/exclude"), "private\n").unwrap();
        fs::write(root.join(".gitignore"), "*.txt\nmade/\n").unwrap();
        fs::write(root.join("crate/.gitignore"), "!kept.txt\n/top.rs\n").unwrap();
        let packages = [root.join("crate")];
        let mut ignored = Ignored::new(&packages);
        for (path, expected) in [
            ("crate/src/words.txt", true),
            ("crate/src/kept.txt", false),
            ("crate/top.rs", true),
            ("crate/src/top.rs", false),
            ("crate/src/private", true),
            ("crate/src/made", true),
            // No exception counts in an ignored folder.
            ("crate/src/made/kept.txt", true),
            ("crate/src/lib.rs", false),
        ] {
            assert_eq!(ignored.has(&root.join(path)), expected, "{path}");
        }
    }

    #[test]
    fn rules_count_without_a_repository_from_the_package_on() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("crate")).unwrap();
        fs::write(root.join(".gitignore"), "*.txt\n").unwrap();
        fs::write(root.join("crate/.gitignore"), "*.out\n").unwrap();
        let packages = [root.join("crate")];
        let mut ignored = Ignored::new(&packages);
        assert!(ignored.has(&root.join("crate/dev.out")));
        assert!(!ignored.has(&root.join("crate/dev.txt")));
        assert!(!ignored.has(&root.join("other.out")));
    }
}
