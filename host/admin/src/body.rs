//! The bodies of requests, read whole into memory or not at all.
//!
//! Bounded by a size that each endpoint names, and by the host's
//! `request_timeout` for each piece: who sends nothing for as long is given up.

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
        while let Some(data) = self.next().await? {
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

    /// The same; what is left out is the default.
    pub(crate) async fn json_or_default<T: DeserializeOwned + Default>(self) -> Result<T, Problem> {
        if self.incoming.is_end_stream() {
            return Ok(T::default());
        }
        self.json().await
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

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let waiting = tokio::time::timeout(self.patience, self.incoming.frame());
            let frame = match waiting.await {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => {
                    let message = "the body ended before it was whole; nothing has changed";
                    return Err(Problem::new(400, "incomplete", message).hint("send it again"));
                }
                Err(_) => {
                    let message = "the body does not arrive; nothing has changed";
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
        let dropping = async { while let Ok(Some(_)) = self.next().await {} };
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
