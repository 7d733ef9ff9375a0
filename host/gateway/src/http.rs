//! HTTP/1.1: one task for each TCP connection, until it ends or is upgraded. The
//! answer to a request, over HTTP/2 as well.
//!
//! Bounded by hyper's buffer and by `request_timeout`, within which a request's
//! head must arrive. A peer that sends its head too slowly is cut off, and so
//! is one that does not read its answer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue, ORIGIN};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use openline_admission::admit::Noted;
use openline_admission::authenticate::HasBody;
use openline_admission::firewall::{Seen, Stopped};
use openline_admission::hops::Hops;
use openline_admission::inspectors::Undecided;
use openline_admission::normalise::{Normal, normalise};
use openline_admission::peer::Peer;
use openline_admission::refusal::Refusal as Denied;
use openline_admission::services::Service;
use openline_core::config::Listener;
use openline_core::limits::REQUEST_HEADERS_MAX;
use openline_core::name::FunctionName;
use tokio::sync::watch;

use crate::answer_body::AnswerBody;
use crate::arriving::Arriving;
use crate::ending::Ending;
use crate::exchange::{self, Exchanged, Ready, status};
use crate::gateway::{Gateway, Permit, Place};
use crate::grpc::Wire;
use crate::held::{self, loan::Loan};
use crate::outside::{self, Outside};
use crate::paced::{Answered, Paced};
use crate::pages;
use crate::request_id::{Asked, REQUEST_ID, RequestId};
use crate::requests::Slot;
use crate::rescue::{PEER_GONE, Refusal};
use crate::reserved::{Answer, Reserved, boxed, is_reserved};
use crate::upgrade::{self, Candidate, Decided, Handover, Prepared};

/// How much of a request's head hyper may buffer, in bytes: the maxima of
/// `request_header_bytes` and `request_uri_bytes` together, and some room, so
/// that a slightly larger head gets an answer with a sentence. A larger one
/// gets hyper's bare 431.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How many headers hyper takes: more than a function can get, so that slightly
/// too many get an answer with a sentence, too. hyper reserves 64 bytes for
/// each before it reads a head.
const HEADERS_MAX: usize = 2 * REQUEST_HEADERS_MAX;

/// Everything that the listener for connections needs to answer requests.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) gateway: Arc<Gateway>,
    /// Which listener this is.
    pub(crate) listener: Listener,
    /// Answers below `/.openline/`.
    pub(crate) reserved: Option<Arc<dyn Reserved>>,
    /// Answers publishers.
    pub(crate) outside: Option<Arc<dyn Outside>>,
}

/// A rule of a firewall gives a request no answer: hyper then closes the TCP
/// connection, or resets the stream of HTTP/2.
#[derive(Debug, thiserror::Error)]
#[error("a firewall has dropped the request")]
pub(crate) struct Dropped;

/// Serves one TCP connection, or the TLS on it, that speaks HTTP/1.1.
pub(crate) async fn serve<S: Handover>(stream: S, peer: &Peer, permit: Permit, site: &Site) {
    let permit = Arc::new(permit);
    let place = || Place::Connection(Arc::clone(&permit));
    let answer = |request, id| answer::<S>(site, request, id, peer, place());
    serve_requests(stream, peer, &site.gateway, permit.slot(), answer).await;
}

/// Answers the requests of one TCP connection until it ends or is upgraded, its
/// place is needed, or the host drains.
pub(crate) async fn serve_requests<S, F, A>(
    stream: S,
    peer: &Peer,
    gateway: &Gateway,
    slot: &Slot,
    answer: F,
) where
    S: Handover,
    F: Fn(Request<Arriving>, RequestId) -> A,
    A: Future<Output = Result<Response<AnswerBody>, Dropped>>,
{
    let patience = gateway.services().table().config.request_timeout;
    let mut drain = gateway.services().watch_drain();
    // A TCP connection that is accepted while the host drains gets one answer.
    let last = *drain.borrow_and_update();
    let answered = Arc::<Answered>::default();
    let ending = Ending::default();
    let (loan, lent) = Loan::new(stream);
    let service = service_fn(|request: Request<Incoming>| {
        let id = gateway.request_id();
        let version = request.version();
        let (answer, answered, loan, ending) = (&answer, &answered, &loan, &ending);
        async move {
            slot.begin();
            answered.begin();
            // Boxed here: hyper moves this block before it polls it, and a future that
            // was made outside would be in it twice.
            let mut answer = Box::pin(answer(ending.begin(request), id)).await?;
            answer.headers_mut().insert(REQUEST_ID, id.header());
            ending.answer(&mut answer);
            let reading = if answer.body().is_stream() {
                // The place is kept until the stream ends, and so does the TCP
                // connection then, if nothing else is its end.
                if answer.body().is_endless() {
                    let close = HeaderValue::from_static("close");
                    answer.headers_mut().insert(CONNECTION, close);
                }
                if let Some(slot) = answer.body().held() {
                    slot.frame(version);
                    loan.want(slot);
                }
                Some(Arc::clone(answered))
            } else {
                answered.end();
                slot.end();
                None
            };
            Ok::<_, Dropped>(answer.map(|body| Paced { body, reading }))
        }
    });
    let serving = async {
        let connection = builder(patience, last).serve_connection(TokioIo::new(lent), service);
        let mut connection = std::pin::pin!(connection.with_upgrades());
        let mut stopping = false;
        loop {
            let ended = tokio::select! {
                // An answer is written before the branches that end the TCP
                // connection are polled.
                biased;
                ended = connection.as_mut() => ended,
                held = poll_fn(|_| loan.poll_written()) => return Left::Held(held),
                never = poll_fn(|cx| ending.poll_drain(cx)) => match never {},
                () = slot.closed() => {
                    tracing::debug!(%peer, "closed: its place was needed");
                    return Left::Done;
                }
                () = answered.unread(patience) => {
                    tracing::debug!(%peer, "a peer does not read its answer");
                    return Left::Done;
                }
                () = begun(&mut drain), if !last && !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
            };
            if let Err(error) = &ended {
                tracing::debug!(%peer, %error, "a request failed before its answer was complete");
            }
            return Left::by(&ended);
        }
    };
    end(serving.await, &loan, &ending, slot).await;
}

/// Does what is left of a TCP connection when hyper has left it.
async fn end<S: Handover>(left: Left, loan: &Loan<S>, ending: &Ending, slot: &Slot) {
    let is_misread = matches!(left, Left::Misread);
    match (left, loan.take_back()) {
        // The rest of an answer that its function holds is written without hyper,
        // which is gone by now.
        (Left::Held(held), stream) => held.give(stream.map(|stream| Box::new(stream) as _)),
        (_, Some(stream)) => {
            let is_shut = loan.is_shut();
            ending.end(stream, slot, is_shut, is_misread).await;
        }
        (_, None) => {}
    }
}

/// How hyper leaves a TCP connection.
enum Left {
    /// There is a held answer to go on with.
    Held(Arc<held::slot::Slot>),
    /// What came is not HTTP.
    Misread,
    Done,
}

impl Left {
    fn by(ended: &hyper::Result<()>) -> Self {
        match ended {
            Err(error) if error.is_parse() => Self::Misread,
            _ => Self::Done,
        }
    }
}

fn builder(patience: Duration, last: bool) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(!last);
    builder
}

/// Waits until the host drains.
pub(crate) async fn begun(drain: &mut watch::Receiver<bool>) {
    // An error would mean that the host is already gone.
    let _ = drain.wait_for(|draining| *draining).await;
}

/// Answers one request, which may become a connection on a stream of type `S`.
///
/// # Errors
///
/// When a firewall wants the peer to get no answer.
pub(crate) async fn answer<S: Handover>(
    site: &Site,
    mut request: Request<Arriving>,
    id: RequestId,
    peer: &Peer,
    place: Place,
) -> Result<Response<AnswerBody>, Dropped> {
    let table = site.gateway.services().table();
    let behind = Hops::of(&table.config).peer(peer, request.headers());
    let peer = behind.as_ref().unwrap_or(peer);
    drop(table);
    let gateway = &site.gateway;
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (mut parts, body) = request.into_parts();
    if !body.is_end_stream() {
        parts.extensions.insert(HasBody);
    }
    let sent = site.outside.is_some().then(|| parts.uri.clone());
    let normal = match normalise(&mut parts) {
        Ok(normal) => normal,
        Err(refusal) => {
            let asked = Asked {
                id,
                parts: &parts,
                peer,
            };
            let noted = Noted::default();
            return Ok(refuse(gateway, &refusal.into(), &asked, &noted).map(Into::into));
        }
    };
    let connects = connects(&parts);
    if is_reserved(parts.uri.path()) {
        let request = Request::from_parts(parts, body);
        let answer = answer_reserved(site, request, peer, connects).await;
        return Ok(answer);
    }
    let asked = Asked {
        id,
        parts: &parts,
        peer,
    };
    let mut noted = Noted::default();
    let body = match sent {
        Some(sent) => match publisher(site, &normal, &asked, &sent, (body, connects)).await {
            Ok(answered) => return answered,
            Err(body) => body,
        },
        None => body,
    };
    let prepared = prepare(gateway, &normal, &asked, &mut noted, &place).await;
    log_rules(&asked, &noted.firewall);
    let answered = match prepared {
        Ok(Prepared::Preflight(answer)) => return Ok(answer.map(Into::into)),
        Ok(Prepared::Candidate(candidate)) => {
            decide::<S>(gateway, candidate, &asked, on_upgrade, place).await
        }
        Ok(Prepared::Exchange(ready)) => {
            let answering = have_answered(gateway, *ready, body, &asked, place);
            Box::pin(answering).await.map(Decided::Rejected)
        }
        Err(refusal) => Err(refusal),
    };
    finish(gateway, &normal, &asked, &noted, answered)
}

/// Makes the answer to a request what its peer, and a browser, may take it for.
fn finish(
    gateway: &Gateway,
    normal: &Normal,
    asked: &Asked<'_>,
    noted: &Noted,
    answered: Result<Decided<AnswerBody>, Refusal>,
) -> Result<Response<AnswerBody>, Dropped> {
    let mut answer = match answered {
        Ok(Decided::Accepted(answer)) => return Ok(answer),
        Ok(Decided::Rejected(mut answer)) => {
            if gateway.services().table().config.is_shared(normal.host()) {
                pages::save(answer.headers_mut());
            }
            answer
        }
        Err(refusal) => {
            let answer = refuse(gateway, &refusal, asked, noted);
            if refusal.is_silent() {
                return Err(Dropped);
            }
            answer.map(Into::into)
        }
    };
    if connects(asked.parts) {
        decline(&mut answer);
    }
    pages::expose(
        answer.headers_mut(),
        &asked.parts.headers,
        noted.led.as_deref(),
    );
    Ok(answer)
}

/// Whether a stream of HTTP/2 is to become a connection (RFC 8441).
fn connects(parts: &Parts) -> bool {
    parts.version == Version::HTTP_2 && parts.method == Method::CONNECT
}

/// Makes an answer without a connection one that the peer takes for that: over
/// HTTP/2 any status of 2xx accepts a WebSocket (RFC 8441 section 5), and the
/// body of the answer would be its first bytes.
fn decline<B>(answer: &mut Response<B>) {
    if answer.status().is_success() {
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
}

/// Decides whether a request may ask its function. If rules of a firewall ask
/// functions, it may wait for them, unless its place is needed for another peer.
async fn prepare(
    gateway: &Gateway,
    normal: &Normal,
    asked: &Asked<'_>,
    noted: &mut Noted,
    place: &Place,
) -> Result<Prepared, Refusal> {
    let preparing = pin!(upgrade::prepare(gateway, normal, asked, noted));
    if gateway.services().table().inspectors.is_empty() {
        return preparing.await;
    }
    unless_displaced(gateway, asked, place, preparing).await
}

/// Waits for what a function decides, unless the place of the request is needed for
/// another peer. Dropped before that, it counts a peer that has left. The decision is
/// pinned, so that its future, which is large, is not moved.
async fn unless_displaced<T>(
    gateway: &Gateway,
    asked: &Asked<'_>,
    place: &Place,
    decision: Pin<&mut impl Future<Output = Result<T, Refusal>>>,
) -> Result<T, Refusal> {
    let mut waiting = Waiting {
        gateway,
        asked,
        decided: false,
    };
    let deciding = place.slot().decide();
    let decided = tokio::select! {
        biased;
        decided = decision => decided,
        () = deciding.displaced() => Err(Refusal::Requests),
    };
    waiting.decided = true;
    decided
}

/// Logs an answer that is not valid.
fn warn_of_answer(refusal: &Refusal, id: RequestId, function: &FunctionName) {
    if let Refusal::Answer(details) = refusal {
        tracing::warn!(request = %id, %function, %details, "an answer of a function is not valid");
    }
}

/// Has a function answer a request, unless its place is needed for another peer
/// before there is an answer.
async fn have_answered(
    gateway: &Arc<Gateway>,
    ready: Ready,
    body: Arriving,
    asked: &Asked<'_>,
    place: Place,
) -> Result<Response<AnswerBody>, Refusal> {
    let id = asked.id;
    let name = ready.service.alias.function().clone();
    let slot = place.clone();
    let answering = pin!(exchange::answer(gateway, ready, body, place));
    let answered = match unless_displaced(gateway, asked, &slot, answering).await {
        Ok(Exchanged::Answer(answer)) => Ok(Wire::answer(asked.parts, answer)),
        // It has left the request for its place as a connection: a peer that goes
        // now is one that ends.
        Ok(Exchanged::Held(holding)) => Box::pin(held::hold(gateway, *holding)).await,
        Err(refusal) => Err(refusal),
    };
    answered.inspect_err(|refusal| warn_of_answer(refusal, id, &name))
}

/// Has a function decide about a handshake, unless its place is needed for
/// another peer.
async fn decide<S: Handover>(
    gateway: &Arc<Gateway>,
    candidate: Candidate,
    asked: &Asked<'_>,
    on_upgrade: OnUpgrade,
    place: Place,
) -> Result<Decided<AnswerBody>, Refusal> {
    let id = asked.id;
    let name = candidate.service.alias.function().clone();
    let slot = place.clone();
    let upgrading = pin!(upgrade::upgrade::<S>(gateway, candidate, on_upgrade, place));
    let decided = unless_displaced(gateway, asked, &slot, upgrading).await;
    let decided = decided.map(|decided| match decided {
        Decided::Accepted(answer) => Decided::Accepted(answer.map(Into::into)),
        Decided::Rejected(answer) => Decided::Rejected(answer.map(Into::into)),
    });
    decided.inspect_err(|refusal| warn_of_answer(refusal, id, &name))
}

/// Writes what firewalls did about a request: the rules that log, and those that
/// ran where a firewall has `debug_rules`. Any peer can cause these lines; the
/// log drops and counts those for which it has no room.
fn log_rules(asked: &Asked<'_>, seen: &Seen) {
    let Asked { id, parts, peer } = asked;
    let (method, path) = (&parts.method, parts.uri.path());
    for rule in &seen.logged {
        tracing::info!(request = %id, %peer, %method, path, rule, "a rule logs a request");
    }
    if let Some(ran) = &seen.ran {
        let by = seen.by.as_deref();
        tracing::info!(request = %id, %peer, %method, path, rules = %ran, by, "rules ran");
    }
}

/// A peer that waits while its function decides. hyper drops its request when
/// the peer leaves; that is counted, and is no fault of the function.
struct Waiting<'a> {
    gateway: &'a Gateway,
    asked: &'a Asked<'a>,
    decided: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.decided {
            self.gateway.tally().refuse(PEER_GONE);
            let Asked { id, parts, peer } = self.asked;
            let path = parts.uri.path();
            tracing::debug!(request = %id, %peer, path, "the peer left before its function decided");
        }
    }
}

/// Counts and logs a refusal, and makes its answer.
fn refuse(gateway: &Gateway, refusal: &Refusal, asked: &Asked<'_>, noted: &Noted) -> Answer {
    let Asked { id, parts, peer } = asked;
    let label = refusal.label();
    gateway.tally().refuse(label);
    let place = noted.led.as_deref().map(Service::place);
    let rule = noted.firewall.by.as_deref();
    let function = place
        .as_ref()
        .map(|place| tracing::field::display(&place.function));
    let trigger = place
        .as_ref()
        .map(|place| tracing::field::display(&place.trigger));
    tracing::debug!(request = %id, %peer, path = parts.uri.path(), function, trigger, rule, refusal = label, "refused");
    if let Refusal::Denied(Denied::Firewall(Stopped::Failed(undecided))) = refusal {
        let (by, blame) = (rule, undecided.blame());
        match &**undecided {
            Undecided::Answer(details) => {
                tracing::warn!(request = %id, by, ?blame, %details, "an answer of a firewall function is not valid");
            }
            cause => {
                tracing::debug!(request = %id, by, ?blame, %cause, "a firewall function has not decided");
            }
        }
    }
    if let Some(why) = &noted.firewall.why {
        tracing::info!(request = %id, %peer, path = parts.uri.path(), rule, why, "a firewall cannot tell whether a rule is for a request");
    }
    if let Refusal::Unauthenticated(denied) = refusal {
        let detail = denied.logged();
        tracing::debug!(request = %id, function, trigger, %detail, "not authenticated");
    }
    if let Refusal::Denied(Denied::Origin | Denied::CrossOrigin | Denied::NoOrigin) = refusal
        && gateway.tells()
    {
        let origin = parts.headers.get(ORIGIN);
        let origin = origin.and_then(|origin| origin.to_str().ok());
        let hint = match origin {
            _ if matches!(refusal, Refusal::Denied(Denied::CrossOrigin)) => {
                "if its pages may ask, add it to `allow_origins` in `cors` of the trigger"
            }
            Some(_) => "if its pages may open connections, add it to `origins` of the trigger",
            None => "`origin_required` of the trigger lets only browsers in",
        };
        tracing::info!(request = %id, function, trigger, origin, hint, "an origin was refused");
    }
    status::answer(refusal, *id, Wire::of(parts))
}

/// Answers probes here, and passes other requests to `reserved`. `connects` says
/// whether an answer could be taken for a WebSocket.
async fn answer_reserved(
    site: &Site,
    request: Request<Arriving>,
    peer: &Peer,
    connects: bool,
) -> Response<AnswerBody> {
    let (method, path) = (request.method(), request.uri().path());
    let mut answer = match (site.gateway.probe(method, path), &site.reserved) {
        (Some(answer), _) => answer.map(Into::into),
        (None, Some(reserved)) => reserved.answer(boxed(request), peer.clone()).await,
        (None, None) => Refusal::not_found().answer().map(Into::into),
    };
    if connects {
        decline(&mut answer);
    }
    answer
}

/// Answers a request of a publisher; hands the body of any other back. One that `connects` is
/// none, and reaches no function on the listener of publishers.
async fn publisher(
    site: &Site,
    normal: &Normal,
    asked: &Asked<'_>,
    sent: &Uri,
    (body, connects): (Arriving, bool),
) -> Result<Result<Response<AnswerBody>, Dropped>, Arriving> {
    let mut noted = Noted::default();
    if connects {
        let none = || refuse(&site.gateway, &Refusal::not_found(), asked, &noted);
        return match site.listener {
            Listener::Api => Ok(Ok(none().map(Into::into))),
            _ => Err(body),
        };
    }
    let answering = outside::answer(site, normal, asked, sent, &mut noted, body);
    // Boxed: most requests are not for publishers.
    let answered = Box::pin(answering).await?;
    log_rules(asked, &noted.firewall);
    Ok(answered.or_else(|refusal| {
        let answer = refuse(&site.gateway, &refusal, asked, &noted);
        match refusal.is_silent() {
            true => Err(Dropped),
            false => Ok(answer.map(Into::into)),
        }
    }))
}
