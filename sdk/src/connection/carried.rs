//! What a connection carries: bytes, tags, channels, alarms and messages that
//! the host answers. All of it is the host's, so it stays when instances go.
//! Each has a limit of the function's configuration.

use std::time::Duration;

use super::Connection;
use crate::alarms::milliseconds;
use crate::message::{AsMessage, Message};
use crate::outcome::Error;
use crate::raw::connections;

impl Connection {
    /// Bytes that belong to the connection and outlive the instance: what
    /// `upgrade` or the last [`set_attachment`](Self::set_attachment) left.
    #[must_use]
    pub fn attachment(&self) -> Vec<u8> {
        self.raw.attachment()
    }

    /// Replaces the attachment.
    ///
    /// # Errors
    ///
    /// `limit` when it is larger than 16 KiB, `gone` when the connection is.
    pub fn set_attachment(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.raw.set_attachment(bytes.as_ref())?)
    }

    /// The words that [`by_tag`](crate::by_tag) finds it by: what `upgrade` or
    /// the last [`set_tags`](Self::set_tags) left.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.raw.tags()
    }

    /// Replaces the tags. The same word twice counts once.
    ///
    /// # Errors
    ///
    /// `invalid` when a word has not 1 to 256 bytes, `limit` when there are
    /// more than 10, `gone` when the connection is.
    ///
    /// ```no_run
    /// # use openline_sdk::{Connection, Error};
    /// # fn sign_in(connection: &Connection, user: &str) -> Result<(), Error> {
    /// connection.set_tags(&["signed-in", &format!("user:{user}")])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_tags(&self, tags: &[&str]) -> Result<(), Error> {
        Ok(self.raw.set_tags(tags)?)
    }

    /// Subscribes to a channel of this function; again is harmless.
    ///
    /// # Errors
    ///
    /// `invalid` when the name has not 1 to 256 bytes, `limit` when the
    /// connection has 128 channels, `gone` when the connection is.
    pub fn subscribe(&self, channel: &str) -> Result<(), Error> {
        Ok(self.raw.subscribe(channel)?)
    }

    /// Ends a subscription; without one it does nothing.
    pub fn unsubscribe(&self, channel: &str) {
        self.raw.unsubscribe(channel);
    }

    /// Calls the handler's `alarm` for this connection once, after a time of
    /// at most 365 days: in order with its messages, and with a new instance
    /// if there is none. Each name has one alarm: set again, it is moved. It
    /// ends with the connection; for what must outlive that, and for what
    /// happens when `alarm` fails, see [`alarms`](crate::alarms).
    ///
    /// # Errors
    ///
    /// `invalid` when the name has not 1 to 64 bytes or the time is longer
    /// than 365 days, `limit` when the connection has 16 alarms, `gone` when
    /// the connection is.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use openline_sdk::prelude::*;
    ///
    /// /// Ends what has been quiet for five minutes, and says so before.
    /// #[derive(Default)]
    /// struct Impatient;
    ///
    /// impl Handler for Impatient {
    ///     fn message(&mut self, connection: &Connection, message: Message) {
    ///         connection.send(message);
    ///         let minutes = |count: u64| Duration::from_secs(60 * count);
    ///         // Neither can fail but with `gone`: then there is no need.
    ///         let _ = connection.set_alarm("warn", minutes(4));
    ///         let _ = connection.set_alarm("end", minutes(5));
    ///     }
    ///
    ///     fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
    ///         let Some(connection) = connection else { return };
    ///         match alarm.name.as_str() {
    ///             "warn" => _ = connection.send("are you still there?"),
    ///             _ => _ = connection.close(1000, "good bye"),
    ///         }
    ///     }
    /// }
    ///
    /// openline_sdk::export!(Impatient);
    /// ```
    pub fn set_alarm(&self, name: &str, after: Duration) -> Result<(), Error> {
        Ok(self.raw.set_alarm(name, milliseconds(after))?)
    }

    /// Takes an alarm back; without one it does nothing.
    pub fn clear_alarm(&self, name: &str) {
        self.raw.clear_alarm(name);
    }

    /// Messages that the host answers by itself from now on, at once and
    /// without an instance; the handler is not told of them. So a client's
    /// heartbeat wakes nothing. Replaces what was there before, the function's
    /// configuration included; an empty list ends it.
    ///
    /// # Errors
    ///
    /// `limit` when there are more than 8, or a message has more than 2 KiB;
    /// `gone` when the connection is.
    ///
    /// ```no_run
    /// # use openline_sdk::{AutoResponse, Connection, Error};
    /// # fn open(connection: &Connection) -> Result<(), Error> {
    /// connection.set_auto_responses(&[
    ///     AutoResponse::exact("ping", "pong"),
    ///     AutoResponse::prefix(r#"{"type":"heartbeat""#, r#"{"type":"alive"}"#),
    /// ])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_auto_responses(&self, pairs: &[AutoResponse]) -> Result<(), Error> {
        let pairs: Vec<_> = pairs.iter().map(Into::into).collect();
        Ok(self.raw.set_auto_responses(&pairs)?)
    }

    /// How many of its messages the host has answered by itself.
    #[must_use]
    pub fn auto_responded(&self) -> u64 {
        self.raw.auto_responded()
    }
}

/// A message that the host answers by itself, with what it answers: see
/// [`Connection::set_auto_responses`]. Each of the two is text or bytes, and
/// has at most 2 KiB.
///
/// ```
/// use openline_sdk::AutoResponse;
///
/// let text = AutoResponse::exact("ping", "pong");
/// let bytes = AutoResponse::exact(*b"ping", *b"pong");
/// assert_ne!(text, bytes, "text is answered to text, bytes to bytes");
/// assert_ne!(text, AutoResponse::prefix("ping", "pong"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AutoResponse {
    compared: Compared,
    request: Message,
    reply: Message,
}

/// How a peer's message is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Compared {
    Exact,
    Prefix,
}

impl AutoResponse {
    /// Answers a message that is the same, text or binary.
    #[must_use]
    pub fn exact(request: impl Into<Message>, reply: impl Into<Message>) -> Self {
        Self::new(Compared::Exact, request.into(), reply.into())
    }

    /// Answers a message that begins so and is of the same kind, text or
    /// binary.
    #[must_use]
    pub fn prefix(request: impl Into<Message>, reply: impl Into<Message>) -> Self {
        Self::new(Compared::Prefix, request.into(), reply.into())
    }

    fn new(compared: Compared, request: Message, reply: Message) -> Self {
        Self {
            compared,
            request,
            reply,
        }
    }
}

impl<'a> From<&'a AutoResponse> for connections::AutoResponse<'a> {
    fn from(pair: &'a AutoResponse) -> Self {
        Self {
            match_kind: match pair.compared {
                Compared::Exact => connections::MatchKind::Exact,
                Compared::Prefix => connections::MatchKind::Prefix,
            },
            request: pair.request.as_message().into(),
            reply: pair.reply.as_message().into(),
        }
    }
}
