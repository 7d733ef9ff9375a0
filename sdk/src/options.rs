//! How a message is sent.

use crate::connection::Connection;
use crate::raw::channels;
use crate::raw::{common, connections};

/// Whether a message is compressed for peers with which the host has agreed on
/// that (the function's key `compression`); it is sent as it is to all others.
///
/// Do not compress a message that has both a secret and text that somebody else
/// has chosen: its size then tells that person about the secret (CRIME, BREACH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compress {
    /// If it has at least `compression_threshold` bytes.
    #[default]
    Configured,
    /// Whatever its size.
    Always,
    /// Not.
    Never,
}

/// How to send a message to one connection: see
/// [`Connection::send_with`](crate::Connection::send_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SendOptions {
    compress: Compress,
}

/// How to publish: see [`publish_with`](crate::publish_with) and
/// [`broadcast_with`](crate::broadcast_with).
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishOptions<'a> {
    except: Option<&'a Connection>,
    compress: Compress,
}

impl SendOptions {
    /// As [`Connection::send`](crate::Connection::send) sends.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            compress: Compress::Configured,
        }
    }

    /// Whether the message is compressed.
    #[must_use]
    pub const fn compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    pub(crate) fn raw(self) -> connections::SendOptions {
        connections::SendOptions {
            compress: self.compress.into(),
        }
    }
}

impl<'a> PublishOptions<'a> {
    /// As [`publish`](crate::publish) and [`broadcast`](crate::broadcast) send.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            except: None,
            compress: Compress::Configured,
        }
    }

    /// Leaves out one connection, usually the one whose message is being
    /// handled.
    #[must_use]
    pub const fn except(mut self, except: &'a Connection) -> Self {
        self.except = Some(except);
        self
    }

    /// Whether the message is compressed. The host compresses it once for all
    /// receivers that can share it.
    #[must_use]
    pub const fn compress(mut self, compress: Compress) -> Self {
        self.compress = compress;
        self
    }

    pub(crate) fn raw(self) -> channels::PublishOptions<'a> {
        channels::PublishOptions {
            except: self.except.map(Connection::raw),
            compress: self.compress.into(),
        }
    }
}

impl From<Compress> for common::Compress {
    fn from(compress: Compress) -> Self {
        match compress {
            Compress::Configured => Self::Configured,
            Compress::Always => Self::Always,
            Compress::Never => Self::Never,
        }
    }
}
