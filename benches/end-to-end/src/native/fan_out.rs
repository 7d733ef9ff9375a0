//! Delivers a publisher's messages to all subscribers: `/fan-out/publish` and
//! `/fan-out/subscribe`.
//!
//! The payload is read once and shared. A subscriber has an outbox, its own
//! lock and its own waker, so that publishing is a loop of pushes; its task
//! takes all that waits and flushes once. An outbox holds at most
//! `OUTBOX_MESSAGES_MAX`, and what does not fit is lost to that subscriber.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use futures_util::{Sink, Stream, StreamExt};
use hyper::upgrade::OnUpgrade;
use parking_lot::Mutex;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{EchoOptions, Socket, socket};

/// Messages that may wait for one subscriber: many times more than any peer
/// has in flight here.
const OUTBOX_MESSAGES_MAX: usize = 1024;

/// All subscribers of this server.
#[derive(Debug, Default)]
pub(super) struct Room(Mutex<Vec<Arc<Outbox>>>);

#[derive(Debug, Default)]
struct Outbox {
    waiting: Mutex<VecDeque<Message>>,
    waker: AtomicWaker,
}

impl Room {
    fn publish(&self, message: &Message) {
        for outbox in self.0.lock().iter() {
            let mut waiting = outbox.waiting.lock();
            if waiting.len() < OUTBOX_MESSAGES_MAX {
                // The payload is shared, not copied.
                waiting.push_back(message.clone());
            }
            drop(waiting);
            outbox.waker.wake();
        }
    }
}

/// Publishes all that the connection sends.
pub(super) async fn publisher<S: Socket>(
    upgraded: OnUpgrade,
    options: EchoOptions,
    room: Arc<Room>,
) {
    let Some(mut socket) = socket::<S>(upgraded, options).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            room.publish(&message);
        }
    }
}

/// Delivers to the connection what is published, until it ends.
pub(super) async fn subscriber<S: Socket>(
    upgraded: OnUpgrade,
    options: EchoOptions,
    room: Arc<Room>,
) {
    let Some(socket) = socket::<S>(upgraded, options).await else {
        return;
    };
    let outbox = Arc::new(Outbox::default());
    room.0.lock().push(Arc::clone(&outbox));
    let mut subscriber = Subscriber {
        socket,
        outbox: Arc::clone(&outbox),
        flushed: true,
    };
    // However it ended, the connection is gone.
    let _ = poll_fn(|context| subscriber.poll(context)).await;
    room.0.lock().retain(|other| !Arc::ptr_eq(other, &outbox));
}

struct Subscriber<S> {
    socket: WebSocketStream<S>,
    outbox: Arc<Outbox>,
    flushed: bool,
}

impl<S: Socket> Subscriber<S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.outbox.waker.register(context.waker());
        let mut socket = Pin::new(&mut self.socket);
        while socket.as_mut().poll_ready(context)?.is_ready() {
            let Some(message) = self.outbox.waiting.lock().pop_front() else {
                break;
            };
            socket.as_mut().start_send(message)?;
            self.flushed = false;
        }
        if !self.flushed
            && let Poll::Ready(outcome) = socket.as_mut().poll_flush(context)
        {
            outcome?;
            self.flushed = true;
        }
        // A subscriber says nothing, but it pings and closes.
        loop {
            match socket.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
