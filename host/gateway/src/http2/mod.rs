//! HTTP/2: one task for each TCP connection, one for each request on it, and
//! WebSockets that are streams of it (RFC 8441).
//!
//! Every window, buffer and number is set here. A stream's window is a peer's
//! to fill while its function is paused; the connection's window has room for
//! those of all streams, so that a stream that is not read holds up no other.
//! Bounded: `http2_streams` at once; [`SEND_BYTES`] of each wait to be sent;
//! [`CANCELLED_MAX`] requests that the peer has not waited for. An answer that
//! its peer does not read, and a TCP connection without requests, are given
//! the same time as over HTTP/1.1; then the stream ends, or the TCP connection.

mod closing;
mod stops;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use openline_admission::peer::Peer;
use openline_core::config::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::exchange::status;
use crate::gateway::Permit;
use crate::grpc::Wire;
use crate::http as transport;
use crate::http::{Dropped, HEAD_BYTES_MAX, Site};
use crate::request_id::{REQUEST_ID, RequestId};
use crate::rescue::Refusal;
use crate::reserved::Answer;
use crate::upgrade::{Stream, WRITE_BYTES};

use closing::Closing;
use stops::Spawner;
use streams::{Active, Streams, Tracked};

/// How much a peer may send on a stream before the host reads, in bytes: what
/// HTTP/2 begins with. A peer 100 ms away sends 640 KB a second with it.
const STREAM_WINDOW: u32 = 64 * 1024 - 1;
/// How many times the windows of all streams a TCP connection's window is. With
/// one, no stream holds up another. But the library also ends a TCP connection
/// whose unread frames are small and many, by half of this window: 243 bytes
/// for each WebSocket message of a few bytes. With this factor, 14 paused
/// streams may be full of the smallest messages.
const WINDOW_FACTOR: u32 = 8;
/// A window is no larger (RFC 9113 section 6.9.1).
const WINDOW_MAX: u32 = (1 << 31) - 1;
/// The largest frame, in bytes: the least that HTTP/2 allows. Larger ones would
/// let one stream hold up the others.
const FRAME_BYTES: usize = WRITE_BYTES;
/// How much of a stream the library keeps until the peer has room, in bytes:
/// two frames, so that one can be on its way while the next one is made.
const SEND_BYTES: usize = 32 * 1024;
/// The table that compresses the peer's headers, in bytes: what HTTP/2 begins
/// with.
const HEADER_TABLE_BYTES: u32 = 4 * 1024;
/// Streams that a peer has reset before the host has taken them; past it the
/// TCP connection ends.
const RESET_EARLY_MAX: usize = 20;
/// Streams that the host has reset because the peer broke a rule; past it the
/// TCP connection ends.
const RESET_WRONG_MAX: usize = 64;
/// Requests that the peer cancelled before they were answered, beyond those
/// that it waited for; past it the TCP connection ends. A browser cancels
/// some when a person leaves a page.
const CANCELLED_MAX: usize = 100;
/// How often the host checks that the peer is there, and how long it waits for
/// the answer: WebSockets on a TCP connection have pings of their own, but
/// those that are paused do not hear the answers.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// Serves one TCP connection until it ends, its place is needed while it has no
/// request, or the host drains and the last stream has ended.
pub(crate) async fn serve<S>(stream: S, peer: Peer, permit: Permit, site: Arc<Site>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let config = site.gateway.services().table().config.clone();
    let patience = config.request_timeout;
    let mut drain = site.gateway.services().watch_drain();
    let last = *drain.borrow_and_update();
    let permit = Arc::new(permit);
    let streams = Streams::new(Arc::clone(&permit));
    let service = service_fn({
        let (streams, site, peer) = (Arc::clone(&streams), Arc::clone(&site), peer.clone());
        move |request| {
            let active = Streams::begin(&streams);
            let (site, peer) = (Arc::clone(&site), peer.clone());
            // Boxed: a task of its own holds it together with the library's
            // state, and most of it is only needed for a WebSocket.
            Box::pin(async move { answer(&site, request, &peer, active).await })
        }
    });
    let connection = builder(&config).serve_connection(TokioIo::new(Closing(stream)), service);
    let mut connection = std::pin::pin!(connection);
    if last {
        connection.as_mut().graceful_shutdown();
    }
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = permit.slot().closed() => {
            tracing::debug!(%peer, "closed: its place was needed");
            return;
        }
        () = streams.stop_unread(patience) => return,
        () = streams.cancelled() => {
            tracing::debug!(%peer, "closed: the peer cancels its requests");
            return;
        }
        () = idle_or_draining(&streams, patience, &mut drain, last) => {
            // No further streams: the library says so to the peer. Until the
            // peer has heard it, it may still begin some, and they are served.
            connection.as_mut().graceful_shutdown();
            streams.restart();
            tokio::select! {
                biased;
                ended = connection => ended,
                () = permit.slot().closed() => return,
                () = streams.stop_unread(patience) => return,
                () = streams.cancelled() => return,
                // A peer may not answer, or keep a stream whose end it takes no
                // bytes of.
                () = streams.idle(patience) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a TCP connection over HTTP/2 failed");
    }
}

/// Waits until a TCP connection has had no request for a while, or the host
/// drains.
async fn idle_or_draining(
    streams: &Streams,
    patience: Duration,
    drain: &mut tokio::sync::watch::Receiver<bool>,
    last: bool,
) {
    tokio::select! {
        () = streams.idle(patience) => {}
        () = transport::begun(drain), if !last => {}
    }
}

fn builder(config: &ServerConfig) -> http2::Builder<Spawner> {
    let streams = config.http2_streams;
    let window = streams.saturating_mul(STREAM_WINDOW * WINDOW_FACTOR);
    let mut builder = http2::Builder::new(Spawner);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window.clamp(STREAM_WINDOW, WINDOW_MAX))
        .max_frame_size(u32::try_from(FRAME_BYTES).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BYTES)
        .header_table_size(HEADER_TABLE_BYTES)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(RESET_EARLY_MAX)
        .max_local_error_reset_streams(RESET_WRONG_MAX)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    builder
}

/// Answers one request. It takes a place of `requests`, like a TCP connection
/// with a request.
async fn answer(
    site: &Site,
    request: Request<Incoming>,
    peer: &Peer,
    active: Active,
) -> Result<Response<Tracked>, Dropped> {
    let id = site.gateway.request_id();
    let (parts, body) = request.into_parts();
    let call = Wire::of(&parts);
    let request = Request::from_parts(parts, body.into());
    let streams = Arc::clone(active.streams());
    let active = Arc::new(active);
    // The stream lives as long as its place is held.
    let place = site
        .gateway
        .stream(peer.ip(), Arc::clone(&active) as _)
        .await;
    let answered = match &place {
        Some(place) => {
            let answering = transport::answer::<Stream>(site, request, id, peer, place.clone());
            tokio::select! {
                biased;
                answer = answering => answer,
                () = place.slot().closed() => Ok(refused(site, id, call).map(Into::into)),
            }
        }
        None => Ok(refused(site, id, call).map(Into::into)),
    };
    // A request that a firewall drops was not cancelled by its peer.
    active.answered();
    let mut answer = answered?;
    answer.headers_mut().insert(REQUEST_ID, id.header());
    // A stream lives until its answer ends, and holds its place.
    let held = answer.body().is_stream().then_some((active, place));
    Ok(answer.map(|body| Tracked::new(body, &streams, held)))
}

/// The answer where there is no place.
fn refused(site: &Site, id: RequestId, call: Option<Wire>) -> Answer {
    let refusal = Refusal::Requests;
    site.gateway.tally().refuse(refusal.label());
    status::answer(&refusal, id, call)
}
