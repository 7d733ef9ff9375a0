//! One connection under load: reads all that is there, sends all that may be
//! sent, flushes once.
//!
//! Two limits bound it: the depth (messages in flight) and, with a rate, the
//! messages released by the pacer. It never sleeps; it is woken by the network
//! or by its slot.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::flight::Flight;
use super::payload::Payload;
use super::slot::{Order, Plan, Slot};
use crate::connect::Socket;
use crate::tally::{Counters, Tally, record};

/// How long the server has for its part of the close handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Characters of an answer that was not expected that are shown.
const EXAMPLE_CHARACTERS_MAX: usize = 60;

/// The code for a close frame without one (RFC 6455, section 7.1.5).
const NO_STATUS: u16 = 1005;

/// How the load on a connection ended.
enum Ending {
    /// As ordered.
    Done,
    /// By the server, or by a fault; the text names the kind.
    Broken(String),
}

/// One open connection.
pub(crate) struct Connection {
    socket: Socket,
    slot: Rc<Slot>,
    tally: Rc<RefCell<Tally>>,
    counters: Arc<Counters>,
    payload: Payload,
    depth: usize,
    /// The connection's place in its worker's schedule.
    place: u64,
    flight: Flight,
    flushed: bool,
}

/// The parts of a connection besides its socket.
pub(crate) struct Parts {
    pub(crate) slot: Rc<Slot>,
    pub(crate) tally: Rc<RefCell<Tally>>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) payload: Payload,
    pub(crate) depth: usize,
    pub(crate) place: u64,
}

impl Connection {
    pub(crate) fn new(socket: Socket, parts: Parts) -> Self {
        Self {
            socket,
            slot: parts.slot,
            tally: parts.tally,
            counters: parts.counters,
            payload: parts.payload,
            depth: parts.depth,
            place: parts.place,
            flight: Flight::default(),
            flushed: true,
        }
    }

    /// Follows the slot's orders until the connection has ended.
    pub(crate) async fn run(mut self) {
        let ending = poll_fn(|context| self.poll(context)).await;
        let (_, plan) = self.slot.current();
        let broken = matches!(ending, Ending::Broken(_));
        if let Some(plan) = plan {
            self.settle(plan, broken);
        }
        match ending {
            Ending::Done => {
                let closed = close(&mut self.socket).await;
                let mut tally = self.tally.borrow_mut();
                match closed {
                    Ok(code) => tally.close_code(code),
                    Err(kind) => tally.error(format!("while closing: {kind}")),
                }
            }
            Ending::Broken(kind) => {
                self.slot.break_off();
                let mut tally = self.tally.borrow_mut();
                tally.error(kind);
                tally.lost += 1;
            }
        }
        self.counters.open.decrease();
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.slot.register(context.waker());
        if let Some(ending) = self.read(context) {
            return Poll::Ready(ending);
        }
        let outcome = match self.slot.current() {
            (Order::Wait, _) | (_, None) => Ok(()),
            (Order::Run | Order::Drain, Some(plan)) => self.send(plan, context),
            (Order::Close, _) => return Poll::Ready(Ending::Done),
        };
        if let Err(error) = outcome.and_then(|()| self.flush(context)) {
            return Poll::Ready(Ending::Broken(kind(&error)));
        }
        match self.slot.current().0 {
            Order::Close => Poll::Ready(Ending::Done),
            Order::Drain if self.flight.is_empty() && self.slot.waiting() == 0 => {
                Poll::Ready(Ending::Done)
            }
            _ => Poll::Pending,
        }
    }

    /// Reads until nothing is there, which also registers the waker.
    fn read(&mut self, context: &mut Context<'_>) -> Option<Ending> {
        loop {
            match self.socket.poll_next_unpin(context) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Poll::Ready(Some(Ok(Message::Close(frame)))) => {
                    let code = close_code(frame.as_ref());
                    self.tally.borrow_mut().close_code(code);
                    // The socket still owes the server its close frame.
                    let _ = self.socket.poll_flush_unpin(context);
                    let reason = frame.map(|frame| frame.reason).unwrap_or_default();
                    let space = if reason.is_empty() { "" } else { " " };
                    let kind = format!("closed by the server: {code}{space}{reason}");
                    return Some(Ending::Broken(kind));
                }
                Poll::Ready(Some(Ok(message))) => self.receive(&message),
                Poll::Ready(Some(Err(error))) => return Some(Ending::Broken(kind(&error))),
                Poll::Ready(None) => {
                    return Some(Ending::Broken("lost without a close frame".to_owned()));
                }
            }
        }
    }

    fn receive(&mut self, message: &Message) {
        let Some(due) = self.flight.take(&self.payload, message) else {
            self.counters.foreign.increase();
            self.counters
                .foreign_example
                .get_or_init(|| example(message));
            self.tally.borrow_mut().error("answer to nothing sent");
            return;
        };
        self.counters.answered.increase();
        if let (_, Some(plan)) = self.slot.current()
            && plan.window.contains(due)
        {
            record(&mut self.tally.borrow_mut().latency, due.elapsed());
        }
    }

    /// Sends what is due and fits into the depth.
    fn send(&mut self, plan: Plan, context: &mut Context<'_>) -> Result<(), Error> {
        while self.flight.len() < self.depth && self.is_due(plan) {
            if self.socket.poll_ready_unpin(context)?.is_pending() {
                break;
            }
            let turn = self.slot.take();
            let due = match plan.schedule {
                Some(schedule) => schedule.due_in_turn(self.place, turn),
                None => Instant::now(),
            };
            if plan.schedule.is_some() && plan.window.contains(due) {
                record(&mut self.tally.borrow_mut().lateness, due.elapsed());
            }
            self.dispatch(turn, due)?;
        }
        Ok(())
    }

    /// In a closed loop a message is due as soon as there is room for it.
    fn is_due(&self, plan: Plan) -> bool {
        match plan.schedule {
            Some(_) => self.slot.waiting() > 0,
            None => self.slot.current().0 == Order::Run,
        }
    }

    fn dispatch(&mut self, turn: u64, due: Instant) -> Result<(), Error> {
        self.socket.start_send_unpin(self.payload.message(turn))?;
        self.flight.push(turn, due);
        self.counters.sent.increase();
        self.flushed = false;
        Ok(())
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if !self.flushed
            && let Poll::Ready(outcome) = self.socket.poll_flush_unpin(context)
        {
            outcome?;
            self.flushed = true;
        }
        Ok(())
    }

    /// Counts the messages that will never be answered. Those that were still
    /// awaited count with the time they had waited: leaving them out would
    /// hide the slowest.
    fn settle(&mut self, plan: Plan, broken: bool) {
        let mut tally = self.tally.borrow_mut();
        for due in self.flight.drain().filter(|due| plan.window.contains(*due)) {
            tally.unanswered += 1;
            if !broken {
                record(&mut tally.latency, due.elapsed());
            }
        }
    }
}

/// Closes with 1000 and waits for the server's part: its close code, or what
/// went wrong.
pub(crate) async fn close(socket: &mut Socket) -> Result<u16, String> {
    let handshake = async {
        let frame = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        socket.close(Some(frame)).await?;
        let mut code = NO_STATUS;
        while let Some(message) = socket.next().await {
            if let Message::Close(frame) = message? {
                code = close_code(frame.as_ref());
            }
        }
        Ok::<_, Error>(code)
    };
    match tokio::time::timeout(CLOSE_TIMEOUT, handshake).await {
        Ok(outcome) => outcome.map_err(|error| kind(&error)),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn close_code(frame: Option<&CloseFrame>) -> u16 {
    frame.map_or(NO_STATUS, |frame| frame.code.into())
}

/// A name for counting, the same for faults of one cause.
fn kind(error: &Error) -> String {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            "connection reset".to_owned()
        }
        Error::Io(error) => error.kind().to_string(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "lost without a close frame".to_owned()
        }
        Error::Capacity(_) => "answer too big".to_owned(),
        Error::Utf8(_) => "answer is not UTF-8".to_owned(),
        other => other.to_string(),
    }
}

/// An unexpected answer, shortened for the report.
fn example(message: &Message) -> String {
    match message {
        Message::Text(text) => {
            let start: String = text.chars().take(EXAMPLE_CHARACTERS_MAX).collect();
            let dots = if start.len() < text.len() { "…" } else { "" };
            format!("the text {start:?}{dots}")
        }
        other => format!("{} bytes of binary", other.len()),
    }
}
