//! Publishers outside of the host, as they speak: over sockets, with keys.

mod clients;
mod listener;
mod protocols;
mod pushflo;
mod reloads;
mod requests;
mod restarts;
mod signed;
mod streams;
mod woken;

use std::net::SocketAddr;
use std::path::Path;

use openline_core::authentication::UnixTime;
use openline_core::channel::ChannelPattern;
use openline_core::config::{ApiConfig, Config};
use openline_core::key::{KeyTerms, Scope, Scopes};
use openline_core::name::{FunctionName, KeyName};
use openline_firewall::rules::Firewalls;
use serde_json::Value;

use openline_kit::exchange::with_head;

use crate::harness::{Answer, Client, Host, Serving};

/// Channels for peers and keys.
const CHANNELS: &str = r#"
[[function.channel]]
pattern = "news"
subscribe = "key"
publish = "key"
history = { count = 3 }

[[function.channel]]
pattern = "room:*"
subscribe = "key"
history = { count = 100 }

[[function.channel]]
pattern = "plain"
subscribe = "key"

[[function.channel]]
pattern = "lobby"
presence = true

[[function.channel]]
pattern = "values"
subscribe = "key"
keyed = { keys = 10 }
history = {}

[[function.channel]]
pattern = "kept"
history = { count = 100 }
durable = true

[[function.channel]]
pattern = "closed"
publish = "nobody"
subscribe = "nobody"
"#;

/// A real host with this configuration, in a folder that has the files it names.
async fn serve(folder: &Path, text: &str) -> Serving {
    let config = folder.join("openline.toml");
    std::fs::write(&config, text).unwrap();
    Serving::start(&["serve", "--config", config.to_str().unwrap()]).await
}

/// Asks a real host with a key.
async fn ask(address: SocketAddr, request: &str, key: &str, body: &str) -> Answer {
    let head = format!(
        "{request} HTTP/1.1\r\nhost: push.example.org\r\nauthorization: Bearer {key}\r\n\
         content-length: {}\r\n",
        body.len()
    );
    with_head(address, &head, body.as_bytes()).await.unwrap()
}

/// A host whose interface answers for all hosts, and one function.
pub(super) struct Outside {
    pub(super) host: Host,
}

/// An answer with its body as text.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Outside {
    pub(super) async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub(super) async fn with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let host = Host::with(openline_guests::FAULT_BROKER, "/broker")
            .channels(CHANNELS)
            .server(|server| {
                server.api.hosts.all = true;
                change(&mut server.api);
            })
            .start()
            .await;
        Self { host }
    }

    pub(super) fn function(&self) -> FunctionName {
        self.host.function_on("/broker").function().clone()
    }

    /// Takes its function out of the configuration.
    pub(super) async fn without_function(&self) {
        let config = Config {
            server: self.host.server(),
            channels: Vec::new(),
            functions: Vec::new(),
            keys: Vec::new(),
        };
        let deployer = &self.host.deployer;
        let reloading = deployer.reload((config, Firewalls::default()), Vec::new());
        Box::pin(reloading).await.unwrap();
    }

    /// Makes a key for the function with these scopes.
    pub(super) fn key(&self, name: &str, scopes: &[Scope], channels: &[&str]) -> String {
        self.pair(name, scopes, channels, false).1
    }

    /// Makes a key, or a pair: its id and its secret.
    pub(super) fn pair(
        &self,
        name: &str,
        scopes: &[Scope],
        channels: &[&str],
        aws: bool,
    ) -> (String, String) {
        let terms = KeyTerms {
            name: KeyName::new(name).unwrap(),
            scopes: Scopes::new(scopes.iter().copied()).unwrap(),
            channels: channels
                .iter()
                .map(|it| ChannelPattern::new(it).unwrap())
                .collect(),
            functions: Some(vec![self.function()]),
            expires: None,
        };
        let keys = self.host.gateway.services().keys();
        let made = keys.make(terms, aws, UnixTime(1)).unwrap();
        let id = made.record.credential.access_key_id();
        let id = id.map_or_else(String::new, |id| id.as_str().to_owned());
        keys.take(made.record).unwrap();
        let secret = String::from_utf8(made.secret.bytes().to_vec()).unwrap();
        (id, secret)
    }

    pub(super) fn all(&self) -> String {
        self.key("all", &Scope::ALL, &["*"])
    }

    /// Asks with these further lines of a head.
    pub(super) async fn ask(&self, request: &str, lines: &str, body: &[u8]) -> Got {
        let length = body.len();
        let head = format!(
            "{request} HTTP/1.1\r\nhost: push.example.org\r\ncontent-length: {length}\r\n{lines}"
        );
        let Answer { status, head, body } =
            with_head(self.host.address, &head, body).await.unwrap();
        let body = String::from_utf8(body).unwrap();
        Got { status, head, body }
    }

    /// The same with a key.
    pub(super) async fn with_key(&self, request: &str, key: &str, body: &str) -> Got {
        let lines = format!("authorization: Bearer {key}\r\n");
        self.ask(request, &lines, body.as_bytes()).await
    }

    /// The id of the only connection.
    pub(super) async fn connection(&self) -> String {
        let key = self.key("lists", &[Scope::Read], &["*"]);
        let all = self.with_key("GET /v1/connections", &key, "").await.json();
        all["connections"][0]["connection"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(super) async fn peer(&self, channel: &str) -> Client {
        let mut peer = self.host.connect("/broker").await;
        peer.ask(&format!("subscribe {channel}")).await;
        peer
    }
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub(super) fn code(&self) -> (u16, String) {
        let code = self.json()["error"]["code"].clone();
        (self.status, code.as_str().unwrap_or_default().to_owned())
    }
}
