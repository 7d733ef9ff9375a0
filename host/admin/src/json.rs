//! Answers as JSON.

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use openline_gateway::reserved::Answer;
use serde::Serialize;

/// Answers with JSON, which ends with a line break for terminals.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let mut body =
        serde_json::to_vec(value).expect("views have only strings and numbers, and texts as keys");
    body.push(b'\n');
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}
