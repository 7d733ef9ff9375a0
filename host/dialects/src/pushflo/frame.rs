//! Frames to a PushFlo client.

use bytestring::ByteString;

use crate::json;
use crate::outcome::{Refusal, Welcome};
use crate::view::{DataView, PublicationView};

/// The answer to a ping.
pub(crate) const PONG: ByteString = ByteString::from_static(r#"{"type":"pong"}"#);

/// The first frame: without it the client gives up after 30 seconds.
pub(crate) fn connected(welcome: &Welcome<'_>) -> ByteString {
    let frame = json::document(|frame| {
        frame.text("type", "connected");
        frame.text("clientId", welcome.connection);
        frame.number("timestamp", welcome.time_ms);
    });
    frame.into()
}

pub(crate) fn subscribed(channel: &str) -> ByteString {
    of_channel("subscribed", channel)
}

pub(crate) fn unsubscribed(channel: &str) -> ByteString {
    of_channel("unsubscribed", channel)
}

fn of_channel(kind: &str, channel: &str) -> ByteString {
    let frame = json::document(|frame| {
        frame.text("type", kind);
        frame.text("channel", channel);
    });
    frame.into()
}

/// A publication, the same for all subscribers. The client drops it without a
/// channel or an identity.
pub(crate) fn publication(view: &PublicationView<'_>) -> ByteString {
    let data = match view.data {
        DataView::Binary(bytes) => bytes.len().div_ceil(3) * 4,
        DataView::Json(_) | DataView::Text(_) => view.data.len(),
    };
    // So much that the data is not moved; escapes are rare.
    let mut out = String::with_capacity(288 + view.channel.len() + data);
    json::object(&mut out, |frame| {
        frame.text("type", "message");
        frame.text("channel", view.channel);
        frame.text("messageId", view.id);
        frame.text("eventType", view.event.unwrap_or("message"));
        let sender = view.sender.map_or("", |sender| sender.connection);
        frame.text("clientId", sender);
        json::data(frame.key("data"), view.data);
        if matches!(view.data, DataView::Binary(_)) {
            frame.text("encoding", "base64");
        }
        frame.number("timestamp", view.time_ms);
    });
    out.into()
}

/// An error: of a channel, or of the connection. While the client connects, any
/// error ends its attempt.
pub(crate) fn error(refusal: &Refusal, channel: Option<&str>) -> ByteString {
    let frame = json::document(|frame| {
        frame.text("type", "error");
        frame.text("error", &refusal.to_string());
        frame.text("code", code_of(refusal));
        frame.text_if_some("channel", channel);
    });
    frame.into()
}

/// The SDK's name for a refusal. Of two of them it makes an authentication
/// error: of `UNAUTHORIZED` and `INVALID_TOKEN`.
pub(crate) fn code_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unauthorized => "UNAUTHORIZED",
        Refusal::TokenExpired | Refusal::Expired => "INVALID_TOKEN",
        Refusal::Denied => "FORBIDDEN",
        Refusal::UnknownChannel => "CHANNEL_NOT_FOUND",
        Refusal::MethodNotFound | Refusal::Unrecoverable => "NOT_FOUND",
        Refusal::LimitExceeded | Refusal::TooManyRequests => "RATE_LIMITED",
        Refusal::AlreadySubscribed => "INVALID_STATE",
        Refusal::BadRequest | Refusal::NotAvailable => "VALIDATION_ERROR",
        Refusal::Internal | Refusal::Function { .. } => "SERVER_ERROR",
    }
}
