//! The targets over the corpus, and over mutations of it: the same ones in
//! every run, so that a failure can be repeated.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::fs;
use std::path::Path;

use openline_fuzz::{Mutator, TARGETS};

/// Mutated inputs for each target: some seconds in all.
const INPUTS: usize = 100_000;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    if name == "component" {
        // A real one: it is built, not kept.
        paths.push(openline_guests::ECHO.into());
    }
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(other, _)| *other == name).unwrap();
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name} has a corpus");
    for entry in &corpus {
        target(entry);
    }
    let mut mutator = Mutator::new(6455, corpus);
    for number in 0..INPUTS {
        let input = mutator.next_input();
        let caught = std::panic::catch_unwind(|| target(&input));
        assert!(caught.is_ok(), "{name}, input {number}: {input:02x?}");
    }
}

#[test]
fn frames() {
    run("frames");
}

#[test]
fn handshake() {
    run("handshake");
}

#[test]
fn config() {
    run("config");
}

#[test]
fn component() {
    run("component");
}
