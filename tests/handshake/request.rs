//! Asking with a handshake whose lines a test changes, and the answer to it.

use openline_kit::head::Head;
use tokio::io::AsyncReadExt;

use crate::harness::{Host, Raw, within};

pub(super) use openline_kit::bytes::KEY;

/// The answer to [`KEY`], of RFC 6455, section 1.3.
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request whose lines a test changes.
pub(super) type Request = Head;

/// A request to a host.
pub(super) trait Ask {
    /// Asks on a TCP connection of its own.
    async fn ask(&self, host: &Host) -> Answer;

    /// Asks on a TCP connection that is open.
    async fn ask_on(&self, raw: &mut Raw) -> Answer;

    /// Asks, and must be refused by the host with this status and word.
    fn refused(&self, host: &Host, status: u16, word: &str) -> impl Future<Output = Answer>;
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

// === impl Request ===

impl Ask for Request {
    async fn ask(&self, host: &Host) -> Answer {
        let mut raw = Raw::connect(host.address).await;
        self.ask_on(&mut raw).await
    }

    async fn ask_on(&self, raw: &mut Raw) -> Answer {
        raw.send(self.text().as_bytes()).await;
        Answer::read(raw).await
    }

    #[track_caller]
    fn refused(&self, host: &Host, status: u16, word: &str) -> impl Future<Output = Answer> {
        let place = std::panic::Location::caller();
        async move {
            let answer = self.ask(host).await;
            let got = (answer.status, answer.header("openline-error-type"));
            assert_eq!(got, (status, Some(word)), "{}, at {place}", self.line);
            // One sentence for the person who reads it.
            assert!(answer.body.ends_with('\n') && answer.body.len() > 10);
            answer
        }
    }
}

// === impl Answer ===

impl Answer {
    pub(super) async fn read(raw: &mut Raw) -> Self {
        let head = raw.head().await;
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default().split(' ').nth(1);
        let status = status.unwrap_or_else(|| panic!("no answer: `{head}`"));
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.into()));
        let mut answer = Self {
            status: status.parse().unwrap(),
            headers: headers.collect(),
            body: String::new(),
        };
        let length = answer.header("content-length").unwrap_or("0");
        let mut body = vec![0; length.parse().unwrap()];
        within("a body", raw.socket.read_exact(&mut body))
            .await
            .unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(other, _)| other == name);
        lines.map(|(_, value)| value.as_str()).collect()
    }
}
