//! Connections by their ids, users and tags: to find them, to send to them, to
//! end them. Those of event streams and polls are not among them.
//!
//! What looks at all connections of a function runs on a thread that may wait.

use std::sync::Arc;

use http::Method;
use http::header::CONTENT_TYPE;
use openline_admission::keys::Key;
use openline_broker::presence::Member;
use openline_broker::publication::Data;
use openline_channels::connection::Connection;
use openline_channels::forms;
use openline_core::close::{CloseInfo, CloseReason};
use openline_core::event::SendOutcome;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_core::name::{ConnectionId, Tag};
use openline_dialects::rest::{self, ApiError, ConnectionSummary, ListQuery, Missing};
use openline_dialects::{Answer, DataView, MemberView};
use openline_engine::commons::Commons;

use crate::access::{Denied, parameter};
use crate::failed::Failed;
use crate::reading::looked;
use crate::{Api, Call, Reply};

/// A connection with its function.
pub(crate) type Found = (Arc<Commons>, Arc<Connection>);

impl Api {
    /// Finds a connection that a key may reach.
    pub(crate) fn connection(
        &self,
        key: &Key,
        scope: Scope,
        id: &str,
    ) -> Result<Option<Found>, Denied> {
        if !key.terms().scopes.has(scope) {
            return Err(Denied::Scope);
        }
        let Some(id) = ConnectionId::parse(id) else {
            return Ok(None);
        };
        let functions = self.services.functions();
        let mut reached = functions
            .into_iter()
            .filter(|function| key.allows_any(scope, function.name()));
        Ok(reached.find_map(|function| {
            let connection = function.hub().get(id)?;
            Some((function, connection))
        }))
    }

    /// The functions whose connections a key may reach.
    pub(crate) fn functions(&self, key: &Key, scope: Scope) -> Vec<Arc<Commons>> {
        let mut functions = self.services.functions();
        functions.retain(|function| key.allows_any(scope, function.name()));
        functions
    }
}

/// Connections of a user. Looks at all, so it is not for a thread that serves.
pub(crate) fn of_user(functions: &[Arc<Commons>], user: &str) -> Vec<Found> {
    let mut found = Vec::new();
    for function in functions {
        let all = function.hub().snapshot();
        let own = all
            .into_iter()
            .filter(|it| it.facts().user.as_deref().unwrap_or_default() == user);
        found.extend(own.map(|connection| (Arc::clone(function), connection)));
    }
    found
}

/// `GET /v1/connections`.
pub(crate) async fn list(call: &Call<'_>, key: Arc<Key>) -> Result<Reply, Failed> {
    let query = ListQuery::of_query(call.query())?;
    let named = parameter(call.query(), "function")?;
    if !key.terms().scopes.has(Scope::Read) {
        return Err(Denied::Scope.into());
    }
    let invalid = |name, why| ApiError::Invalid { name, why };
    let tag = query.tag.as_deref().map(Tag::new).transpose();
    let tag = tag.map_err(|_| invalid("tag", "is no tag"))?;
    let after = query
        .after
        .as_deref()
        .map(|text| ConnectionId::parse(text).ok_or(invalid("after", "is not a connection's id")));
    let after = after.transpose()?;
    let mut functions = call.api.functions(&key, Scope::Read);
    if let Some(named) = named {
        functions.retain(|function| function.name().as_str() == named);
    }
    let limit = query.limit as usize;
    let looking = move || {
        let mut found = match &query.user {
            Some(user) => of_user(&functions, user),
            None => page(&functions, tag.as_ref(), after, limit + 1),
        };
        found.retain(|(_, connection)| {
            let tagged = tag
                .as_ref()
                .is_none_or(|tag| connection.tags().contains(tag));
            tagged && after.is_none_or(|after| connection.id() > after)
        });
        found.sort_unstable_by_key(|(_, connection)| connection.id());
        found.truncate(limit + 1);
        found
    };
    let mut found = looked(looking).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more);
    let next = next.map(|(_, connection)| connection.id().to_string());
    let shown: Vec<_> = found.iter().map(Shown::of).collect();
    let lists: Vec<_> = shown.iter().map(Shown::lists).collect();
    let rows = shown
        .iter()
        .zip(&lists)
        .map(|(shown, lists)| shown.summary(lists));
    Ok(rest::connections(rows, next.as_deref()).into())
}

fn page(
    functions: &[Arc<Commons>],
    tag: Option<&Tag>,
    after: Option<ConnectionId>,
    limit: usize,
) -> Vec<Found> {
    let pages = functions.iter().flat_map(|function| {
        let hub = function.hub();
        let page = match tag {
            Some(tag) => hub.by_tag(tag, after, limit),
            None => hub.page(after, limit),
        };
        page.into_iter()
            .map(|connection| (Arc::clone(function), connection))
    });
    pages.collect()
}

/// What an answer borrows of a connection.
#[derive(Debug)]
pub(crate) struct Shown {
    id: String,
    function: String,
    pub(crate) user: String,
    pub(crate) address: String,
    tags: Vec<Tag>,
    channels: Vec<openline_core::name::ChannelName>,
    pub(crate) opened_ms: u64,
}

type Lists<'a> = (Vec<&'a str>, Vec<&'a str>);

impl Shown {
    pub(crate) fn of((function, connection): &Found) -> Self {
        let facts = connection.facts();
        Self {
            id: connection.id().to_string(),
            function: function.name().to_string(),
            user: facts.user.as_deref().unwrap_or_default().to_owned(),
            address: facts.peer.to_string(),
            tags: connection.tags(),
            channels: connection.channels(),
            opened_ms: facts.opened_ms,
        }
    }

    fn lists(&self) -> Lists<'_> {
        let tags = self.tags.iter().map(Tag::as_str).collect();
        (tags, self.channels.iter().map(|it| it.as_str()).collect())
    }

    fn summary<'a>(&'a self, (tags, channels): &'a Lists<'a>) -> ConnectionSummary<'a> {
        ConnectionSummary {
            connection: &self.id,
            function: &self.function,
            user: &self.user,
            address: &self.address,
            tags,
            channels,
            opened_ms: self.opened_ms,
            // The host does not note each message.
            active_ms: self.opened_ms,
        }
    }
}

/// `GET` and `DELETE` of one connection.
pub(crate) fn one(call: &Call<'_>, key: &Key, id: &str) -> Result<Reply, Failed> {
    let missing = ApiError::NotFound(Missing::Connection);
    if call.parts.method == Method::GET {
        let found = call.api.connection(key, Scope::Read, id)?.ok_or(missing)?;
        let shown = Shown::of(&found);
        return Ok(rest::connection(&shown.summary(&shown.lists())).into());
    }
    let (_, connection) = call
        .api
        .connection(key, Scope::Manage, id)?
        .ok_or(missing)?;
    let code = parameter(call.query(), "code")?.unwrap_or("1000".to_owned());
    let reason = parameter(call.query(), "reason")?.unwrap_or_default();
    let wrong = ApiError::Invalid {
        name: "code",
        why: "or `reason` cannot be in a close frame",
    };
    let code = code.parse().map_err(|_| wrong.clone())?;
    let info = CloseInfo::checked(code, reason).map_err(|_| wrong)?;
    close(&connection, info);
    Ok(Answer {
        status: 204,
        content_type: None,
        header: None,
        body: String::new(),
    }
    .into())
}

/// Ends a connection; whether nothing else has ended it before.
pub(crate) fn close(connection: &Connection, info: CloseInfo) -> bool {
    let first = connection.end(CloseReason::Operator(info));
    connection.wake();
    first
}

/// `POST` of a message to one connection.
pub(crate) async fn send(call: &mut Call<'_>, key: &Key, id: &str) -> Result<Reply, Failed> {
    let missing = ApiError::NotFound(Missing::Connection);
    let found = call.api.connection(key, Scope::Publish, id)?;
    let (_, connection) = found.ok_or(missing.clone())?;
    let kind = call.parts.headers.get(CONTENT_TYPE);
    let is_binary = kind.is_some_and(|kind| kind.as_bytes() == b"application/octet-stream");
    let body = call.body().await?;
    let message = if is_binary {
        Message::Binary(body.bytes.clone())
    } else {
        let text = bytestring::ByteString::try_from(body.bytes.clone());
        let why = "text is UTF-8; bytes have the type application/octet-stream";
        Message::Text(text.map_err(|_| ApiError::Malformed(why.to_owned()))?)
    };
    match put(&connection, message) {
        Put::Sent => Ok(Answer {
            status: 202,
            content_type: None,
            header: None,
            body: String::new(),
        }
        .into()),
        Put::Large => Err(ApiError::TooLarge.into()),
        Put::Slow => Err(ApiError::Slow.into()),
        Put::Gone => Err(missing.into()),
    }
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    Sent,
    Large,
    Slow,
    Gone,
}

/// Puts a message into a connection's outbox, in the words of its dialect.
pub(crate) fn put(connection: &Arc<Connection>, message: Message) -> Put {
    let dialect = connection.facts().dialect.and_then(forms::spoken);
    let is_large = |message: &Message| message.bytes() > connection.limits().message_bytes;
    let outcome = match dialect {
        None if is_large(&message) => return Put::Large,
        None => connection.push(message),
        Some(dialect) => {
            let frame = Message::Text(match &message {
                Message::Text(text) => dialect.message(DataView::of_text(text)),
                Message::Binary(bytes) => dialect.message(DataView::Binary(bytes)),
            });
            if is_large(&frame) {
                return Put::Large;
            }
            connection.push_frame(frame)
        }
    };
    connection.wake();
    match outcome {
        SendOutcome::Sent | SendOutcome::Queued(_) => Put::Sent,
        SendOutcome::Dropped => Put::Slow,
        SendOutcome::Gone => Put::Gone,
    }
}

/// Shows members in the words of the dialects.
pub(crate) fn with_members<T>(members: &[Member], show: impl FnOnce(&[MemberView<'_>]) -> T) -> T {
    let ids: Vec<_> = members.iter().map(|it| it.connection.to_string()).collect();
    let views: Vec<_> = members
        .iter()
        .zip(&ids)
        .map(|(member, id)| MemberView {
            connection: id,
            user: member.user.as_deref().unwrap_or_default(),
            connection_info: None,
            channel_info: match &member.info {
                Some(Data::Json(text)) => Some(text),
                _ => None,
            },
        })
        .collect();
    show(&views)
}
