//! What the host says of itself at `/.openline/state`.
//!
//! Every field must be there: a field that is gone would be a check that
//! nobody makes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long the host may take to answer, busy as it is.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of an answer: a hundred for each function and each reason.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

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
        let answer = tokio::time::timeout(TIMEOUT, get(host))
            .await
            .with_context(|| format!("the host did not tell its state within {TIMEOUT:?}"))?
            .context("cannot ask the host for its state")?;
        read(&answer)
    }
}

impl Connections {
    /// Ended for any reason.
    pub(crate) fn ended_in_all(&self) -> u64 {
        self.ended.values().sum()
    }
}

async fn get(host: SocketAddr) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(host).await?;
    let request =
        format!("GET /.openline/state HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .await?;
    Ok(answer)
}

/// Takes a response apart; its body is not in chunks, as it is whole when it
/// is sent.
fn read(answer: &[u8]) -> anyhow::Result<State> {
    let text = std::str::from_utf8(answer).context("the host's state is not text")?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        bail!("the host did not answer when it was asked for its state");
    };
    if !head.starts_with("HTTP/1.1 200") {
        let line = head.lines().next().unwrap_or_default();
        bail!("the host does not tell its state: {line}");
    }
    serde_json::from_str(body).context("the host's state is not what it should be")
}

#[cfg(test)]
mod tests {
    use super::read;

    const BODY: &str = r#"{"tasks": 12, "sockets": 1,
        "connections": {"open": 0, "opened": 5, "ended": {"peer": 3, "lost": 2}},
        "outbox_bytes": 0, "instances": 0,
        "handshakes": {"accepted": 5, "refused": {"not_found": 2}},
        "functions": [{"name": "echo", "connections": 0, "instances": 0}]}"#;

    #[test]
    fn an_answer_is_read() {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{BODY}");
        let state = read(answer.as_bytes()).unwrap();
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
            let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
            assert!(read(answer.as_bytes()).is_err(), "{field}");
        }
    }

    #[test]
    fn other_answers_are_errors() {
        for answer in ["", "HTTP/1.1 404 Not Found\r\n\r\nno", "HTTP/1.1 200 OK"] {
            assert!(read(answer.as_bytes()).is_err(), "{answer}");
        }
    }
}
