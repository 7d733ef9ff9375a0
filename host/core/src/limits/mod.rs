//! Every bound with its name, unit, default, range, reason, and what happens
//! past it.
//!
//! A bound that a configuration can change is a row of a table: of
//! [`FunctionLimits`], of [`InstancePolicy`], or of the host's own table beside
//! the configuration. A row's name is its key in the configuration, its label
//! in logs and metrics, and its word in answers to peers. Bounds that cannot be
//! changed are constants here.

mod component;
mod function;
mod instance;
#[macro_use]
pub(crate) mod table;

use std::time::Duration;

pub use component::{
    COMPONENT_INSTANCES_MAX, COMPONENT_ITEMS_MAX, COMPONENT_NESTING_MAX, COMPONENTS_MAX,
    CORE_INSTANCES_MAX, CORE_ITEMS_MAX, CORE_MODULES_MAX, MEMORIES_MAX, TABLES_MAX,
};
pub use function::{Compression, FunctionLimits, OutboxOverflow, RateExceeded, TimeUp};
pub(crate) use function::{FunctionLimitsMaximum, FunctionLimitsWritten};
pub use instance::{BackoffPolicy, InstancePolicy};
pub(crate) use instance::{InstancePolicyMaximum, InstancePolicyWritten};
pub use table::{Effect, Row, Unit};

/// A channel's name, in bytes: room for a path of identities.
pub const CHANNEL_NAME_BYTES_MAX: usize = 256;
/// A tag, in bytes; Durable Objects allow the same.
pub const TAG_BYTES_MAX: usize = 256;
/// An alarm's name, in bytes: a word or an identity.
pub const ALARM_NAME_BYTES_MAX: usize = 64;
/// How far in the future an alarm may be: a later appointment belongs in a
/// calendar.
pub const ALARM_TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Either message of a pair that the host answers by itself, in bytes; Durable
/// Objects allow the same.
pub const AUTO_RESPONSE_BYTES_MAX: usize = 2048;
/// Connections in one page, when a function lists connections by tag or all of
/// them.
pub const PAGE_CONNECTIONS_MAX: u32 = 1000;
/// An affinity value, in bytes: it names an instance and its state. A request
/// with a longer one is refused with 400.
pub const AFFINITY_BYTES_MAX: usize = 512;
/// Headers of a handshake: as many as fit into the default of
/// `request_header_bytes` at 16 bytes each; browsers and proxies send about 30.
/// A request with more is refused with 400.
pub const REQUEST_HEADERS_MAX: usize = 512;
/// Messages in one call of a function. A read of the default buffer brings
/// fewer; a larger batch would let one connection keep an instance for long.
pub const BATCH_MESSAGES_MAX: usize = 256;
/// A batch with this many payload bytes is full; the message that passes the
/// mark still belongs to it. A connection has at most two batches in the host:
/// the one being handled and the next.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;
/// The first bytes of an answer that a function holds: they are kept until the peer
/// has taken them, and more of them is what messages are for.
pub const HELD_FIRST_BYTES_MAX: usize = 64 * 1024;
/// Positions in the id of an event of a held answer, one for each of its channels
/// from which it can recover: with more the `Last-Event-ID` of a browser would not
/// fit into what proxies take for a header.
pub const HELD_POSITIONS_MAX: usize = 16;
/// How long a held poll waits for its message where the function does not say:
/// proxies close what is silent for 30 to 60 seconds.
pub const HELD_POLL_TIME: Duration = Duration::from_secs(25);
/// How long one may wait at most: after more, its peer cannot tell it from one that
/// was forgotten.
pub const HELD_POLL_TIME_MAX: Duration = Duration::from_secs(10 * 60);
/// Payload of a ping or pong, in bytes (RFC 6455 section 5.5).
pub const PING_BYTES_MAX: usize = 125;

/// Above this mark of an outbox `send` answers `queued`: the peer reads more
/// slowly than the host writes. A wait for a writable connection ends below it.
pub const OUTBOX_LOW_BYTES: usize = 64 * 1024;
/// How much an outbox holds without taking a share of the host's
/// `outbox_bytes`, so that the usual few small messages need no share.
pub const OUTBOX_FREE_BYTES: usize = 4 * 1024;
/// The size of the pieces in which an outbox takes its share.
pub const OUTBOX_SHARE_BYTES: usize = 64 * 1024;

/// How much of what it has received a connection holds without taking a share
/// of the host's `received_bytes`: messages that the function has not handled,
/// and the parts of one that have come. So the usual messages need no share.
pub const RECEIVED_FREE_BYTES: usize = 16 * 1024;
/// The size of the pieces in which a connection takes its share.
pub const RECEIVED_SHARE_BYTES: usize = 64 * 1024;
/// How long a message may take to arrive while others of its function wait for
/// room. Without a bound, peers that send slowly or stop in the middle could
/// keep all of it.
pub const RECEIVED_TIME: Duration = Duration::from_secs(15);
/// It may take a second longer for each time that so many bytes of it have
/// arrived, so that large messages can come as fast as small ones.
pub const RECEIVED_BYTES_PER_SECOND_MIN: usize = 1024 * 1024;

/// How often the epoch advances. Guest code yields its thread at the next tick,
/// so this bounds how long one guest can keep a thread at a time. It is small
/// against `cpu_timeout`, and 200 wake-ups a second cost under 0.1 % of a core.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_listed_in_the_order_and_the_units_of_their_rows() {
        let limits = FunctionLimits {
            message_bytes: 17,
            handler_timeout: Duration::from_secs(3),
            ..FunctionLimits::default()
        };
        for (row, value) in limits.values() {
            let expected = match row.name {
                "message_bytes" => 17,
                "handler_timeout" => 3000,
                _ => row.default,
            };
            assert_eq!(value, expected, "{}", row.name);
        }
        for (row, value) in InstancePolicy::default().values() {
            assert_eq!(value, row.default, "{}", row.name);
        }
    }
}
