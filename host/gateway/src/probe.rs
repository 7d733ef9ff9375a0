//! Probes, which load balancers and orchestrators send. Any peer may.
//!
//! Three atomic values decide the answer, so that the thread of
//! [`front`](crate::front) can give it while all others hang.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use openline_admission::peer::Peer;

use crate::answer_body::AnswerBody;
use crate::gateway::Gateway;
use crate::rescue::Refusal;
use crate::reserved::{Answer, RequestBody, Reserved, check_method, reserved_response};

/// Whether the process lives: 200, or 503 while it hangs.
const LIVE_PATH: &str = "/.openline/live";
/// Whether it takes connections: 200, or 503 while it drains or hangs, or starts
/// and fetches the keys of issuers.
const READY_PATH: &str = "/.openline/ready";

impl Gateway {
    /// The answer to a probe: whether the process lives, and whether it should
    /// get new connections; none when the path is no probe's. Waits for nothing
    /// and takes no lock.
    pub fn probe(&self, method: &Method, path: &str) -> Option<Answer> {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        let (status, text) = match (path, self.hung()) {
            (LIVE_PATH | READY_PATH, Some(hung)) => {
                let seconds = hung.as_secs();
                let text = format!("hung: the host has made no progress for {seconds} s\n");
                (unavailable, Bytes::from(text))
            }
            (LIVE_PATH, None) => (StatusCode::OK, Bytes::from_static(b"live\n")),
            (READY_PATH, None) if self.services().is_draining() => {
                (unavailable, Bytes::from_static(b"draining\n"))
            }
            (READY_PATH, None) if self.services().is_awaiting_keys() => {
                (unavailable, Bytes::from_static(b"waiting for keys\n"))
            }
            (READY_PATH, None) => (StatusCode::OK, Bytes::from_static(b"ready\n")),
            _ => return None,
        };
        if let Err(refusal) = check_method(method) {
            return Some(refusal.answer());
        }
        let mut response = reserved_response("text/plain; charset=utf-8", text);
        *response.status_mut() = status;
        Some(response)
    }
}

/// On the listener of `probes` the gateway answers probes and nothing else.
impl Reserved for Gateway {
    fn answer(
        &self,
        request: Request<RequestBody>,
        peer: Peer,
    ) -> BoxFuture<'_, Response<AnswerBody>> {
        let path = request.uri().path();
        tracing::debug!(%peer, path, "probe");
        let answer = self.probe(request.method(), path);
        let answer = answer.unwrap_or_else(|| Refusal::not_found().answer());
        std::future::ready(answer.map(Into::into)).boxed()
    }
}
