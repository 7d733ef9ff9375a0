//! Runs the targets over the corpus and over mutations of it, the same ones in
//! every run, so that a failure can be repeated.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use openline_fuzz::{Mutator, TARGETS};

/// Mutated inputs for each target; they take some seconds in all.
const INPUTS: usize = 100_000;

/// Each is compressed in many pieces.
const COMPRESSED: usize = 20_000;

/// Each may verify a signature by a public key.
const VERIFIED: usize = 20_000;

/// Each makes the settings of a listener.
const HANDSHAKES: usize = 20_000;

/// Each may compile expressions and make tables of rates.
const RULES: usize = 20_000;

/// Each is written in twelve forms.
const PUBLISHED: usize = 20_000;

/// Inputs of the target that compiles each.
const DEPLOYED: usize = 150;

/// Writable memory, in KiB, of the whole process while it compiles and tries
/// one component after the other. Without the limits on the parts of a
/// component, the first one that doubles takes more.
const DEPLOYING_KIB_MAX: u64 = 1 << 18;

/// Tells this program that its memory is bounded.
const BOUNDED: &str = "OPENLINE_FUZZ_BOUNDED";

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
        // A real component, which is built and not part of the corpus.
        paths.push(openline_guests::ECHO.into());
    }
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

fn run(name: &str) {
    run_for(name, INPUTS);
}

fn run_for(name: &str, inputs: usize) {
    let (_, target) = TARGETS.iter().find(|(other, _)| *other == name).unwrap();
    let corpus = corpus(name);
    assert!(corpus.len() >= 5, "{name} has a corpus");
    for entry in &corpus {
        target(entry);
    }
    let mut mutator = Mutator::new(6455, corpus);
    for number in 0..inputs {
        let input = mutator.next_input();
        let caught = std::panic::catch_unwind(|| target(&input));
        assert!(caught.is_ok(), "{name}, input {number}: {input:02x?}");
    }
}

#[test]
fn websocket() {
    run("websocket");
}

#[test]
fn deflate() {
    run_for("deflate", COMPRESSED);
}

#[test]
fn extensions() {
    run("extensions");
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
fn hello() {
    run_for("hello", HANDSHAKES);
}

#[test]
fn proxy() {
    run("proxy");
}

#[test]
fn calls() {
    run("calls");
}

#[test]
fn holds() {
    run("holds");
}

#[test]
fn hops() {
    run("hops");
}

#[test]
fn token() {
    run_for("token", VERIFIED);
}

#[test]
fn keys() {
    run("keys");
}

#[test]
fn signature() {
    run("signature");
}

#[test]
fn session() {
    run("session");
}

#[test]
fn request() {
    run("request");
}

#[test]
fn publish() {
    run_for("publish", PUBLISHED);
}

#[test]
fn caller() {
    run("caller");
}

#[test]
fn filter() {
    run("filter");
}

#[test]
fn pattern() {
    run("pattern");
}

#[test]
fn config() {
    run("config");
}

#[test]
fn rules() {
    run_for("rules", RULES);
}

#[test]
fn lists() {
    run("lists");
}

#[test]
fn azion() {
    run_for("azion", RULES);
}

#[test]
fn publication() {
    run("publication");
}

#[test]
fn position() {
    run("position");
}

#[test]
fn rows() {
    run("rows");
}

#[test]
fn component() {
    run("component");
}

#[test]
fn deploy() {
    if env::var_os(BOUNDED).is_some() {
        return run_for("deploy", DEPLOYED);
    }
    let script = format!("ulimit -d {DEPLOYING_KIB_MAX} && exec \"$0\" --exact deploy");
    let bounded = Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .env(BOUNDED, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&bounded.stdout);
    assert!(bounded.status.success(), "{said}{bounded:?}");
    assert!(said.contains("1 passed"), "{said}");
}
