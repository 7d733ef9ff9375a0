//! PushFlo's own SDK, unmodified, in Node and in a browser, and the two samples of
//! the article that sends people to it.

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use openline_kit::exchange::with_head;
use openline_kit::programs::target;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::driven::{Driven, fetched, node};
use crate::harness::proxy::{address, is_left_out};
use crate::harness::site::Site;
use crate::harness::tls::Authority;
use crate::harness::{ASK_AGAIN, Browser, Serving, within};
use crate::tidy::root;

const SUBSCRIBES: &str = "pub_0123456789abcdef0123456789abcdef";
const PUBLISHES: &str = "sec_0123456789abcdef0123456789abcdef";
const MANAGES: &str = "mgmt_0123456789abcdef0123456789abcdef";

/// Whether the tests with the SDK are left out: by the environment, or because the
/// script that fetches it has noted that its repository cannot be reached.
fn cannot_run() -> bool {
    let note = target().unwrap().join("pushflo/.unreachable.txt");
    let is_unreachable = note.exists();
    if is_unreachable {
        println!("skipped: scripts/pushflo.sh could not reach the SDK's repository");
    }
    is_unreachable || is_left_out()
}

/// A host that takes the place of PushFlo, with these lines of `[server]`.
async fn host(folder: &Path, server: &str, origin: &str) -> Serving {
    let keys = [
        ("page", r#""subscribe""#, SUBSCRIBES),
        ("backend", r#""publish", "read""#, PUBLISHES),
        ("console", r#""read", "manage""#, MANAGES),
    ];
    let keys: String = keys
        .iter()
        .map(|(name, scopes, text)| {
            let file = folder.join(name);
            fs::write(&file, text).unwrap();
            let file = file.display();
            format!("[[key]]\nname = \"{name}\"\nscopes = [{scopes}]\nsecret = \"file:{file}\"\n")
        })
        .collect();
    let text = format!(
        r#"
[server]
admin = "off"
page = "off"
{server}
[[function]]
name = "live"
[[function.trigger]]
route = "/ws"
dialect = "pushflo"
origins = ["{origin}"]
[[function.channel]]
pattern = "*"
subscribe = "key"
history = {{ count = 100 }}
{keys}"#
    );
    super::serve(folder, &text).await
}

/// A program that is told and tells lines of JSON.
struct Pushflo {
    driven: Driven,
    /// What it has told that nobody has waited for yet.
    told: VecDeque<Value>,
}

impl Pushflo {
    /// Starts a script of tests with the folder of the SDK and these arguments.
    fn start(mut node: Command, script: &str, arguments: &[&str]) -> Self {
        fetched("pushflo/.installed.txt", "scripts/pushflo.sh");
        let script = root().join("tests/clients/pushflo").join(script);
        node.arg(script).arg(target().unwrap().join("pushflo"));
        Self {
            driven: Driven::start(node.args(arguments)),
            told: VecDeque::new(),
        }
    }

    /// The SDK, at a host.
    fn sdk(host: SocketAddr) -> Self {
        let host = host.to_string();
        let arguments = [&*host, SUBSCRIBES, PUBLISHES, MANAGES];
        Self::start(node(), "client.cjs", &arguments)
    }

    /// What it tells under this word, the first that nobody has waited for.
    async fn until(&mut self, word: &str) -> Value {
        if let Some(at) = self.told.iter().position(|told| told[0] == word) {
            return self.told.remove(at).unwrap()[1].take();
        }
        let told = &mut self.told;
        let find = |line: String| {
            let mut line: Value = serde_json::from_str(&line).unwrap();
            if line[0] == word {
                return Some(line[1].take());
            }
            // The answer to a command is another one than was expected.
            assert!(line[0] != "failed" && line[0] != "done", "{line}");
            told.push_back(line);
            None
        };
        self.driven.until(&format!("`{word}`"), find).await
    }

    async fn ask(&mut self, command: Value) -> Value {
        self.driven.say(command).await;
        self.until("done").await
    }

    async fn fails(&mut self, command: Value) -> Value {
        self.driven.say(command).await;
        self.until("failed").await
    }

    /// Subscribes, which no answer to the command says.
    async fn subscribe(&mut self, channel: &str) {
        self.ask(json!(["subscribe", channel])).await;
        assert_eq!(self.until("subscribed").await, channel);
    }
}

#[tokio::test]
async fn its_sdk_connects_subscribes_publishes_and_reads() {
    if cannot_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = "listen = \"127.0.0.1:0\"\n[server.api]\nhosts = [\"*\"]";
    let host = host(folder.path(), server, "*").await;
    let mut sdk = Pushflo::sdk(host.address);

    // Nobody, and a key that may not subscribe there.
    sdk.ask(json!(["client", "pub_unknown", 100])).await;
    let refused = json!(["AuthenticationError", "UNAUTHORIZED"]);
    assert_eq!(sdk.fails(json!(["connect"])).await, refused);
    assert_eq!(sdk.until("error").await, refused);
    sdk.ask(json!(["client", PUBLISHES, 100])).await;
    sdk.ask(json!(["connect"])).await;
    sdk.ask(json!(["subscribe", "news"])).await;
    let denied = json!(["ConnectionError", "FORBIDDEN"]);
    assert_eq!(sdk.until("error").await, denied);
    sdk.ask(json!(["disconnect"])).await;

    sdk.ask(json!(["client", null, 100])).await;
    sdk.ask(json!(["connect"])).await;
    sdk.subscribe("news").await;
    // By the SDK, and as the article does.
    let options = json!({"eventType": "order.made"});
    let published = sdk
        .ask(json!(["publish", "news", {"a": "ü"}, options]))
        .await;
    assert_eq!(published["channelSlug"], "news");
    assert_eq!(published["eventType"], "order.made");
    assert_eq!(published["delivered"], 1);
    let got = sdk.until("message").await;
    let expected = json!(["news", "order.made", {"a": "ü"}, published["id"]]);
    assert_eq!(got, expected);
    let body = json!({"channel": "news", "data": {"b": 2}});
    let fetched = sdk.ask(json!(["fetch", body])).await;
    assert_eq!(fetched[0], 200);
    assert_eq!(fetched[1]["delivered"], 1);
    let expected = json!(["news", "message", {"b": 2}, fetched[1]["id"]]);
    assert_eq!(sdk.until("message").await, expected);

    // It leaves the channel, and is still there after some pings: without answers it
    // would have connected again.
    sdk.ask(json!(["unsubscribe", "news"])).await;
    sdk.subscribe("other").await;
    let published = sdk.ask(json!(["publish", "news", {"c": 3}])).await;
    assert_eq!(published["delivered"], 0);
    assert_eq!(sdk.ask(json!(["stays", 600])).await, true);
    sdk.ask(json!(["publish", "other", {"d": 4}])).await;
    assert_eq!(sdk.until("message").await[2], json!({"d": 4}));

    reads_and_manages(&mut sdk).await;
}

/// Histories and the management of channels.
async fn reads_and_manages(sdk: &mut Pushflo) {
    let history = sdk.ask(json!(["history", "news"])).await;
    let contents: Vec<_> = history["messages"].as_array().unwrap().iter().collect();
    let contents: Vec<_> = contents.iter().map(|it| it["content"].clone()).collect();
    assert_eq!(
        contents,
        [json!({"c": 3}), json!({"b": 2}), json!({"a": "ü"})]
    );
    let page = json!({"page": 2, "pageSize": 1});
    let history = sdk.ask(json!(["history", "news", page])).await;
    assert_eq!(history["messages"][0]["content"], json!({"b": 2}));
    let pages = json!({"page": 2, "pageSize": 1, "total": 3, "totalPages": 3});
    assert_eq!(history["pagination"], pages);
    let events = json!({"eventType": "order.made"});
    let history = sdk.ask(json!(["history", "news", events])).await;
    assert_eq!(history["pagination"]["total"], 1);

    let input = json!({
        "name": "Orders", "slug": "orders", "description": "of the shop",
        "isPrivate": true, "metadata": {"a": [1, 2]}
    });
    let made = sdk.ask(json!(["create", input])).await;
    for (name, value) in input.as_object().unwrap() {
        assert_eq!(made[name], *value, "{name}");
    }
    let twice = json!(["create", {"name": "Orders", "slug": "orders"}]);
    assert_eq!(sdk.fails(twice).await[0], "NetworkError");
    let change = json!({"name": "All orders"});
    let changed = sdk.ask(json!(["update", "orders", change])).await;
    assert_eq!(changed["name"], "All orders");
    assert_eq!(changed["description"], "of the shop");
    let got = sdk.ask(json!(["get", "orders"])).await;
    assert_eq!(got["name"], "All orders");
    let list = sdk.ask(json!(["list", {"page": 1, "pageSize": 5}])).await;
    let slugs = list["channels"].as_array().unwrap().iter();
    let slugs: Vec<_> = slugs.map(|it| it["slug"].as_str().unwrap()).collect();
    assert_eq!(slugs, ["news", "orders", "other"]);
    assert_eq!(list["pagination"]["total"], 3);
    sdk.ask(json!(["delete", "orders"])).await;
    let none = json!(["NetworkError", "NOT_FOUND"]);
    assert_eq!(sdk.fails(json!(["get", "orders"])).await, none);
    let denied = json!(["AuthenticationError", "FORBIDDEN"]);
    let input = json!({"name": "x", "slug": "x"});
    assert_eq!(sdk.fails(json!(["createAsServer", input])).await, denied);
}

#[tokio::test]
async fn its_sdk_comes_back_after_a_restart_and_a_kill() {
    if cannot_run() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let address = address();
    let server = format!("listen = \"{address}\"\n[server.api]\nhosts = [\"*\"]");
    let mut serving = host(folder.path(), &server, "*").await;
    let mut sdk = Pushflo::sdk(address);
    sdk.ask(json!(["client", null, 10_000])).await;
    sdk.ask(json!(["resubscribe", "news"])).await;
    sdk.ask(json!(["connect"])).await;
    for (n, signal) in [(1, Some("TERM")), (2, Some("KILL")), (3, None)] {
        assert_eq!(sdk.until("subscribed").await, "news");
        sdk.ask(json!(["publish", "news", {"n": n}])).await;
        assert_eq!(sdk.until("message").await[2], json!({"n": n}));
        if let Some(signal) = signal {
            serving.signal(signal).await;
            sdk.until("disconnected").await;
            serving.ended().await;
            serving = host(folder.path(), &server, "*").await;
        }
    }
}

/// The host as `api.pushflo.dev`, with its certificate, and a listener of publishers
/// for the test itself.
struct Article {
    _serving: Serving,
    address: SocketAddr,
    publishers: SocketAddr,
    authority: Authority,
    _folder: TempDir,
}

impl Article {
    async fn start(origin: &str) -> Self {
        let authority = Authority::new();
        authority.write("host", &["api.pushflo.dev"]);
        let (folder, publishers) = (TempDir::new().unwrap(), address());
        let (certificate, key) = (authority.path("host.pem"), authority.path("host-key.pem"));
        let server = format!(
            "listen = \"127.0.0.1:0\"\n[server.api]\nlisten = \"{publishers}\"\n\
             hosts = [\"api.pushflo.dev\"]\n\
             [[server.certificate]]\ncertificate = {certificate:?}\nkey = {key:?}\n"
        );
        let mut serving = host(folder.path(), &server, origin).await;
        serving.told("publishers at").await;
        Self {
            address: serving.address,
            _serving: serving,
            publishers,
            authority,
            _folder: folder,
        }
    }

    /// The program that runs the samples.
    fn samples(&self) -> Pushflo {
        let mut node = node();
        // Node reads it when it starts.
        node.env("NODE_EXTRA_CA_CERTS", self.authority.path("authority.pem"));
        let port = self.address.port().to_string();
        Pushflo::start(node, "article.cjs", &[&port, SUBSCRIBES, PUBLISHES])
    }

    /// Waits until somebody has subscribed: the sample does not say it.
    async fn is_subscribed(&self) {
        let head = format!(
            "GET /v1/channels?prefix=notifications HTTP/1.1\r\nhost: h\r\n\
             authorization: Bearer {PUBLISHES}\r\n"
        );
        let asking = async {
            loop {
                let answer = with_head(self.publishers, &head, b"").await.unwrap();
                assert_eq!(answer.status, 200);
                if answer.value()["channels"][0]["subscribers"] == 1 {
                    return;
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        within("a subscriber", asking).await;
    }
}

#[tokio::test]
async fn the_article_s_samples_run_word_for_word_in_node() {
    if cannot_run() {
        return;
    }
    let article = Article::start("*").await;
    let mut samples = article.samples();
    samples.ask(json!(["client"])).await;
    article.is_subscribed().await;
    let answer = samples.ask(json!(["server"])).await;
    assert_eq!(answer, json!({"order": {"number": 1}}));
    let got = samples.until("notification").await;
    assert_eq!(got["channel"], "notifications");
    assert_eq!(got["content"], json!({"message": "Order complete!"}));
}

#[tokio::test]
async fn the_article_s_client_runs_word_for_word_in_a_browser() {
    if cannot_run() {
        return;
    }
    let site = Site::start().await;
    let page = site.origin("127.0.0.1");
    let article = Article::start(&page).await;
    let rules = format!(
        "--host-resolver-rules=MAP api.pushflo.dev:443 {}",
        article.address
    );
    let browser = Browser::start_with(&[&rules, "--ignore-certificate-errors"]).await;
    let Some(browser) = browser else {
        return;
    };
    let mut samples = article.samples();
    let built = samples.ask(json!(["page"])).await;
    browser.goto(&page).await;
    let shows = "window.shown = []; window.showNotification = (data) => shown.push(data);";
    let script = format!("{shows}\n{}", built.as_str().unwrap());
    browser.script(&script, json!([])).await;
    article.is_subscribed().await;
    samples.ask(json!(["server"])).await;
    let has = "return shown.length === 1";
    browser.until("the notification", has, json!([])).await;
    let shown = browser.script("return shown[0].content", json!([])).await;
    assert_eq!(shown, json!({"message": "Order complete!"}));
    let complaints = browser.complaints().await;
    assert!(complaints.is_empty(), "{complaints:?}");
}
