//! `openline new`: writes a crate that builds, with a copy of the SDK.
//!
//! The SDK is not on a registry yet, so its sources are part of this binary and
//! are written into the crate, as a path dependency. The folder of the crate
//! must be new, and is removed again if it cannot be filled; existing files are
//! never touched. In a workspace whose `members` cover its folder, the crate
//! becomes a member, with the workspace's own copy of the SDK if there is one:
//! see `workspace`.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;
use include_dir::{Dir, include_dir};
use openline_core::name::FunctionName;
use openline_hint::{Hint, Hinted};

use super::workspace::{Outer, way};
use crate::telemetry::{print, tell};

/// Where the copy of the SDK goes, in the new crate.
const SDK_FOLDER: &str = "vendor/openline-sdk";
const SDK_MANIFEST: &str = include_str!("../../../../sdk/Cargo.toml");
const SDK_SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/src");
/// `sdk/wit` is a link to these.
const SDK_CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../wit");
const SDK_OTHER_CONTRACTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../../sdk/wit-deps");

const MANIFEST: &str = include_str!("../../template/manifest.toml");
const HANDLER: &str = include_str!("../../template/handler.rs");
const ASYNC_HANDLER: &str = include_str!("../../template/async_handler.rs");
const READ_ME: &str = include_str!("../../template/readme.md");
const IGNORED: &str = include_str!("../../template/gitignore");
/// The beginning of the part of the manifest that a member of a workspace must
/// not have: profiles belong to the root of the workspace.
const OWN: &str = "\n[profile.release]";
/// The placeholder for the name of the crate in the templates.
const NAME: &str = "{{name}}";

/// Words that cannot name a crate: Rust's keywords, including reserved ones.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else \
    enum extern false final fn for gen if impl in let loop macro match mod move mut override priv \
    pub ref return self static struct super trait true try type typeof unsafe unsized use virtual \
    where while yield";
/// Crates that a crate of the same name could not use.
const TAKEN: &str = "alloc core openline-sdk openline_sdk proc-macro proc_macro std test";

const EXAMPLES: &str = "\
Examples:
  openline new echo
  openline new chat --async";

/// The words after `openline new`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NewArguments {
    /// The name of the crate and of its folder, made in the current one.
    #[arg(value_name = "NAME")]
    name: String,
    /// Write an asynchronous handler: while one call waits, the instance
    /// serves others.
    #[arg(long = "async")]
    asynchronous: bool,
}

/// Writes a crate, and prints what to do next.
///
/// # Errors
///
/// When the name cannot be a crate's, when a file or folder of that name
/// exists, and when a file cannot be written.
pub(crate) fn run(arguments: &NewArguments) -> anyhow::Result<()> {
    let name = &arguments.name;
    let joined = create(Path::new("."), name, arguments.asynchronous)?;
    print(name)?;
    match joined {
        None => tell(&format!(
            "next: cd {name}; openline build; openline run target/openline/{name}.wasm"
        )),
        Some(notes) => {
            tell(&notes.explained());
            tell(&format!("next: cd {name}; openline build"));
        }
    }
    Ok(())
}

/// Makes the crate `name` in the folder `parent`. Answers what is to be said of
/// a workspace around it, if there is anything.
pub(super) fn create(
    parent: &Path,
    name: &str,
    asynchronous: bool,
) -> anyhow::Result<Option<Hinted>> {
    check_name(name)?;
    let folder = parent.join(name);
    let outer = Outer::around(parent);
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            let what = format!("`{name}` exists already");
            Hinted::new(what, "choose another name, or remove it").into()
        }
        _ => anyhow::Error::new(error).context(format!("the folder `{name}` could not be made")),
    })?;
    fill(&folder, name, asynchronous).map_err(|error| {
        // Report the first error; a second one is probably the same.
        let _ = fs::remove_dir_all(&folder);
        anyhow::Error::new(error).context(format!("the folder `{name}` could not be filled"))
    })?;
    let Some(outer) = outer else { return Ok(None) };
    let joined = arrange(&outer, &folder, name);
    if joined.is_err() {
        let _ = fs::remove_dir_all(&folder);
    }
    joined
}

/// Makes a new crate and the workspace around it get along.
fn arrange(outer: &Outer, folder: &Path, name: &str) -> anyhow::Result<Option<Hinted>> {
    let (workspace, path) = (outer.manifest.display(), outer.named(folder));
    if let Some(reason) = outer.unknown() {
        let what = format!(
            "`{name}` is a crate of its own, and there is a workspace around it, {workspace}, of which cargo says nothing: {reason}"
        );
        let hint = format!(
            "if its `members` cover this folder, add `exclude = [\"{path}\"]` to its [workspace]"
        );
        return Ok(Some(Hinted::new(what, hint)));
    }
    if outer.check().is_ok() {
        return Ok(None);
    }
    // The workspace's `members` cover the folder, so the crate has to be a
    // member.
    join(outer, folder, name)
        .with_context(|| format!("`{name}` could not be made a member of {workspace}"))?;
    outer.check().map_err(|words| {
        let what = format!("`{name}` and the workspace {workspace} do not get along: {words}");
        let hint = format!("add `exclude = [\"{path}\"]` to its [workspace], then try again");
        Hinted::new(what, hint)
    })?;
    let what = format!(
        "`{name}` is a member of the workspace {workspace}, whose `members` cover its folder: the profiles there are in force"
    );
    let hint = format!(
        "to keep it apart, add `exclude = [\"{path}\"]` to that [workspace], and an empty `[workspace]` to {path}/Cargo.toml"
    );
    Ok(Some(Hinted::new(what, hint)))
}

/// Writes a crate again, as a member of a workspace.
fn join(outer: &Outer, folder: &Path, name: &str) -> io::Result<()> {
    let sdk = match outer.sdk() {
        Some(sdk) => {
            fs::remove_dir_all(folder.join("vendor"))?;
            way(folder, sdk)
        }
        None => SDK_FOLDER.to_owned(),
    };
    let own = MANIFEST.find(OWN).unwrap_or(MANIFEST.len());
    for (file, text) in [("Cargo.toml", &MANIFEST[..own]), ("README.md", READ_ME)] {
        let text = text.replace(NAME, name).replace(SDK_FOLDER, &sdk);
        fs::write(folder.join(file), text)?;
    }
    Ok(())
}

fn fill(folder: &Path, name: &str, asynchronous: bool) -> io::Result<()> {
    let write = |file: &str, text: &str| fs::write(folder.join(file), text.replace(NAME, name));
    fs::create_dir(folder.join("src"))?;
    write("Cargo.toml", MANIFEST)?;
    write("README.md", READ_ME)?;
    write(".gitignore", IGNORED)?;
    write(
        "src/lib.rs",
        if asynchronous { ASYNC_HANDLER } else { HANDLER },
    )?;

    write_sdk(&folder.join(SDK_FOLDER))
}

/// Writes a copy of the SDK into a folder.
pub(super) fn write_sdk(sdk: &Path) -> io::Result<()> {
    for (subfolder, content) in [
        ("src", &SDK_SOURCES),
        ("wit", &SDK_CONTRACT),
        ("wit-deps", &SDK_OTHER_CONTRACTS),
    ] {
        fs::create_dir_all(sdk.join(subfolder))?;
        content.extract(sdk.join(subfolder))?;
    }
    fs::write(sdk.join("Cargo.toml"), SDK_MANIFEST)
}

/// Refuses a name that cannot be that of a crate, of a folder and of a
/// function.
fn check_name(name: &str) -> anyhow::Result<()> {
    if name.contains(['/', '\\']) {
        let what = format!("`{name}` is a path, not a name");
        bail!(Hinted::new(
            what,
            "go to the folder first, then name the crate"
        ));
    }
    if KEYWORDS.split_whitespace().any(|keyword| keyword == name) {
        let what = format!("`{name}` is a word of the language Rust");
        bail!(Hinted::new(what, format!("try `my-{name}`")));
    }
    if TAKEN.split_whitespace().any(|taken| taken == name) {
        let what = format!("`{name}` is the name of a crate that this one needs");
        bail!(Hinted::new(what, format!("try `my-{name}`")));
    }
    let letters = name
        .bytes()
        .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if !letters || !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        let hint = "use lower-case letters, digits, `-` and `_`, a letter first";
        bail!(Hinted::new(
            format!("`{name}` is not a name for a crate"),
            hint
        ));
    }
    // The function has the name of the crate, and its names have a longest
    // length.
    FunctionName::new(name)
        .map(drop)
        .context("the crate's name is the function's")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path, found: &mut Vec<String>, start: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, found, start);
            } else {
                let path = path.strip_prefix(start).unwrap();
                found.push(path.to_str().unwrap().replace('\\', "/"));
            }
        }
    }

    #[test]
    fn a_crate_is_written_with_the_sdk() {
        let parent = tempfile::tempdir().unwrap();
        create(parent.path(), "my-echo", false).unwrap();
        let folder = parent.path().join("my-echo");
        let mut found = Vec::new();
        files(&folder, &mut found, &folder);
        for file in [
            ".gitignore",
            "Cargo.toml",
            "README.md",
            "src/lib.rs",
            "vendor/openline-sdk/Cargo.toml",
            "vendor/openline-sdk/src/lib.rs",
            "vendor/openline-sdk/wit/worlds.wit",
            "vendor/openline-sdk/wit/deps/websocket/types.wit",
            "vendor/openline-sdk/wit-deps/clocks.wit",
        ] {
            assert!(found.iter().any(|each| each == file), "{file} of {found:?}");
        }
        for file in ["Cargo.toml", "README.md", "src/lib.rs"] {
            let text = fs::read_to_string(folder.join(file)).unwrap();
            assert!(!text.contains("{{"), "{file}");
        }
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-echo\""));
        assert!(manifest.contains(SDK_FOLDER));
    }

    #[test]
    fn either_handler_can_be_had() {
        let parent = tempfile::tempdir().unwrap();
        for (name, asynchronous, expected) in [
            ("plain", false, "impl Handler for"),
            ("later", true, "impl AsyncHandler for"),
        ] {
            create(parent.path(), name, asynchronous).unwrap();
            let source = parent.path().join(name).join("src/lib.rs");
            assert!(fs::read_to_string(source).unwrap().contains(expected));
        }
    }

    #[test]
    fn the_sdk_stands_alone() {
        for outside in ["workspace = true", "path = "] {
            assert!(
                !SDK_MANIFEST.contains(outside),
                "only the SDK's own folder is copied"
            );
        }
    }

    #[test]
    fn what_exists_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("mine")).unwrap();
        fs::write(parent.path().join("mine/file"), "kept").unwrap();
        let error = create(parent.path(), "mine", false).unwrap_err();
        let error = crate::hints::explained(&error);
        assert!(
            error.starts_with("`mine` exists already\nhint: "),
            "{error}"
        );
        assert_eq!(
            fs::read_to_string(parent.path().join("mine/file")).unwrap(),
            "kept"
        );
        assert_eq!(fs::read_dir(parent.path().join("mine")).unwrap().count(), 1);
    }

    /// The members that cargo finds in a workspace; panics if cargo refuses the
    /// workspace.
    fn members(root: &Path) -> Vec<String> {
        let output = std::process::Command::new("cargo")
            .args([
                "metadata",
                "--no-deps",
                "--offline",
                "--format-version",
                "1",
            ])
            .current_dir(root)
            .output()
            .unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        assert!(!words.contains("warning"), "{words}");
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap().iter();
        let mut names: Vec<_> = packages
            .map(|it| it["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_workspace_around_a_new_crate_goes_on_working() {
        let root = tempfile::tempdir().unwrap();
        let functions = root.path().join("functions");
        fs::create_dir_all(functions.join("deep")).unwrap();
        let write = |text: &str| fs::write(root.path().join("Cargo.toml"), text).unwrap();
        write(
            "[workspace]\nresolver = \"3\"\nmembers = [\"functions/*\"]\nexclude = [\"functions/deep\"]\n",
        );
        let said = create(&functions, "first", false)
            .unwrap()
            .unwrap()
            .explained();
        assert!(said.contains("is a member of the workspace"), "{said}");
        assert!(said.contains("exclude = [\"functions/first\"]"), "{said}");
        assert_eq!(members(root.path()), ["first", "openline-sdk"]);
        // The second one has the SDK of the first: there cannot be two.
        create(&functions, "second", true).unwrap().unwrap();
        assert!(!functions.join("second/vendor").exists());
        assert_eq!(members(root.path()), ["first", "openline-sdk", "second"]);
        // A crate that `members` do not cover, or `exclude` names, stands
        // alone.
        for parent in [root.path(), &functions.join("deep")] {
            assert_eq!(create(parent, "apart", false).unwrap(), None);
            assert_eq!(members(root.path()).len(), 3);
            assert_eq!(members(&parent.join("apart")), ["apart"]);
        }
    }

    #[test]
    fn a_workspace_that_cargo_refuses_already_is_told_of() {
        let root = tempfile::tempdir().unwrap();
        let text = "[workspace]\nmembers = [\"missing\"]\n";
        fs::write(root.path().join("Cargo.toml"), text).unwrap();
        let said = create(root.path(), "apart", false)
            .unwrap()
            .unwrap()
            .explained();
        assert!(said.contains("of which cargo says nothing: "), "{said}");
        assert!(said.contains("exclude = [\"apart\"]"), "{said}");
    }

    #[test]
    fn names_that_cannot_be_are_refused() {
        let parent = tempfile::tempdir().unwrap();
        let long = "a".repeat(65);
        for (name, reason) in [
            ("", "is not a name for a crate"),
            ("1st", "is not a name for a crate"),
            ("-x", "is not a name for a crate"),
            ("Echo", "use lower-case letters"),
            ("caffè", "is not a name for a crate"),
            ("a b", "is not a name for a crate"),
            ("..", "is not a name for a crate"),
            ("a/b", "is a path"),
            ("..\\b", "is a path"),
            ("async", "is a word of the language"),
            ("gen", "is a word of the language"),
            ("test", "of a crate that this one needs"),
            ("core", "of a crate that this one needs"),
            ("openline-sdk", "of a crate that this one needs"),
            (&long, "1 to 64"),
        ] {
            let error = create(parent.path(), name, false).unwrap_err();
            let said = crate::hints::explained(&error);
            assert!(said.contains(reason), "{name}: {said}");
        }
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
        for name in ["echo", "my-echo", "a1_b"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
