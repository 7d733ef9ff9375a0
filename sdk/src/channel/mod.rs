//! Channels that remember.
//!
//! What a channel remembers is configured by its name, in `[[function.channel]]`
//! or, for channels that functions share, in `[[channel]]`: a history, one
//! current value, or one value for each key; and who is subscribed. A channel
//! that is not configured remembers nothing, and its publications have no
//! positions.
//!
//! ```no_run
//! use openline_sdk::channel::{Channel, PublishError};
//!
//! # fn say(author: &str, text: &str) -> Result<(), PublishError> {
//! let outcome = Channel::new("room:lobby")
//!     .publish(text)
//!     .event("said")
//!     .tag("author", author)
//!     .send()?;
//! // Where the publication is, for whoever reads the history later.
//! let position = outcome.position;
//! # Ok(())
//! # }
//! ```

mod handler;
mod publish;
mod read;

use crate::connection::Connection;
use crate::message::{AsMessage, Message};
use crate::outcome::Error;
use crate::raw::publications as raw;

pub use handler::{AsyncChannelHandler, Batch, ChannelHandler};
pub use publish::{Expected, Outcome, Publish, PublishError, Suppressed};
pub use read::{Counts, Member, Page, Publication, ReadError, Sender};

/// A place in a channel, as text. Pass it back as it came: it has no other use.
pub type Position = String;

/// A channel by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Channel<'a> {
    name: &'a str,
}

/// How to subscribe a connection: see [`Channel::subscribe`].
#[derive(Clone, Debug, Default)]
pub struct Subscribe<'a> {
    since: Option<&'a str>,
    otherwise: u32,
    skip_own: bool,
    skip_user: Option<&'a str>,
    info: Option<Message>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscription {
    /// Where the channel is: what comes from now on comes after it. None if the
    /// connection was subscribed before, or if the channel lets nobody recover.
    pub position: Option<Position>,
    /// Whether the peer has all that it missed; none if there was no position, or
    /// the channel lets nobody recover.
    pub recovered: Option<bool>,
    /// How many publications were put into its outbox.
    pub sent: u32,
}

impl<'a> Channel<'a> {
    /// The channel of a name: 1 to 256 bytes without control characters.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self { name }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'a str {
        self.name
    }

    /// Begins a publication; [`Publish::send`] publishes it.
    pub fn publish<M: AsMessage>(self, message: M) -> Publish<'a, M> {
        Publish::new(self.name, Some(message))
    }

    /// Begins the removal of a key's value; [`Publish::send`] removes it and tells
    /// the subscribers.
    pub fn remove(self, key: &'a str) -> Publish<'a, &'static str> {
        Publish::new(self.name, None).key(key)
    }

    /// Subscribes a connection, and first sends what the channel has for it: what
    /// it missed, or current values. A second time does nothing.
    ///
    /// # Errors
    ///
    /// `limit` if the connection has too many channels, or the channel too many
    /// subscribers; `invalid` if the name or the position is none, or the
    /// configuration lets no function subscribe here; `gone` if the connection has
    /// closed.
    pub fn subscribe(
        self,
        connection: &Connection,
        subscribe: Subscribe<'_>,
    ) -> Result<Subscription, Error> {
        let Subscribe {
            since,
            otherwise,
            skip_own,
            skip_user,
            info,
        } = subscribe;
        let options = raw::SubscribeOptions {
            since,
            otherwise,
            skip_own,
            skip_user,
            info: info.as_ref().map(|info| info.as_message().into()),
        };
        let subscribed = raw::subscribe(connection.raw(), self.name, options)?;
        Ok(Subscription {
            position: subscribed.position,
            recovered: subscribed.recovered,
            sent: subscribed.sent,
        })
    }
}

impl<'a> Subscribe<'a> {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From a position on: the peer gets all that it missed, in order and before
    /// anything new, or nothing of it.
    #[must_use]
    pub fn since(mut self, position: &'a str) -> Self {
        self.since = Some(position);
        self
    }

    /// If what it missed is gone, it gets so many of the last publications.
    #[must_use]
    pub fn otherwise_last(mut self, publications: u32) -> Self {
        self.otherwise = publications;
        self
    }

    /// Without its own publications.
    #[must_use]
    pub fn skip_own(mut self) -> Self {
        self.skip_own = true;
        self
    }

    /// Without the publications of a user.
    #[must_use]
    pub fn skip_user(mut self, user: &'a str) -> Self {
        self.skip_user = Some(user);
        self
    }

    /// What others are told of it, on channels with presence: at most 4 KiB.
    #[must_use]
    pub fn info(mut self, info: impl Into<Message>) -> Self {
        self.info = Some(info.into());
        self
    }
}
