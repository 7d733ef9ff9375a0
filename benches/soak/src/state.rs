//! The host's report on itself at `/.openline/state`.
//!
//! Every field must be there: a missing field would silently skip a check.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use openline_kit::state::state;
use serde::Deserialize;

/// How long the host may take to answer, busy as it is.
const TIMEOUT: Duration = Duration::from_secs(20);

/// One moment of the host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct State {
    pub(crate) tasks: u64,
    /// TCP connections, the one that asks among them.
    pub(crate) sockets: u64,
    pub(crate) connections: Connections,
    pub(crate) outbox_bytes: u64,
    pub(crate) instances: u64,
    pub(crate) handshakes: Handshakes,
    pub(crate) functions: Vec<Function>,
}

/// WebSocket connections, since the host's start.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Connections {
    pub(crate) open: u64,
    pub(crate) opened: u64,
    /// By the label of the reason.
    pub(crate) ended: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Handshakes {
    pub(crate) accepted: u64,
    /// By the label of the refusal.
    pub(crate) refused: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) connections: u64,
    pub(crate) instances: u64,
}

impl State {
    /// Asks the host, over a TCP connection of its own.
    pub(crate) async fn ask(host: SocketAddr) -> anyhow::Result<Self> {
        let answer = tokio::time::timeout(TIMEOUT, state(host))
            .await
            .with_context(|| format!("the host did not tell its state within {TIMEOUT:?}"))?
            .context("cannot ask the host for its state")?;
        serde_json::from_value(answer).context("the host's state is not what it should be")
    }
}

impl Connections {
    /// Ended for any reason.
    pub(crate) fn ended_in_all(&self) -> u64 {
        self.ended.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::State;

    const BODY: &str = r#"{"tasks": 12, "sockets": 1,
        "connections": {"open": 0, "opened": 5, "ended": {"peer": 3, "lost": 2}},
        "outbox_bytes": 0, "instances": 0,
        "handshakes": {"accepted": 5, "refused": {"not_found": 2}},
        "functions": [{"name": "echo", "connections": 0, "instances": 0}]}"#;

    #[test]
    fn an_answer_is_read() {
        let state: State = serde_json::from_str(BODY).unwrap();
        assert_eq!((state.tasks, state.sockets), (12, 1));
        assert_eq!(state.connections.ended_in_all(), 5);
        assert_eq!(state.functions[0].name, "echo");
    }

    #[test]
    fn a_field_that_is_missing_is_an_error() {
        for field in [
            "\"tasks\"",
            "\"sockets\"",
            "\"open\"",
            "\"opened\"",
            "\"ended\"",
            "\"outbox_bytes\"",
            "\"instances\"",
            "\"refused\"",
        ] {
            let body = BODY.replacen(field, "\"other\"", 1);
            assert!(serde_json::from_str::<State>(&body).is_err(), "{field}");
        }
    }
}
