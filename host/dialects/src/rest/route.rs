//! What a path names.

use percent_encoding::percent_decode_str;

use crate::limits::CHANNEL_BYTES_MAX;

/// What a path names. The method and the key say whether it is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v1/publish`
    Publish,
    /// `/v1/channels`
    Channels,
    /// `/v1/channels/{channel}/history`
    History(String),
    /// `/v1/channels/{channel}/presence`
    Presence(String),
    /// `/v1/channels/{channel}/events`
    Events(String),
    /// `/v1/channels/{channel}/poll`
    Poll(String),
    /// `/v1/connections`
    Connections,
    /// `/v1/connections/{connection}`
    Connection(String),
    /// `/v1/connections/{connection}/messages`
    Messages(String),
}

impl Route {
    /// Reads a path as it was sent. A `/` in the name of a channel is encoded.
    pub fn of_path(path: &str) -> Option<Self> {
        let mut segments = path.strip_prefix("/v1/")?.split('/');
        let kind = segments.next()?;
        let name = segments.next().map(name);
        let part = segments.next();
        if segments.next().is_some() {
            return None;
        }
        let Some(name) = name else {
            return match kind {
                "publish" => Some(Self::Publish),
                "channels" => Some(Self::Channels),
                "connections" => Some(Self::Connections),
                _ => None,
            };
        };
        let of_name = match (kind, part) {
            ("channels", Some("history")) => Self::History,
            ("channels", Some("presence")) => Self::Presence,
            ("channels", Some("events")) => Self::Events,
            ("channels", Some("poll")) => Self::Poll,
            ("connections", None) => Self::Connection,
            ("connections", Some("messages")) => Self::Messages,
            _ => return None,
        };
        name.map(of_name)
    }
}

fn name(segment: &str) -> Option<String> {
    let name = percent_decode_str(segment).decode_utf8().ok()?;
    let fits = (1..=CHANNEL_BYTES_MAX).contains(&name.len());
    fits.then(|| name.into_owned())
}
