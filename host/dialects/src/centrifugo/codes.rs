//! Codes with which connections and subscriptions end, and errors, as
//! Centrifugo's clients know them.
//!
//! Clients connect again after 3000–3499 and 4000–4499, and do not after
//! 3500–3999 and 4500–4999. They subscribe again after 2500–2999, and do not
//! after 2000–2499.

use crate::outcome::{Close, Refusal};

const fn close(code: u16, reason: &'static str) -> Close {
    Close { code, reason }
}

/// The connection ended without a word.
pub const CONNECTION_CLOSED: Close = close(3000, "connection closed");
/// The host shuts down.
pub const SHUTDOWN: Close = close(3001, "shutdown");
/// The host has failed.
pub const SERVER_ERROR: Close = close(3004, "internal server error");
/// The connection's token has expired.
pub const EXPIRED: Close = close(3005, "connection expired");
/// A subscription's token has expired.
pub const SUBSCRIPTION_EXPIRED: Close = close(3006, "subscription expired");
/// The peer reads too slowly.
pub const SLOW: Close = close(3008, "slow");
/// The peer has missed publications; it recovers when it comes back.
pub const INSUFFICIENT_STATE: Close = close(3010, "insufficient state");
/// The host wants it to connect again.
pub const RECONNECT: Close = close(3011, "force reconnect");
/// It has not answered a ping.
pub const NO_PONG: Close = close(3012, "no pong");
/// It sends too much.
pub const TOO_MANY_REQUESTS: Close = close(3013, "too many requests");
/// Its token, or what it has cached, is no longer valid.
pub const STATE_INVALIDATED: Close = close(3014, "state invalidated");
/// Its token is not valid.
pub const INVALID_TOKEN: Close = close(3500, "invalid token");
/// It breaks the protocol.
pub const BAD_REQUEST: Close = close(3501, "bad request");
/// It has not connected in time.
pub const STALE: Close = close(3502, "stale");
/// The host does not want it back.
pub const DISCONNECT: Close = close(3503, "force disconnect");
/// There are too many connections.
pub const CONNECTION_LIMIT: Close = close(3504, "connection limit");
/// It has too many channels.
pub const CHANNEL_LIMIT: Close = close(3505, "channel limit");
/// It may not connect.
pub const PERMISSION_DENIED: Close = close(3507, "permission denied");
/// It sends messages that no function takes.
pub const NOT_AVAILABLE: Close = close(3508, "not available");
/// It makes too many mistakes.
pub const TOO_MANY_ERRORS: Close = close(3509, "too many errors");

/// Why the host has ended a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsubscribed {
    /// The host, or the function, wants it so.
    ByHost,
    /// The peer has missed publications, and is to subscribe again.
    InsufficientState,
    /// Its token has expired; the peer gets another one and subscribes again.
    Expired,
    /// Its token, or what the peer has cached, is no longer valid.
    StateInvalidated,
}

impl Unsubscribed {
    /// The code and the reason.
    pub const fn parts(self) -> (u32, &'static str) {
        match self {
            Self::ByHost => (2000, "server unsubscribe"),
            Self::InsufficientState => (2500, "insufficient state"),
            Self::Expired => (2501, "subscription expired"),
            Self::StateInvalidated => (2502, "state invalidated"),
        }
    }
}

/// The code of a refusal, and whether trying again may help.
pub fn error_of(refusal: &Refusal) -> (u32, bool) {
    match refusal {
        Refusal::Internal => (100, true),
        Refusal::Unauthorized => (101, false),
        Refusal::UnknownChannel => (102, false),
        Refusal::Denied => (103, false),
        Refusal::MethodNotFound => (104, false),
        Refusal::AlreadySubscribed => (105, false),
        Refusal::LimitExceeded => (106, false),
        Refusal::BadRequest => (107, false),
        Refusal::NotAvailable => (108, false),
        Refusal::TokenExpired => (109, false),
        Refusal::Expired => (110, false),
        Refusal::TooManyRequests => (111, true),
        Refusal::Unrecoverable => (112, false),
        Refusal::Function {
            code, temporary, ..
        } => (*code, *temporary),
    }
}
