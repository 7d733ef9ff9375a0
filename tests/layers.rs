//! The rules for imports in the host: the folders of the engine import only
//! lower ones, no folders import each other in a circle, and files do so only
//! in small ones.
//!
//! Read from the sources: every path that begins with `crate`, `super`, `self`
//! or the name of a child module is an arrow from its file to the file of the
//! longest module that it names. A re-export is not an arrow; a file that names
//! it imports the original. Tests do not count: they may import anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of the engine, the lowest first: each may use those before it.
/// Files next to them are below all.
const STOREYS: [&str; 6] = [
    "contract",
    "component",
    "alarms",
    "instance",
    "pool",
    "front",
];

/// The most files in one circle: two or three may be one thing in several
/// parts, more are a knot.
const CIRCLE_MAX: usize = 3;

/// Circles that exist all the same, each by one of its files, and the reason.
const KNOTS: [(&str, &str); 2] = [
    (
        "host/channels/src/space.rs",
        "a channel, its subscribers, its rows and its set change together, under one lock",
    ),
    (
        "host/gateway/src/held",
        "an answer is part of an exchange, and of a connection once its function holds it",
    ),
];

/// How many re-exports to follow in a path. One of another package may have the
/// name of a module, and seem to lead to itself.
const EXPORTS_MAX: usize = 8;

/// A module: the names from the root of its package.
type Module = Vec<String>;

/// The files of a package, by module: their paths and imports.
#[derive(Debug, Default)]
struct Graph {
    files: BTreeMap<Module, PathBuf>,
    knows: BTreeMap<PathBuf, BTreeSet<PathBuf>>,
}

/// A parsed file: its code without comments and tests.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    module: Module,
    code: String,
    children: BTreeSet<String>,
}

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// The sources of the host's packages, each folder with `Cargo.toml` in it.
fn packages() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("host")).unwrap();
    let folders = folders.map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = folders
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| folder.join("src"))
        .collect();
    found.sort();
    found
}

/// Code without comments, and without the paths in visibilities.
fn without_comments(text: &str) -> String {
    let code = |line: &str| {
        let code = line.split("//").next().unwrap();
        code.replace("pub(in crate", "pub(in ") + "\n"
    };
    text.lines().map(code).collect()
}

/// The end of the item that begins here: after its `;`, or its last brace.
fn end_of_item(code: &str) -> usize {
    let mut depth = 0;
    for (at, letter) in code.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Removes code that only tests compile. Returns the test modules that are in
/// files of their own: their names, or the files that they name.
fn without_tests(code: &str) -> (String, Vec<String>) {
    const ONLY_TESTS: [&str; 2] = ["#[cfg(test)]", "#[cfg(all(test, "];
    let first = |code: &str| ONLY_TESTS.iter().filter_map(|it| code.find(it)).min();
    let (mut kept, mut rest, mut modules) = (String::new(), code, Vec::new());
    while let Some(start) = first(rest) {
        kept.push_str(&rest[..start]);
        let (_, item) = rest[start..].split_once(']').unwrap();
        let item = item.trim_start();
        let end = end_of_item(item);
        let text = &item[..end];
        if let Some(path) = text.strip_prefix("#[path = \"") {
            modules.push(path.split('"').next().unwrap().to_owned());
        } else if let Some((_, name)) = text.split_once("mod ")
            && let Some(name) = name.strip_suffix(';')
        {
            modules.push(name.to_owned());
        }
        rest = &item[end..];
    }
    kept.push_str(rest);
    (kept, modules)
}

/// The modules that a file declares.
fn children(code: &str) -> BTreeSet<String> {
    let declared = code.lines().filter_map(|line| {
        let (before, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        let declares = before.is_empty() || before.starts_with("pub");
        declares.then(|| name.to_owned())
    });
    declared.collect()
}

fn read(folder: &Path, module: &Module, found: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().collect();
    entries.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    for entry in entries {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut inner = module.clone();
        if path.is_dir() {
            inner.push(stem);
            read(&path, &inner, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            if !["lib", "main", "mod"].contains(&stem.as_str()) {
                inner.push(stem);
            }
            let code = without_comments(&fs::read_to_string(&path).unwrap());
            found.push(Source {
                children: children(&code),
                path,
                module: inner,
                code,
            });
        }
    }
}

/// Drops files of tests, and tests in files.
fn shipped(mut sources: Vec<Source>) -> Vec<Source> {
    let mut tests = Vec::new();
    for source in &mut sources {
        let (code, modules) = without_tests(&source.code);
        source.code = code;
        for name in modules {
            let mut module = source.module.clone();
            module.push(name.clone());
            let file = source.path.parent().unwrap().join(name);
            tests.push((module, file));
        }
    }
    sources.retain(|source| {
        let is_test = |(module, file): &(Module, PathBuf)| {
            source.module.starts_with(module) || source.path == *file
        };
        !tests.iter().any(is_test)
    });
    sources
}

/// The paths that begin at a place, with trees after `::{` taken apart. The
/// first text that is not part of a path ends it.
fn paths(code: &str, before: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let (mut path, mut at) = (before.to_vec(), 0);
    loop {
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let name: String = code[at..].chars().take_while(|it| is_name(*it)).collect();
        at += name.len();
        if !name.is_empty() {
            path.push(name);
        } else if code[at..].starts_with('{') {
            at += 1;
            loop {
                at += code[at..].len() - code[at..].trim_start().len();
                if at >= code.len() || code[at..].starts_with('}') {
                    return at + 1;
                }
                at += paths(&code[at..], &path, found);
                // A name after `as`, or a comma.
                let next = code[at..].find([',', '}']).unwrap_or(code.len() - at);
                at += next;
                if code[at..].starts_with(',') {
                    at += 1;
                }
            }
        }
        if !code[at..].starts_with("::") {
            break;
        }
        at += 2;
    }
    found.push(path);
    at
}

/// Removes names that are exported again under a module's own name.
fn without_exports(code: &str) -> (String, Vec<String>) {
    let (mut kept, mut exports) = (String::new(), Vec::new());
    for statement in code.split_inclusive(';') {
        let begins = statement.rfind("\npub").map_or(0, |at| at + 1);
        match statement[begins..].split_once(" use ") {
            Some((visible, path))
                if visible == "pub" || visible.starts_with("pub(") && visible.ends_with(')') =>
            {
                kept.push_str(&statement[..begins]);
                exports.push(path.trim_end_matches(';').to_owned());
            }
            _ => kept.push_str(statement),
        }
    }
    (kept, exports)
}

/// The names that a file exports again, and the original of each.
fn exports(source: &Source) -> Vec<(Vec<String>, Vec<String>)> {
    let (_, statements) = without_exports(&source.code);
    let mut found = Vec::new();
    for statement in statements {
        paths(&statement, &[], &mut found);
    }
    let export = |path: Vec<String>| {
        let mut name = source.module.clone();
        name.extend(path.iter().rfind(|name| *name != "self").cloned());
        (name, absolute(source, path))
    };
    found.into_iter().map(export).collect()
}

/// A path from the root of its package.
fn absolute(source: &Source, path: Vec<String>) -> Vec<String> {
    let mut module = source.module.clone();
    let mut names = path.into_iter().peekable();
    while let Some(name) = names.next_if(|it| ["crate", "super", "self"].contains(&&**it)) {
        match &*name {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ => {}
        }
    }
    module.extend(names.filter(|name| name != "self"));
    module
}

/// All paths in a file.
fn named(source: &Source) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let (code, _) = without_exports(&source.code);
    for (at, _) in code.match_indices("::") {
        let head = &code[..at];
        let is_name = |letter: char| letter.is_alphanumeric() || letter == '_';
        let start = head.rfind(|letter| !is_name(letter)).map_or(0, |at| at + 1);
        let first = &head[start..];
        // Within a path, or a tree that is read from its beginning.
        if head[..start].ends_with("::") {
            continue;
        }
        let known = ["crate", "super", "self"].contains(&first);
        if known || source.children.contains(first) {
            paths(&code[start..], &[], &mut found);
        }
    }
    found
        .into_iter()
        .map(|path| absolute(source, path))
        .collect()
}

fn graph(sources: Vec<Source>) -> Graph {
    let mut graph = Graph::default();
    for source in &sources {
        graph
            .files
            .insert(source.module.clone(), source.path.clone());
    }
    let exported: BTreeMap<_, _> = sources.iter().flat_map(exports).collect();
    for source in &sources {
        let mut knows = BTreeSet::new();
        for mut path in named(source) {
            for _ in 0..EXPORTS_MAX {
                let lengths = 1..=path.len();
                let mut parts = lengths.map(|length| path[..length].to_vec());
                let behind = parts.find_map(|name| {
                    let path = exported.get(&name)?;
                    (!graph.files.contains_key(&name)).then_some((name.len(), path))
                });
                let Some((length, behind)) = behind else {
                    break;
                };
                path.splice(..length, behind.iter().cloned());
            }
            while !path.is_empty() && !graph.files.contains_key(&path) {
                path.pop();
            }
            // The root lists all modules and may import all of them.
            if let Some(other) = graph.files.get(&path)
                && !path.is_empty()
                && *other != source.path
            {
                knows.insert(other.clone());
            }
        }
        if !source.module.is_empty() {
            graph.knows.insert(source.path.clone(), knows);
        }
    }
    graph
}

fn graph_of(package: &Path) -> Graph {
    let mut sources = Vec::new();
    read(package, &Vec::new(), &mut sources);
    graph(shipped(sources))
}

/// The nodes that can be reached from a node; itself only through others.
fn reached<'a, T: Ord>(arrows: &'a BTreeMap<T, BTreeSet<T>>, from: &'a T) -> BTreeSet<&'a T> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(node) = next.pop() {
        for other in arrows.get(node).into_iter().flatten() {
            if found.insert(other) {
                next.push(other);
            }
        }
    }
    found
}

/// Groups of nodes that reach each other, each circle once.
fn circles<T: Ord + Clone>(arrows: &BTreeMap<T, BTreeSet<T>>) -> Vec<BTreeSet<T>> {
    let reached: BTreeMap<_, _> = arrows
        .keys()
        .map(|from| (from, reached(arrows, from)))
        .collect();
    let circle = |node: &T| {
        let others = reached[node].iter().copied();
        let both = others.filter(|other| reached.get(other).is_some_and(|it| it.contains(node)));
        both.cloned().collect::<BTreeSet<_>>()
    };
    let found: BTreeSet<_> = arrows.keys().map(circle).collect();
    found
        .into_iter()
        .filter(|circle| !circle.is_empty())
        .collect()
}

/// The arrows between the direct members of a folder: its files, and its
/// folders with everything in them.
fn level(graph: &Graph, folder: &Path) -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let entry = |file: &Path| {
        let inside = file.strip_prefix(folder).ok()?;
        Some(folder.join(inside.iter().next()?))
    };
    let mut arrows = BTreeMap::<_, BTreeSet<_>>::new();
    for (from, others) in &graph.knows {
        let Some(from) = entry(from) else { continue };
        let others = others.iter().filter_map(|other| entry(other));
        let others: Vec<_> = others.filter(|other| *other != from).collect();
        arrows.entry(from).or_default().extend(others);
    }
    arrows
}

#[test]
fn folders_know_each_other_in_no_circle_and_files_in_small_ones() {
    let mut knots = Vec::new();
    for package in packages() {
        let graph = graph_of(&package);
        let mut folders = BTreeSet::from([package.as_path()]);
        for file in graph.files.values() {
            folders.extend(file.ancestors().skip(1).take_while(|it| **it != package));
        }
        for folder in folders {
            let circles = circles(&level(&graph, folder));
            knots.extend(circles.into_iter().filter(|circle| {
                let has_folder = circle.iter().any(|entry| entry.extension().is_none());
                has_folder || circle.len() > CIRCLE_MAX
            }));
        }
    }
    for (file, why) in KNOTS {
        let file = root().join(file);
        let before = knots.len();
        knots.retain(|knot| !knot.contains(&file));
        assert!(
            knots.len() < before,
            "{file:?} is in no knot any more ({why}): strike it from the list"
        );
    }
    assert!(knots.is_empty(), "these know each other: {knots:#?}");
}

#[test]
fn the_engine_looks_down_only() {
    let package = root().join("host/engine/src");
    let graph = graph_of(&package);
    let storey = |file: &Path| {
        let inside = file.strip_prefix(&package).unwrap();
        let folder = inside.iter().next().unwrap().to_str().unwrap();
        STOREYS
            .iter()
            .position(|storey| *storey == folder)
            .map_or(0, |it| it + 1)
    };
    let folders = fs::read_dir(&package)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    for folder in folders.filter(|path| path.is_dir()) {
        assert!(storey(&folder) > 0, "{folder:?} is no storey");
    }
    let mut seen = BTreeSet::new();
    for (from, others) in &graph.knows {
        for other in others {
            let (here, there) = (storey(from), storey(other));
            assert!(there <= here, "{from:?} looks up to {other:?}");
            seen.insert((here, there));
        }
    }
    for (storey, name) in STOREYS.iter().enumerate().skip(3) {
        let below = seen
            .iter()
            .any(|(here, there)| *here == storey + 1 && there < here);
        assert!(
            below,
            "{name} uses nothing below it: the sources were not read"
        );
    }
}

#[test]
fn a_circle_is_found_however_its_paths_are_written() {
    let source = |module: &str, code: &str| Source {
        path: PathBuf::from(format!("{module}.rs")),
        module: module.split('/').map(str::to_owned).collect(),
        children: children(code),
        code: code.to_owned(),
    };
    let knows = |sources: Vec<Source>| {
        let graph = graph(shipped(sources));
        let knows = graph.knows.iter();
        let pairs = knows.flat_map(|(from, others)| others.iter().map(move |other| (from, other)));
        let text = |path: &Path| path.with_extension("").to_str().unwrap().to_owned();
        let pairs: Vec<_> = pairs
            .map(|(from, other)| format!("{} {}", text(from), text(other)))
            .collect();
        (pairs.join(", "), circles(&graph.knows).len())
    };
    let of = |a: &str| {
        knows(vec![
            source("a", a),
            source(
                "b",
                "use crate::{\n    c::{self, X as Y},\n    d::e::f,\n};",
            ),
            source("c", "fn g() { super::a::h(); }"),
            source("d", "mod e;\npub(crate) use e::f;"),
            source("d/e", "use super::super::c::{X};"),
        ])
    };
    let rest = "b c, b d/e, c a, d/e c";
    assert_eq!(of(""), (rest.to_owned(), 0));
    assert_eq!(of("use crate::b::X;"), (format!("a b, {rest}"), 1));
    assert_eq!(of("type X = crate::b::Y;"), (format!("a b, {rest}"), 1));
    // Imports of tests are not arrows.
    let test = "#[cfg(test)]\nuse crate::b;\n#[cfg(test)]\nmod tests {\n    use crate::b::X;\n}\n";
    assert_eq!(of(test), (rest.to_owned(), 0));
    let tests = of("#[cfg(test)]\n#[path = \"b.rs\"]\nmod tests;\nuse crate::d;");
    assert_eq!(tests, ("a d, c a, d/e c".to_owned(), 0));
    assert_eq!(of("use crate::d::f;"), (format!("a d/e, {rest}"), 1));
}
