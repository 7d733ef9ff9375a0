//! One connection: the task that owns its socket.
//!
//! A hand-written poll, because of what it decides: everything that one read
//! brought becomes one call of the function, and everything that one wake
//! finds in the outbox leaves with one flush. Bounded: one batch in the
//! function, one batch gathered meanwhile, then reading stops and TCP pushes
//! back; the outbox has its own bound; ending takes at most `close_timeout`.

mod close;
mod frames;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use openline_cluster::connection::{Connection, Next};
use openline_core::close::CloseReason;
use openline_core::event::Event;
use openline_core::limits::{BATCH_BYTES_MAX, BATCH_MESSAGES_MAX};
use openline_core::message::Message;
use openline_engine::function::{Binding, Outcome};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use frames::Received;

/// What a connection needs of the configuration.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The largest message, in bytes.
    pub(crate) message_bytes: usize,
    /// How long ending may take.
    pub(crate) close_timeout: Duration,
}

/// Owns the socket from the 101 to the end.
#[derive(Debug)]
pub(crate) struct Actor<S> {
    stream: WebSocketStream<S>,
    connection: Arc<Connection>,
    binding: Binding,
    batch: Vec<Message>,
    batch_bytes: usize,
    /// The function was told of it: it will be told of the end.
    opened: bool,
    /// Something was written that is not flushed.
    unflushed: bool,
    close_timeout: Duration,
    /// Runs once the connection is to end, so that a peer that does not read
    /// cannot keep it from ending. Made when it is needed: most connections
    /// are idle, and a timer is as large as the rest of them.
    ending: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Actor<S> {
    /// `read` is what the peer sent behind its handshake.
    pub(crate) async fn new(
        socket: S,
        read: Bytes,
        connection: Arc<Connection>,
        binding: Binding,
        settings: &Settings,
    ) -> Self {
        let config = Some(frames::config(settings.message_bytes));
        let stream = if read.is_empty() {
            WebSocketStream::from_raw_socket(socket, Role::Server, config).await
        } else {
            WebSocketStream::from_partially_read(socket, read.into(), Role::Server, config).await
        };
        Self {
            stream,
            connection,
            binding,
            batch: Vec::new(),
            batch_bytes: 0,
            opened: false,
            unflushed: false,
            close_timeout: settings.close_timeout,
            ending: None,
        }
    }

    /// Serves until the connection is to end, and says why it is. What follows
    /// is [`Actor::end`]: apart, because the task of an idle connection should
    /// hold no more than an open connection needs.
    pub(crate) async fn serve(&mut self) -> CloseReason {
        match self.binding.dispatch(Event::Open) {
            Ok(()) => self.opened = true,
            Err(outcome) => self.take_outcome(outcome),
        }
        std::future::poll_fn(|cx| self.poll_open(cx)).await
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.connection.register(cx.waker());
        if let Some(outcome) = self.binding.outcome() {
            self.take_outcome(outcome);
        }
        if let Some(reason) = self.poll_read(cx) {
            return Poll::Ready(reason);
        }
        self.deliver();
        if let Some(reason) = self.poll_write(cx) {
            return Poll::Ready(reason);
        }
        self.poll_ending(cx)
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        let reason = match outcome {
            Outcome::Done => return,
            Outcome::Fault(fault) => CloseReason::Fault(fault),
            Outcome::Full => CloseReason::Overloaded,
        };
        self.connection.end(reason);
    }

    /// Reads all that is there, up to one batch.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        while self.batch.len() < BATCH_MESSAGES_MAX && self.batch_bytes < BATCH_BYTES_MAX {
            let Poll::Ready(item) = Pin::new(&mut self.stream).poll_next(cx) else {
                return None;
            };
            match frames::received(item) {
                Received::Message(message) => {
                    self.batch_bytes += message.bytes();
                    self.batch.push(message);
                }
                // tungstenite has queued the pong.
                Received::Ping => self.unflushed = true,
                Received::Nothing => {}
                Received::End(reason) => return Some(reason),
            }
        }
        None
    }

    /// Gives the batch to the function, when it has returned from the last.
    fn deliver(&mut self) {
        if self.batch.is_empty() || self.binding.is_busy() || !self.connection.is_open() {
            return;
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        if let Err(outcome) = self.binding.dispatch(Event::Messages(batch)) {
            self.take_outcome(outcome);
        }
    }

    /// Writes all that waits and flushes once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Option<CloseReason> {
        let mut stream = Pin::new(&mut self.stream);
        loop {
            match stream.as_mut().poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Some(frames::reason_of(&error)),
                Poll::Pending => return None,
            }
            match self.connection.next() {
                Next::Item(message) => {
                    self.unflushed = true;
                    if let Err(error) = stream.as_mut().start_send(frames::outgoing(message)) {
                        return Some(frames::reason_of(&error));
                    }
                }
                Next::End(reason) => return Some(reason),
                Next::Idle => break,
            }
        }
        if self.unflushed {
            match stream.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => return Some(frames::reason_of(&error)),
                Poll::Pending => {}
            }
        }
        None
    }

    /// Whether a connection that is to end has had its time to write the rest.
    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        if self.connection.is_open() {
            return Poll::Pending;
        }
        let time = self.close_timeout;
        let timer = self
            .ending
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        match timer.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                // What waits is given up; the reason stays.
                loop {
                    match self.connection.next() {
                        Next::Item(_) => {}
                        Next::End(reason) => return Poll::Ready(reason),
                        Next::Idle => return Poll::Ready(CloseReason::Lost),
                    }
                }
            }
        }
    }
}
