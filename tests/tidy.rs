//! Rules that no compiler checks: how files begin and how long they are, which
//! package may use which, that the models see all locks of the files that they
//! compile, and that every guest has a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest source file, in lines: far above the usual 250, so a file that
/// reaches it has become two things.
const LINES_MAX: usize = 600;

pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// All files below a folder, except those that cargo makes.
pub(crate) fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, found);
            }
        } else {
            found.push(path);
        }
    }
}

/// The repository's files with an ending: their paths in it, and their text.
fn texts(ending: &str) -> BTreeMap<String, String> {
    let root = root();
    let mut found = Vec::new();
    files(&root, &mut found);
    found.retain(|path| path.to_str().unwrap().ends_with(ending));
    let text = |path: PathBuf| {
        let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
        (name.to_owned(), fs::read_to_string(&path).unwrap())
    };
    found.into_iter().map(text).collect()
}

#[test]
fn every_source_file_says_first_what_it_is() {
    let sources = texts(".rs");
    for folder in ["host/", "sdk/", "guests/", "tests/", "benches/"] {
        let here = sources.keys().filter(|name| name.starts_with(folder));
        assert!(here.count() > 3, "{folder} was not searched");
    }
    let silent: Vec<_> = sources
        .iter()
        .filter(|(_, text)| !text.starts_with("//! "))
        .map(|(name, _)| name)
        .collect();
    assert!(
        silent.is_empty(),
        "these do not open with `//!`: {silent:?}"
    );
}

#[test]
fn no_source_file_has_become_two() {
    let long: Vec<_> = texts(".rs")
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines: {long:?}");
}

/// The files that `host/models` compiles a second time, and the package that
/// does so.
fn modelled() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for model in ["host/models/loom/src", "host/models/shuttle/src"] {
        let folder = root().join(model);
        let mut sources = Vec::new();
        files(&folder, &mut sources);
        for source in sources {
            let text = fs::read_to_string(&source).unwrap();
            for line in text.lines() {
                let path = line.strip_prefix("#[path = \"");
                if let Some(path) = path.and_then(|path| path.strip_suffix("\"]")) {
                    let path = source.parent().unwrap().join(path);
                    let mut compiled = Vec::new();
                    if path.ends_with("mod.rs") {
                        files(path.parent().unwrap(), &mut compiled);
                    } else {
                        compiled.push(path);
                    }
                    compiled.retain(|path| !path.ends_with("tests.rs"));
                    let of_model = |path| (model.to_owned(), path);
                    found.extend(compiled.into_iter().map(of_model));
                }
            }
        }
    }
    found
}

/// A lock or an atomic that a model does not know would not be a step of it,
/// and a lock that is held across a step would hang it.
#[test]
fn what_is_modelled_takes_locks_and_atomics_from_sync() {
    let modelled = modelled();
    for (model, least) in [("host/models/loom/src", 9), ("host/models/shuttle/src", 46)] {
        let files = modelled.iter().filter(|(of, _)| of == model).count();
        assert!(files >= least, "{model} was not read: {files} files");
    }
    for (model, path) in modelled {
        let text = fs::read_to_string(&path).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        for other in ["parking_lot", "atomic::"] {
            let named = shipped.lines().any(|line| {
                let code = line.split("//").next().unwrap();
                code.contains(other)
            });
            let path = path.display();
            assert!(!named, "{path} names `{other}`, and {model} compiles it");
        }
    }
}

/// The dependencies of a manifest, by section.
fn dependencies(manifest: &str) -> Vec<(String, String)> {
    let mut section = String::new();
    let mut found = Vec::new();
    for line in manifest.lines() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            continue;
        }
        let name = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if section.ends_with("dependencies") && !name.is_empty() && !name.starts_with('#') {
            found.push((section.clone(), name.to_owned()));
        }
    }
    found
}

/// The packages of the host; each may use those above it.
const LAYERS: [(&str, &str); 17] = [
    ("host/core/Cargo.toml", "openline-core"),
    ("host/websocket/Cargo.toml", "openline-websocket"),
    ("host/dialects/Cargo.toml", "openline-dialects"),
    ("host/authentication/Cargo.toml", "openline-authentication"),
    ("host/store/Cargo.toml", "openline-store"),
    ("host/broker/Cargo.toml", "openline-broker"),
    ("host/channels/Cargo.toml", "openline-channels"),
    ("host/firewall/Cargo.toml", "openline-firewall"),
    ("host/outbound/Cargo.toml", "openline-outbound"),
    ("host/engine/Cargo.toml", "openline-engine"),
    ("host/admission/Cargo.toml", "openline-admission"),
    ("host/control/Cargo.toml", "openline-control"),
    ("host/gateway/Cargo.toml", "openline-gateway"),
    ("host/acme/Cargo.toml", "openline-acme"),
    ("host/api/Cargo.toml", "openline-api"),
    ("host/admin/Cargo.toml", "openline-admin"),
    ("host/server/Cargo.toml", "openline"),
];

#[test]
fn a_package_of_the_host_uses_only_those_above_it() {
    let manifests = texts("Cargo.toml");
    for (layer, (path, package)) in LAYERS.iter().enumerate() {
        let manifest = &manifests[*path];
        assert!(manifest.contains(&format!("name = \"{package}\"")));
        for (_, used) in dependencies(manifest) {
            let above = LAYERS.iter().position(|(_, name)| *name == used);
            if let Some(above) = above {
                assert!(above < layer, "{path} uses {used}");
            }
        }
        // The codec and the dialects are libraries by themselves. All others use
        // the first, which shows that the manifest was read correctly.
        let uses = dependencies(manifest);
        let core = uses.iter().any(|(_, name)| name == "openline-core");
        assert_eq!(core, layer > 2, "{path}");
    }
}

/// The packages that may use a dependency: the manifest and the kind of
/// section.
fn users_of(dependency: &str) -> Vec<(String, String)> {
    let mut users = Vec::new();
    for (path, manifest) in texts("Cargo.toml") {
        for (section, name) in dependencies(&manifest) {
            if name == dependency && section != "workspace.dependencies" {
                users.push((path.clone(), section));
            }
        }
    }
    users
}

#[test]
fn only_the_engine_knows_wasmtime() {
    for dependency in ["wasmtime", "wasmtime-wasi", "wasmtime-wasi-http"] {
        let users = users_of(dependency);
        assert!(!users.is_empty(), "{dependency} is looked for in vain");
        for (path, _) in users {
            assert_eq!(path, "host/engine/Cargo.toml", "{dependency}");
        }
    }
}

#[test]
fn only_the_store_knows_its_database() {
    let users = users_of("redb");
    assert!(!users.is_empty(), "redb is looked for in vain");
    for (path, _) in users {
        assert_eq!(path, "host/store/Cargo.toml");
    }
}

#[test]
fn only_the_admin_interface_has_a_router_library() {
    for dependency in ["axum", "utoipa-axum"] {
        let users = users_of(dependency);
        assert!(!users.is_empty(), "{dependency} is looked for in vain");
        for (path, _) in users {
            assert_eq!(path, "host/admin/Cargo.toml", "{dependency}");
        }
    }
}

#[test]
fn only_the_gateway_knows_sockets_and_those_who_test_and_measure_it() {
    for dependency in ["hyper", "tokio-tungstenite"] {
        let users = users_of(dependency);
        assert!(!users.is_empty(), "{dependency} is looked for in vain");
        for (path, section) in users {
            // Commands ask a host over HTTP.
            let asks = dependency == "hyper" && path == "host/server/Cargo.toml";
            // So does the client of an authority.
            let requests = dependency == "hyper" && path == "host/acme/Cargo.toml";
            // And so do functions.
            let calls = dependency == "hyper" && path == "host/outbound/Cargo.toml";
            let serves = dependency == "hyper" && path == "host/gateway/Cargo.toml";
            let allowed = serves
                || asks
                || requests
                || calls
                || path == "tests/kit/Cargo.toml"
                || path.starts_with("benches/")
                || path == "fuzz/Cargo.toml"
                || section == "dev-dependencies";
            assert!(allowed, "{path} has {dependency} in [{section}]");
        }
    }
}

/// The two meet in `openline-admission`: one replaces the table of routes, the
/// other reads it.
#[test]
fn the_gateway_and_control_do_not_know_each_other() {
    let manifests = texts("Cargo.toml");
    for (path, other) in [
        ("host/gateway/Cargo.toml", "openline-control"),
        ("host/control/Cargo.toml", "openline-gateway"),
    ] {
        let uses = dependencies(&manifests[path]);
        assert!(uses.iter().any(|(_, name)| name == "openline-admission"));
        assert!(!uses.iter().any(|(_, name)| name == other), "{path}");
    }
}

/// In the binary only the client of commands, and what fetches key sets, speak
/// HTTP.
#[test]
fn only_two_clients_speak_http_in_the_binary() {
    let mut speakers: Vec<_> = texts(".rs")
        .into_iter()
        .filter(|(name, text)| name.starts_with("host/server/src/") && text.contains("hyper::"))
        .map(|(name, _)| name)
        .collect();
    speakers.sort();
    assert_eq!(
        speakers,
        [
            "host/server/src/commands/client.rs",
            "host/server/src/key_sets.rs"
        ]
    );
}

/// The wire of a connection hides the codec, and no other library is in the
/// host: the codec is tested and measured beside one.
#[test]
fn only_the_wire_knows_the_websocket_library() {
    let mut found = 0;
    for (name, text) in texts(".rs") {
        if !name.starts_with("host/") || name.starts_with("host/websocket/") {
            continue;
        }
        assert!(!text.contains("tokio_tungstenite::"), "{name}");
        if !text.contains("openline_websocket::") {
            continue;
        }
        let in_wire = name.starts_with("host/gateway/src/connection/wire/");
        // The accept key of a handshake.
        assert!(in_wire || name == "host/gateway/src/handshake.rs", "{name}");
        found += 1;
    }
    assert!(found > 2, "{found} files were found");
}

#[test]
fn every_guest_has_a_test() {
    let tests: String = texts(".rs")
        .into_iter()
        .filter(|(name, _)| name.starts_with("tests/"))
        .map(|(_, text)| text)
        .collect();
    macro_rules! is_used {
        ($guest:ident) => {
            let constant = format!("openline_guests::{}", stringify!($guest).to_uppercase());
            let used = tests.match_indices(&constant).any(|(start, _)| {
                let next = tests[start + constant.len()..].chars().next();
                !next.is_some_and(|next| next == '_' || next.is_alphanumeric())
            });
            assert!(used, "no test uses `{constant}`");
        };
    }
    openline_guests::for_each_guest!(is_used);
    assert!(openline_guests::ALL.len() >= 13);
}
