//! The commands that README.md, the documentation and the page of a new crate
//! tell people to type: each is run here, or listed with the reason why not.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::harness::{Client, Serving, openline, shell};
use crate::tidy::root;

/// Why a command is not run here.
const NOT_RUN: [(&str, &str); 7] = [
    (
        "make run",
        "builds and serves until it is ended; `make test` builds the same",
    ),
    ("make test", "runs this test"),
    (
        "npx wscat -c 'ws://127.0.0.1:8080/chat/lobby?nick=eve'",
        "needs a package from the network",
    ),
    ("openline dev", "serves until it is ended: `dev` tests it"),
    (
        "openline run --root site.wasm",
        "serves until it is ended: the tests of foreign components do",
    ),
    (
        "openline run target/openline/hello.wasm",
        "serves until it is ended: it is started by itself below",
    ),
    (
        "FC_ACCESS_KEY_SECRET=… openline check --config moved.toml",
        "needs a secret and components of one's own",
    ),
];

/// The documents whose commands are run, in the order in which they are read.
const DOCUMENTS: [&str; 21] = [
    "README.md",
    "docs/guide/channels.md",
    "docs/guide/coming-from.md",
    "docs/guide/deploy.md",
    "docs/guide/develop.md",
    "docs/guide/functions.md",
    "docs/guide/grpc.md",
    "docs/guide/held-answers.md",
    "docs/guide/http.md",
    "docs/guide/keys.md",
    "docs/guide/measure.md",
    "docs/guide/operate.md",
    "docs/guide/outbound.md",
    "docs/guide/publishing.md",
    "docs/reference/configuration.md",
    "docs/reference/firewall.md",
    "docs/reference/limits.md",
    "docs/reference/close-codes.md",
    "docs/reference/refusals.md",
    "docs/reference/admin-interface.md",
    "docs/reference/contract.md",
];

/// The commands of a document, block by block, without comments after `#`.
fn blocks(document: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join(document)).unwrap();
    let mut fence = None;
    let mut found = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(language), None) => {
                fence = Some(language.is_empty() || language == "sh");
                found.push(Vec::new());
            }
            (Some(_), Some(_)) => fence = None,
            (None, Some(true)) => {
                let end = line.find(" #").unwrap_or(line.len());
                let command = line[..end].trim();
                if !command.is_empty() {
                    found.last_mut().unwrap().push(command.to_owned());
                }
            }
            (None, _) => {}
        }
    }
    found
}

/// The commands of all documents, in order.
fn commands() -> Vec<Vec<String>> {
    DOCUMENTS.into_iter().flat_map(blocks).collect()
}

#[test]
fn each_page_of_the_documentation_has_its_commands_run() {
    for folder in ["docs/guide", "docs/reference"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name();
            let path = format!("{folder}/{}", name.to_str().unwrap());
            assert!(DOCUMENTS.contains(&&*path), "{path} is not in the list");
        }
    }
}

fn is_run(command: &str) -> bool {
    !NOT_RUN.iter().any(|(each, _)| *each == command)
}

/// A host as `make run` starts it, on free ports.
async fn samples(folder: &Path) -> (Serving, String) {
    let function = |name: &str, component: &str, route: &str| {
        format!("[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"{route}\"\n")
    };
    // The client below answers no pings while the first build takes minutes.
    let quiet = "[function.limit]\nping_interval = \"0 s\"\nconnection_time = \"0 s\"\n";
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{}{}{}{quiet}",
        "[[function]]\nname = \"notify\"\ncomponent = \"NOTIFY\"\n\
         [[function.trigger]]\nroute = \"/notify/{channel}\"\nmethods = [\"GET\", \"POST\"]\n"
            .replace("NOTIFY", openline_guests::NOTIFY),
        function("echo", openline_guests::ECHO, "/echo"),
        function("chat", openline_guests::CHAT, "/chat/{room}"),
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin = host.admin().await;
    (host, admin)
}

/// Components at the paths where the commands look for them.
fn components(folder: &Path) {
    let chat = fs::read(openline_guests::CHAT).unwrap();
    fs::create_dir_all(folder.join("target/openline")).unwrap();
    fs::write(folder.join("target/openline/chat.wasm"), &chat).unwrap();
    // The same with one more custom section, so another version.
    fs::write(folder.join("chat.wasm"), [&*chat, b"\0\x02\x01x"].concat()).unwrap();
    fs::copy(openline_guests::ECHO, folder.join("news.wasm")).unwrap();
    let moved = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/import/chat.yaml");
    fs::copy(moved, folder.join("s.yaml")).unwrap();
}

#[tokio::test]
async fn the_commands_of_the_documents_do_what_they_say() {
    let folder = TempDir::new().unwrap();
    let (host, admin) = samples(folder.path()).await;
    components(folder.path());
    let _ada = Client::open(host.address, "/chat/lobby?nick=ada", &[])
        .await
        .unwrap();
    let one = [
        "connections",
        "--json",
        "--admin",
        &format!("http://{admin}"),
    ];
    let connections: serde_json::Value =
        serde_json::from_str(&openline(&one).await.stdout).unwrap();
    let id = connections[0]["id"].as_str().unwrap().to_owned();
    let blocks = commands();
    let count = blocks.iter().flatten().filter(|it| is_run(it)).count();
    assert!(count > 15, "{blocks:?}");
    for (command, reason) in NOT_RUN {
        let found = blocks.iter().flatten().any(|each| each == command);
        assert!(found, "{command}: {reason}");
    }
    let has_curl = shell(folder.path(), &admin, "curl --version", PATIENCE)
        .await
        .code
        == Some(0);
    for block in blocks {
        let mut directory = folder.path().to_owned();
        for command in block.iter().filter(|command| is_run(command)) {
            if command.starts_with("curl ") && !has_curl {
                continue;
            }
            if let Some(name) = command.strip_prefix("cd ") {
                directory = directory.join(name);
                continue;
            }
            let mut typed = command
                .replace("127.0.0.1:8080", &host.address.to_string())
                .replace("127.0.0.1:18080", &admin)
                .replace("/ID/", &format!("/{id}/"))
                .replace("curl ", "curl --fail --silent --show-error ");
            if typed.starts_with("openline bench ") {
                typed += " --duration 100ms";
            }
            let ended = shell(&directory, &admin, &typed, PATIENCE).await;
            assert_eq!(ended.code, Some(0), "{command}:\n{}", ended.stderr);
        }
    }
    // The built component is served, even while `make run` has the port.
    let component = folder.path().join("hello/target/openline/hello.wasm");
    let arguments = [
        "run",
        component.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
    ];
    let hello = Serving::start(&arguments).await;
    Client::open(hello.address, "/hello?name=Ada", &[])
        .await
        .unwrap();
}

/// The first build compiles the SDK.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn the_page_of_a_new_crate_has_commands_of_the_readme() {
    let text = fs::read_to_string(root().join("host/server/template/readme.md")).unwrap();
    let readme: Vec<_> = blocks("README.md").into_iter().flatten().collect();
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("    openline "));
    let lines: Vec<_> = lines
        .map(|line| line.replace("{{name}}", "hello"))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in lines {
        assert!(readme.contains(&format!("openline {line}")), "{line}");
    }
}

#[tokio::test]
async fn a_second_host_whose_admin_port_is_taken_says_where_its_interface_is() {
    // As used by a first host, which listens 10,000 below.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = (1..=u16::MAX).find(|it| openline_core::config::admin_port(*it) == port);
    // Outside the range in which other tests find free ports.
    let listen = format!("[::1]:{}", listen.unwrap());
    let mut host = Serving::start(&["run", openline_guests::ECHO, "--listen", &listen]).await;
    host.told(&format!(
        "127.0.0.1:{port} is taken: the admin interface is at 127.0.0.1:"
    ))
    .await;
    let admin = host.admin().await;
    let ended = openline(&["functions", "--admin", &format!("http://{admin}")]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("echo"), "{}", ended.stdout);
}
