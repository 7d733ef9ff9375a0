//! The two answers to a request for a connection. The host checks them: an
//! answer that breaks a rule below reaches the peer as 502.

use crate::raw::types;

/// Accepts a connection.
///
/// ```
/// use openline_sdk::{Acceptance, UpgradeRequest};
///
/// fn accept(request: &UpgradeRequest) -> Acceptance {
///     let mut acceptance = Acceptance::new()
///         .attachment("ada")
///         .tag("user:ada")
///         .channel("news")
///         .header("x-greeting", "hello");
///     if let Some(preferred) = request.subprotocols().first() {
///         acceptance = acceptance.subprotocol(preferred);
///     }
///     acceptance
/// }
///
/// let request = UpgradeRequest::new("/").with_subprotocol("v1");
/// assert_ne!(accept(&request), Acceptance::new());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Acceptance {
    subprotocol: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    attachment: Vec<u8>,
    tags: Vec<String>,
    channels: Vec<String>,
}

impl Acceptance {
    /// Accepts with nothing added.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses one of the offered subprotocols, letter for letter.
    pub fn subprotocol(mut self, subprotocol: impl Into<String>) -> Self {
        self.subprotocol = Some(subprotocol.into());
        self
    }

    /// Adds a header to the 101 response. It must not belong to the handshake,
    /// to the framing of HTTP or to the host (`openline-*`); at most 8 KiB in
    /// all.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The connection's first attachment, at most 16 KiB.
    pub fn attachment(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.attachment = bytes.into();
        self
    }

    /// Adds a tag by which [`by_tag`](crate::by_tag) finds the connection. A
    /// tag has 1 to 256 bytes; a connection has at most 10.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds several tags, with the rules of [`tag`](Self::tag).
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a channel to which the connection is subscribed before `open` is
    /// called. A name has 1 to 256 bytes and no control characters; a connection has
    /// at most 128 channels.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }
}

impl From<Acceptance> for types::Acceptance {
    fn from(acceptance: Acceptance) -> Self {
        Self {
            subprotocol: acceptance.subprotocol,
            headers: acceptance.headers,
            attachment: acceptance.attachment,
            tags: acceptance.tags,
            channels: acceptance.channels,
        }
    }
}

/// Refuses a connection with an ordinary HTTP response.
///
/// ```
/// use openline_sdk::Rejection;
///
/// let rejection = Rejection::new(401).header("www-authenticate", "Bearer");
/// assert_eq!(rejection.status(), 401);
///
/// let rejection = Rejection::text(400, "the query needs a `nick`\n");
/// assert_eq!(rejection, Rejection::new(400)
///     .header("content-type", "text/plain; charset=utf-8")
///     .body("the query needs a `nick`\n"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rejection {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Rejection {
    /// Refuses with a status, 200 to 599, and nothing added.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Refuses with a status and a plain text that says why.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Self::new(status)
            .header("content-type", "text/plain; charset=utf-8")
            .body(text.into())
    }

    /// Adds a header, with the rules of [`Acceptance::header`].
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The body of the response, at most 64 KiB.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }
}

impl From<Rejection> for types::Rejection {
    fn from(rejection: Rejection) -> Self {
        Self {
            status: rejection.status,
            headers: rejection.headers,
            body: rejection.body,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_added_one_by_one_or_together() {
        let acceptance = Acceptance::new().tag("a").tags(["b", "c"]).tag("d");
        let acceptance = types::Acceptance::from(acceptance);
        assert_eq!(acceptance.tags, ["a", "b", "c", "d"]);
        assert!(acceptance.channels.is_empty());
    }
}
