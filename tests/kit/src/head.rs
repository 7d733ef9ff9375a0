//! The head of a request as text, line by line, for tests that change some of
//! them. Nothing is checked: what is wrong is the point.

use crate::bytes::KEY;

/// A line and the headers below it.
#[derive(Debug, Clone)]
pub struct Head {
    /// The first line, without its end.
    pub line: String,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// A handshake that is right.
    #[must_use]
    pub fn right(path: &str) -> Self {
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
    #[must_use]
    pub fn line(line: &str) -> Self {
        Self {
            line: line.into(),
            headers: Vec::new(),
        }
    }

    /// The same headers below another line.
    #[must_use]
    pub fn with_line(mut self, line: &str) -> Self {
        self.line = line.into();
        self
    }

    /// More headers, behind the others.
    #[must_use]
    pub fn headers(mut self, headers: &[(&str, &str)]) -> Self {
        for (name, value) in headers {
            self.headers.push(((*name).into(), (*value).into()));
        }
        self
    }

    /// One more header, behind the others.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        self.headers(&[(name, value)])
    }

    /// Without a header, however often it is there.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| other != name);
        self
    }

    /// The same header with another value, behind the others.
    #[must_use]
    pub fn changed(self, name: &str, value: &str) -> Self {
        self.without(name).with(name, value)
    }

    /// A header twice, which must be there once.
    ///
    /// # Panics
    ///
    /// Where it is not there.
    #[must_use]
    pub fn doubled(self, name: &str) -> Self {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(other, _)| other == name).unwrap();
        let value = value.clone();
        self.with(name, &value)
    }

    /// The bytes that the host counts against its limit.
    #[must_use]
    pub fn header_bytes(&self) -> usize {
        let sizes = self.headers.iter();
        sizes.map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The text, with the empty line behind it.
    #[must_use]
    pub fn text(&self) -> String {
        let headers = self.headers.iter();
        let lines: String = headers
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("{}\r\n{lines}\r\n", self.line)
    }
}
