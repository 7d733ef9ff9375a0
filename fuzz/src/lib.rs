//! Everything of the host that reads bytes from outside, as functions of
//! bytes: none may panic, hang, or take more than its limits, whatever it is
//! given.
//!
//! `tests/short.rs` runs them in every test run, over the corpus and over
//! mutations of it that are the same each time. `make fuzz TARGET=frames`
//! searches on with libFuzzer, led by the coverage of our own packages, and
//! adds what it finds to the corpus.

mod mutate;

pub use mutate::Mutator;

/// A target's name and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets; the corpus has a folder for each.
pub const TARGETS: [Target; 4] = [
    ("frames", openline_gateway::fuzzing::frames),
    ("handshake", openline_gateway::fuzzing::handshake),
    ("config", config),
    ("component", component),
];

/// A configuration file: every error points into the text and says what to do.
fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Err(errors) = openline_core::config::Config::parse(&text) else {
        return;
    };
    assert!(!errors.is_empty(), "refused without a word");
    for error in errors {
        let lines = text.lines().count();
        assert!(error.line <= lines.max(1), "line {} of {lines}", error.line);
        assert!(!error.message.is_empty() && !error.hint.is_empty());
    }
}

/// A component's file, before any of it is compiled.
fn component(bytes: &[u8]) {
    match openline_engine::inspect(bytes) {
        Ok(contract) => assert!(contract.imports.len() <= bytes.len()),
        Err(error) => assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
    }
}
