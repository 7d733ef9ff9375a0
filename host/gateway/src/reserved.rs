//! What the host answers for itself: paths below `/.openline/`, and listeners
//! of its own. What is there belongs to other packages, which implement
//! [`Reserved`]; only probes are the gateway's.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use openline_admission::peer::Peer;
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::http as transport;
use crate::requests::Requests;

/// The path that the host keeps for itself, with all that is below it.
pub const RESERVED_PATH: &str = "/.openline/";

/// Headers of every response below [`RESERVED_PATH`], names in lower case.
pub const RESERVED_HEADERS: [(&str, &str); 5] = [
    // Only the page's own files, requests to the host, and its WebSockets: a
    // message of a function that found its way into the markup could do
    // nothing. `ws:` and `wss:` are named because not every browser counts
    // them as 'self'.
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

/// How long to wait after a failed accept. The usual cause is a lack of file
/// descriptors, which other connections' ends cure; callers of these listeners
/// try again.
const BACK_OFF: Duration = Duration::from_millis(500);

/// An answer over HTTP, whole in memory.
pub type Answer = Response<Full<Bytes>>;

/// The body of a request, as it comes from the network.
pub type RequestBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Answers requests that ask for the host and not for a function.
pub trait Reserved: fmt::Debug + Send + Sync + 'static {
    /// Answers one request of a peer. Refusals are answers, too.
    fn answer(&self, request: Request<RequestBody>, peer: Peer) -> BoxFuture<'_, Answer>;
}

/// A listener of the host's own.
#[derive(Debug)]
pub struct ReservedListener {
    /// What it is called in the log.
    pub name: &'static str,
    /// Where it accepts.
    pub listener: TcpListener,
    /// TCP connections at once; past them the one that has waited for a
    /// request for longest is closed.
    pub connections_max: usize,
    /// Answers there.
    pub reserved: Arc<dyn Reserved>,
}

/// A listener on its way to the runtime of another thread.
#[derive(Debug)]
pub(crate) struct Detached {
    name: &'static str,
    listener: std::net::TcpListener,
    connections_max: usize,
    reserved: Arc<dyn Reserved>,
}

impl ReservedListener {
    /// Accepts and answers until it is dropped. Requests that have begun go on;
    /// when the host drains, each TCP connection gets the answer it waits for,
    /// and ends.
    pub async fn serve(self, gateway: Arc<Gateway>) {
        let requests = Requests::new(self.connections_max);
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => {
                    // No share for each peer: those that it is for often have
                    // one address.
                    let Some(slot) = requests.enter(address.ip(), 0).await else {
                        continue;
                    };
                    let (gateway, reserved) = (Arc::clone(&gateway), Arc::clone(&self.reserved));
                    let peer = Peer::at(address);
                    tokio::spawn(async move {
                        let answer = |request| reserved.answer(boxed(request), peer.clone());
                        transport::serve_requests(stream, &peer, &gateway, &slot, answer).await;
                    });
                }
                Err(error) => {
                    let name = self.name;
                    tracing::warn!(%error, "accept failed on {name}; trying again");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Leaves the runtime in which the listener was opened.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        Ok(Detached {
            name: self.name,
            listener: self.listener.into_std()?,
            connections_max: self.connections_max,
            reserved: self.reserved,
        })
    }
}

impl Detached {
    /// Enters the runtime that is current now.
    pub(crate) fn attach(self) -> io::Result<ReservedListener> {
        Ok(ReservedListener {
            name: self.name,
            listener: TcpListener::from_std(self.listener)?,
            connections_max: self.connections_max,
            reserved: self.reserved,
        })
    }
}

/// Whether a path is the host's own.
pub fn is_reserved(path: &str) -> bool {
    path.starts_with(RESERVED_PATH) || path == RESERVED_PATH.trim_end_matches('/')
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

/// A request whose body says nothing of the library that reads it.
pub(crate) fn boxed(request: Request<Incoming>) -> Request<RequestBody> {
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
