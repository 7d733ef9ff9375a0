//! The bodies of requests, which are read completely into memory or not at all.
//!
//! Bounded by the size that each endpoint allows, by the host's
//! `request_timeout` for each piece, and by [`BYTES_PER_SECOND_MIN`] for the
//! whole: otherwise a body that trickles could keep the place of a component
//! forever.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_TYPE, EXPECT};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::problem::Problem;

/// The largest JSON body, in bytes: many times an alias with a share for each
/// of the most versions.
pub(crate) const JSON_BYTES_MAX: usize = 64 * 1024;

/// The slowest average rate of a body, after a head start of one
/// `request_timeout`. A slow mobile network manages it; the largest component
/// takes an hour at this rate.
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
    /// Reads the whole body. A body that breaks off is an error, and so is one
    /// of more than `most` bytes; the error calls that bound `limit`.
    pub(crate) async fn read(mut self, most: usize, limit: &str) -> Result<Bytes, Problem> {
        let told = self.incoming.size_hint();
        let fits = |bytes: u64| usize::try_from(bytes).is_ok_and(|bytes| bytes <= most);
        if !fits(told.lower()) {
            return Err(self.too_large(most, limit).await);
        }
        let mut bytes = BytesMut::new();
        // One piece of memory for the whole announced size.
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

    /// Reads JSON of a certain type.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        self.is(&["application/json"])?;
        let bytes = self.read(JSON_BYTES_MAX, "a body of JSON").await?;
        shaped(&bytes)
    }

    /// The same, but missing keys have their defaults, and an empty body needs
    /// no content type.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, Problem> {
        let typed = self.is(&["application/json"]);
        // A body of chunks shows only at its end whether it is empty.
        let bytes = self.read(JSON_BYTES_MAX, "a body of JSON").await?;
        if bytes.is_empty() {
            return Ok(T::default());
        }
        typed?;
        shaped(&bytes)
    }

    /// Which of some content types the body's header names.
    pub(crate) fn is(&self, types: &[&'static str]) -> Result<&'static str, Problem> {
        let said = self.headers.get(CONTENT_TYPE);
        let said = said.and_then(|said| said.to_str().ok()).unwrap_or_default();
        // RFC 9110 section 8.3.1: parameters may follow, and case does not
        // matter.
        let name = said.split(';').next().unwrap_or_default().trim();
        let found = types.iter().find(|each| each.eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| {
            let message = "the body has a content type that this path does not take";
            Problem::new(415, "content_type", message)
                .hint(format!("send `Content-Type: {}`", types.join("` or `")))
        })
    }

    /// The next piece, which must come by `due` and within the patience.
    async fn next(&mut self, due: Instant) -> Result<Option<Bytes>, Problem> {
        loop {
            let due = due.min(Instant::now() + self.patience);
            let waiting = tokio::time::timeout_at(due, self.incoming.frame());
            let frame = match waiting.await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => {
                    let message = "the body broke off; nothing has changed";
                    return Err(Problem::new(400, "incomplete", message).hint("send it again"));
                }
                Err(_) => {
                    let message = "the body does not arrive in time; nothing has changed";
                    return Err(Problem::new(408, "request_timeout", message).hint("send it again"));
                }
            };
            // Trailers have no meaning here.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// Reads and drops a body that is too large for a while, because a peer
    /// that is still sending would see its stream break instead of the answer.
    /// A peer that asked first (RFC 9110 section 10.1.1) has not begun to send.
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

/// When the next piece of a body is due, after `bytes` of it have come.
fn due(begun: Instant, patience: Duration, bytes: usize) -> Instant {
    let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
    begun + patience + Duration::from_millis(bytes.saturating_mul(1000) / BYTES_PER_SECOND_MIN)
}

/// Reads JSON of a certain type; an error names the place.
pub(crate) fn shaped<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let message: String = error.to_string().chars().take(300).collect();
        let hint = if error.is_data() {
            "the keys and their values are in `/v1/openapi.json`"
        } else {
            "the body must be JSON"
        };
        Problem::bad("bad_json", message).hint(hint)
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;

    use super::*;

    /// A body whose pieces come one after the other, with a pause between.
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

    /// A body of chunks may be empty although its size is not announced.
    #[tokio::test]
    async fn a_body_that_turns_out_to_be_empty_is_the_default() {
        let chunked = |pieces| body(pieces, Duration::ZERO);
        let nothing = chunked(vec![Bytes::new()]).json_or_default::<String>();
        assert_eq!(nothing.await.unwrap(), "");
        let untyped = chunked(vec![Bytes::from_static(b"\"x\"")]).json_or_default::<String>();
        assert_eq!(untyped.await.unwrap_err().status(), 415);
    }

    /// Fast pieces make up for slow ones.
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
