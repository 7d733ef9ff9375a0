//! The broadcast helpers: one message to many connections of this function.
//!
//! The host shares one payload between all receivers. A slow receiver delays no
//! other: a message that its outbox cannot take is dropped for it alone. One
//! sender's messages reach each receiver in order.

use crate::connection::Connection;
use crate::message::AsMessage;
use crate::options::PublishOptions;
use crate::outcome::{Error, Published};
use crate::raw::channels;

/// Sends to every subscriber of a channel. Connections subscribe with
/// [`Connection::subscribe`] or
/// [`Acceptance::channel`](crate::Acceptance::channel).
///
/// # Errors
///
/// `invalid` if the channel's name does not have 1 to 256 bytes or has control
/// characters, `limit` if the message is larger than `message_bytes`.
///
/// ```no_run
/// # fn announce() -> Result<(), openline_sdk::Error> {
/// let published = openline_sdk::publish("news", "it has begun")?;
/// let deliveries = published.deliveries();
/// # Ok(())
/// # }
/// ```
pub fn publish(channel: &str, message: impl AsMessage) -> Result<Published, Error> {
    publish_with(channel, message, PublishOptions::new())
}

/// Like [`publish`], but leaves out one connection, usually the one whose
/// message is being handled.
///
/// # Errors
///
/// As for [`publish`].
pub fn publish_except(
    channel: &str,
    message: impl AsMessage,
    except: &Connection,
) -> Result<Published, Error> {
    publish_with(channel, message, PublishOptions::new().except(except))
}

/// Like [`publish`], with options.
///
/// # Errors
///
/// As for [`publish`].
///
/// ```no_run
/// # use openline_sdk::{Compress, PublishOptions};
/// # fn announce(picture: &[u8]) -> Result<(), openline_sdk::Error> {
/// let options = PublishOptions::new().compress(Compress::Never);
/// openline_sdk::publish_with("pictures", picture, options)?;
/// # Ok(())
/// # }
/// ```
pub fn publish_with(
    channel: &str,
    message: impl AsMessage,
    options: PublishOptions<'_>,
) -> Result<Published, Error> {
    let message = message.as_message().into();
    Ok(channels::publish(channel, message, options.raw())?.into())
}

/// Sends to every open connection of this function, in every instance.
///
/// # Errors
///
/// `limit` when the message is larger than `message_bytes`.
pub fn broadcast(message: impl AsMessage) -> Result<Published, Error> {
    broadcast_with(message, PublishOptions::new())
}

/// Like [`broadcast`], but leaves out one connection.
///
/// # Errors
///
/// As for [`broadcast`].
pub fn broadcast_except(message: impl AsMessage, except: &Connection) -> Result<Published, Error> {
    broadcast_with(message, PublishOptions::new().except(except))
}

/// Like [`broadcast`], with options.
///
/// # Errors
///
/// As for [`broadcast`].
pub fn broadcast_with(
    message: impl AsMessage,
    options: PublishOptions<'_>,
) -> Result<Published, Error> {
    let message = message.as_message().into();
    Ok(channels::broadcast(message, options.raw())?.into())
}

/// How many connections of this host are subscribed to a channel.
#[must_use]
pub fn subscribers(channel: &str) -> u64 {
    channels::subscribers(channel)
}
