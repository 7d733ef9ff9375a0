//! A handshake as text, line by line, and the answer to it.

use tokio::io::AsyncReadExt;

use crate::harness::{Host, Raw, within};

/// The key and the answer of RFC 6455 section 1.3.
pub(super) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(super) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request whose lines a test changes.
#[derive(Clone)]
pub(super) struct Request {
    line: String,
    headers: Vec<(String, String)>,
}

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

// === impl Request ===

impl Request {
    /// A valid handshake.
    pub(super) fn right(path: &str) -> Self {
        let headers = [
            ("Host", "localhost"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", KEY),
        ];
        Self::line(&format!("GET {path} HTTP/1.1")).headers(&headers)
    }

    /// A request without headers.
    pub(super) fn line(line: &str) -> Self {
        Self {
            line: line.into(),
            headers: Vec::new(),
        }
    }

    pub(super) fn with_line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    pub(super) fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        for (name, value) in headers {
            self.headers.push(((*name).into(), (*value).into()));
        }
        self
    }

    /// Adds a line after the others.
    pub(super) fn with(self, name: &str, value: &str) -> Self {
        self.headers(&[(name, value)])
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// The same header with another value.
    pub(super) fn changed(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// Repeats a header.
    pub(super) fn doubled(self, name: &str) -> Self {
        let (name, value) = self
            .headers
            .iter()
            .find(|(other, _)| other == name)
            .unwrap()
            .clone();
        self.with(&name, &value)
    }

    /// The bytes that count towards the limit.
    pub(super) fn header_bytes(&self) -> usize {
        let sizes = self.headers.iter();
        sizes.map(|(name, value)| name.len() + value.len()).sum()
    }

    pub(super) fn text(&self) -> String {
        let headers = self.headers.iter();
        let lines: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("{}\r\n{lines}\r\n", self.line)
    }

    /// Sends it on a TCP connection of its own.
    pub(super) async fn ask(&self, host: &Host) -> Answer {
        let mut raw = Raw::connect(host.address).await;
        self.ask_on(&mut raw).await
    }

    pub(super) async fn ask_on(&self, raw: &mut Raw) -> Answer {
        raw.send(self.text().as_bytes()).await;
        Answer::read(raw).await
    }

    /// Sends it; the host must refuse with this status and word.
    #[track_caller]
    pub(super) fn refused(
        &self,
        host: &Host,
        status: u16,
        word: &str,
    ) -> impl Future<Output = Answer> {
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
