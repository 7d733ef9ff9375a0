//! The targets of symbolic links: the system reports changes where files are,
//! not where links to them are.
//!
//! Bounded: a link that leads to more than [`FOLDERS_MAX`] folders, or deeper
//! than [`DEPTH_MAX`], is not followed, and said to be not; the folders in which
//! links are looked for are bounded the same way. [`LINKS_MAX`] links are
//! followed, and a path over [`HOPS_MAX`] of them.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path, PathBuf};

use super::watch::is_kept;

/// Folders that one link may lead to: more than a crate's sources have, and few
/// against the system's watches, of which there are 8,192 on small machines.
pub(super) const FOLDERS_MAX: usize = 1000;
/// How deep those folders may be.
const DEPTH_MAX: usize = 16;
/// Links that are followed: each is a folder to watch.
const LINKS_MAX: usize = 1000;
/// The most links in one path, the same as in Linux.
const HOPS_MAX: usize = 40;

/// The targets of links in sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Files, and the links on the way to them.
    pub(super) files: BTreeSet<PathBuf>,
    /// Folders; what is directly in them is source.
    pub(super) folders: BTreeSet<PathBuf>,
    /// The targets that are not watched, in words.
    pub(super) left_out: BTreeSet<String>,
}

/// Every link on the way to a file, each with the real path of its folder, and
/// at last the file itself, which need not be there.
pub(super) fn hops(path: &Path) -> Vec<PathBuf> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts = |path: &Path| -> Vec<PathBuf> {
        let parts = path.components();
        parts.map(|part| part.as_os_str().into()).collect()
    };
    let mut rest: VecDeque<PathBuf> = parts(&path).into();
    let (mut at, mut found) = (PathBuf::new(), Vec::new());
    while let Some(part) = rest.pop_front() {
        match part.components().next() {
            Some(Component::ParentDir) => _ = at.pop(),
            Some(Component::CurDir) | None => {}
            // An absolute path starts again at the root.
            Some(_) => at.push(&part),
        }
        if found.len() < HOPS_MAX
            && let Ok(target) = fs::read_link(&at)
        {
            found.push(at.clone());
            at.pop();
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
    }
    found.push(at);
    found
}

impl Linked {
    /// Looks for links in folders and below, and follows those that lead out of
    /// what `is_watched` without them.
    pub(super) fn of(folders: &[PathBuf], is_watched: impl Fn(&Path) -> bool) -> Self {
        let mut linked = Self::default();
        let mut links = Vec::new();
        for folder in folders {
            match below(folder) {
                Ok(tree) => links.extend(tree.links),
                Err(reason) => {
                    let folder = folder.display();
                    linked.left_out.insert(format!(
                        "links below {folder} are not followed: {reason}; files there start builds, files elsewhere that they lead to do not"
                    ));
                }
            }
        }
        linked.extend(&links, is_watched);
        linked
    }

    /// Follows links that lead out of what `is_watched` without them.
    pub(super) fn extend(&mut self, links: &[PathBuf], is_watched: impl Fn(&Path) -> bool) {
        let mut links = links.to_vec();
        for _ in 0..LINKS_MAX {
            let Some(link) = links.pop() else { return };
            let hops = hops(&link);
            let Some(target) = hops.last().cloned() else {
                continue;
            };
            if !target.is_dir() {
                self.files.extend(hops);
                continue;
            }
            self.files
                .extend(hops.into_iter().filter(|hop| *hop != target));
            if is_watched(&target) || self.folders.contains(&target) {
                continue;
            }
            match below(&target) {
                Ok(tree) => {
                    self.folders.extend(tree.folders);
                    links.extend(tree.links);
                }
                Err(reason) => {
                    self.leave_out(
                        &link,
                        &format!("it leads to {}: {reason}", target.display()),
                    );
                }
            }
            if self.folders.len() > FOLDERS_MAX {
                self.leave_out(&link, "links lead to too many folders together");
                return;
            }
        }
        if let Some(link) = links.last() {
            let reason = format!("there are more than {LINKS_MAX} links");
            self.leave_out(link, &reason);
        }
    }

    fn leave_out(&mut self, path: &Path, reason: &str) {
        let path = path.display();
        self.left_out
            .insert(format!("{path} is not watched: {reason}"));
    }
}

/// The folders of a tree, and the links in them.
#[derive(Default)]
struct Tree {
    folders: Vec<PathBuf>,
    links: Vec<PathBuf>,
}

/// A folder with all below it, links not followed; or why not.
fn below(folder: &Path) -> Result<Tree, String> {
    let mut tree = Tree::default();
    let mut waiting = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = waiting.pop() {
        if tree.folders.len() == FOLDERS_MAX {
            return Err(format!("there are more than {FOLDERS_MAX} folders"));
        }
        if depth > DEPTH_MAX {
            return Err(format!(
                "there are more than {DEPTH_MAX} folders in each other"
            ));
        }
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_symlink() && is_kept(&entry.file_name()) {
                tree.links.push(entry.path());
            } else if kind.is_dir() && is_kept(&entry.file_name()) {
                waiting.push((entry.path(), depth + 1));
            }
        }
        tree.folders.push(folder);
    }
    Ok(tree)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        // The layout of a ConfigMap.
        fs::create_dir(root.join("one")).unwrap();
        symlink("one", root.join("data")).unwrap();
        symlink("data/file", root.join("file")).unwrap();
        let expected = ["file", "data", "one/file"].map(|name| root.join(name));
        assert_eq!(hops(&root.join("file")), expected);
        symlink("round", root.join("round")).unwrap();
        assert_eq!(hops(&root.join("round")).len(), HOPS_MAX + 1);
    }

    #[test]
    fn a_link_to_as_many_folders_as_may_be_and_to_more() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        for number in 1..FOLDERS_MAX {
            fs::create_dir_all(root.join(format!("large/{number}"))).unwrap();
        }
        symlink("../large", root.join("src/large")).unwrap();
        let found = || Linked::of(&[root.join("src")], |_| false);
        let linked = found();
        assert_eq!(
            (linked.folders.len(), linked.left_out.len()),
            (FOLDERS_MAX, 0)
        );
        fs::create_dir(root.join("large/one-more")).unwrap();
        let linked = found();
        assert_eq!(linked.folders.len(), 0);
        let words = linked.left_out.first().unwrap();
        assert!(
            words.contains("src/large is not watched: it leads to"),
            "{words}"
        );
    }

    #[test]
    fn folders_in_which_links_are_not_looked_for_are_said_to_be_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        // The folder itself is one of them.
        for (count, expected) in [(FOLDERS_MAX - 1, 0), (FOLDERS_MAX, 1)] {
            for number in 0..count {
                fs::create_dir_all(root.join(format!("large/{number}"))).unwrap();
            }
            let linked = Linked::of(&[root.join("large")], |_| false);
            assert_eq!(linked.left_out.len(), expected, "{count}");
            for words in linked.left_out {
                assert!(words.contains("large are not followed: "), "{words}");
                assert!(words.contains("; files there start builds"), "{words}");
            }
        }
    }

    #[test]
    fn as_many_links_as_are_followed_and_more() {
        let folder = tempfile::tempdir().unwrap();
        let links: Vec<_> = (0..=LINKS_MAX)
            .map(|number| folder.path().join(number.to_string()))
            .collect();
        for (count, left_out) in [(LINKS_MAX, 0), (LINKS_MAX + 1, 1)] {
            let mut linked = Linked::default();
            linked.extend(&links[..count], |_| false);
            assert_eq!(
                (linked.files.len(), linked.left_out.len()),
                (LINKS_MAX, left_out)
            );
        }
    }

    #[test]
    fn a_link_to_what_is_as_deep_as_may_be_and_deeper() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("src")).unwrap();
        symlink("../deep", root.join("src/deep")).unwrap();
        for (depth, expected) in [(DEPTH_MAX, 0), (DEPTH_MAX + 1, 1)] {
            fs::create_dir_all(root.join("deep").join("d/".repeat(depth))).unwrap();
            let linked = Linked::of(&[root.join("src")], |_| false);
            assert_eq!(linked.left_out.len(), expected, "{depth}");
        }
    }

    #[test]
    fn links_that_lead_round_come_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["src", "other"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        symlink("../other", root.join("src/other")).unwrap();
        symlink("../src", root.join("other/src")).unwrap();
        symlink(".", root.join("src/itself")).unwrap();
        let is_source = |path: &Path| path.starts_with(root.join("src"));
        let linked = Linked::of(&[root.join("src")], is_source);
        assert_eq!(linked.folders, [root.join("other")].into());
    }
}
