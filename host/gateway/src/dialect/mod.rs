//! Connections whose trigger has a dialect: what their peers ask for, done.
//!
//! The session of `openline-dialects` reads frames. Here is what it needs of the
//! host: `peer` says what a peer may, `commands` does what it asks, `welcome`
//! answers its first command, `words` has what the host says in the words of the
//! dialects. Nothing here waits; what a peer asks while its answers do not leave
//! is not read. Bounded by one frame, by [`COMMANDS_PER_POLL_MAX`] commands of it
//! in one poll, and by [`PUBLISHING_MAX`] publishes that wait for a disk.

mod calls;
mod commands;
mod peer;
mod pings;
mod welcome;
pub(crate) mod words;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::Stream;
use futures_util::stream::FuturesUnordered;
use openline_admission::services::Service;
use openline_channels::connection::Connection;
use openline_channels::wakeups::Wakeups;
use openline_core::call::Call;
use openline_core::channel::Right;
use openline_core::close::CloseReason;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_core::name::ChannelName;
use openline_dialects::{Action, Session};

pub(crate) use peer::Peer;
use pings::Pings;
pub(crate) use welcome::{Greeting, greet};

/// Commands that one poll does, before other connections have their turn: a
/// client that comes back subscribes to all its channels in one frame.
pub(crate) const COMMANDS_PER_POLL_MAX: u32 = 64;

/// Publishes of one connection on durable channels whose answer is not known.
/// After that, its commands wait.
const PUBLISHING_MAX: usize = 64;

/// A connection of a dialect, beside its socket.
#[derive(Debug)]
pub(crate) struct Speaking {
    session: Session,
    service: Arc<Service>,
    pings: Pings,
    /// Commands that came behind the first of their frame, and do not count as
    /// messages yet.
    uncounted: u64,
    /// Whether the next command is the first of its frame.
    is_first: bool,
    publishing: Option<Box<Publishing>>,
    /// Channels of which is not known whether the peer may still have them.
    doubtful: Vec<ChannelName>,
}

/// Answers to publishes that are not known yet. There are none in most
/// connections.
type Publishing = FuturesUnordered<Pin<Box<dyn Future<Output = ByteString> + Send>>>;

/// What came of one command.
#[derive(Debug)]
pub(crate) enum Step {
    /// There is none left.
    None,
    /// The next one waits until a publish is answered.
    Waits,
    /// It is done, and perhaps answered.
    Done,
    /// It is a message for the function.
    Message(Message),
    /// It is a call of the function.
    Call(Box<Call>),
    /// It answers a ping.
    Pong,
    /// The peer has another token. To verify it took long.
    Renewed,
    /// The connection ends for this reason.
    Close(CloseReason),
}

impl Speaking {
    /// A connection whose peer is welcome.
    pub(crate) fn new(session: Session, service: &Arc<Service>) -> Box<Self> {
        Box::new(Self {
            session,
            service: Arc::clone(service),
            pings: Pings::default(),
            uncounted: 0,
            is_first: false,
            publishing: None,
            doubtful: Vec::new(),
        })
    }

    /// The bytes of the frame whose commands are not done.
    pub(crate) fn held_bytes(&self) -> usize {
        self.session.held_bytes()
    }

    /// Takes a frame of the peer, when [`step`](Self::step) has answered that there
    /// is nothing left.
    pub(crate) fn receive(&mut self, message: Message) {
        let bytes = match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        };
        // It is ready: nothing is left of the frame before.
        let _ = self.session.receive(bytes);
        self.is_first = true;
    }

    /// How many commands count as messages and were not counted with their frames,
    /// since this was last asked.
    pub(crate) fn take_uncounted(&mut self) -> u64 {
        std::mem::take(&mut self.uncounted)
    }

    /// Does the next command.
    pub(crate) fn step(&mut self, peer: Peer<'_>) -> Step {
        let publishing = self.publishing.as_ref();
        if publishing.is_some_and(|it| it.len() >= PUBLISHING_MAX) {
            return Step::Waits;
        }
        let Some(action) = self.session.next_action() else {
            return Step::None;
        };
        if !std::mem::take(&mut self.is_first) {
            self.uncounted += 1;
        }
        self.act(action, peer)
    }

    /// Puts the answers to publishes into the outbox that have become known; whether
    /// there were any.
    pub(crate) fn poll_published(&mut self, cx: &mut Context<'_>, connection: &Connection) -> bool {
        let mut answers = false;
        while let Some(publishing) = &mut self.publishing {
            match Pin::new(&mut **publishing).poll_next(cx) {
                Poll::Ready(Some(answer)) => {
                    connection.push_frame(Message::Text(answer));
                    answers = true;
                }
                Poll::Ready(None) => self.publishing = None,
                Poll::Pending => break,
            }
        }
        answers
    }

    // === rights that change ===

    /// Notes that the peer may have fewer channels than before. One that would not
    /// be let in any more leaves.
    pub(crate) fn doubt(&mut self, peer: Peer<'_>) {
        if !peer.is_welcome(self.service.alias.function()) {
            peer.connection.end(CloseReason::Revoked);
        }
        self.doubtful = peer.connection.asked_channels();
    }

    /// Ends subscriptions that the peer may not have any more, and tells it; whether
    /// there are others to ask about.
    pub(crate) fn ask_again(&mut self, peer: Peer<'_>) -> bool {
        let right = (Right::Subscribe, Scope::Subscribe);
        for _ in 0..COMMANDS_PER_POLL_MAX {
            let Some(channel) = self.doubtful.pop() else {
                self.doubtful = Vec::new();
                return false;
            };
            let hub = self.service.alias.hub();
            if !peer.may(right, &channel, &hub.terms(&channel), &self.service) {
                let mut wakeups = Wakeups::default();
                hub.dismiss_asked(peer.connection, &channel, &mut wakeups);
            }
        }
        !self.doubtful.is_empty()
    }

    // === pings ===

    /// When a ping is due, or the answer to one is late.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.pings.due()
    }

    /// Begins to ping, each time after `interval`, and gives the peer `timeout` to
    /// answer; zero is never.
    pub(crate) fn begin_pings(&mut self, interval: Duration, timeout: Duration) {
        self.pings = Pings::new(interval, timeout);
    }

    /// Pings if that is due; whether the peer has not answered in time. While the
    /// host does not read, or the peer takes nothing, its silence proves nothing.
    pub(crate) fn check_pings(
        &mut self,
        now: Duration,
        (hearing, blocked): (bool, bool),
        connection: &Connection,
    ) -> bool {
        let (is_late, pings) = self.pings.check(now, hearing && !blocked);
        if pings
            && !blocked
            && let Some(ping) = self.session.ping()
        {
            connection.push_frame(Message::Text(ping));
            self.pings.sent(now);
        }
        is_late
    }

    fn send(&self, connection: &Connection, frame: ByteString) -> Step {
        connection.push_frame(Message::Text(frame));
        Step::Done
    }
}

/// The message of a frame, for the function.
fn message_of(data: Bytes) -> Message {
    match ByteString::try_from(data) {
        Ok(text) => Message::Text(text),
        // A peer may send a frame of bytes; what the session reads of it is text.
        Err(_) => Message::Text(ByteString::new()),
    }
}

/// The first action of a session: what its peer wants to connect with.
pub(crate) fn first(session: &mut Session) -> Result<Box<openline_dialects::Connect>, CloseReason> {
    match session.next_action() {
        Some(Action::Connect(connect)) => Ok(connect),
        Some(Action::Close(close)) => Err(words::ending(close)),
        _ => Err(CloseReason::Protocol),
    }
}
