//! Triggers that speak the dialects of existing clients: frames as these clients
//! send and read them, over real sockets.

mod calls;
mod centrifugo;
mod clients;
mod functions;
mod outside;
mod pushflo;
mod recovery;
mod refusals;
mod reloads;
mod rights;
mod transports;

use serde_json::{Value, json};

use crate::authentication::{Files, now, token};
use crate::harness::{Client, Host, HostBuilder};

/// Channels of a function, for its peers.
const CHANNELS: &str = r#"
[[function.channel]]
pattern = "news"
subscribe = "peers"
publish = "peers"
history = { count = 3 }

[[function.channel]]
pattern = "plain:*"
subscribe = "peers"
publish = "peers"

[[function.channel]]
pattern = "lobby"
subscribe = "peers"
presence = true
join_leave = "connections"

[[function.channel]]
pattern = "users"
subscribe = "peers"
presence = true
join_leave = "users"

[[function.channel]]
pattern = "value"
subscribe = "peers"
publish = "peers"
latest = true

[[function.channel]]
pattern = "inbox:{sub}"
subscribe = "own:sub"

[[function.channel]]
pattern = "tagged"
subscribe = "peers"
filters = true
history = { count = 3 }

[[function.channel]]
pattern = "keyed-*"
subscribe = "key"
publish = "key"
history = { count = 10 }
"#;

/// What a trigger with tokens has.
const JWT: &str = "auth = \"jwt\"\n[function.trigger.jwt]\nsecret = \"{place}\"\n";

/// A host with a function that speaks a dialect at `/reject/a`, whose trigger has
/// these lines.
async fn host_with(
    component: &str,
    lines: &str,
    change: impl FnOnce(HostBuilder) -> HostBuilder,
) -> Host {
    let files = Files::new();
    let triggers = files.config(lines).functions[0].triggers.clone();
    let host = Host::with(component, "/reject").channels(CHANNELS).hasty();
    let host = host.function(move |function| function.triggers = triggers);
    change(host).start().await
}

/// A host for Centrifugo's clients, which need no token.
async fn host() -> Host {
    host_with(openline_guests::ECHO, "dialect = \"centrifugo\"", |host| {
        host
    })
    .await
}

/// The same with tokens.
async fn host_of_tokens() -> Host {
    let lines = format!("dialect = \"centrifugo\"\n{JWT}");
    host_with(openline_guests::ECHO, &lines, |host| host).await
}

/// A token that is good for so many seconds.
fn good(subject: &str, seconds: u64) -> String {
    token(&json!({"sub": subject, "exp": now() + seconds}))
}

/// A client of Centrifugo, which sends commands and reads replies.
struct Speaker {
    client: Client,
    next: u32,
    /// What the answer to `connect` was.
    connect: Value,
}

impl Speaker {
    /// Connects with these parameters.
    async fn connect_with(host: &Host, connect: Value) -> Self {
        let client = host.connect("/reject/a").await;
        let mut speaker = Self {
            client,
            next: 1,
            connect: Value::Null,
        };
        let reply = speaker.ask("connect", connect).await;
        assert!(reply["connect"].is_object(), "{reply}");
        speaker.connect = reply["connect"].clone();
        speaker
    }

    async fn connect(host: &Host) -> Self {
        Self::connect_with(host, json!({})).await
    }

    /// Its name on the host.
    fn id(&self) -> &str {
        self.connect["client"].as_str().unwrap()
    }

    /// Sends a command without waiting; its number.
    async fn send(&mut self, method: &str, parameters: Value) -> u32 {
        let id = self.next;
        self.next += 1;
        let command = json!({"id": id, method: parameters});
        self.client.text(&command.to_string()).await;
        id
    }

    /// The next frame.
    async fn next(&mut self) -> Value {
        let text = self.client.next_text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// Sends a command; the next frame, which must be its reply.
    async fn ask(&mut self, method: &str, parameters: Value) -> Value {
        let id = self.send(method, parameters).await;
        let reply = self.next().await;
        assert_eq!(reply["id"], id, "{reply}");
        reply
    }

    /// Sends a command that is refused; the code of the error.
    async fn refused(&mut self, method: &str, parameters: Value) -> u64 {
        let reply = self.ask(method, parameters).await;
        reply["error"]["code"]
            .as_u64()
            .unwrap_or_else(|| panic!("{reply}"))
    }

    /// The data of the next publication, which must be on this channel.
    async fn publication(&mut self, channel: &str) -> Value {
        let push = self.next().await;
        assert_eq!(push["push"]["channel"], channel, "{push}");
        push["push"]["pub"].clone()
    }
}
