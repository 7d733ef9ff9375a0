//! Answers that the host holds.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::json;

/// An answer that the host keeps open, as a connection of the function: it has an id,
/// tags, an attachment and channels, [`by_tag`](crate::by_tag) and
/// [`connections`](crate::connections) find it, and what is sent to it or published
/// in its channels goes to the peer. No instance is needed for it, and it survives
/// deploys. Its peer sends nothing; its end is a `close`.
///
/// ```
/// use openline_sdk::http::{Body, Hold, Request, RequestExt, Response};
///
/// fn subscribe(request: &Request<Body>) -> Response<Body> {
///     let room = request.route_param("room").unwrap_or_default();
///     Hold::events().channel(&*room).answer(": welcome\n\n")
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    kind: Kind,
    tags: Vec<String>,
    channels: Vec<String>,
    attachment: Option<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Events,
    Stream,
    Poll(Duration),
}

impl Hold {
    /// Server-sent events: each message is an event. Publications have ids where
    /// their channel remembers them, and a peer that comes back with `Last-Event-ID`,
    /// as browsers do, gets what it has missed.
    #[must_use]
    pub const fn events() -> Self {
        Self::of(Kind::Events)
    }

    /// A download that goes on: the bytes of messages as they are.
    #[must_use]
    pub const fn stream() -> Self {
        Self::of(Kind::Stream)
    }

    /// A long poll: the first message is the body, and the end. If none comes in time,
    /// the peer gets 204. Less than a millisecond counts as one.
    #[must_use]
    pub const fn poll(timeout: Duration) -> Self {
        Self::of(Kind::Poll(timeout))
    }

    const fn of(kind: Kind) -> Self {
        Self {
            kind,
            tags: Vec::new(),
            channels: Vec::new(),
            attachment: None,
        }
    }

    /// Adds a tag, by which the connection can be found.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Subscribes it to a channel.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.channels.push(channel.into());
        self
    }

    /// Its attachment.
    #[must_use]
    pub fn attachment(mut self, attachment: impl Into<Vec<u8>>) -> Self {
        self.attachment = Some(attachment.into());
        self
    }

    /// The answer, with the first bytes of its body: at most 64 KiB. What the bytes of
    /// events mean is up to the function: `data: hello\n\n` is one. A long poll has
    /// none.
    pub fn answer<B: From<Bytes>>(self, first: impl Into<Bytes>) -> Response<B> {
        let mut response = Response::new(B::from(first.into()));
        self.apply(&mut response);
        response
    }

    /// Makes a response one that is held: sets its headers. Its body must be whole,
    /// of at most 64 KiB, and no streamed one.
    pub fn apply<B>(&self, response: &mut Response<B>) {
        let headers = response.headers_mut();
        let kind = match self.kind {
            Kind::Events => {
                headers
                    .entry(header::CONTENT_TYPE)
                    .or_insert(HeaderValue::from_static("text/event-stream"));
                "event-stream"
            }
            Kind::Stream => "stream",
            Kind::Poll(timeout) => {
                let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                headers.insert("openline-hold-timeout-ms", milliseconds.max(1).into());
                "poll"
            }
        };
        headers.insert("openline-hold", HeaderValue::from_static(kind));
        for (name, list) in [
            ("openline-hold-tags", &self.tags),
            ("openline-hold-channels", &self.channels),
        ] {
            if !list.is_empty() {
                headers.insert(name, ascii(json::list_of(list)));
            }
        }
        if let Some(attachment) = &self.attachment {
            headers.insert("openline-hold-attachment", ascii(base64(attachment)));
        }
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("ASCII without control characters is a value")
}

/// Standard Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index)) & 0x3f;
            text.push(match index <= group.len() {
                true => char::from(DIGITS[digit as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Body;
    use super::*;

    fn headers(response: &Response<Body>) -> Vec<(&str, &str)> {
        let headers = response.headers().iter();
        let mut headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();
        headers
    }

    #[test]
    fn events_have_all_that_a_connection_has() {
        let hold = Hold::events()
            .tag("user:ä")
            .tag("b")
            .channel("room \"1\"")
            .attachment("ann");
        let mut response: Response<Body> = hold.answer(": hello\n\n");
        assert_eq!(
            headers(&response),
            [
                ("content-type", "text/event-stream"),
                ("openline-hold", "event-stream"),
                ("openline-hold-attachment", "YW5u"),
                ("openline-hold-channels", r#"["room \"1\""]"#),
                ("openline-hold-tags", r#"["user:\u00e4","b"]"#),
            ]
        );
        assert_eq!(response.body_mut().bytes(100).unwrap(), ": hello\n\n");
    }

    #[test]
    fn a_stream_needs_nothing_and_keeps_the_type_of_the_function() {
        let mut response = Response::new(Body::empty());
        let csv = HeaderValue::from_static("text/csv");
        response.headers_mut().insert(header::CONTENT_TYPE, csv);
        Hold::stream().apply(&mut response);
        assert_eq!(
            headers(&response),
            [("content-type", "text/csv"), ("openline-hold", "stream")]
        );
    }

    #[test]
    fn a_poll_ends() {
        let response = Hold::poll(Duration::from_secs(30)).answer("");
        assert_eq!(
            headers(&response),
            [
                ("openline-hold", "poll"),
                ("openline-hold-timeout-ms", "30000"),
            ]
        );
        let response = Hold::poll(Duration::ZERO).answer("");
        assert_eq!(headers(&response)[1].1, "1");
    }

    /// The examples of RFC 4648, section 10.
    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}
