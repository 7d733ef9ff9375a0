//! The documents are true to the repository: every link, anchor, file and
//! `make` target that they name exists, and so does every file that a comment
//! names. The README stays short, and each page of the documentation is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::tidy::{files, root};

/// A newcomer reads the README in five minutes; the rest belongs in `docs/`.
const README_LINES_MAX: usize = 150;

/// The extensions of files in this repository. Components (`.wasm`) are built,
/// and so belong to readers.
const ENDINGS: [&str; 12] = [
    ".rs", ".md", ".wit", ".sh", ".py", ".js", ".css", ".html", ".json", ".toml", ".patch",
    ".capnp",
];

/// Files outside the repository: of readers' own crates and configurations, of
/// other projects, and of builds.
const ELSEWHERE: [&str; 5] = [
    "openline.toml",
    "src/lib.rs",
    "rust-toolchain.toml",
    // The component model's specification.
    "Binary.md",
    // A file of the Autobahn suite's report.
    "index.json",
];

/// Everything in the repository: files and folders, as paths from its root.
struct Repository {
    paths: BTreeSet<String>,
    make_targets: BTreeSet<String>,
}

/// A problem in a document or a comment, and its place.
struct Source<'a> {
    /// From the root of the repository.
    path: &'a str,
    text: &'a str,
}

impl Repository {
    fn read() -> Self {
        let root = root();
        let mut found = Vec::new();
        files(&root, &mut found);
        found.push(root.join(".ci/run"));
        let mut paths = BTreeSet::new();
        for file in found {
            let file = file.strip_prefix(&root).unwrap();
            for path in file.ancestors() {
                paths.insert(path.to_str().unwrap().to_owned());
            }
        }
        let makefile = fs::read_to_string(root.join("Makefile")).unwrap();
        let rules = makefile.lines().filter_map(|line| line.split_once(':'));
        let targets = rules.filter(|(name, _)| is_make_target(name));
        Self {
            make_targets: targets.map(|(name, _)| name.to_owned()).collect(),
            paths,
        }
    }

    /// The text files with these extensions, with their text.
    fn texts(&self, endings: &[&str]) -> Vec<(String, String)> {
        let named = |path: &&String| {
            let name = path.rsplit('/').next().unwrap();
            endings.iter().any(|ending| name.ends_with(ending))
        };
        let paths = self.paths.iter().filter(named);
        let files = paths.filter(|path| root().join(path).is_file());
        let text = |path: &String| (path.clone(), fs::read_to_string(root().join(path)).unwrap());
        files.map(text).collect()
    }

    /// How many paths below `base` a name may mean: paths with the same last
    /// part, whose other parts include those of the name, in order.
    fn meanings(&self, base: &str, name: &str) -> usize {
        let below = self.paths.iter().filter_map(|path| {
            let rest = path.strip_prefix(base)?;
            (base.is_empty() || rest.starts_with('/')).then_some(rest)
        });
        let mut parts: Vec<_> = name.split('/').collect();
        let last = parts.pop().unwrap();
        let fits = |path: &&str| {
            let mut folders = path.split('/').rev().skip(1).collect::<Vec<_>>();
            folders.reverse();
            let mut folders = folders.into_iter();
            path.rsplit('/').next() == Some(last)
                && parts.iter().all(|part| folders.any(|each| each == *part))
        };
        below.filter(fits).count()
    }

    /// Whether a path exists, from the root or from the source's folder.
    fn has(&self, source: &str, name: &str) -> bool {
        let beside = joined(source, name);
        self.paths.contains(name) || beside.is_some_and(|path| self.paths.contains(&path))
    }

    /// The error in a name of a file or folder, if any; `base` is the folder
    /// that the text around it is about, if there is one.
    fn wrong_name(&self, source: &str, base: &str, name: &str) -> Option<String> {
        let name = name.trim_end_matches('/');
        if ELSEWHERE.contains(&name) || self.has(source, name) {
            return None;
        }
        if !base.is_empty() && self.meanings(base, name) > 0 {
            return None;
        }
        match self.meanings("", name) {
            0 => Some(format!("{source}: there is no `{name}`")),
            1 => None,
            count => Some(format!("{source}: `{name}` may be any of {count} paths")),
        }
    }

    /// The error in a link, if any.
    fn wrong_link(&self, source: &Source, target: &str) -> Option<String> {
        if target.contains("://") || target.starts_with("mailto:") {
            return None;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() {
            Some(source.path.to_owned())
        } else {
            joined(source.path, path.trim_end_matches('/'))
        };
        let there = path.filter(|path| self.paths.contains(path));
        let Some(there) = there else {
            return Some(format!(
                "{}: the link `{target}` leads nowhere",
                source.path
            ));
        };
        let text;
        let headings = if there == source.path {
            source.text
        } else if anchor.is_empty() {
            return None;
        } else {
            text = fs::read_to_string(root().join(there)).unwrap();
            &text
        };
        let found = anchor.is_empty() || anchors(headings).any(|each| each == anchor);
        (!found).then(|| format!("{}: `{target}` has no such heading", source.path))
    }

    /// All errors in a document.
    fn wrong_in_document(&self, source: &Source) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut base = String::new();
        let mut fenced = false;
        for line in source.text.lines() {
            if line.starts_with("```") {
                fenced = !fenced;
            }
            if let Some(folder) = self.subject(line) {
                base = folder;
            } else if !line.is_empty() && !line.starts_with('|') {
                base.clear();
            }
            wrong.extend(self.wrong_targets(source.path, line, fenced));
            if fenced || line.starts_with("```") {
                continue;
            }
            let links = links(line).into_iter();
            wrong.extend(links.filter_map(|link| self.wrong_link(source, &link)));
            for word in code_spans(line).flat_map(str::split_whitespace) {
                if let Some(name) = named_file(word, &self.paths) {
                    wrong.extend(self.wrong_name(source.path, &base, name));
                }
            }
        }
        wrong
    }

    /// The folder that a line is about: that of a paragraph that begins with
    /// its name, and of the table below it; or that of a table's row.
    fn subject(&self, line: &str) -> Option<String> {
        let rest = line.strip_prefix("**`").or(line.strip_prefix("| `"))?;
        let name = rest.split('`').next()?.trim_end_matches('/');
        self.paths.contains(name).then(|| name.to_owned())
    }

    /// The words after `make` that are not targets.
    fn wrong_targets(&self, source: &str, line: &str, fenced: bool) -> Vec<String> {
        let spans: Vec<_> = if fenced {
            vec![line]
        } else {
            code_spans(line).collect()
        };
        let commands = spans
            .into_iter()
            .filter_map(|span| span.strip_prefix("make "));
        let targets = commands.filter_map(|rest| rest.split_whitespace().next());
        let unknown = targets
            .filter(|target| is_make_target(target))
            .filter(|target| !self.make_targets.contains(*target));
        unknown
            .map(|target| format!("{source}: there is no `make {target}`"))
            .collect()
    }

    /// All errors in the comments of a source, which may use short names for
    /// files near it.
    fn wrong_in_comments(&self, source: &Source) -> Vec<String> {
        let marker = if source.path.ends_with(".rs") || source.path.ends_with(".js") {
            "//"
        } else {
            "#"
        };
        let lines = source.text.lines().map(str::trim_start);
        let comments = lines.filter_map(|line| line.strip_prefix(marker));
        let mut wrong = Vec::new();
        for word in comments
            .flat_map(|line| line.split(|it: char| it.is_whitespace() || "`()[]".contains(it)))
        {
            let Some(name) = named_file(word, &BTreeSet::new()) else {
                continue;
            };
            let known = ELSEWHERE.contains(&name) || self.has(source.path, name);
            if !known && self.meanings("", name) == 0 {
                wrong.push(format!("{}: there is no `{name}`", source.path));
            }
        }
        wrong
    }
}

fn is_make_target(word: &str) -> bool {
    !word.is_empty()
        && word
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

/// Resolves a path relative to a document's folder, from the root; `None` if it
/// leaves the repository.
fn joined(source: &str, path: &str) -> Option<String> {
    let mut parts: Vec<_> = source.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => _ = parts.pop()?,
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors that GitHub gives the headings of a document.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter_map(|line| {
        let title = line.trim_start_matches('#');
        let is_heading = title.len() < line.len() && title.starts_with(' ');
        is_heading.then_some(title)
    });
    headings.map(|title| {
        let kept = title.trim().chars().filter_map(|each| match each {
            ' ' => Some('-'),
            '-' | '_' => Some(each),
            each => each.is_alphanumeric().then_some(each),
        });
        kept.collect::<String>().to_lowercase()
    })
}

/// The targets of the links in a line.
fn links(line: &str) -> Vec<String> {
    let mut outside = String::new();
    for (at, part) in line.split('`').enumerate() {
        // Code in the text of a link is left out; its target never has any.
        if at % 2 == 0 {
            outside += part;
        }
    }
    let targets = outside.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The file or folder of the repository that a word names. `None` for words
/// that name something else, such as a path of a request or a build product.
fn named_file<'a>(word: &'a str, paths: &BTreeSet<String>) -> Option<&'a str> {
    let name = word.trim_end_matches(['.', ',', ';', ':', '`', '"', '\'']);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if name.starts_with(['/', '-', '.'])
        || name.starts_with("target/")
        || name.contains("NAME")
        || !name.bytes().all(plain)
    {
        return None;
    }
    let ends = ENDINGS
        .iter()
        .any(|ending| name.len() > ending.len() && name.ends_with(ending));
    let folder = name.ends_with('/');
    let first = name.split_once('/').map(|(first, _)| first);
    let below = first.is_some_and(|first| paths.contains(first));
    (ends || below || (folder && !paths.is_empty())).then_some(name)
}

#[test]
fn what_documents_name_is_there() {
    let repository = Repository::read();
    let documents = repository.texts(&[".md"]);
    assert!(documents.len() > 15, "documents were not found");
    let mut wrong = Vec::new();
    for (path, text) in &documents {
        // The page of a new crate names files in that crate.
        if path != "host/server/template/readme.md" {
            wrong.extend(repository.wrong_in_document(&Source { path, text }));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_comments_name_is_there() {
    let repository = Repository::read();
    let sources = repository.texts(&[".rs", ".js", ".toml", ".sh", "Makefile"]);
    assert!(sources.len() > 200, "sources were not found");
    let mut wrong = Vec::new();
    for (path, text) in &sources {
        wrong.extend(repository.wrong_in_comments(&Source { path, text }));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_name_is_found() {
    let repository = Repository::read();
    // As if they were in `docs/README.md`.
    let right = "See [tests](../tests/documents.rs), [this](#a-heading) and `make test`.\n\
                 # A *heading*\nHere `tests/documents.rs`, `documents.rs`, `README.md`.\n";
    let source = |text| Source {
        path: "docs/README.md",
        text,
    };
    assert_eq!(
        repository.wrong_in_document(&source(right)),
        Vec::<String>::new()
    );
    for wrong in [
        "[a file](../tests/no-such.rs)",
        "[`code`](no-such.md)",
        "[above the root](../../README.md)",
        "[an anchor](#no-such)",
        "[an anchor elsewhere](../README.md#no-such)",
        "`no_such.rs`",
        "`host/no-such`",
        "`no-such/`",
        "`src/function.rs`, `engine/plain/mod.rs`",
        "several are named `mod.rs`",
        "`make no-such`",
        "```\nmake no-such\n```",
    ] {
        let found = repository.wrong_in_document(&source(wrong));
        assert!(!found.is_empty(), "nothing was found in: {wrong}");
    }
    for wrong in ["//! See `no_such.rs`.", "/// (docs/no-such.md)"] {
        let text = Source {
            path: "tests/example.rs",
            text: wrong,
        };
        assert_eq!(repository.wrong_in_comments(&text).len(), 1, "{wrong}");
    }
}

#[test]
fn the_readme_is_short_and_the_documentation_has_an_index() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap();
    let lines = lines.lines().count();
    assert!(lines <= README_LINES_MAX, "README.md has {lines} lines");
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    let listed: BTreeSet<_> = index.lines().flat_map(links).collect();
    let repository = Repository::read();
    let pages = repository.texts(&[".md"]).into_iter().map(|(path, _)| path);
    let pages: Vec<_> = pages.filter(|path| path.starts_with("docs/")).collect();
    assert!(pages.len() > 10, "{pages:?}");
    for page in pages.iter().filter(|page| *page != "docs/README.md") {
        let page = page.strip_prefix("docs/").unwrap();
        assert!(listed.contains(page), "docs/README.md does not list {page}");
    }
}

/// An exception for a crate that is no longer used would also excuse a later
/// one of the same name.
#[test]
fn exceptions_of_cargo_deny_are_for_crates_that_are_used() {
    let root: PathBuf = root();
    let read = |path: &str| fs::read_to_string(Path::new(&root).join(path)).unwrap();
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let names = deny
        .lines()
        .filter_map(|line| line.strip_prefix("crate = \""));
    let names: Vec<_> = names
        .map(|rest| rest.split(['"', ':']).next().unwrap())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let locked = lock.contains(&format!("\nname = \"{name}\"\n"));
        assert!(
            locked,
            "deny.toml has an entry for {name}, which Cargo.lock does not have"
        );
    }
}
