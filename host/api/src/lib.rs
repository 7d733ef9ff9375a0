//! The interface for publishers outside of the host: HTTP requests that publish,
//! read channels and reach connections, in the protocols of [`ApiProtocol`], and
//! event streams and polls for subscribers without a WebSocket.
//!
//! `openline_dialects` reads requests and writes answers; this package says who
//! may ask (`access`), does what is asked (`publish` and one file for each
//! protocol), and gives an answer. `stream` and `poll` have the subscribers. The
//! gateway accepts, and has the firewall decide.
//!
//! Bounded by the limits of `[server.api]`: each body, all bodies together,
//! requests of each key, streams. What looks at all channels or connections runs
//! on threads that may wait.

mod access;
mod aws;
mod body;
mod centrifugo;
mod connections;
mod failed;
pub mod fuzzing;
mod grip;
mod jwt;
mod ours;
mod poll;
mod publish;
mod pushflo;
mod reading;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use openline_admission::keys::Key;
use openline_admission::services::Services;
use openline_channels::budget::{FunctionBudget, SharedBudget};
use openline_core::config::{ApiConfig, ApiProtocol};
use openline_dialects::rest::{ApiError, Missing};
use openline_dialects::{Answer, aws as dialect_aws};
use openline_gateway::outside::{AnswerBody, Caller, Outside};
use openline_gateway::reserved::RequestBody;
use parking_lot::Mutex;

use access::{Denied, Place, Rates};
use body::BodyError;

/// Headers of every answer: a page of another site may read it, because no cookie
/// is a credential here, and no cache keeps it.
const HEADERS: [(&str, &str); 3] = [
    ("access-control-allow-origin", "*"),
    ("cache-control", "no-store"),
    ("x-content-type-options", "nosniff"),
];

/// What pages may send.
const PREFLIGHT: [(&str, &str); 3] = [
    ("access-control-allow-methods", "GET, POST, PATCH, DELETE"),
    (
        "access-control-allow-headers",
        "authorization, content-type, last-event-id, x-api-key",
    ),
    ("access-control-max-age", "600"),
];

/// The interface of one host.
#[derive(Debug)]
pub struct Api {
    services: Arc<Services>,
    rates: Rates,
    /// Bytes of bodies in memory.
    bodies: Arc<AtomicUsize>,
    /// Streams and polls that are open.
    streams: Arc<AtomicUsize>,
    /// Bounds what waits to be written to all streams. It is only there while
    /// there are streams: a function that is alone on its host shares its room
    /// with nobody otherwise.
    budget: SharedBudget,
    managed: Mutex<pushflo::Managed>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) config: ApiConfig,
    pub(crate) parts: Parts,
    pub(crate) caller: Caller,
    body: Option<RequestBody>,
}

/// A place among the streams. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct StreamPlace(Arc<AtomicUsize>);

/// What a caller gets.
#[derive(Debug)]
pub(crate) enum Reply {
    /// An answer of a protocol.
    Answer(Answer),
    /// The same, after which the caller is to wait.
    Later(Answer, u64),
    /// A stream.
    Stream(Box<Response<AnswerBody>>),
}

impl Api {
    /// The interface to these functions.
    pub fn new(services: &Arc<Services>) -> Self {
        Self {
            budget: SharedBudget::default(),
            services: Arc::clone(services),
            rates: Rates::default(),
            bodies: Arc::default(),
            streams: Arc::default(),
            managed: Mutex::default(),
        }
    }

    /// What the connections of streams may keep with the host.
    pub(crate) fn budget(&self) -> Arc<FunctionBudget> {
        self.budget.get(self.services.budget())
    }

    /// Streams and polls that are open.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    async fn respond(&self, request: Request<RequestBody>, caller: Caller) -> Response<AnswerBody> {
        let config = self.services.table().config.api.clone();
        let (parts, body) = request.into_parts();
        let (method, id, peer) = (parts.method.clone(), caller.id.clone(), caller.peer.clone());
        let path = caller.sent.path().to_owned();
        let protocol = protocol_of(&path).filter(|it| config.protocols.contains(it));
        let call = Call {
            api: self,
            config,
            parts,
            caller,
            body: Some(body),
        };
        let reply = match protocol {
            _ if method == Method::OPTIONS => return preflight(),
            None => ApiError::NotFound(Missing::Path).answer().into(),
            Some(ApiProtocol::Openline) => ours::answer(call).await,
            Some(ApiProtocol::Pushflo) => pushflo::answer(call).await,
            Some(ApiProtocol::Grip) => grip::answer(call).await,
            Some(ApiProtocol::Aws) => aws::answer(call).await,
            Some(ApiProtocol::Centrifugo) => centrifugo::answer(call).await,
        };
        let response = reply.into_response();
        let status = response.status().as_u16();
        tracing::debug!(request = %id, %peer, %method, path, ?protocol, status, "a request from outside");
        response
    }
}

impl Outside for Api {
    fn answer(
        &self,
        request: Request<RequestBody>,
        caller: Caller,
    ) -> BoxFuture<'_, Response<AnswerBody>> {
        self.respond(request, caller).boxed()
    }
}

/// The protocol of a path.
fn protocol_of(path: &str) -> Option<ApiProtocol> {
    if dialect_aws::Target::of_path(path).is_some() {
        return Some(ApiProtocol::Aws);
    }
    match path {
        "/publish" | "/publish/" => Some(ApiProtocol::Grip),
        _ if path.starts_with("/v1/") => Some(ApiProtocol::Openline),
        _ if path.starts_with("/api/v1/") => Some(ApiProtocol::Pushflo),
        _ if path.starts_with("/api/") => Some(ApiProtocol::Centrifugo),
        _ => None,
    }
}

fn preflight() -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Whole(Full::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    add(&mut response, &HEADERS);
    add(&mut response, &PREFLIGHT);
    response
}

fn add(response: &mut Response<AnswerBody>, headers: &'static [(&'static str, &'static str)]) {
    for (name, value) in headers {
        let (name, value) = (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
        response.headers_mut().insert(name, value);
    }
}

impl<'a> Call<'a> {
    /// The query, as it was sent.
    pub(crate) fn query(&self) -> &str {
        self.caller.sent.query().unwrap_or_default()
    }

    /// The path, as it was sent.
    pub(crate) fn path(&self) -> &str {
        self.caller.sent.path()
    }

    /// The text of a header that is there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }

    /// The key of the request, which takes one of its rate. `in_query` says
    /// whether the query may have it.
    pub(crate) fn key(&self, in_query: bool) -> Result<Arc<Key>, Denied> {
        let query = in_query.then(|| self.query());
        let keys = self.api.services.keys();
        let key = access::authenticate(keys, &self.parts.headers, query)?;
        self.api.rates.take(&key, self.config.requests_per_second)?;
        Ok(key)
    }

    /// Whose channels it means.
    pub(crate) fn place(&self, key: &Key) -> Result<Place, Denied> {
        let named = access::parameter(self.query(), "function")?;
        Place::find(&self.api.services, &self.config, key, named.as_deref())
    }

    /// Reads the body.
    pub(crate) async fn body(&mut self) -> Result<body::Held, BodyError> {
        let patience = self.api.services.table().config.request_timeout;
        let room = (&self.api.bodies, self.config.bodies_bytes);
        match self.body.take() {
            Some(body) => body::read(body, self.config.body_bytes, room, patience).await,
            None => Err(BodyError::Broken),
        }
    }

    /// Takes a place among the streams.
    pub(crate) fn stream_place(&self) -> Option<StreamPlace> {
        let most = self.config.streams as usize;
        let taken = self
            .api
            .streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < most).then_some(open + 1)
            });
        taken
            .is_ok()
            .then(|| StreamPlace(Arc::clone(&self.api.streams)))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Reply ===

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl Reply {
    fn into_response(self) -> Response<AnswerBody> {
        let (answer, wait_s) = match self {
            Self::Answer(answer) => (answer, None),
            Self::Later(answer, wait_s) => (answer, Some(wait_s)),
            Self::Stream(mut response) => {
                add(&mut response, &HEADERS[..1]);
                return *response;
            }
        };
        let body = Full::new(Bytes::from(answer.body));
        let mut response = Response::new(AnswerBody::Whole(body));
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        add(&mut response, &HEADERS);
        let headers = response.headers_mut();
        if let Some(kind) = answer.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some((name, value)) = answer.header {
            headers.insert(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        if answer.status == StatusCode::UNAUTHORIZED.as_u16() {
            let challenge = HeaderValue::from_static("Bearer realm=\"openline\"");
            headers.insert(http::header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait_s) = wait_s {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_s));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_is_of_one_protocol() {
        use ApiProtocol::*;
        for (path, protocol) in [
            ("/v1/publish", Some(Openline)),
            ("/api/v1/publish", Some(Pushflo)),
            ("/api/publish", Some(Centrifugo)),
            ("/publish/", Some(Grip)),
            ("/publish", Some(Grip)),
            ("/@connections/abc", Some(Aws)),
            ("/chat/%40connections/abc", Some(Aws)),
            ("/v1/@connections/abc", Some(Aws)),
            ("/publish/x", None),
            ("/v1", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(protocol_of(path), protocol, "{path}");
        }
    }
}
