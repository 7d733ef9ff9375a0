//! `openline:channels/channels`: the broadcast helpers.

use openline_broker::outcome::PublishError;
use openline_channels::entry::Except;
use openline_channels::space::Publishing;
use openline_core::message::Message;
use openline_core::name::{ChannelName, ConnectionId};
use wasmtime::Result;

use crate::contract::bindings::channels::{Host, Outcome, PublishOptions, Reach};
use crate::contract::bindings::common::{self, Error};
use crate::instance::store::StoreData;

impl Host for StoreData {
    fn publish(
        &mut self,
        channel: String,
        message: common::Message,
        options: PublishOptions,
    ) -> Result<Result<Outcome, Error>> {
        let (except, compress) = (self.except(&options)?, options.compress.into());
        let channel = match self.channel(&channel) {
            Ok(channel) => channel,
            Err(error) => return Ok(Err(error)),
        };
        let message = match self.allowed(message) {
            Ok(message) => message,
            Err(error) => return Ok(Err(error)),
        };
        let mut wakeups = self.run.wakeups.lock();
        let hub = &self.program.reach.hub;
        let publishing = Publishing {
            compress,
            except: Except {
                queue: self.queue(),
                ..Except::connection(except)
            },
            ..Publishing::of(message)
        };
        let published = hub.publish(&channel, publishing, &mut wakeups);
        // The disk is not waited for.
        Ok(match published.now() {
            Ok(published) => Ok(outcome(published.local)),
            Err(error) => Err(refused(&error)),
        })
    }

    fn broadcast(
        &mut self,
        message: common::Message,
        options: PublishOptions,
    ) -> Result<Result<Outcome, Error>> {
        let (except, compress) = (self.except(&options)?, options.compress.into());
        let message = match self.allowed(message) {
            Ok(message) => message,
            Err(error) => return Ok(Err(error)),
        };
        let mut wakeups = self.run.wakeups.lock();
        let hub = &self.program.reach.hub;
        let deliveries = hub.broadcast((&message, compress), except, &mut wakeups);
        Ok(Ok(outcome(deliveries)))
    }

    fn subscribers(&mut self, channel: String) -> Result<u64> {
        let count =
            ChannelName::new(&channel).map_or(0, |name| self.program.reach.hub.subscribers(&name));
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

/// The outcome of a publication on a single host.
fn outcome(deliveries: u64) -> Outcome {
    Outcome {
        deliveries,
        reach: Reach::AllHosts,
    }
}

/// Why a publication was refused, for functions that only know of limits.
fn refused(error: &PublishError) -> Error {
    match error {
        PublishError::Full { .. } | PublishError::Unavailable => Error::Limit(error.to_string()),
        _ => Error::Invalid(error.to_string()),
    }
}

impl StoreData {
    /// A channel on which the function may publish.
    fn channel(&self, name: &str) -> std::result::Result<ChannelName, Error> {
        let channel = ChannelName::new(name).map_err(|error| Error::Invalid(error.to_string()))?;
        let found = self.program.reach.hub.terms(&channel);
        if !found.terms.publish.allows_function() {
            let denied = "the configuration lets no function publish on this channel";
            return Err(Error::Invalid(denied.into()));
        }
        Ok(channel)
    }

    fn except(&self, options: &PublishOptions) -> Result<Option<ConnectionId>> {
        let handle = options.except.as_ref();
        handle
            .map(|handle| Ok(self.handles.get(handle)?.id()))
            .transpose()
    }

    pub(super) fn allowed(&self, message: common::Message) -> std::result::Result<Message, Error> {
        let message = Message::from(message);
        let most = self.program.limits.message_bytes;
        if message.bytes() > most {
            return Err(Error::Limit(format!(
                "a message has at most {most} bytes (message_bytes)"
            )));
        }
        Ok(message)
    }
}
