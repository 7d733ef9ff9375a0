//! The table `[server.api]` of a real host is read again: which function requests
//! mean, and what they may ask. Its listener waits for the next start.

use std::fs;
use std::net::SocketAddr;

use tempfile::TempDir;

use super::streams::Reader;
use super::{ask, serve};
use crate::harness::proxy::address;
use crate::harness::{Answer, Serving};

const ALL: &str = "sec_0123456789012345678901";
const OF_ONE: &str = "sec_1123456789012345678901";

/// A host whose file is written again and again.
struct Configured {
    folder: TempDir,
    serving: Serving,
}

/// A file with these functions and these lines of `[server.api]`.
fn text(folder: &TempDir, functions: &[&str], api: &str) -> String {
    let path = |file: &str| folder.path().join(file).display().to_string();
    fs::write(path("all"), ALL).unwrap();
    fs::write(path("of_one"), OF_ONE).unwrap();
    let functions: String = functions
        .iter()
        .map(|name| {
            let component = openline_guests::ECHO;
            format!(
                "[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"/{name}\"\n\
                 [[function.channel]]\npattern = \"news\"\nhistory = {{ count = 10 }}\n"
            )
        })
        .collect();
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin = "off"
page = "off"
[server.api]
{api}
[[channel]]
pattern = "shared"
history = {{ count = 10 }}
{functions}
[[key]]
name = "all"
scopes = ["publish", "read"]
secret = "file:{}"
[[key]]
name = "of_one"
scopes = ["publish", "read"]
functions = ["one"]
secret = "file:{}"
"#,
        path("all"),
        path("of_one"),
    )
}

impl Configured {
    async fn start(functions: &[&str], api: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let serving = serve(folder.path(), &text(&folder, functions, api)).await;
        Self { folder, serving }
    }

    fn write(&self, functions: &[&str], api: &str) {
        let text = text(&self.folder, functions, api);
        fs::write(self.folder.path().join("openline.toml"), text).unwrap();
    }

    async fn reload(&mut self, functions: &[&str], api: &str) {
        self.write(functions, api);
        self.serving.signal("HUP").await;
        self.serving.told("reloaded: ").await;
    }

    async fn ask(&self, request: &str, key: &str, body: &str) -> Answer {
        ask(self.serving.address, request, key, body).await
    }

    /// The status of a request for the channel of a function.
    async fn history(&self, key: &str, query: &str) -> u16 {
        let request = format!("GET /v1/channels/news/history{query}");
        self.ask(&request, key, "").await.status
    }
}

#[tokio::test]
async fn requests_mean_the_only_function_and_of_two_the_one_that_is_said() {
    const HOSTS: &str = "hosts = [\"*\"]\n";
    let mut configured = Configured::start(&["one"], HOSTS).await;
    let news = r#"{"channel":"news","text":"of one"}"#;
    assert_eq!(
        configured.ask("POST /v1/publish", ALL, news).await.status,
        200
    );
    assert_eq!(configured.history(ALL, "").await, 200);

    configured.reload(&["one", "two"], HOSTS).await;
    let request = "GET /v1/channels/news/history";
    let unclear = configured.ask(request, ALL, "").await;
    assert_eq!(unclear.status, 400);
    let error = unclear.value()["error"].take();
    assert_eq!(error["code"], "invalid");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("`function` is missing"), "{message}");
    assert_eq!(
        configured.ask("POST /v1/publish", ALL, news).await.status,
        400
    );
    assert_eq!(configured.history(ALL, "?function=two").await, 200);
    // What functions share is nobody's, and one key has one function.
    let shared = configured.ask("GET /v1/channels/shared/history", ALL, "");
    assert_eq!(shared.await.status, 200);
    assert_eq!(configured.history(OF_ONE, "").await, 200);
    assert_eq!(configured.history(OF_ONE, "?function=two").await, 403);

    let two = format!("{HOSTS}function = \"two\"\n");
    configured.reload(&["one", "two"], &two).await;
    let of_two = configured.ask(request, ALL, "").await;
    assert_eq!(of_two.status, 200);
    assert_eq!(of_two.value()["publications"], serde_json::json!([]));
    // A key that may not use it has its own.
    let of_one = configured.ask(request, OF_ONE, "").await;
    assert_eq!(of_one.value()["publications"][0]["text"], "of one");

    // The only one is another, which this key may not use.
    configured.reload(&["two"], HOSTS).await;
    assert_eq!(configured.history(ALL, "").await, 200);
    assert_eq!(configured.history(OF_ONE, "").await, 404);
}

#[tokio::test]
async fn protocols_hosts_and_rates_change_at_once_and_the_listener_at_the_next_start() {
    let (first, second) = (address(), address());
    let table = |listener: SocketAddr, more: &str| format!("listen = \"{listener}\"\n{more}");
    let mut configured = Configured::start(&["one"], &table(first, "")).await;
    let list = "GET /v1/channels";
    assert_eq!(ask(first, list, ALL, "").await.status, 200);
    // `listen` of `[server]` has no hosts for it yet.
    assert_eq!(configured.ask(list, ALL, "").await.status, 404);
    let hosts = "hosts = [\"push.example.org\"]\n";
    configured.reload(&["one"], &table(first, hosts)).await;
    assert_eq!(configured.ask(list, ALL, "").await.status, 200);

    let grip = format!("{hosts}protocols = [\"grip\"]\n");
    configured.reload(&["one"], &table(first, &grip)).await;
    let items = r#"{"items":[{"channel":"news","ws-message":{"content":"x"}}]}"#;
    for (address, status) in [(first, 404), (configured.serving.address, 404)] {
        assert_eq!(ask(address, list, ALL, "").await.status, status);
        let published = ask(address, "POST /publish/", ALL, items).await;
        assert_eq!(published.status, 200);
    }

    configured
        .reload(&["one"], &table(first, "requests_per_second = 1\n"))
        .await;
    assert_eq!(ask(first, list, ALL, "").await.status, 200);
    let often = ask(first, list, ALL, "").await;
    assert_eq!(often.status, 429);
    assert!(
        often.head.to_lowercase().contains("retry-after: 1"),
        "{often:?}"
    );
    // Another key has a rate of its own.
    assert_eq!(ask(first, list, OF_ONE, "").await.status, 200);

    configured.write(&["one"], &table(second, ""));
    configured.serving.signal("HUP").await;
    configured
        .serving
        .told("`api.listen` in [server] has changed")
        .await;
    configured.serving.told("reloaded: ").await;
    assert_eq!(ask(first, list, ALL, "").await.status, 200);
    assert!(tokio::net::TcpStream::connect(second).await.is_err());
}

/// A file with channels for keys, of which some are others later.
fn write_channels(folder: &TempDir, (first, news): (&str, &str), sharing: &str) -> String {
    let path = |file: &str| folder.path().join(file).display().to_string();
    fs::write(path("all"), ALL).unwrap();
    let component = openline_guests::ECHO;
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin = "off"
page = "off"
[server.api]
hosts = ["*"]
[[channel]]
pattern = "shared"
subscribe = "key"
functions = [{sharing}]
[[function]]
name = "one"
component = {component:?}
route = "/one"
[[function.channel]]
pattern = "first"
subscribe = "{first}"
[[function.channel]]
pattern = "news"
subscribe = "{news}"
[[function.channel]]
pattern = "stays"
subscribe = "key"
[[function]]
name = "two"
component = {component:?}
route = "/two"
[[key]]
name = "all"
scopes = ["publish", "subscribe"]
secret = "file:{}"
"#,
        path("all"),
    );
    let config = path("openline.toml");
    fs::write(&config, text).unwrap();
    config
}

#[tokio::test]
async fn streams_end_when_their_channels_are_no_longer_for_their_keys() {
    let folder = TempDir::new().unwrap();
    let both = "\"one\", \"two\"";
    let config = write_channels(&folder, ("key", "key"), both);
    let mut host = Serving::start(&["serve", "--config", &config]).await;
    let mut readers = Vec::new();
    for (channel, function) in [
        ("news", "one"),
        ("shared", "one"),
        ("stays", "one"),
        ("shared", "two"),
        ("first", "one"),
    ] {
        let path = format!("/v1/channels/{channel}/events?function={function}&key={ALL}");
        let mut reader = Reader::at(host.address, &path, "").await;
        reader.until("retry: 3000\n\n").await;
        readers.push(reader);
    }
    write_channels(&folder, ("function", "key"), both);
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    readers[4].ended().await;
    // Those that came before it have looked meanwhile, and stay.
    write_channels(&folder, ("function", "function"), "\"two\"");
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    for reader in &mut readers[..2] {
        reader.ended().await;
    }
    for (reader, channel, function) in [(2, "stays", "one"), (3, "shared", "two")] {
        let request = format!("POST /v1/publish?function={function}");
        let body = format!(r#"{{"channel":"{channel}","text":"still there"}}"#);
        assert_eq!(ask(host.address, &request, ALL, &body).await.status, 200);
        readers[reader].until("still there").await;
    }
}
