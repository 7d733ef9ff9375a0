//! Pushes: what the host sends without being asked.
//!
//! Nothing in a push depends on who gets it, so a push for a channel is written
//! once for all its subscribers.

use bytestring::ByteString;

use super::DATA_TAG;
use super::codes::Unsubscribed;
use super::reply::{connect, lifetime, subscription_result};
use crate::json::{self, Object};
use crate::outcome::{Close, Subscribed, Welcome};
use crate::view::{DataView, MemberView, PublicationView};

/// How pushes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushes {
    /// Beside replies, over a WebSocket.
    Wrapped,
    /// Alone, over an event stream, where each is an event.
    Bare,
}

/// The bytes of a push with its names, a code and a reason.
pub(super) const PUSH_BYTES: usize = 96;

impl Pushes {
    fn write(self, room: usize, write: impl FnOnce(&mut Object<'_>)) -> ByteString {
        let mut out = String::with_capacity(PUSH_BYTES + room);
        match self {
            Self::Wrapped => json::object(&mut out, |reply| reply.object("push", write)),
            Self::Bare => json::object(&mut out, write),
        }
        out.into()
    }

    /// A publication, the same for all subscribers. Event and identity have no
    /// place in this protocol: a publisher that wants them seen puts them into
    /// tags.
    pub fn publication(self, view: &PublicationView<'_>) -> ByteString {
        self.write(room(view), |push| {
            push.text("channel", view.channel);
            publication(push.key("pub"), view);
        })
    }

    /// A connection has subscribed to the channel.
    pub fn joined(self, channel: &str, view: &MemberView<'_>) -> ByteString {
        self.presence("join", channel, view)
    }

    /// A connection has left the channel.
    pub fn left(self, channel: &str, view: &MemberView<'_>) -> ByteString {
        self.presence("leave", channel, view)
    }

    fn presence(self, what: &'static str, channel: &str, view: &MemberView<'_>) -> ByteString {
        self.write(128, |push| {
            push.text("channel", channel);
            push.object(what, |change| {
                change.object("info", |info| member(info, view));
            });
        })
    }

    /// The host has subscribed the peer to a channel.
    pub fn subscribed(self, channel: &str, outcome: &Subscribed<'_>) -> ByteString {
        self.write(128, |push| {
            push.text("channel", channel);
            push.object("subscribe", |result| {
                subscription_result(result, 0, outcome)
            });
        })
    }

    /// The host has ended a subscription of the peer.
    pub fn unsubscribed(self, channel: &str, why: Unsubscribed) -> ByteString {
        let (code, reason) = why.parts();
        self.write(64, |push| {
            push.text("channel", channel);
            push.object("unsubscribe", |unsubscribe| {
                unsubscribe.number("code", code.into());
                unsubscribe.text("reason", reason);
            });
        })
    }

    /// A message of the function to this peer alone.
    pub fn message(self, data: DataView<'_>) -> ByteString {
        self.write(data.len(), |push| {
            push.object("message", |message| json::data(message.key("data"), data));
        })
    }

    /// The peer is connected, over a transport that has no replies.
    pub fn connected(self, welcome: &Welcome<'_>) -> ByteString {
        self.write(256, |push| {
            push.object("connect", |result| connect(result, welcome))
        })
    }

    /// How long the connection lasts now.
    pub fn refreshed(self, ttl_s: Option<u32>) -> ByteString {
        self.write(32, |push| {
            push.object("refresh", |refresh| lifetime(refresh, ttl_s))
        })
    }

    /// The connection is about to be closed. Over a WebSocket the close frame
    /// says it as well, so this is needed where there is none.
    pub fn disconnected(self, close: Close) -> ByteString {
        self.write(64, |push| {
            push.object("disconnect", |disconnect| {
                disconnect.number("code", close.code.into());
                disconnect.text("reason", close.reason);
            });
        })
    }
}

/// The bytes of a publication beside what is always there, so that it is written
/// without moving its data; escapes, which are rare, are not counted.
pub(super) fn room(view: &PublicationView<'_>) -> usize {
    let data = match view.data {
        DataView::Binary(bytes) => bytes.len().div_ceil(3) * 4 + 64,
        DataView::Json(_) | DataView::Text(_) => view.data.len(),
    };
    let sender = view.sender.map_or(0, |sender| {
        let infos = [sender.connection_info, sender.channel_info];
        let infos = infos.iter().flatten().map(|info| info.len() + 16);
        64 + sender.connection.len() + sender.user.len() + infos.sum::<usize>()
    });
    let mut tags = 0;
    if let Some(given) = view.tags {
        given.each(&mut |name, value| tags += name.len() + value.len() + 8);
    }
    view.channel.len() + data + sender + tags + 64
}

/// Writes a publication.
pub(super) fn publication(out: &mut String, view: &PublicationView<'_>) {
    json::object(out, |publication| {
        json::data(publication.key("data"), view.data);
        if let Some(sender) = &view.sender {
            publication.object("info", |info| member(info, sender));
        }
        publication.number_if_any("offset", view.offset);
        let encoded = matches!(view.data, DataView::Binary(_));
        if view.tags.is_some() || encoded {
            publication.object("tags", |tags| {
                if let Some(given) = view.tags {
                    given.each(&mut |name, value| {
                        // The one of the host says what is true.
                        if !(encoded && name == DATA_TAG.0) {
                            tags.foreign_text(name, value);
                        }
                    });
                }
                if encoded {
                    tags.text(DATA_TAG.0, DATA_TAG.1);
                }
            });
        }
        publication.number_if_any("time", view.time_ms);
    });
}

/// Writes a connection, with its user and what is known of it.
pub(super) fn member(info: &mut Object<'_>, view: &MemberView<'_>) {
    info.text("user", view.user);
    info.text("client", view.connection);
    info.value_if_any("conn_info", view.connection_info);
    info.value_if_any("chan_info", view.channel_info);
}
