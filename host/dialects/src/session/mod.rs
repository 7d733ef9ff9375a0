//! One connection of a dialect: from its frames to actions, one at a time.
//!
//! A session knows how far the connection has come, and whether it owes an
//! answer to a ping; channels, clients and time are the host's. It holds one
//! frame at most, by reference, until its commands are taken, and nothing
//! between frames.

mod centrifugo;
mod pushflo;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;

use self::centrifugo::Read;
pub use self::centrifugo::{connect_of_query, read_connect};
use crate::action::{Action, Connect};
use crate::centrifugo as protocol;
use crate::centrifugo::codes;
use crate::dialect::Dialect;
use crate::limits::COMMANDS_MAX;
use crate::outcome::{Close, Refusal, Welcome};

/// One connection of a dialect.
#[derive(Debug)]
pub struct Session {
    dialect: Dialect,
    state: State,
    /// The frame whose commands are taken, and where the next one begins.
    frame: Bytes,
    next: usize,
    /// The commands that were taken of the frame.
    commands: u32,
    /// Pings that the peer has not answered.
    pings: u8,
}

#[derive(Debug)]
enum State {
    /// The peer has not said who it is, except for this key in its request.
    New(Option<ByteString>),
    /// The host finds out, and will answer the command with this number.
    Connecting(u32),
    Connected,
    /// The peer knows that it is not welcome, and should leave.
    Refused,
    Closed,
}

/// How a peer that is not welcome is sent away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// A frame to send.
    pub frame: Option<ByteString>,
    /// The close frame after it. If there is none, the peer closes by itself
    /// when it has read the frame, and would take a close that overtakes it for
    /// a broken connection: the host closes after a grace period, as
    /// [`codes::STALE`].
    pub close: Option<Close>,
}

/// The session has not taken all commands of the frame before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame before has commands left")]
pub struct Busy;

impl Session {
    /// A session of Centrifugo's protocol, in which the peer speaks first.
    pub fn centrifugo() -> Self {
        Self::new(Dialect::Centrifugo, None)
    }

    /// A session of PushFlo's, whose key was in the request: see
    /// [`pushflo::key_of_query`](crate::pushflo::key_of_query). Its first action
    /// is there at once.
    pub fn pushflo(key: ByteString) -> Self {
        Self::new(Dialect::Pushflo, Some(key))
    }

    fn new(dialect: Dialect, key: Option<ByteString>) -> Self {
        Self {
            dialect,
            state: State::New(key),
            frame: Bytes::new(),
            next: 0,
            commands: 0,
            pings: 0,
        }
    }

    /// The dialect.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the peer is connected: it gets publications and pings.
    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// Whether it may receive another frame.
    pub fn is_ready(&self) -> bool {
        let waits =
            matches!(self.state, State::Connecting(_)) || matches!(self.state, State::New(Some(_)));
        self.frame.is_empty() && !waits
    }

    /// The bytes of the frame that it holds: all of them, until the last command
    /// is taken.
    pub fn held_bytes(&self) -> usize {
        self.frame.len()
    }

    /// Takes a frame of the peer, text or binary. Its actions are those that
    /// [`Session::next_action`] returns until it returns none.
    ///
    /// # Errors
    ///
    /// When there are actions left, or the peer's wish to connect has no answer:
    /// the host reads no further until then.
    pub fn receive(&mut self, frame: Bytes) -> Result<(), Busy> {
        if !self.is_ready() {
            return Err(Busy);
        }
        if matches!(self.state, State::Closed) {
            return Ok(());
        }
        // Nothing is not a command.
        self.frame = if frame.is_empty() {
            Bytes::from_static(b"\n")
        } else {
            frame
        };
        self.next = 0;
        self.commands = 0;
        Ok(())
    }

    /// The next thing that the peer asks for.
    pub fn next_action(&mut self) -> Option<Action> {
        match &mut self.state {
            State::Closed | State::Connecting(_) => return None,
            State::New(key) => {
                if let Some(token) = key.take() {
                    self.state = State::Connecting(0);
                    return Some(Action::Connect(Box::new(Connect {
                        token,
                        ..Connect::default()
                    })));
                }
            }
            State::Connected | State::Refused => {}
        }
        if self.frame.is_empty() {
            return None;
        }
        match self.dialect {
            Dialect::Centrifugo => Some(self.next_command()),
            Dialect::Pushflo => {
                let frame = std::mem::take(&mut self.frame);
                if matches!(self.state, State::Refused) {
                    return Some(self.close(pushflo::UNAUTHORIZED));
                }
                pushflo::read(&frame)
            }
        }
    }

    fn next_command(&mut self) -> Action {
        let rest = &self.frame[self.next..];
        let line = &rest[..memchr(b'\n', rest).unwrap_or(rest.len())];
        let read = centrifugo::read(&self.frame, line);
        self.next += line.len() + 1;
        self.commands += 1;
        let is_last = self.next >= self.frame.len();
        if is_last {
            self.frame = Bytes::new();
        }
        if !is_last && self.commands >= COMMANDS_MAX {
            return self.close(codes::BAD_REQUEST);
        }
        match (read, &self.state) {
            (Err(close), _) => self.close(close),
            (Ok(Read::Connect(id, connect)), State::New(_)) => {
                self.state = State::Connecting(id);
                Action::Connect(connect)
            }
            (Ok(Read::Pong), State::Connected) if self.pings > 0 => {
                self.pings -= 1;
                Action::Pong
            }
            (Ok(Read::Other(action)), State::Connected) => action,
            (Ok(_), _) => self.close(codes::BAD_REQUEST),
        }
    }

    fn close(&mut self, close: Close) -> Action {
        self.state = State::Closed;
        self.frame = Bytes::new();
        Action::Close(close)
    }

    /// Answers [`Action::Connect`]: the peer is welcome. Send the frame before
    /// all others. `None` if the session does not wait for this answer.
    pub fn connected(&mut self, welcome: &Welcome<'_>) -> Option<ByteString> {
        let State::Connecting(id) = self.state else {
            return None;
        };
        self.state = State::Connected;
        Some(match self.dialect {
            Dialect::Centrifugo => protocol::reply::connected(id, welcome),
            Dialect::Pushflo => crate::pushflo::frame::connected(welcome),
        })
    }

    /// Answers [`Action::Connect`]: the peer is not welcome. `None` if the
    /// session does not wait for this answer.
    pub fn refused(&mut self, refusal: &Refusal) -> Option<Rejection> {
        let State::Connecting(id) = self.state else {
            return None;
        };
        self.state = State::Refused;
        if self.dialect == Dialect::Pushflo {
            return Some(Rejection {
                frame: Some(crate::pushflo::frame::error(refusal, None)),
                close: Some(pushflo::UNAUTHORIZED),
            });
        }
        // The frame's other commands were sent without knowing.
        self.frame = Bytes::new();
        let close = match refusal {
            Refusal::Unauthorized => Some(codes::INVALID_TOKEN),
            Refusal::Denied => Some(codes::PERMISSION_DENIED),
            Refusal::LimitExceeded => Some(codes::CONNECTION_LIMIT),
            _ => None,
        };
        let frame = close
            .is_none()
            .then(|| protocol::reply::refused(id, refusal));
        Some(Rejection { frame, close })
    }

    /// A ping for the peer, if its dialect has pings of the host and it is
    /// connected. The host sends one after each
    /// [`Welcome::ping_s`] without other traffic, and closes with
    /// [`codes::NO_PONG`] if no
    /// [`Action::Pong`] comes.
    pub fn ping(&mut self) -> Option<ByteString> {
        if self.dialect != Dialect::Centrifugo || !self.is_connected() {
            return None;
        }
        self.pings = self.pings.saturating_add(1);
        Some(ByteString::from_static(protocol::PING))
    }
}
