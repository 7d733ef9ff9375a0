//! Frames of a PushFlo client.
//!
//! A frame that cannot be read is answered with an error, and the connection
//! goes on: the client has no code for anything else.

use bytes::Bytes;
use serde::Deserialize;

use crate::action::{Action, Subscribe};
use crate::json::{self, Text};
use crate::limits::CHANNEL_BYTES_MAX;
use crate::outcome::{Close, Refusal};
use crate::pushflo::frame;
use crate::reply::{Kind, Reply};
use crate::share::shared;

/// How a connection without a good key ends, after its error.
pub(super) const UNAUTHORIZED: Close = Close {
    code: 1008,
    reason: "unauthorized",
};

#[derive(Debug, Deserialize)]
struct Frame<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow, default)]
    channel: Text<'a>,
}

/// Reads a frame. An acknowledgement asks for nothing.
pub(super) fn read(bytes: &Bytes) -> Option<Action> {
    let malformed = || Some(Action::Send(frame::error(&Refusal::BadRequest, None)));
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return malformed();
    }
    let Ok(read) = json::read::<Frame<'_>>(bytes) else {
        return malformed();
    };
    let channel = shared(bytes, &read.channel);
    let named = (1..=CHANNEL_BYTES_MAX).contains(&channel.len());
    let reply = || {
        Reply(Kind::Pushflo {
            channel: channel.clone(),
        })
    };
    match &*read.kind {
        "ping" => Some(Action::Send(frame::PONG)),
        "ack" => None,
        "subscribe" if named => {
            let reply = reply();
            let subscribe = Subscribe {
                channel,
                ..Subscribe::default()
            };
            Some(Action::Subscribe(reply, Box::new(subscribe)))
        }
        "unsubscribe" if named => Some(Action::Unsubscribe(reply(), channel)),
        _ => malformed(),
    }
}
