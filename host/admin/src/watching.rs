//! Streams of channels, for people who watch one: Server-Sent Events, as
//! subscribers without a WebSocket get them.
//!
//! A stream is a [`Reader`]. It counts as a subscriber, but is no member of a
//! channel with presence. A task of the workers owns it and passes on what comes,
//! because the thread of the listener may not wait for a channel's lock.
//!
//! Bounded by [`STREAMS_MAX`](crate::STREAMS_MAX), and each by its reader.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::response::Parts;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use openline_channels::hub::{SubscribeError, Subscribing};
use openline_channels::reader::Reader;
use openline_channels::wakeups::Wakeups;
use openline_control::schema;
use openline_dialects::sse;
use openline_gateway::answer_body::AnswerBody;
use openline_gateway::reserved::Answer;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::access::LetIn;
use crate::call::Call;
use crate::channels::{Place, place};
use crate::context::Context;
use crate::problem::{Answered, Problem};
use crate::responses::NotChanged;

/// How often a stream that is silent says that it is there: proxies close what
/// is silent for 30 to 60 seconds.
const PING: Duration = Duration::from_secs(25);

/// How often a stream looks whether its channel is still the one of this name,
/// and its token that of the host.
const LOOK: Duration = Duration::from_secs(1);

/// A stream on its way to the listener. Answers travel through the router, whose
/// bodies are not those of the listener.
#[derive(Clone, Debug)]
pub(crate) struct Streamed(Arc<Mutex<Option<mpsc::Receiver<Bytes>>>>);

impl Streamed {
    /// The stream of an answer, if it is one.
    pub(crate) fn take(parts: &mut Parts) -> Option<AnswerBody> {
        let streamed: Self = parts.extensions.remove()?;
        let receiver = streamed.0.lock().take()?;
        Some(AnswerBody::Stream(Pieces(receiver).boxed()))
    }
}

#[utoipa::path(
    get,
    path = "/v1/channels/{channel}/stream",
    operation_id = "channelStream",
    tag = "channels",
    summary = "Publications of a channel as they come",
    description = "Server-Sent Events; each has a publication as JSON, as the event streams of publishers have it. A stream is a subscriber, but no member. It ends when the channel becomes another one, when its reader is too slow, when the host's `admin_token` changes, and when the host drains.",
    params(
        ("channel" = String, Path, description = "The channel, percent-encoded."),
        ("function" = Option<schema::FunctionName>, Query, description = "The function whose channel it is.")
    ),
    responses(
        (status = 200, description = "The stream.", content_type = "text/event-stream", body = String),
        NotChanged
    )
)]
pub(crate) async fn stream(call: Call) -> Answered {
    let name = call.channel()?;
    let named = call.owner()?;
    let let_in = call.let_in;
    let context = call.context;
    let at = place(&context, named.as_ref())?;
    let space = Arc::clone(at.space(&name)?);
    let permit = Arc::clone(&context.streams).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Problem::new(503, "streams", "as many channels are watched as may be")
            .hint("end another stream, or read the channel's history")
    })?;
    let reader = reader(&context, &at);
    let mut nothing = |_: &_| Vec::new();
    let subscribing = Subscribing {
        is_unseen: true,
        answer: Some(&mut nothing),
        ..Subscribing::default()
    };
    let connection = reader.connection();
    let subscribed = space.subscribe_with(connection, &name, subscribing, &mut Wakeups::default());
    subscribed.map_err(refused)?;
    let (sender, receiver) = mpsc::channel(1);
    let watch = Watch {
        is_same_channel: Box::new(move |context: &Context| {
            let at = place(context, named.as_ref()).ok();
            at.is_some_and(|at| at.space(&name).is_ok_and(|now| Arc::ptr_eq(now, &space)))
        }),
        let_in,
        context,
        reader,
        sender,
        _permit: permit,
    };
    tokio::spawn(watch.run());
    Ok(answer(receiver))
}

fn answer(receiver: mpsc::Receiver<Bytes>) -> Answer {
    let mut answer = Answer::default();
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(sse::CONTENT_TYPE));
    let own = [("cross-origin-resource-policy", "same-origin")];
    for (name, value) in sse::HEADERS.into_iter().chain(own) {
        let name = HeaderName::from_static(name);
        headers.insert(name, HeaderValue::from_static(value));
    }
    let streamed = Streamed(Arc::new(Mutex::new(Some(receiver))));
    answer.extensions_mut().insert(streamed);
    answer
}

fn refused(error: SubscribeError) -> Problem {
    match error {
        SubscribeError::Crowded => Problem::new(
            409,
            "crowded",
            "the channel has as many subscribers as it may",
        )
        .hint("read its history, or raise `subscribers`"),
        SubscribeError::TooMany | SubscribeError::HostFull => {
            Problem::new(503, "full", "what channels remember is as much as they may")
                .hint("raise `channel_bytes`, or let channels keep less")
        }
        SubscribeError::Unrecoverable | SubscribeError::Repeated | SubscribeError::Gone => {
            Problem::internal()
        }
    }
}

/// A reader that shares its budget with the other streams of the interface.
fn reader(context: &Context, place: &Place) -> Reader {
    let host = context.gateway.services().budget();
    let budget = context.stream_budget.get(host);
    Reader::new("", &place.limits, budget)
}

/// A stream that is written.
struct Watch {
    reader: Reader,
    context: Arc<Context>,
    let_in: LetIn,
    /// Whether its channel is still the one of its name.
    is_same_channel: Box<dyn Fn(&Context) -> bool + Send + Sync>,
    sender: mpsc::Sender<Bytes>,
    _permit: OwnedSemaphorePermit,
}

impl Watch {
    /// Passes on what comes, until whoever reads goes or [it ends](ended).
    async fn run(mut self) {
        let (reader, sender) = (&mut self.reader, &self.sender);
        tokio::select! {
            () = pass_on(reader, sender) => {}
            () = sender.closed() => {}
            () = ended(&self.context, &self.let_in, &*self.is_same_channel) => {}
        }
    }
}

async fn pass_on(reader: &mut Reader, sender: &mpsc::Sender<Bytes>) {
    loop {
        let silent = sleep_until(Instant::now() + PING);
        let piece = tokio::select! {
            piece = poll_fn(|polling| reader.poll_next(polling)) => piece,
            () = silent => Some(Bytes::from_static(sse::PING.as_bytes())),
        };
        let Some(piece) = piece else { return };
        if sender.send(piece).await.is_err() {
            return;
        }
    }
}

/// Waits until the channel is another one, the token has changed, or the host
/// drains.
async fn ended(
    context: &Context,
    let_in: &LetIn,
    is_same_channel: &(dyn Fn(&Context) -> bool + Send + Sync),
) {
    let services = context.gateway.services();
    let changed = async {
        loop {
            sleep(LOOK).await;
            let table = services.table();
            let is_same_token = *let_in == LetIn::by(table.config.admin_token.as_deref());
            if !is_same_token || !is_same_channel(context) {
                return;
            }
        }
    };
    let mut drain = services.watch_drain();
    tokio::select! {
        () = changed => {}
        // An error means that the host is already gone.
        _ = drain.wait_for(|draining| *draining) => {}
    }
}

/// The body of a stream: the pieces that its task passes on.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        polling: &mut Polling<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.poll_recv(polling);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}
