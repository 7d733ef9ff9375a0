//! `openline:websocket/connections`: one connection, and how to find others.

use std::sync::Arc;

use bytes::Bytes;
use openline_channels::connection::{AttachError, Connection};
use openline_channels::hub::Subscribing;
use openline_core::auto_response::{AutoResponse, MatchKind};
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::event::SendOutcome;
use openline_core::limits::{AUTO_RESPONSE_BYTES_MAX, PAGE_CONNECTIONS_MAX, PING_BYTES_MAX};
use openline_core::name::{AlarmName, ChannelName, ConnectionId, Tag};
use wasmtime::Result;
use wasmtime::component::Resource;

use crate::contract::bindings::common::{self, Error};
use crate::contract::bindings::connections::{
    AutoResponse as AutoResponsePair, Host, HostConnection, MatchKind as MatchKindAsked,
    SendOptions,
};
use crate::contract::bindings::types;
use crate::contract::handles::Handle;
use crate::instance::store::StoreData;

impl Host for StoreData {
    fn get(&mut self, id: String) -> Result<Option<Resource<Handle>>> {
        let found = ConnectionId::parse(&id).and_then(|id| self.program.reach.hub.get(id));
        let Some(connection) = found.filter(|connection| connection.is_open()) else {
            return Ok(None);
        };
        Ok(Some(self.handles.keep(connection)?))
    }

    fn by_tag(
        &mut self,
        tag: String,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Resource<Handle>>> {
        let (after, limit) = page_of(after.as_deref(), limit);
        let Ok(tag) = Tag::new(&tag) else {
            return Ok(Vec::new());
        };
        let found = self.program.reach.hub.by_tag(&tag, after, limit);
        self.page(found)
    }

    fn all(&mut self, after: Option<String>, limit: u32) -> Result<Vec<Resource<Handle>>> {
        let (after, limit) = page_of(after.as_deref(), limit);
        let found = self.program.reach.hub.page(after, limit);
        self.page(found)
    }
}

impl StoreData {
    /// Handles for these connections, as many as there is room for.
    fn page(&mut self, found: Vec<Arc<Connection>>) -> Result<Vec<Resource<Handle>>> {
        let handles = found
            .into_iter()
            .map(|connection| self.handles.keep(connection));
        Ok(handles.collect::<std::result::Result<_, _>>()?)
    }
}

/// After which connection a page begins, and how many it has.
fn page_of(after: Option<&str>, limit: u32) -> (Option<ConnectionId>, usize) {
    let after = after.and_then(ConnectionId::parse);
    (after, limit.min(PAGE_CONNECTIONS_MAX) as usize)
}

fn attach_error(error: AttachError, most: &str) -> Error {
    match error {
        AttachError::TooMany | AttachError::TooBig => {
            Error::Limit(format!("a connection has {most}"))
        }
        AttachError::HostFull => Error::Limit(
            "the host has no room for more attachments, tags and alarms (attached_bytes)".into(),
        ),
        AttachError::Gone => Error::Gone,
    }
}

impl From<AutoResponsePair> for AutoResponse {
    fn from(pair: AutoResponsePair) -> Self {
        Self {
            match_kind: match pair.match_kind {
                MatchKindAsked::Exact => MatchKind::Exact,
                MatchKindAsked::Prefix => MatchKind::Prefix,
            },
            request: pair.request.into(),
            reply: pair.reply.into(),
        }
    }
}

impl HostConnection for StoreData {
    fn id(&mut self, handle: Resource<Handle>) -> Result<String> {
        Ok(self.handles.get(&handle)?.id().to_string())
    }

    fn send(
        &mut self,
        handle: Resource<Handle>,
        message: common::Message,
    ) -> Result<types::SendOutcome> {
        let connection = self.handles.get(&handle)?;
        let outcome = connection.push(message.into());
        if outcome != SendOutcome::Gone {
            self.run.wakeups.lock().add(connection);
        }
        Ok(outcome.into())
    }

    fn send_with(
        &mut self,
        handle: Resource<Handle>,
        message: common::Message,
        options: SendOptions,
    ) -> Result<types::SendOutcome> {
        let connection = self.handles.get(&handle)?;
        let outcome = connection.push_with(message.into(), options.compress.into());
        if outcome != SendOutcome::Gone {
            self.run.wakeups.lock().add(connection);
        }
        Ok(outcome.into())
    }

    fn close(
        &mut self,
        handle: Resource<Handle>,
        info: types::CloseInfo,
    ) -> Result<Result<(), Error>> {
        let connection = self.handles.get(&handle)?;
        let info = match CloseInfo::checked(info.code, info.reason) {
            Ok(info) => info,
            Err(error) => return Ok(Err(Error::Invalid(error.to_string()))),
        };
        if connection.end(CloseReason::Function(info)) {
            self.run.wakeups.lock().add(connection);
        }
        Ok(Ok(()))
    }

    fn subprotocol(&mut self, handle: Resource<Handle>) -> Result<Option<String>> {
        Ok(self.handles.get(&handle)?.facts().subprotocol.clone())
    }

    fn route_params(&mut self, handle: Resource<Handle>) -> Result<Vec<(String, String)>> {
        Ok(self.handles.get(&handle)?.facts().route_params.clone())
    }

    fn attachment(&mut self, handle: Resource<Handle>) -> Result<Vec<u8>> {
        Ok(self.handles.get(&handle)?.attachment().into())
    }

    fn set_attachment(
        &mut self,
        handle: Resource<Handle>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), Error>> {
        let connection = self.handles.get(&handle)?;
        let set = connection.set_attachment(Bytes::from(bytes));
        let most = connection.limits().attachment_bytes;
        Ok(set.map_err(|error| {
            attach_error(
                error,
                &format!("an attachment of at most {most} bytes (attachment_bytes)"),
            )
        }))
    }

    fn subscribe(
        &mut self,
        handle: Resource<Handle>,
        channel: String,
    ) -> Result<Result<(), Error>> {
        let connection = Arc::clone(self.handles.get(&handle)?);
        Ok(self
            .subscribe_with(&connection, &channel, Subscribing::default())
            .map(|_| ()))
    }

    fn unsubscribe(&mut self, handle: Resource<Handle>, channel: String) -> Result<()> {
        let connection = self.handles.get(&handle)?;
        if let Ok(channel) = ChannelName::new(&channel) {
            let mut wakeups = self.run.wakeups.lock();
            let hub = &self.program.reach.hub;
            hub.dismiss(connection, &channel, &mut wakeups);
        }
        Ok(())
    }

    fn tags(&mut self, handle: Resource<Handle>) -> Result<Vec<String>> {
        let tags = self.handles.get(&handle)?.tags();
        Ok(tags.iter().map(|tag| tag.as_str().to_owned()).collect())
    }

    fn set_tags(
        &mut self,
        handle: Resource<Handle>,
        tags: Vec<String>,
    ) -> Result<Result<(), Error>> {
        let connection = Arc::clone(self.handles.get(&handle)?);
        let tags: Result<Vec<_>, _> = tags.iter().map(|tag| Tag::new(tag)).collect();
        let tags = match tags {
            Ok(tags) => tags,
            Err(error) => return Ok(Err(Error::Invalid(error.to_string()))),
        };
        let most = connection.limits().tags;
        let set = self.program.reach.hub.set_tags(&connection, tags);
        Ok(set.map_err(|error| attach_error(error, &format!("at most {most} tags (tags)"))))
    }

    fn set_alarm(
        &mut self,
        handle: Resource<Handle>,
        name: String,
        after: u64,
    ) -> Result<Result<(), Error>> {
        let connection = self.handles.get(&handle)?;
        let (name, after) = match self.alarm(&name, after) {
            Ok(alarm) => alarm,
            Err(error) => return Ok(Err(error)),
        };
        let most = connection.limits().alarms;
        let set = connection.set_alarm(name, after);
        if set.is_ok() {
            self.run.wakeups.lock().add(connection);
        }
        Ok(set.map_err(|error| attach_error(error, &format!("at most {most} alarms (alarms)"))))
    }

    fn clear_alarm(&mut self, handle: Resource<Handle>, name: String) -> Result<()> {
        let connection = self.handles.get(&handle)?;
        if let Ok(name) = AlarmName::new(&name) {
            connection.clear_alarm(&name);
        }
        Ok(())
    }

    fn set_auto_responses(
        &mut self,
        handle: Resource<Handle>,
        pairs: Vec<AutoResponsePair>,
    ) -> Result<Result<(), Error>> {
        let connection = self.handles.get(&handle)?;
        let most = connection.limits().auto_responses;
        let set = connection.set_auto_responses(pairs.into_iter().map(Into::into).collect());
        Ok(set.map_err(|error| {
            attach_error(
                error,
                &format!(
                    "at most {most} automatic responses (auto_responses) of {AUTO_RESPONSE_BYTES_MAX} bytes"
                ),
            )
        }))
    }

    fn auto_responded(&mut self, handle: Resource<Handle>) -> Result<u64> {
        Ok(self.handles.get(&handle)?.auto_responded())
    }

    fn terminate(&mut self, handle: Resource<Handle>) -> Result<()> {
        let connection = self.handles.get(&handle)?;
        if connection.terminate() {
            self.run.wakeups.lock().add(connection);
        }
        Ok(())
    }

    fn buffered_bytes(&mut self, handle: Resource<Handle>) -> Result<u64> {
        Ok(self.handles.get(&handle)?.buffered_bytes())
    }

    fn ping(&mut self, handle: Resource<Handle>, payload: Vec<u8>) -> Result<Result<(), Error>> {
        let connection = self.handles.get(&handle)?;
        let Ok(outcome) = connection.ping(Bytes::from(payload)) else {
            return Ok(Err(Error::Invalid(format!(
                "the payload of a ping has at most {PING_BYTES_MAX} bytes"
            ))));
        };
        if outcome == SendOutcome::Gone {
            return Ok(Err(Error::Gone));
        }
        // Even if the message did not fit, because the owner may have to end
        // the connection.
        self.run.wakeups.lock().add(connection);
        Ok(match outcome {
            SendOutcome::Dropped => Err(Error::Limit("the outbox is full (outbox_bytes)".into())),
            _ => Ok(()),
        })
    }

    fn round_trip(&mut self, handle: Resource<Handle>) -> Result<Option<u64>> {
        let time = self.handles.get(&handle)?.round_trip();
        Ok(time.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn pause(&mut self, handle: Resource<Handle>) -> Result<()> {
        self.set_paused(&handle, true)
    }

    fn resume(&mut self, handle: Resource<Handle>) -> Result<()> {
        self.set_paused(&handle, false)
    }

    fn drop(&mut self, handle: Resource<Handle>) -> Result<()> {
        Ok(self.handles.drop_kept(&handle)?)
    }
}

impl StoreData {
    fn set_paused(&self, handle: &Resource<Handle>, paused: bool) -> Result<()> {
        let connection = self.handles.get(handle)?;
        connection.pause(paused);
        self.run.wakeups.lock().add(connection);
        Ok(())
    }
}
