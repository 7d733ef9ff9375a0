//! Replies to commands. Members that are empty, 0 or false are left out, as
//! Centrifugo does, except for those that some client reads without looking
//! whether they are there.

use bytestring::ByteString;

use super::codes::error_of;
use super::push::{member, publication, room};
use crate::json::{self, Object};
use crate::outcome::{PresenceStats, Recovery, Refusal, Subscribed, Welcome};
use crate::view::{DataView, MemberView, PositionView, PublicationView};

/// A reply with what the command asked for.
fn reply(
    id: u32,
    request: &'static str,
    room: usize,
    write: impl FnOnce(&mut Object<'_>),
) -> ByteString {
    let mut out = String::with_capacity(64 + room);
    json::object(&mut out, |reply| {
        reply.number("id", id.into());
        reply.object(request, write);
    });
    out.into()
}

/// The reply to a request that has no result.
pub(crate) fn empty(id: u32, request: &'static str) -> ByteString {
    reply(id, request, 0, |_| ())
}

pub(crate) fn refused(id: u32, refusal: &Refusal) -> ByteString {
    reply(id, "error", 64, |error| {
        let (code, temporary) = error_of(refusal);
        error.number("code", code.into());
        error.text("message", &refusal.to_string());
        error.flag_if_set("temporary", temporary);
    })
}

pub(crate) fn connected(id: u32, welcome: &Welcome<'_>) -> ByteString {
    reply(id, "connect", 256, |result| connect(result, welcome))
}

/// The result of a connect command.
pub(super) fn connect(result: &mut Object<'_>, welcome: &Welcome<'_>) {
    result.text("client", welcome.connection);
    result.text_if_any("version", welcome.version);
    lifetime(result, welcome.ttl_s);
    result.value_if_any("data", welcome.data);
    if !welcome.subscriptions.is_empty() {
        result.object("subs", |subs| {
            for subscription in welcome.subscriptions {
                subs.foreign_object(subscription.channel, |result| {
                    subscription_result(result, subscription.since, &subscription.outcome);
                });
            }
        });
    }
    result.number_if_any("ping", welcome.ping_s.into());
    result.flag_if_set("pong", welcome.pong);
    result.text_if_any("session", welcome.session);
    result.text_if_any("node", welcome.node);
}

/// Clients read `ttl` whenever `expires` is there.
pub(super) fn lifetime(result: &mut Object<'_>, ttl_s: Option<u32>) {
    if let Some(ttl) = ttl_s {
        result.flag("expires", true);
        result.number("ttl", ttl.into());
    }
}

pub(crate) fn subscribed(id: u32, since: u64, outcome: &Subscribed<'_>) -> ByteString {
    let bytes = match outcome.recovery {
        Recovery::Recovered(missed) => missed.iter().map(room).sum(),
        Recovery::NotAsked | Recovery::Failed => 0,
    };
    reply(id, "subscribe", 128 + bytes, |result| {
        subscription_result(result, since, outcome);
    })
}

/// The result of a subscription. One that recovers repeats the offset that was
/// asked for: its publications take the client from there to the present. Without
/// any the client is there at once, also past those that it skips, which may be
/// evicted before it comes back the next time.
pub(super) fn subscription_result(result: &mut Object<'_>, since: u64, outcome: &Subscribed<'_>) {
    lifetime(result, outcome.ttl_s);
    result.flag_if_set("recoverable", outcome.recoverable);
    if let Some(position) = outcome.position {
        result.text_if_any("epoch", position.epoch);
    }
    let mut offset = outcome.position.map_or(0, |position| position.offset);
    if let Recovery::Recovered(missed) = outcome.recovery {
        if !missed.is_empty() {
            offset = since;
            result.array("publications", missed, publication);
        }
        result.flag("recovered", true);
    }
    result.number_if_any("offset", offset);
    result.flag_if_set("positioned", outcome.position.is_some());
    result.value_if_any("data", outcome.data);
    let was_recovering = !matches!(outcome.recovery, Recovery::NotAsked);
    result.flag_if_set("was_recovering", was_recovering);
}

pub(crate) fn presence<'a>(
    id: u32,
    members: impl IntoIterator<Item = MemberView<'a>>,
) -> ByteString {
    reply(id, "presence", 256, |result| {
        presence_result(result, members)
    })
}

pub(super) fn presence_result<'a>(
    result: &mut Object<'_>,
    members: impl IntoIterator<Item = MemberView<'a>>,
) {
    result.object("presence", |presence| {
        for view in members {
            presence.foreign_object(view.connection, |info| member(info, &view));
        }
    });
}

pub(crate) fn presence_stats(id: u32, stats: PresenceStats) -> ByteString {
    reply(id, "presence_stats", 64, |result| {
        presence_stats_result(result, stats);
    })
}

pub(super) fn presence_stats_result(result: &mut Object<'_>, stats: PresenceStats) {
    result.number("num_clients", stats.connections.into());
    result.number("num_users", stats.users.into());
}

pub(crate) fn history<'a>(
    id: u32,
    end: PositionView<'_>,
    publications: impl IntoIterator<Item = PublicationView<'a>>,
) -> ByteString {
    reply(id, "history", 256, |result| {
        history_result(result, end, publications);
    })
}

pub(super) fn history_result<'a>(
    result: &mut Object<'_>,
    end: PositionView<'_>,
    publications: impl IntoIterator<Item = PublicationView<'a>>,
) {
    result.array("publications", publications, |out, view| {
        publication(out, &view);
    });
    result.text("epoch", end.epoch);
    result.number("offset", end.offset);
}

pub(crate) fn returned(id: u32, data: DataView<'_>) -> ByteString {
    reply(id, "rpc", data.len(), |result| {
        if !data.is_empty() {
            json::data(result.key("data"), data);
        }
    })
}

pub(crate) fn refreshed(id: u32, client: &str, ttl_s: Option<u32>) -> ByteString {
    reply(id, "refresh", 64, |result| {
        result.text("client", client);
        lifetime(result, ttl_s);
    })
}

pub(crate) fn subscription_refreshed(id: u32, ttl_s: Option<u32>) -> ByteString {
    reply(id, "sub_refresh", 64, |result| lifetime(result, ttl_s))
}
