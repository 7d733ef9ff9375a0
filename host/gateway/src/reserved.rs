//! Requests for the host itself: on paths below `/.openline/`, and on listeners
//! of its own (see [`front`](crate::front)). Other packages answer them through
//! [`Reserved`]; the gateway itself answers only probes.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use openline_admission::peer::Peer;

use crate::answer_body::AnswerBody;
use crate::arriving::Arriving;
use crate::rescue::Refusal;

/// The path that the host keeps for itself, with all that is below it.
pub const RESERVED_PATH: &str = "/.openline/";

/// Headers of every response below [`RESERVED_PATH`], names in lower case.
pub const RESERVED_HEADERS: [(&str, &str); 5] = [
    // Allows only the page's own files, requests to the host, and WebSockets,
    // so that a function's message that got into the markup could do nothing.
    // `ws:` and `wss:` are named because not every browser counts them as
    // 'self'.
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    // A page of another origin gets neither the files nor the listing.
    ("cross-origin-resource-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    // Another version of the host may answer at this address tomorrow.
    ("cache-control", "no-cache"),
];

/// An answer over HTTP, whole in memory.
pub type Answer = Response<Full<Bytes>>;

/// The body of a request, as it comes from the network.
pub type RequestBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Answers requests that ask for the host and not for a function.
pub trait Reserved: fmt::Debug + Send + Sync + 'static {
    /// Answers one request of a peer. Refusals are answers, too.
    fn answer(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> BoxFuture<'_, Response<AnswerBody>>;
}

/// Whether a path is the host's own.
pub fn is_reserved(path: &str) -> bool {
    path.starts_with(RESERVED_PATH) || path == RESERVED_PATH.trim_end_matches('/')
}

/// Checks that a request below [`RESERVED_PATH`] only reads: GET, or HEAD, the
/// answer to which is sent without its body.
///
/// # Errors
///
/// For every other method, with the two that are allowed.
pub fn check_method(method: &Method) -> Result<(), Refusal> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Refusal::MethodNotAllowed("GET, HEAD")),
    }
}

/// A response below [`RESERVED_PATH`], with status 200.
pub fn reserved_response(content_type: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in RESERVED_HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    response
}

/// Hides the library that reads the request's body.
pub(crate) fn boxed(request: Request<Arriving>) -> Request<RequestBody> {
    request.map(|body| body.map_err(Into::into).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_a_whole_segment() {
        for path in ["/.openline", "/.openline/", "/.openline/x"] {
            assert!(is_reserved(path), "{path}");
        }
        for path in ["/.openliner", "/", "/x/.openline/"] {
            assert!(!is_reserved(path), "{path}");
        }
    }
}
