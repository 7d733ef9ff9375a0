//! `openline:channels/publications`: channels that remember.
//!
//! Reading waits for nothing. Publishing waits where the channel is durable.

use std::num::NonZeroU64;
use std::sync::Arc;

use bytestring::ByteString;
use openline_broker::channel::{Expected, Publish};
use openline_broker::filter::Filter;
use openline_broker::log::{PageLimit, PageQuery};
use openline_broker::outcome::{PublishError, Suppressed};
use openline_broker::position::Position;
use openline_broker::presence::INFO_BYTES_MAX;
use openline_broker::publication::{Data, Publication, Sender, Tags};
use openline_broker::versions::Version;
use openline_channels::channel_queue::Batch;
use openline_channels::connection::Connection;
use openline_channels::entry::Except;
use openline_channels::forms;
use openline_channels::hub::{SubscribeError, Subscribing};
use openline_channels::space::{Publishing, Space};
use openline_core::limits::PAGE_CONNECTIONS_MAX;
use openline_core::name::{ChannelName, ConnectionId};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::contract::bindings::channels::Reach;
use crate::contract::bindings::common::{self, Error};
use crate::contract::bindings::publications as wit;
use crate::contract::handles::Handle;
use crate::instance::store::StoreData;

/// Data of one page, in bytes: a page is copied into the instance's memory, and
/// one publication always fits.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

type Read<T> = std::result::Result<T, wit::ReadError>;

impl wit::Host for StoreData {
    async fn publish(
        &mut self,
        channel: String,
        message: common::Message,
        options: wit::PublishOptions,
    ) -> Result<std::result::Result<wit::Outcome, wit::PublishError>> {
        let message = match self.allowed(message) {
            Ok(message) => message,
            Err(Error::Limit(text) | Error::Invalid(text)) => {
                return Ok(Err(wit::PublishError::Invalid(text)));
            }
            Err(Error::Gone) => return Ok(Err(wit::PublishError::Unavailable)),
        };
        let data = forms::data_of(message);
        self.publish_data(&channel, data, false, options).await
    }

    async fn remove(
        &mut self,
        channel: String,
        options: wit::PublishOptions,
    ) -> Result<std::result::Result<wit::Outcome, wit::PublishError>> {
        let data = Data::Binary(bytes::Bytes::new());
        self.publish_data(&channel, data, true, options).await
    }

    fn history(&mut self, channel: String, query: wit::HistoryQuery) -> Result<Read<wit::Page>> {
        Ok(self.read_history(&channel, query))
    }

    fn values(
        &mut self,
        channel: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Read<Vec<wit::Publication>>> {
        Ok(self.read(&channel, |space, name| {
            let after = after.as_deref().map(position).transpose()?;
            let after = after.map_or(0, |after| after.offset);
            let limit = PageLimit {
                count: page_limit(limit),
                bytes: PAGE_BYTES_MAX,
            };
            let values = space.values(name, after, limit);
            let values = values.ok_or(wit::ReadError::NotKept)?;
            Ok(values.iter().map(shown).collect())
        }))
    }

    fn value(&mut self, channel: String, key: String) -> Result<Read<Option<wit::Publication>>> {
        Ok(self.read(&channel, |space, name| {
            let is_keyed = space.find(name).terms.keyed.is_some();
            is_keyed.then_some(()).ok_or(wit::ReadError::NotKept)?;
            Ok(space.value_of(name, &key).as_ref().map(shown))
        }))
    }

    fn presence(
        &mut self,
        channel: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Read<Vec<wit::Member>>> {
        Ok(self.read(&channel, |space, name| {
            let after = after.as_deref().map(connection_id).transpose()?;
            let members = space.members(name, after, page_limit(limit));
            let members = members.ok_or(wit::ReadError::NotKept)?;
            let members = members.into_iter().map(|member| wit::Member {
                connection: member.connection.to_string(),
                user: member.user.map(String::from),
                info: member.info.as_ref().map(message),
            });
            Ok(members.collect())
        }))
    }

    fn presence_counts(&mut self, channel: String) -> Result<Read<wit::Counts>> {
        Ok(self.read(&channel, |space, name| {
            let counts = space.counts(name).ok_or(wit::ReadError::NotKept)?;
            let number = |count| u64::try_from(count).unwrap_or(u64::MAX);
            Ok(wit::Counts {
                connections: number(counts.connections),
                users: number(counts.users),
            })
        }))
    }

    fn subscribe(
        &mut self,
        handle: Resource<Handle>,
        channel: String,
        options: wit::SubscribeOptions,
    ) -> Result<std::result::Result<wit::Subscription, Error>> {
        let connection = Arc::clone(self.handles.get(&handle)?);
        let since = options.since.as_deref().map(str::parse::<Position>);
        let since = match since.transpose() {
            Ok(since) => since,
            Err(error) => return Ok(Err(Error::Invalid(error.to_string()))),
        };
        let filter = Filter {
            skip_own: options.skip_own,
            skip_user: options.skip_user.map(ByteString::from),
            tags: None,
        };
        let info = options.info.map(|info| forms::data_of(info.into()));
        if info.as_ref().is_some_and(|it| it.bytes() > INFO_BYTES_MAX) {
            return Ok(Err(Error::Limit(format!(
                "what a member says of itself has at most {INFO_BYTES_MAX} bytes"
            ))));
        }
        let subscribing = Subscribing {
            since,
            otherwise: usize::try_from(options.otherwise).unwrap_or(usize::MAX),
            filter: (!filter.is_empty()).then_some(filter),
            info,
            ..Subscribing::default()
        };
        let subscribed = self.subscribe_with(&connection, &channel, subscribing);
        Ok(subscribed.map(|backlog| {
            let backlog = backlog.unwrap_or_default();
            wit::Subscription {
                position: backlog.position.map(|position| position.to_string()),
                recovered: backlog.recovered,
                sent: u32::try_from(backlog.publications.len()).unwrap_or(u32::MAX),
            }
        }))
    }
}

impl StoreData {
    async fn publish_data(
        &mut self,
        channel: &str,
        data: Data,
        remove: bool,
        options: wit::PublishOptions,
    ) -> Result<std::result::Result<wit::Outcome, wit::PublishError>> {
        let except = options.except.as_ref();
        let except = except.map(|handle| Ok::<_, wasmtime::Error>(self.handles.get(handle)?.id()));
        let except = Except {
            connection: except.transpose()?,
            user: options.except_user.as_deref().map(ByteString::from),
            queue: self.queue(),
        };
        let sender = options.sender.as_ref().map(|handle| {
            let connection = self.handles.get(handle)?;
            Ok::<_, wasmtime::Error>(Sender {
                connection: connection.id(),
                user: connection.facts().user.clone(),
            })
        });
        let sender = sender.transpose()?;
        let compress = options.compress.into();
        let request = match request(data, remove, sender, options) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let channel = match ChannelName::new(channel) {
            Ok(channel) => channel,
            Err(error) => return Ok(Err(wit::PublishError::Invalid(error.to_string()))),
        };
        let hub = Arc::clone(&self.program.reach.hub);
        if !hub.terms(&channel).terms.publish.allows_function() {
            return Ok(Err(wit::PublishError::Denied));
        }
        let publishing = Publishing {
            request,
            compress,
            except,
        };
        let published = hub.publish(&channel, publishing, &mut self.run.wakeups.lock());
        Ok(match published.wait().await {
            Ok(outcome) => Ok(wit::Outcome {
                position: outcome.position.map(|position| position.to_string()),
                deliveries: outcome.local,
                reach: Reach::AllHosts,
                suppressed: outcome.suppressed.map(|why| match why {
                    Suppressed::Repeated => wit::Suppressed::Repeated,
                    Suppressed::Stale => wit::Suppressed::Stale,
                }),
            }),
            Err(error) => Err(refused(error)),
        })
    }

    /// The number by which a function's own publications are known: only those of
    /// its channel handler are.
    pub(super) fn queue(&self) -> Option<u64> {
        self.listens
            .then(|| self.program.reach.hub.queue().number())
    }

    fn read_history(&self, channel: &str, query: wit::HistoryQuery) -> Read<wit::Page> {
        self.read(channel, |space, name| {
            let since = query.since.as_deref().map(position).transpose()?;
            let limit = PageLimit {
                count: page_limit(query.limit),
                bytes: PAGE_BYTES_MAX,
            };
            let query = PageQuery {
                since,
                reverse: query.reverse,
            };
            let page = space.history(name, query, limit);
            let page = page.map_err(|_| wit::ReadError::Unrecoverable)?;
            let page = page.ok_or(wit::ReadError::NotKept)?;
            Ok(wit::Page {
                publications: page.publications.iter().map(shown).collect(),
                top: page.top.to_string(),
                has_gap: page.has_gap,
                has_more: page.has_more,
            })
        })
    }

    fn read<T>(
        &self,
        channel: &str,
        read: impl FnOnce(&Arc<Space>, &ChannelName) -> Read<T>,
    ) -> Read<T> {
        let name = ChannelName::new(channel);
        let name = name.map_err(|error| wit::ReadError::Invalid(error.to_string()))?;
        read(self.program.reach.hub.space(&name), &name)
    }

    /// Subscribes one of the function's connections.
    pub(super) fn subscribe_with(
        &self,
        connection: &Arc<Connection>,
        channel: &str,
        subscribing: Subscribing<'_>,
    ) -> std::result::Result<Option<openline_broker::channel::Backlog>, Error> {
        let channel =
            ChannelName::new(channel).map_err(|error| Error::Invalid(error.to_string()))?;
        let hub = &self.program.reach.hub;
        if !hub.terms(&channel).terms.subscribe.allows_function() {
            let denied = "the configuration lets no function subscribe to this channel";
            return Err(Error::Invalid(denied.into()));
        }
        let mut wakeups = self.run.wakeups.lock();
        let subscribed = hub.subscribe_with(connection, &channel, subscribing, &mut wakeups);
        subscribed.map_err(|error| not_subscribed(error, connection))
    }
}

fn not_subscribed(error: SubscribeError, connection: &Connection) -> Error {
    let limits = connection.limits();
    match error {
        SubscribeError::TooMany => Error::Limit(format!(
            "a connection has at most {} channels (channels)",
            limits.channels
        )),
        SubscribeError::Crowded => Error::Limit(format!(
            "a channel has at most {} subscribers (subscribers)",
            limits.subscribers
        )),
        SubscribeError::HostFull => {
            Error::Limit("the channels remember as much as they may (channel_bytes)".into())
        }
        SubscribeError::Unrecoverable | SubscribeError::Repeated => {
            Error::Invalid("it cannot be subscribed like that".into())
        }
        SubscribeError::Gone => Error::Gone,
    }
}

/// A publish as the broker knows it.
fn request(
    data: Data,
    remove: bool,
    sender: Option<Sender>,
    options: wit::PublishOptions,
) -> std::result::Result<Publish, wit::PublishError> {
    let invalid = |text: &str| wit::PublishError::Invalid(text.to_owned());
    let text = |text: Option<String>| text.map(ByteString::from);
    let tags = options.tags.into_iter();
    let tags = tags.map(|(name, value)| (name.into(), value.into()));
    let version = options.version.map(|version| {
        let number = NonZeroU64::new(version.number);
        let number = number.ok_or_else(|| invalid("a version is at least 1"))?;
        Ok::<_, wit::PublishError>(Version {
            number,
            epoch: version.epoch.into(),
        })
    });
    let expected = options.expected.map(|expected| {
        let parsed = |text: &str| {
            let position = text.parse::<Position>();
            position.map_err(|error| wit::PublishError::Invalid(error.to_string()))
        };
        Ok::<_, wit::PublishError>(match expected {
            wit::Expected::Channel(at) => Expected::Top(parsed(&at)?),
            wit::Expected::Value(at) => Expected::Key(Some(parsed(&at)?)),
            wit::Expected::NoValue => Expected::Key(None),
        })
    });
    Ok(Publish {
        id: text(options.id),
        event: text(options.event),
        key: text(options.key),
        remove,
        tags: Tags::new(tags.collect()).map_err(refused)?,
        sender,
        idempotency_key: text(options.idempotency_key),
        version: version.transpose()?,
        expected: expected.transpose()?,
        ..Publish::new(data)
    })
}

fn refused(error: PublishError) -> wit::PublishError {
    match error {
        PublishError::TooLarge { .. } | PublishError::InvalidName(_) => {
            wit::PublishError::Invalid(error.to_string())
        }
        PublishError::Denied => wit::PublishError::Denied,
        PublishError::Conflict { present } => {
            wit::PublishError::Conflict(present.map(|position| position.to_string()))
        }
        PublishError::Full { .. } => wit::PublishError::Full(error.to_string()),
        PublishError::Unavailable => wit::PublishError::Unavailable,
    }
}

fn position(text: &str) -> Read<Position> {
    let position = text.parse::<Position>();
    position.map_err(|error| wit::ReadError::Invalid(error.to_string()))
}

fn connection_id(text: &str) -> Read<ConnectionId> {
    let id = ConnectionId::parse(text);
    id.ok_or_else(|| wit::ReadError::Invalid("`after` is not the id of a connection".into()))
}

fn page_limit(limit: u32) -> usize {
    let limit = limit.min(PAGE_CONNECTIONS_MAX);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The arguments of the call that hands over publications.
pub(crate) fn published(batch: Batch) -> (String, Vec<wit::Publication>, u64) {
    let shown = batch.publications.iter().map(shown).collect();
    (batch.channel.as_str().to_owned(), shown, batch.lost)
}

fn message(data: &Data) -> common::Message {
    match data {
        Data::Text(text) | Data::Json(text) => common::Message::Text(text.to_string()),
        Data::Binary(bytes) => common::Message::Binary(bytes.to_vec()),
    }
}

fn shown(publication: &Publication) -> wit::Publication {
    let text = |text: &Option<ByteString>| text.as_ref().map(ToString::to_string);
    let tags = publication.tags.as_slice().iter();
    wit::Publication {
        position: publication.position.map(|position| position.to_string()),
        id: text(&publication.id),
        event: text(&publication.event),
        key: text(&publication.key),
        removed: publication.removed,
        message: message(&publication.data),
        tags: tags
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        sender: publication.sender.as_ref().map(|sender| wit::Sender {
            connection: sender.connection.to_string(),
            user: sender.user.as_ref().map(ToString::to_string),
        }),
        time: publication.time.0,
    }
}
