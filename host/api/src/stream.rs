//! Event streams: subscribers of a channel without a WebSocket.
//!
//! The body of the answer owns the [`Reader`]. Bounded by `streams` in
//! `[server.api]`, and each by its reader, past whose bound it ends: the client
//! comes back and recovers.
//! Every [`PING`] a comment keeps proxies from closing it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use openline_admission::keys::Key;
use openline_broker::channel::Backlog;
use openline_channels::forms;
use openline_channels::hub::{SubscribeError, Subscribing};
use openline_channels::reader::{EVENT_BYTES_MAX, Reader};
use openline_channels::space::Space;
use openline_channels::wakeups::Wakeups;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_core::name::ChannelName;
use openline_dialects::rest::ApiError;
use openline_dialects::sse;
use openline_gateway::outside::AnswerBody;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::access::Place;
use crate::failed::Failed;
use crate::publish::position;
use crate::{Call, Reply, StreamPlace};

/// How often a stream that is silent says that it is there: proxies close what
/// is silent for 30 to 60 seconds.
const PING: Duration = Duration::from_secs(25);

/// How long a browser waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 3_000;

/// How often a stream looks whether its function is there, and whether its key
/// still gives it the channel.
const LOOK: Duration = Duration::from_secs(1);

/// `GET /v1/channels/{channel}/events`.
pub(crate) fn answer(
    call: &Call<'_>,
    place: &Place,
    key: Arc<Key>,
    channel: &str,
) -> Result<Reply, Failed> {
    let (name, space) = place.channel(&key, Scope::Subscribe, channel)?;
    let header = call.parts.headers.get("last-event-id");
    let header = header.map(|id| id.as_bytes());
    let why = "or `Last-Event-ID` is not a position";
    let wrong = ApiError::Invalid { name: "since", why };
    let since = sse::since(header, call.query()).map_err(|_| wrong.clone())?;
    let since = since.map(|text| position(&text).ok_or(wrong)).transpose()?;
    let slot = call.stream_place().ok_or(ApiError::Full)?;
    let reader = reader(call, place);
    let mut first = |backlog: &Backlog| vec![Message::Text(greeting(backlog, since.is_some()))];
    let subscribing = Subscribing {
        since,
        answer: Some(&mut first),
        ..Subscribing::default()
    };
    let subscribed = space.subscribe_with(
        reader.connection(),
        &name,
        subscribing,
        &mut Wakeups::default(),
    );
    subscribed.map_err(refused)?;
    let place = place.clone();
    let ends = ended(Arc::clone(&key), place, name, space, call);
    let body = Events {
        reader,
        ends: Mutex::new(ends),
        ping: Box::pin(sleep_until(Instant::now() + PING)),
        is_over: false,
        _slot: slot,
    };
    let mut response = Response::new(AnswerBody::Stream(body.boxed()));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE));
    for (name, value) in sse::HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    Ok(Reply::Stream(Box::new(response)))
}

/// Why a subscriber is refused.
pub(crate) fn refused(error: SubscribeError) -> Failed {
    Failed::Error(match error {
        SubscribeError::TooMany | SubscribeError::Crowded | SubscribeError::HostFull => {
            ApiError::Full
        }
        SubscribeError::Unrecoverable => ApiError::Unrecoverable,
        SubscribeError::Repeated | SubscribeError::Gone => ApiError::Internal,
    })
}

/// What a stream begins with: where the channel is, what the reader has missed,
/// and whether something of that is lost. It is one message, so it is taken
/// whole or not at all. A reader that `asks` for what it has missed gets all of
/// it or is told that it is lost, also where the channel does not recover, and
/// where it would be larger than [`EVENT_BYTES_MAX`]: a stream that ends there would
/// end again each time its reader comes back.
fn greeting(backlog: &Backlog, asks: bool) -> ByteString {
    let mut head = sse::retry(RETRY_MS).to_string();
    if !asks || backlog.recovered == Some(true) {
        let all = with_events(head.clone(), backlog);
        if let Some(mut all) = all {
            if backlog.publications.is_empty()
                && let Some(position) = backlog.position
            {
                // An id without data is no event, but the reader takes it.
                all += &format!("id: {position}\n\n");
            }
            return all.into();
        }
    }
    head += &sse::lost(backlog.position);
    // What is the whole state of the channel replaces what is lost.
    let state = backlog
        .is_snapshot
        .then(|| with_events(head.clone(), backlog));
    state.flatten().unwrap_or(head).into()
}

/// The publications of a backlog after a head; none if they are too many bytes.
fn with_events(mut head: String, backlog: &Backlog) -> Option<String> {
    for publication in &backlog.publications {
        head += &forms::event(publication);
        if head.len() > EVENT_BYTES_MAX {
            return None;
        }
    }
    Some(head)
}

/// A reader for whoever calls.
pub(crate) fn reader(call: &Call<'_>, place: &Place) -> Reader {
    let peer = call.caller.peer.to_string();
    Reader::new(&peer, &place.limits, call.api.budget())
}

/// Waits until a stream is to end: its key is gone or narrower, its channel is
/// another one or no longer for its key, its function is gone, or the host drains.
pub(crate) fn ended(
    key: Arc<Key>,
    place: Place,
    name: ChannelName,
    space: Arc<Space>,
    call: &Call<'_>,
) -> BoxFuture<'static, ()> {
    let services = Arc::clone(&call.api.services);
    let mut drain = services.watch_drain();
    async move {
        let narrowed = async {
            // None at first: something may have changed since it was subscribed.
            let mut known = None;
            let mut seen = Weak::new();
            loop {
                tokio::time::sleep(LOOK).await;
                // The next function of this name has other channels.
                if !place.is_there(&services, &mut seen) {
                    return;
                }
                let now = Some((key.generation(), place.generation()));
                if now == known {
                    continue;
                }
                known = now;
                let allowed = place.space(&key, Scope::Subscribe, &name);
                if !allowed.is_ok_and(|of| Arc::ptr_eq(&of, &space)) {
                    return;
                }
            }
        };
        tokio::select! {
            _ = key.ended() => {}
            () = narrowed => {}
            // An error means that the host is already gone.
            _ = drain.wait_for(|draining| *draining) => {}
        }
    }
    .boxed()
}

/// The body of a stream.
struct Events {
    reader: Reader,
    /// Behind a lock that nothing takes, so that it may be shared.
    ends: Mutex<BoxFuture<'static, ()>>,
    ping: Pin<Box<Sleep>>,
    is_over: bool,
    _slot: StreamPlace,
}

impl Events {
    fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.is_over || self.ends.get_mut().poll_unpin(cx).is_ready() {
            self.is_over = true;
            return Poll::Ready(None);
        }
        let due = Instant::now() + PING;
        match self.reader.poll_next(cx) {
            Poll::Ready(Some(events)) => {
                self.ping.as_mut().reset(due);
                return Poll::Ready(Some(events));
            }
            Poll::Ready(None) => {
                self.is_over = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        if self.ping.poll_unpin(cx).is_ready() {
            self.ping.as_mut().reset(due);
            return Poll::Ready(Some(Bytes::from_static(sse::PING.as_bytes())));
        }
        Poll::Pending
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.next(cx)
            .map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
