//! Publishing with everything that a channel can do with it.

use std::fmt;

use super::Position;
use crate::connection::Connection;
use crate::message::AsMessage;
use crate::options::Compress;
use crate::raw::channels::Reach;
use crate::raw::publications as raw;

/// A publication that is about to be sent: see
/// [`Channel::publish`](super::Channel::publish).
#[derive(Debug)]
#[must_use = "`send` publishes it"]
pub struct Publish<'a, M> {
    channel: &'a str,
    message: Option<M>,
    except: Option<&'a Connection>,
    except_user: Option<&'a str>,
    compress: Compress,
    sender: Option<&'a Connection>,
    id: Option<&'a str>,
    event: Option<&'a str>,
    key: Option<&'a str>,
    tags: Vec<(&'a str, &'a str)>,
    idempotency_key: Option<&'a str>,
    version: Option<(u64, &'a str)>,
    expected: Option<Expected<'a>>,
}

/// What a publisher has seen last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    /// The channel's last publication.
    Channel(&'a str),
    /// The last change of the key.
    Value(&'a str),
    /// That the key has no value.
    NoValue,
}

/// The result of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Its position, on channels that count. Of one that was dropped, the position
    /// of the one before it.
    pub position: Option<Position>,
    /// How many outboxes of this host took it.
    pub deliveries: u64,
    /// Whether it was given to all hosts that serve this function.
    pub reached_all_hosts: bool,
    /// Why nothing was published, although nothing is wrong.
    pub suppressed: Option<Suppressed>,
}

/// Why nothing was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppressed {
    /// A publication with this idempotency key has been done: this is its result.
    Repeated,
    /// The channel has this version, or a later one.
    Stale,
}

/// Why a publication was refused. Nothing was published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// An argument can never be valid, or something is larger than it may be.
    Invalid(String),
    /// The configuration does not let the function publish here.
    Denied,
    /// The channel, or the value, has changed: the position of its last change.
    Conflict(Option<Position>),
    /// The channel, the function or the host remembers as much as it may.
    Full(String),
    /// It could not be written. It may be repeated; with an idempotency key,
    /// without any danger.
    Unavailable,
}

impl<'a, M: AsMessage> Publish<'a, M> {
    pub(super) fn new(channel: &'a str, message: Option<M>) -> Self {
        Self {
            channel,
            message,
            except: None,
            except_user: None,
            compress: Compress::Configured,
            sender: None,
            id: None,
            event: None,
            key: None,
            tags: Vec::new(),
            idempotency_key: None,
            version: None,
            expected: None,
        }
    }

    /// Leaves out one connection.
    pub fn except(mut self, connection: &'a Connection) -> Self {
        self.except = Some(connection);
        self
    }

    /// Leaves out all connections of a user.
    pub fn except_user(mut self, user: &'a str) -> Self {
        self.except_user = Some(user);
        self
    }

    /// Whether it is compressed, once for all receivers that can share it.
    pub fn compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    /// In whose name it is published, for receivers that are told.
    pub fn sender(mut self, connection: &'a Connection) -> Self {
        self.sender = Some(connection);
        self
    }

    /// A name for it, of at most 128 bytes.
    pub fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// What sort of publication it is, in at most 128 bytes.
    pub fn event(mut self, event: &'a str) -> Self {
        self.event = Some(event);
        self
    }

    /// Which value it changes, on channels with one value for each key.
    pub fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// A word for the filters of subscribers: at most 32, each name once.
    pub fn tag(mut self, name: &'a str, value: &'a str) -> Self {
        self.tags.push((name, value));
        self
    }

    /// Has a repetition with the same key do nothing.
    pub fn idempotency_key(mut self, key: &'a str) -> Self {
        self.idempotency_key = Some(key);
        self
    }

    /// Has it dropped if the channel, or the key, has this version or a later one.
    pub fn version(self, number: u64) -> Self {
        self.version_of(number, "")
    }

    /// The same for versions of one epoch: those of another begin anew.
    pub fn version_of(mut self, number: u64, epoch: &'a str) -> Self {
        self.version = Some((number, epoch));
        self
    }

    /// Publishes only if nothing has changed since.
    pub fn expecting(mut self, expected: Expected<'a>) -> Self {
        self.expected = Some(expected);
        self
    }

    /// Publishes. On a durable channel it returns when the publication is on the
    /// disk.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    pub fn send(self) -> Result<Outcome, PublishError> {
        let options = raw::PublishOptions {
            except: self.except.map(Connection::raw),
            except_user: self.except_user,
            compress: self.compress.into(),
            sender: self.sender.map(Connection::raw),
            id: self.id,
            event: self.event,
            key: self.key,
            tags: &self.tags,
            idempotency_key: self.idempotency_key,
            version: self
                .version
                .map(|(number, epoch)| raw::Version { number, epoch }),
            expected: self.expected.map(|expected| match expected {
                Expected::Channel(at) => raw::Expected::Channel(at),
                Expected::Value(at) => raw::Expected::Value(at),
                Expected::NoValue => raw::Expected::NoValue,
            }),
        };
        let published = match &self.message {
            Some(message) => raw::publish(self.channel, message.as_message().into(), options),
            None => raw::remove(self.channel, options),
        };
        published.map(Outcome::from).map_err(PublishError::from)
    }
}

impl From<raw::Outcome> for Outcome {
    fn from(outcome: raw::Outcome) -> Self {
        Self {
            position: outcome.position,
            deliveries: outcome.deliveries,
            reached_all_hosts: outcome.reach == Reach::AllHosts,
            suppressed: outcome.suppressed.map(|why| match why {
                raw::Suppressed::Repeated => Suppressed::Repeated,
                raw::Suppressed::Stale => Suppressed::Stale,
            }),
        }
    }
}

impl From<raw::PublishError> for PublishError {
    fn from(error: raw::PublishError) -> Self {
        match error {
            raw::PublishError::Invalid(text) => Self::Invalid(text),
            raw::PublishError::Denied => Self::Denied,
            raw::PublishError::Conflict(present) => Self::Conflict(present),
            raw::PublishError::Full(text) => Self::Full(text),
            raw::PublishError::Unavailable => Self::Unavailable,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Full(text) => f.write_str(text),
            Self::Denied => f.write_str("the configuration lets no function publish here"),
            Self::Conflict(_) => f.write_str("the channel has changed"),
            Self::Unavailable => f.write_str("the publication could not be written"),
        }
    }
}

impl std::error::Error for PublishError {}
