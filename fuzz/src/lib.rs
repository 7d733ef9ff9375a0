//! All code of the host that reads bytes from outside, as functions of bytes:
//! none may panic, hang, or exceed its limits, whatever the input.
//!
//! `tests/short.rs` runs them in every test run, over the corpus and over fixed
//! mutations of it. `make fuzz TARGET=frames` fuzzes further with libFuzzer,
//! guided by the coverage of our own packages, and adds new inputs to the
//! corpus.

mod channels;
mod grow;
mod mutate;
#[path = "../../host/websocket/tests/it/oracle.rs"]
mod oracle;

use std::path::Path;
use std::sync::{Arc, LazyLock};

use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_hint::Hint;

pub use mutate::Mutator;

/// A target's name and its function of bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets; the corpus has a folder for each.
pub const TARGETS: [Target; 28] = [
    ("websocket", oracle::frames),
    ("deflate", oracle::deflate),
    ("extensions", oracle::extensions),
    ("frames", openline_gateway::fuzzing::frames),
    ("handshake", openline_gateway::fuzzing::handshake),
    ("hello", openline_gateway::fuzzing::hello),
    ("proxy", openline_gateway::fuzzing::proxy),
    ("hops", openline_gateway::fuzzing::hops),
    ("calls", openline_gateway::fuzzing::calls),
    ("holds", openline_gateway::fuzzing::holds),
    ("token", openline_authentication::fuzzing::token),
    ("keys", openline_authentication::fuzzing::key_set),
    ("signature", openline_authentication::fuzzing::signature),
    ("session", openline_dialects::fuzzing::session),
    ("request", openline_dialects::fuzzing::request),
    ("publish", openline_dialects::fuzzing::publish),
    ("caller", openline_api::fuzzing::caller),
    ("filter", channels::filter),
    ("pattern", channels::pattern),
    ("config", config),
    ("rules", openline_firewall::fuzzing::rules),
    ("lists", openline_firewall::fuzzing::lists),
    ("azion", openline_firewall::fuzzing::azion),
    ("publication", openline_broker::fuzzing::publication),
    ("position", openline_broker::fuzzing::texts),
    ("rows", openline_broker::fuzzing::rows),
    ("component", component),
    ("deploy", deploy),
];

/// A host, and the real component to which the input adds parts before it is
/// deployed.
struct Host {
    tokio: tokio::runtime::Runtime,
    runtime: Arc<Runtime>,
    config: FunctionConfig,
    component: Vec<u8>,
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    let name = FunctionName::new("grown").expect("a name of letters");
    let route = Route::new("/grown").expect("a route of letters");
    let options = RuntimeOptions {
        instances: 4,
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    };
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Host {
        tokio: tokio.expect("a runtime without threads of its own"),
        runtime: Arc::new(Runtime::new(options).expect("the engine's defaults")),
        config: FunctionConfig::new(name, None, route),
        component: std::fs::read(Path::new(openline_guests::ECHO)).expect("it was built before"),
    }
});

/// Reads a configuration file: every error must point into the text and have a
/// hint.
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

/// Inspects a component's file, before any of it is compiled.
fn component(bytes: &[u8]) {
    match openline_engine::inspect(bytes) {
        Ok(contract) => assert!(contract.imports.len() <= bytes.len()),
        Err(error) => assert!(
            !error.to_string().is_empty() && error.hint().is_some_and(|hint| !hint.is_empty())
        ),
    }
}

/// Deploys a component: compiles, links and tries it. The caller bounds its
/// memory.
fn deploy(bytes: &[u8]) {
    let host = &*HOST;
    let grown = grow::grown(&host.component, bytes);
    let inspected = openline_engine::inspect(&grown);
    let loading = host.runtime.load_alone(&host.config, grown);
    match (inspected, host.tokio.block_on(loading)) {
        (_, Err(error)) => {
            assert!(
                !error.to_string().is_empty() && error.hint().is_some_and(|hint| !hint.is_empty())
            );
        }
        (inspected, Ok(_)) => assert!(inspected.is_ok(), "deployed although it is refused"),
    }
}
