//! Socket.IO's own client in Node, driven by commands: see
//! `tests/clients/socket-io/client.cjs`.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};

use crate::harness::driven::{Driven, node};
use crate::harness::proxy::is_left_out;
use crate::tidy::root;

/// A process of Node with any number of clients, each with a name.
pub struct Clients {
    driven: Driven,
    /// What was observed and not asked for yet, by the name of the client.
    observed: HashMap<String, VecDeque<Value>>,
    /// The path of Socket.IO on the host.
    path: &'static str,
}

impl Clients {
    /// Starts the process; `None` when the environment asks to do without.
    pub fn start(origin: &str, path: &'static str) -> Option<Self> {
        if is_left_out() {
            return None;
        }
        let script = root().join("tests/clients/socket-io/client.cjs");
        Some(Self {
            driven: Driven::start(node().arg(script).arg(origin)),
            observed: HashMap::new(),
            path,
        })
    }

    async fn command(&mut self, command: Value) {
        self.driven.say(command).await;
    }

    /// Opens a namespace with a connection of its own.
    pub async fn open(&mut self, name: &str, namespace: &str, auth: Value) {
        let path = self.path;
        let command = json!({"open": name, "namespace": namespace, "path": path, "auth": auth});
        self.command(command).await;
    }

    /// Opens one more namespace on the connection of another client.
    pub async fn open_on(&mut self, name: &str, other: &str, namespace: &str, auth: Value) {
        let command = json!({"open": name, "on": other, "namespace": namespace, "auth": auth});
        self.command(command).await;
    }

    /// Joins the chat; the client's id.
    pub async fn chat(&mut self, name: &str) -> String {
        self.open(name, "/chat", json!({"name": name})).await;
        self.connected(name).await
    }

    /// Waits until a client is connected; its id.
    pub async fn connected(&mut self, name: &str) -> String {
        let connected = self.next(name).await;
        assert_eq!(connected["what"], "connect", "{connected}");
        connected["id"].as_str().unwrap().to_owned()
    }

    /// Emits an event: its name and its arguments.
    pub async fn emit(&mut self, name: &str, event: Value) {
        self.command(json!({"emit": name, "event": event})).await;
    }

    /// Emits an event and waits for its acknowledgement, which has one value.
    pub async fn ask(&mut self, name: &str, event: Value) -> Value {
        self.command(json!({"emit": name, "event": event, "ack": true}))
            .await;
        let answer = self.next(name).await;
        assert_eq!(answer["what"], "acknowledged", "{answer}");
        answer["with"].clone()
    }

    /// Joins a room of the chat, in which there are so many then. The client is
    /// asked to introduce itself: the number of the callback.
    pub async fn join(&mut self, name: &str, room: &str, here: u64) -> Value {
        let joined = self.ask(name, json!(["join", room])).await;
        assert_eq!(joined, json!([{"ok": true, "here": here}]));
        let asked = self.next(name).await;
        assert_eq!(asked["what"], "introduce", "{asked}");
        assert_eq!(asked["with"], json!([room]));
        asked["callback"].clone()
    }

    /// Acknowledges an event of the server.
    pub async fn acknowledge(&mut self, callback: Value, with: Value) {
        self.command(json!({"acknowledge": callback, "with": with}))
            .await;
    }

    pub async fn close(&mut self, name: &str) {
        self.command(json!({"close": name})).await;
    }

    /// The next observation of a client.
    pub async fn next(&mut self, name: &str) -> Value {
        loop {
            let observed = self.observed.entry(name.to_owned()).or_default();
            if let Some(observation) = observed.pop_front() {
                return observation;
            }
            let what = format!("an observation of {name}");
            let line = self.driven.until(&what, Some).await;
            let observation: Value = serde_json::from_str(&line).unwrap();
            let name = observation["socket"].as_str().unwrap().to_owned();
            self.observed
                .entry(name)
                .or_default()
                .push_back(observation);
        }
    }

    /// The next observation of a client, which must be this event.
    pub async fn expect(&mut self, name: &str, event: &str, with: Value) {
        let observation = self.next(name).await;
        assert_eq!(observation["what"], event, "{observation}");
        assert_eq!(observation["with"], json!([with]));
    }
}
