//! HTTP/1.1: one task a TCP connection, until it ends or is upgraded.
//!
//! Bounded by hyper's buffer and by `request_timeout`, within which a request's
//! head must arrive; a peer that trickles it is cut off, and so is one that
//! does not read its answer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openline_admission::peer::Peer;
use openline_core::limits::REQUEST_HEADERS_MAX;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::gateway::{Gateway, Permit};
use crate::requests::Slot;
use crate::rescue::Refusal;
use crate::reserved::{Answer, Reserved, boxed, is_reserved};
use crate::upgrade;

/// What hyper may buffer of a request's head, in bytes: what
/// `request_header_bytes` and `request_uri_bytes` may be together, and room to
/// answer what is a little larger with a sentence. What is larger still gets
/// hyper's bare 431.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers that hyper takes: more than a function is asked with, so that what
/// is a little more is answered with a sentence, too. hyper makes room for as
/// many before it reads a head: 64 bytes for each.
const HEADERS_MAX: usize = 2 * REQUEST_HEADERS_MAX;

/// What answers the requests of the listener of connections.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) gateway: Arc<Gateway>,
    /// Answers below `/.openline/`.
    pub(crate) reserved: Option<Arc<dyn Reserved>>,
}

/// Serves one TCP connection.
pub(crate) async fn serve(stream: TcpStream, peer: Peer, permit: Permit, site: Arc<Site>) {
    let permit = Arc::new(permit);
    let answer = |request| answer(&site, request, &peer, Arc::clone(&permit));
    serve_requests(stream, &peer, &site.gateway, permit.slot(), answer).await;
}

/// Answers the requests of one TCP connection, until it ends, is upgraded, its
/// place is needed, or the host drains.
pub(crate) async fn serve_requests<F, A>(
    stream: TcpStream,
    peer: &Peer,
    gateway: &Gateway,
    slot: &Slot,
    answer: F,
) where
    F: Fn(Request<Incoming>) -> A,
    A: Future<Output = Answer>,
{
    let patience = gateway.services().table().config.request_timeout;
    let mut drain = gateway.services().watch_drain();
    // One that comes while the host drains gets its one answer.
    let last = *drain.borrow_and_update();
    let answered = Answered::default();
    let service = service_fn(|request| {
        let answering = answer(request);
        let answered = &answered;
        async move {
            slot.begin();
            answered.begin();
            let answer = answering.await;
            answered.end();
            slot.end();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(!last)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        // What was answered is written before the end is looked at.
        biased;
        ended = connection.as_mut() => ended,
        () = slot.closed() => {
            tracing::debug!(%peer, "closed: its place was needed");
            return;
        }
        () = answered.unread(patience) => {
            tracing::debug!(%peer, "a peer does not read its answer");
            return;
        }
        () = begun(&mut drain), if !last => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                biased;
                ended = connection => ended,
                () = slot.closed() => return,
                () = answered.unread(patience) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a request was not served to its end");
    }
}

/// When the last request of a TCP connection was answered, while there is no
/// other.
#[derive(Debug, Default)]
struct Answered(Mutex<Option<Instant>>);

impl Answered {
    fn begin(&self) {
        *self.0.lock() = None;
    }

    fn end(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Waits until an answer is so old that its peer cannot have read it: one
    /// that has been written is followed by another request, or by hyper's own
    /// end, within `patience`.
    async fn unread(&self, patience: Duration) {
        loop {
            let answered = *self.0.lock();
            if answered.is_some_and(|answered| answered.elapsed() >= 2 * patience) {
                return;
            }
            tokio::time::sleep(patience).await;
        }
    }
}

/// Waits until the host drains.
async fn begun(drain: &mut watch::Receiver<bool>) {
    // An error would be a host that is gone already.
    let _ = drain.wait_for(|draining| *draining).await;
}

async fn answer(
    site: &Site,
    mut request: Request<Incoming>,
    peer: &Peer,
    permit: Arc<Permit>,
) -> Answer {
    if is_reserved(request.uri().path()) {
        return answer_reserved(site, request, peer).await;
    }
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _body) = request.into_parts();
    let gateway = &site.gateway;
    let answered = match upgrade::prepare(gateway, &parts, peer).await {
        Ok(candidate) => {
            let name = candidate.service.alias.function().clone();
            let deciding = permit.slot().decide();
            let upgrading = upgrade::upgrade(gateway, candidate, on_upgrade, Arc::clone(&permit));
            let decided = tokio::select! {
                biased;
                decided = upgrading => decided,
                () = deciding.displaced() => Err(Refusal::Requests),
            };
            decided.inspect_err(|refusal| {
                if let Refusal::Answer(details) = refusal {
                    tracing::warn!(function = %name, %details, "an answer of a function is not valid");
                }
            })
        }
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| {
        gateway.tally().refuse(refusal.label());
        tracing::debug!(%peer, path = parts.uri.path(), refusal = refusal.label(), "refused");
        refusal.answer()
    })
}

/// Probes are answered here, the rest by what has it.
async fn answer_reserved(site: &Site, request: Request<Incoming>, peer: &Peer) -> Answer {
    let (method, path) = (request.method(), request.uri().path());
    if let Some(answer) = site.gateway.probe(method, path) {
        return answer;
    }
    match &site.reserved {
        Some(reserved) => reserved.answer(boxed(request), peer.clone()).await,
        None => Refusal::not_found().answer(),
    }
}
