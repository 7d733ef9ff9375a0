//! What a host says of itself: `/.openline/state`, as any peer may read it.

use serde_json::Value;
use tokio::io::AsyncReadExt;

use super::host::Host;
use super::raw::Raw;
use super::within;

const REQUEST: &[u8] =
    b"GET /.openline/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

impl Host {
    /// The state, read on a TCP connection of its own.
    pub async fn state(&self) -> Value {
        let mut raw = Raw::connect(self.address).await;
        raw.send(REQUEST).await;
        let mut response = Vec::new();
        within("the state", raw.socket.read_to_end(&mut response))
            .await
            .unwrap();
        let response = String::from_utf8(response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        serde_json::from_str(body).unwrap()
    }

    /// Asks for the state until it is so.
    pub async fn until(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let asking = async {
            loop {
                let state = self.state().await;
                if so(&state) {
                    return state;
                }
                last = state;
                tokio::time::sleep(super::ASK_AGAIN).await;
            }
        };
        match tokio::time::timeout(super::PATIENCE, asking).await {
            Ok(state) => state,
            Err(_) => panic!("waited in vain for {what}: {last:#}"),
        }
    }

    /// Waits until nothing is held for any peer: no connection, no socket but
    /// the one that asks, no byte that waits. Peers must have gone.
    pub async fn nothing_is_left(&self) {
        self.until("everything to be let go", |state| {
            let functions = state["functions"].as_array().unwrap();
            state["connections"]["open"] == 0
                && state["sockets"] == 1
                && state["outbox_bytes"] == 0
                && functions.iter().all(|each| each["connections"] == 0)
        })
        .await;
    }
}
