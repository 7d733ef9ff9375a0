//! What a firewall function may answer. The host checks it: an answer that breaks
//! a rule below is a failure of the function, and the request is denied.

use crate::raw::firewall;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The rest of the firewall decides.
    Allow(Allow),
    /// The request is refused with an answer of 400 to 499.
    Deny(Answer),
    /// The connection is closed without an answer, or over HTTP/2 its stream.
    Drop,
    /// The request gets an answer of 200 to 499.
    Respond(Answer),
}

/// How a request goes on.
///
/// ```
/// use openline_sdk::firewall::{Allow, Verdict};
///
/// let verdict = Verdict::Allow(Allow::new().header("x-risk", "low"));
/// assert_ne!(verdict, Verdict::allow());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Allow {
    headers: Vec<(String, Vec<u8>)>,
}

/// The answer to a request that does not go on.
///
/// ```
/// use openline_sdk::firewall::Answer;
///
/// let answer = Answer::text(429, "come back later\n");
/// assert_eq!(answer, Answer::new(429)
///     .content_type("text/plain; charset=utf-8")
///     .body("come back later\n"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    status: u16,
    content_type: Option<String>,
    body: Vec<u8>,
}

impl Verdict {
    /// Lets the rest of the firewall decide, with nothing changed.
    pub fn allow() -> Self {
        Self::Allow(Allow::new())
    }
}

impl Allow {
    /// Changes nothing about the request.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a header that the function gets, in place of what the peer has sent
    /// by this name. It must not be one that rules may not set, such as `host`
    /// and `openline-…`; at most 8 KiB and 512 headers in all.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Answer {
    /// An answer with a status and nothing else. The host writes a sentence into
    /// a denial that has no body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            body: Vec::new(),
        }
    }

    /// An answer with a plain text.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status)
            .content_type("text/plain; charset=utf-8")
            .body(text.into())
    }

    /// The type of the body.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// The body, at most 64 KiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Verdict> for firewall::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Allow(allow) => Self::Allow(allow.headers),
            Verdict::Deny(answer) => Self::Deny(answer.into()),
            Verdict::Drop => Self::Drop,
            Verdict::Respond(answer) => Self::Respond(answer.into()),
        }
    }
}

impl From<Answer> for firewall::Answer {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status,
            content_type: answer.content_type,
            body: answer.body,
        }
    }
}
