//! The files that git ignores: by the `.gitignore` of each folder from the
//! repository's down, its `info/exclude`, and the user's own file.
//!
//! Files are read when a path is asked about, and kept for as long as this is:
//! one is made for each burst of changes, so that a rule holds as soon as it is
//! saved. Bounded: a file that names a folder has at most
//! [`LINK_BYTES_MAX`].

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// The most bytes of a file in which git names a folder: twice the longest
/// path. A longer file is ignored.
const LINK_BYTES_MAX: u64 = 8 * 1024;

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

/// The rules of a folder, the strongest first. Skips lines that git could not
/// read either.
fn rules_of(folder: &Path, is_top: bool) -> Vec<Gitignore> {
    let (own, _) = Gitignore::new(folder.join(".gitignore"));
    if !is_top {
        return vec![own];
    }
    let mut excluded = GitignoreBuilder::new(folder);
    if let Some(shared) = shared_folder(folder) {
        let _ = excluded.add(shared.join("info/exclude"));
    }
    let excluded = excluded.build().unwrap_or_else(|_| Gitignore::empty());
    let (of_user, _) = GitignoreBuilder::new(folder).build_global();
    vec![own, excluded, of_user]
}

/// Where a repository keeps the files that its worktrees share, from the folder
/// of its working files.
///
/// That is `.git`, if it is a folder. In a worktree and in a submodule it is a
/// file that names another folder, and in a worktree's that one has a file
/// `commondir`, which names the shared one.
fn shared_folder(top: &Path) -> Option<PathBuf> {
    let git = top.join(".git");
    let own = match git.is_dir() {
        true => git,
        false => top.join(named_in(&git, b"gitdir: ")?),
    };
    Some(match named_in(&own.join("commondir"), b"") {
        Some(shared) => own.join(shared),
        None => own,
    })
}

/// The path that a file consists of, after these bytes. It may be relative.
fn named_in(file: &Path, before: &[u8]) -> Option<PathBuf> {
    // Reading a pipe would wait for its writer.
    if !file.is_file() {
        return None;
    }
    let mut text = Vec::new();
    let opened = File::open(file).ok()?;
    let read = opened.take(LINK_BYTES_MAX + 1).read_to_end(&mut text);
    read.ok().filter(|bytes| *bytes as u64 <= LINK_BYTES_MAX)?;
    let path = text.strip_prefix(before)?;
    let end = path.iter().rposition(|byte| !b"\r\n".contains(byte))?;
    Some(OsStr::from_bytes(&path[..=end]).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

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

    /// Has git work in a folder, without what its user has configured.
    fn git(folder: &Path, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(["-c", "protocol.file.allow=always"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env_remove("GIT_DIR")
            .env_remove("GIT_WORK_TREE")
            .env_remove("GIT_INDEX_FILE")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
    }

    /// Whether each of these files is ignored.
    fn ignored(folder: &Path, names: [&str; 2]) -> [bool; 2] {
        let mut ignored = Ignored::new(&[]);
        names.map(|name| ignored.has(&folder.join(name)))
    }

    #[test]
    fn worktrees_and_submodules_have_the_rules_of_their_repository() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["inner", "outer"] {
            git(folder.path(), &["init", "--quiet", name]);
            let first = ["commit", "--quiet", "--allow-empty", "--message", "first"];
            git(&path(name), &first);
        }
        let outer = path("outer");
        git(&outer, &["worktree", "add", "--quiet", "../tree"]);
        git(&outer, &["submodule", "--quiet", "add", "../inner", "sub"]);
        for (repository, rule) in [(".git", "outer"), (".git/modules/sub", "sub")] {
            let info = outer.join(repository).join("info");
            fs::create_dir_all(&info).unwrap();
            fs::write(info.join("exclude"), format!("{rule}.*\n")).unwrap();
        }
        let names = ["outer.rs", "sub.rs"];
        assert!(path("tree/.git").is_file() && outer.join("sub/.git").is_file());
        assert_eq!(ignored(&outer, names), [true, false]);
        assert_eq!(ignored(&path("tree"), names), [true, false]);
        assert_eq!(ignored(&outer.join("sub"), names), [false, true]);
    }

    #[test]
    fn files_that_name_no_folder_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("real/info")).unwrap();
        fs::write(root.join("real/info/exclude"), "outer.*\n").unwrap();
        let names = ["outer.rs", "sub.rs"];
        for (text, expected) in [
            ("gitdir: real\n", true),
            ("gitdir: real\r\n", true),
            ("gitdir: real", true),
            ("gitdir: ", false),
            ("gitdir: \n", false),
            ("real\n", false),
            ("gitdir: missing\n", false),
            ("gitdir: real\0\n", false),
            ("", false),
        ] {
            fs::write(root.join(".git"), text).unwrap();
            assert_eq!(ignored(root, names), [expected, false], "{text:?}");
        }
        // As long as such a file may be, and longer.
        let length = usize::try_from(LINK_BYTES_MAX).unwrap();
        for (length, expected) in [(length, true), (length + 1, false)] {
            fs::write(root.join(".git"), format!("{:\n<length$}", "gitdir: real")).unwrap();
            assert_eq!(ignored(root, names), [expected, false], "{length}");
        }
    }
}
