//! Invalid configuration files and their errors: `golden/config/NAME.toml` and,
//! word for word, `NAME.err`.
//!
//! `OPENLINE_BLESS=1 cargo test -p openline --test it -- config` writes the
//! `.err` files again; review the difference.

use std::fs;
use std::path::{Path, PathBuf};

use openline_core::config::{Config, ConfigError};
use openline_guests::ALL;
use openline_hint::Hint;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of the folder with this ending, by name.
fn golden(ending: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/golden/config");
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .collect();
    paths.sort();
    paths
}

fn shown(errors: &[ConfigError]) -> String {
    let lines = errors.iter().map(|error| error.explained() + "\n");
    lines.collect()
}

#[test]
fn each_wrong_file_is_explained_word_for_word() {
    let bless = std::env::var_os("OPENLINE_BLESS").is_some();
    let (mut different, mut explained) = (Vec::new(), Vec::new());
    for path in golden("toml") {
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let Err(errors) = Config::parse(&text) else {
            panic!("{name}.toml is accepted");
        };
        let explanation = path.with_extension("err");
        if bless {
            fs::write(&explanation, shown(&errors)).unwrap();
        }
        let expected = fs::read_to_string(&explanation).unwrap_or_default();
        explained.push(explanation);
        if shown(&errors) != expected {
            different.push(format!(
                "--- {name}: expected\n{expected}+++ {name}: found\n{}",
                shown(&errors)
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{}\nhint: if these are the words you want, run it again with OPENLINE_BLESS=1",
        different.join("\n")
    );
    assert_eq!(golden("err"), explained, "each belongs to a file");
    assert!(explained.len() >= 30);
}

/// Whether all errors of a file are about secrets.
fn is_of_secrets(path: &Path) -> bool {
    let name = path.file_stem().unwrap().to_string_lossy();
    name.contains("secrets") || name.starts_with("secret-")
}

#[test]
fn each_error_names_a_line_that_is_there_and_says_what_to_do() {
    for path in golden("toml") {
        let text = fs::read_to_string(&path).unwrap();
        for error in Config::parse(&text).unwrap_err() {
            let shown = path.display();
            assert!(
                !error.hint.is_empty() && !error.message.is_empty(),
                "{shown}"
            );
            let line = error.line.checked_sub(1);
            match line.and_then(|index| text.lines().nth(index)) {
                // The error names a secret's key but does not show the secret.
                Some(line) if line.starts_with("admin_token") => assert_eq!(error.source, ""),
                Some(_) if is_of_secrets(&path) => assert_eq!(error.source, "", "{shown}"),
                Some(line) => assert_eq!(line.trim(), error.source, "{shown}"),
                // An error about something missing, or about all functions, has
                // no line.
                None => {
                    let whole = ["empty", "no-function", "too-many-instances"];
                    let name = path.file_stem().unwrap();
                    assert!(whole.iter().any(|whole| name == *whole), "{shown}: {error}");
                }
            }
        }
    }
}

#[test]
fn the_file_of_the_samples_is_right_and_names_components_that_are_built() {
    let folder = root().join("guests");
    let text = fs::read_to_string(folder.join("openline.toml")).unwrap();
    let config = Config::parse(&text).unwrap();
    assert!(config.server.listen.ip().is_loopback());
    for function in &config.functions {
        let component = function.component.as_ref().unwrap();
        let component = folder.join(component).canonicalize().unwrap();
        let name = function.name.as_str();
        let (_, built) = ALL.iter().find(|(other, _)| *other == name).unwrap();
        assert_eq!(component, Path::new(built).canonicalize().unwrap());
    }
    // The samples, without the test functions.
    let is_sample = |name: &str| !name.starts_with("fault-") && !name.starts_with("foreign-");
    let samples = ALL.iter().filter(|(name, _)| is_sample(name));
    assert_eq!(config.functions.len(), samples.count());
}
