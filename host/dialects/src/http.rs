//! What all answers over HTTP are made of.

/// An answer: a status, headers and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The type of the body; none if there is no body.
    pub content_type: Option<&'static str>,
    /// One header more, if the protocol has one.
    pub header: Option<(&'static str, &'static str)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// JSON.
    pub(crate) fn json(status: u16, body: String) -> Self {
        Self {
            status,
            content_type: Some("application/json"),
            header: None,
            body,
        }
    }

    /// No body.
    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            content_type: None,
            header: None,
            body: String::new(),
        }
    }
}
