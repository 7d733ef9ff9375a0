//! What a channel remembers.

use std::fmt;

use super::{Channel, Position};
use crate::message::Message;
use crate::raw::publications as raw;

/// A publication as its channel remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// Its position.
    pub position: Option<Position>,
    /// Its publisher's name for it.
    pub id: Option<String>,
    /// What sort of publication it is.
    pub event: Option<String>,
    /// Which value it changes.
    pub key: Option<String>,
    /// Whether it removes that value.
    pub removed: bool,
    /// What was published.
    pub message: Message,
    /// Words for filters.
    pub tags: Vec<(String, String)>,
    /// Who has published it.
    pub sender: Option<Sender>,
    /// When, in milliseconds since 1970.
    pub time: u64,
}

/// Who has published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sender {
    /// The connection's id.
    pub connection: String,
    /// Its user.
    pub user: Option<String>,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// In the order that was asked for.
    pub publications: Vec<Publication>,
    /// Where the channel is.
    pub top: Position,
    /// Whether publications between the position and the page are gone.
    pub has_gap: bool,
    /// Whether there is more in this direction.
    pub has_more: bool,
}

/// A connection that is subscribed to a channel with presence.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Member {
    /// The connection's id.
    pub connection: String,
    /// Its user.
    pub user: Option<String>,
    /// What others are told of it.
    pub info: Option<Message>,
}

/// How many are subscribed to a channel with presence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Connections.
    pub connections: u64,
    /// Different users among them.
    pub users: u64,
}

/// Why something cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// An argument can never be valid; the text says which.
    Invalid(String),
    /// The channel remembers no such thing.
    NotKept,
    /// The position is of another time of the channel.
    Unrecoverable,
}

impl Channel<'_> {
    /// The history after a position, from old to new; from the oldest on without
    /// one. At most `limit` publications, and at most 1,000.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn history(self, since: Option<&str>, limit: u32) -> Result<Page, ReadError> {
        self.page(since, limit, false)
    }

    /// The history before a position, from new to old; from the newest on without
    /// one.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn history_back(self, before: Option<&str>, limit: u32) -> Result<Page, ReadError> {
        self.page(before, limit, true)
    }

    fn page(self, since: Option<&str>, limit: u32, reverse: bool) -> Result<Page, ReadError> {
        let query = raw::HistoryQuery {
            since,
            limit,
            reverse,
        };
        let page = raw::history(self.name(), query)?;
        Ok(Page {
            publications: page.publications.into_iter().map(Into::into).collect(),
            top: page.top,
            has_gap: page.has_gap,
            has_more: page.has_more,
        })
    }

    /// The values of a channel with one value for each key, in the order of their
    /// last change, beginning after a position; at most `limit`, and at most 1,000.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn values(self, after: Option<&str>, limit: u32) -> Result<Vec<Publication>, ReadError> {
        let values = raw::values(self.name(), after, limit)?;
        Ok(values.into_iter().map(Into::into).collect())
    }

    /// The value of one key.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn value(self, key: &str) -> Result<Option<Publication>, ReadError> {
        Ok(raw::value(self.name(), key)?.map(Into::into))
    }

    /// Who is subscribed, in the order of the connections' ids, beginning after
    /// one; at most `limit`, and at most 1,000.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn presence(self, after: Option<&str>, limit: u32) -> Result<Vec<Member>, ReadError> {
        let members = raw::presence(self.name(), after, limit)?;
        let members = members.into_iter().map(|member| Member {
            connection: member.connection,
            user: member.user,
            info: member.info.map(Into::into),
        });
        Ok(members.collect())
    }

    /// How many are subscribed, on a channel with presence.
    ///
    /// # Errors
    ///
    /// See [`ReadError`].
    pub fn presence_counts(self) -> Result<Counts, ReadError> {
        let counts = raw::presence_counts(self.name())?;
        Ok(Counts {
            connections: counts.connections,
            users: counts.users,
        })
    }
}

impl From<raw::Publication> for Publication {
    fn from(publication: raw::Publication) -> Self {
        Self {
            position: publication.position,
            id: publication.id,
            event: publication.event,
            key: publication.key,
            removed: publication.removed,
            message: publication.message.into(),
            tags: publication.tags,
            sender: publication.sender.map(|sender| Sender {
                connection: sender.connection,
                user: sender.user,
            }),
            time: publication.time,
        }
    }
}

impl From<raw::ReadError> for ReadError {
    fn from(error: raw::ReadError) -> Self {
        match error {
            raw::ReadError::Invalid(text) => Self::Invalid(text),
            raw::ReadError::NotKept => Self::NotKept,
            raw::ReadError::Unrecoverable => Self::Unrecoverable,
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid(text) => text,
            Self::NotKept => "the channel remembers no such thing",
            Self::Unrecoverable => "the position is of another time of the channel",
        })
    }
}

impl std::error::Error for ReadError {}
