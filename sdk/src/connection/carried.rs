//! The things that a connection carries: an attachment, tags, channels, alarms
//! and automatic responses. The host keeps them, so they stay when instances
//! end. Each has a limit in the function's configuration.

use std::time::Duration;

use super::Connection;
use crate::alarms::milliseconds;
use crate::message::{AsMessage, Message};
use crate::outcome::Error;
use crate::raw::connections;

impl Connection {
    /// Bytes that belong to the connection and outlive the instance: those that
    /// `upgrade` or the last [`set_attachment`](Self::set_attachment) has set.
    #[must_use]
    pub fn attachment(&self) -> Vec<u8> {
        self.raw.attachment()
    }

    /// Replaces the attachment.
    ///
    /// # Errors
    ///
    /// `limit` if it is larger than 16 KiB, `gone` if the connection is closing
    /// or closed.
    pub fn set_attachment(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        Ok(self.raw.set_attachment(bytes.as_ref())?)
    }

    /// The tags by which [`by_tag`](crate::by_tag) finds it: those that
    /// `upgrade` or the last [`set_tags`](Self::set_tags) has set.
    #[must_use]
    pub fn tags(&self) -> Vec<String> {
        self.raw.tags()
    }

    /// Replaces the tags. A repeated tag counts once.
    ///
    /// # Errors
    ///
    /// `invalid` if a tag does not have 1 to 256 bytes, `limit` if there are
    /// more than 10, `gone` if the connection is closing or closed.
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

    /// Subscribes to a channel of this function; a second time does nothing.
    ///
    /// # Errors
    ///
    /// `invalid` if the name does not have 1 to 256 bytes or has control
    /// characters, `limit` if the connection has 128 channels, `gone` if the
    /// connection is closing or closed.
    pub fn subscribe(&self, channel: &str) -> Result<(), Error> {
        Ok(self.raw.subscribe(channel)?)
    }

    /// Ends a subscription; without one it does nothing.
    pub fn unsubscribe(&self, channel: &str) {
        self.raw.unsubscribe(channel);
    }

    /// Calls the handler's `alarm` for this connection once, after a time of at
    /// most 365 days: in order with its messages, and on a new instance if
    /// there is none. Each name has one alarm; setting it again moves it. The
    /// alarm ends with the connection. For alarms that outlive it, see
    /// [`alarms`](crate::alarms).
    ///
    /// # Errors
    ///
    /// `invalid` if the name does not have 1 to 64 bytes or the time is longer
    /// than 365 days, `limit` if the connection has 16 alarms, `gone` if the
    /// connection is closing or closed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use openline_sdk::prelude::*;
    ///
    /// /// Ends connections that have been quiet for five minutes, after a warning.
    /// #[derive(Default)]
    /// struct Impatient;
    ///
    /// impl Handler for Impatient {
    ///     fn message(&mut self, connection: &Connection, message: Message) {
    ///         connection.send(message);
    ///         let minutes = |count: u64| Duration::from_secs(60 * count);
    ///         // Both can only fail with `gone`, and then they are not needed.
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

    /// Clears an alarm; without one it does nothing.
    pub fn clear_alarm(&self, name: &str) {
        self.raw.clear_alarm(name);
    }

    /// Sets automatic responses: from now on the host answers these messages at
    /// once, without an instance, and the handler does not see them. So a
    /// client's heartbeat wakes no instance. Replaces earlier pairs, including
    /// those of the configuration; an empty list removes them.
    ///
    /// # Errors
    ///
    /// `limit` if there are more than 8, or a message has more than 2 KiB;
    /// `gone` if the connection is closing or closed.
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

    /// How many of its messages automatic responses have answered.
    #[must_use]
    pub fn auto_responded(&self) -> u64 {
        self.raw.auto_responded()
    }
}

/// An automatic response: a message and the host's reply to it; see
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

/// How a peer's message is compared with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Compared {
    Exact,
    Prefix,
}

impl AutoResponse {
    /// Answers a message that equals the request and is of the same kind, text
    /// or binary.
    #[must_use]
    pub fn exact(request: impl Into<Message>, reply: impl Into<Message>) -> Self {
        Self::new(Compared::Exact, request.into(), reply.into())
    }

    /// Answers a message that begins with the request and is of the same kind,
    /// text or binary.
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
