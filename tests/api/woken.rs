//! A function that only channels wake: publishers and operators reach its channels
//! as those of any other.

use std::fs;

use openline_kit::exchange::with_head;
use tempfile::TempDir;

use super::streams::Reader;
use crate::harness::Serving;

const KEY: &str = "sec_0123456789012345678901";

#[tokio::test]
async fn the_channels_of_a_function_without_triggers_are_found() {
    let folder = TempDir::new().unwrap();
    let path = |file: &str| folder.path().join(file).display().to_string();
    fs::write(path("key"), KEY).unwrap();
    let token = "1".repeat(32);
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
admin_token = "{token}"
page = "off"
[server.api]
hosts = ["*"]
[[function]]
name = "ticker"
component = {:?}
[[function.subscription]]
pattern = "room:*"
[[function.channel]]
pattern = "stats"
subscribe = "key"
[[key]]
name = "all"
scopes = ["publish", "subscribe"]
secret = "file:{}"
"#,
        openline_guests::TICKER,
        path("key"),
    );
    fs::write(path("openline.toml"), text).unwrap();
    let mut host = Serving::start(&["serve", "--config", &path("openline.toml")]).await;
    let admin = host.admin().await.parse().unwrap();

    // It is the only function of the host.
    let stats = format!("/v1/channels/stats/events?key={KEY}");
    let mut stats = Reader::at(host.address, &stats, "").await;
    stats.until("retry: 3000\n\n").await;
    let body = r#"{"channel":"room:1","text":"hello"}"#;
    for (said, query) in ["", "?function=ticker"].iter().enumerate() {
        let head = format!(
            "POST /v1/publish{query} HTTP/1.1\r\nhost: push.example.org\r\n\
             authorization: Bearer {KEY}\r\ncontent-length: {}\r\n",
            body.len()
        );
        let done = with_head(host.address, &head, body.as_bytes()).await;
        assert_eq!(done.unwrap().status, 200, "{query}");
        stats.until(&format!("{} said, 0 lost", said + 1)).await;
    }
    let body = r#"{"text":"hello"}"#;
    let head = format!(
        "POST /v1/channels/room:1/publications?function=ticker HTTP/1.1\r\nhost: {admin}\r\n\
         authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n",
        body.len()
    );
    let done = with_head(admin, &head, body.as_bytes()).await.unwrap();
    assert_eq!(done.status, 200, "{done:?}");
    stats.until("3 said, 0 lost").await;
}
