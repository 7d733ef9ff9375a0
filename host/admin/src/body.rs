//! The bodies of requests, read whole into memory or not at all.
//!
//! Bounded by a size that each endpoint names, and by the host's
//! `request_timeout` for each piece, and by [`BYTES_PER_SECOND_MIN`] on the whole:
//! a body that trickles would keep the place of a component for good.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::problem::Problem;

/// The largest JSON that is read, in bytes: an alias with a share for each
/// version that there can be is a fraction of it.
pub(crate) const JSON_BYTES_MAX: usize = 64 * 1024;

/// What a body brings in a second on average, beyond one `request_timeout`. A
/// slow mobile network brings as much; the largest component takes an hour so.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) incoming: axum::body::Body,
    pub(crate) headers: HeaderMap,
    /// How long to wait for each piece.
    pub(crate) patience: Duration,
}

impl Body {
    /// Reads all of it. What is cut off is an error; `limit` names the bound of
    /// the size in one.
    pub(crate) async fn read(mut self, most: usize, limit: &str) -> Result<Bytes, Problem> {
        let told = self.incoming.size_hint();
        let fits = |bytes: u64| usize::try_from(bytes).is_ok_and(|bytes| bytes <= most);
        if !fits(told.lower()) {
            return Err(self.too_large(most, limit).await);
        }
        let mut bytes = BytesMut::new();
        // All of what is announced, as one piece of memory.
        if let Some(exact) = told.exact().and_then(|exact| usize::try_from(exact).ok()) {
            bytes.reserve(exact);
        }
        let begun = Instant::now();
        while let Some(data) = self.next(due(begun, self.patience, bytes.len())).await? {
            if bytes.len() + data.len() > most {
                return Err(self.too_large(most, limit).await);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }

    /// Reads JSON of a certain shape.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        self.is(&["application/json"])?;
        let bytes = self.read(JSON_BYTES_MAX, "a body of JSON").await?;
        shaped(&bytes)
    }

    /// The same; what is left out is the default, and nothing at all needs no type.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, Problem> {
        let typed = self.is(&["application/json"]);
        // Only its end says that a body of chunks is empty.
        let bytes = self.read(JSON_BYTES_MAX, "a body of JSON").await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        typed?;
        shaped(&bytes)
    }

    /// Which of some types the body is said to have.
    pub(crate) fn is(&self, types: &[&'static str]) -> Result<&'static str, Problem> {
        let said = self.headers.get(CONTENT_TYPE);
        let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
        // RFC 9110 section 8.3.1: parameters behind it, and any case.
        let name = said.split(';').next().unwrap_or_default().trim();
        let found = types.iter().find(|each| each.eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| {
            let message = "the body has another type than is read here";
            Problem::new(415, "content_type", message)
                .hint(format!("send `Content-Type: {}`", types.join("` or `")))
        })
    }

    /// The next piece, which comes until `due` and within the patience.
    async fn next(&mut self, due: Instant) -> Result<Option<Bytes>, Problem> {
        loop {
            let due = due.min(Instant::now() + self.patience);
            let waiting = tokio::time::timeout_at(due, self.incoming.frame());
            let frame = match waiting.await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => {
                    let message = "the body ended before it was whole; nothing has changed";
                    return Err(Problem::new(400, "incomplete", message).hint("send it again"));
                }
                Err(_) => {
                    let message = "the body does not arrive in time; nothing has changed";
                    return Err(Problem::new(408, "request_timeout", message).hint("send it again"));
                }
            };
            // Trailers say nothing here.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// What is too large is read and dropped for a while, because a peer that
    /// is still sending would see its stream break instead of the answer. One
    /// that asked first (RFC 9110 section 10.1.1) has not begun.
    async fn too_large(mut self, most: usize, limit: &str) -> Problem {
        let asked = self.headers.contains_key(EXPECT);
        let until = Instant::now() + self.patience;
        let dropping = async { while let Ok(Some(_)) = self.next(until).await {} };
        if !asked {
            let _ = tokio::time::timeout_at(until, dropping).await;
        }
        Problem::new(
            413,
            "too_large",
            format!("{limit} has at most {most} bytes"),
        )
        .hint("send less, or raise the limit in the host's configuration")
    }
}

/// When the next piece is due of a body of which so much has come.
fn due(begun: Instant, patience: Duration, bytes: usize) -> Instant {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    begun + patience + Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND_MIN)
}

/// Reads JSON of a certain shape; what has another one is said with its place.
fn shaped<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message: String = error.to_string().chars().take(300).collect();
        let hint = if error.is_data() {
            "the keys and their values are in `/v1/openapi.json`"
        } else {
            "the body is to be JSON"
        };
        Problem::bad("bad_json", message).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// A body whose pieces come one after the other, each so long after the last.
    fn body(pieces: Vec<Bytes>, pause: Duration) -> Body {
        let pieces = stream::unfold(pieces.into_iter(), move |mut pieces| async move {
            let piece = pieces.next()?;
            tokio::time::sleep(pause).await;
            Some((Ok::<_, Infallible>(piece), pieces))
        });
        Body {
            incoming: axum::body::Body::from_stream(pieces),
            headers: HeaderMap::new(),
            patience: Duration::from_millis(500),
        }
    }

    #[tokio::test]
    async fn a_body_that_trickles_is_given_up_though_each_piece_is_in_time() {
        let trickle = vec![Bytes::from_static(b"x"); 10_000];
        let read = body(trickle, Duration::from_millis(5));
        let problem = read.read(1 << 20, "it").await.unwrap_err();
        assert_eq!(problem.status(), 408);
    }

    /// As a body of chunks is, whose first is the last.
    #[tokio::test]
    async fn a_body_that_turns_out_to_be_empty_is_the_default() {
        let chunked = |pieces| body(pieces, Duration::ZERO);
        let nothing = chunked(vec![Bytes::new()]).json_or_default::<String>();
        assert_eq!(nothing.await.unwrap(), "");
        let untyped = chunked(vec![Bytes::from_static(b"\"x\"")]).json_or_default::<String>();
        assert_eq!(untyped.await.unwrap_err().status(), 415);
    }

    /// What has come quickly makes up for what comes slowly.
    #[tokio::test]
    async fn a_body_that_brings_enough_on_the_whole_is_read() {
        let mut pieces = vec![Bytes::from(vec![0; 1 << 20])];
        pieces.extend(vec![Bytes::from_static(b"x"); 150]);
        let read = body(pieces, Duration::from_millis(5));
        let bytes = read.read(2 << 20, "it").await.unwrap();
        assert_eq!(bytes.len(), (1 << 20) + 150);
    }

    #[test]
    fn a_second_is_given_for_each_second_that_has_come() {
        let (begun, patience) = (Instant::now(), Duration::from_secs(10));
        for (bytes, seconds) in [(0, 10), (16 * 1024, 11), (64 << 20, 4106)] {
            let due = due(begun, patience, bytes);
            assert_eq!(due - begun, Duration::from_secs(seconds), "{bytes}");
        }
    }
}
