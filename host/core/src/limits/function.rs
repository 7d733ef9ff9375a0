//! What one connection or one call of a function may use: `[function.limit]`.

use super::table::limits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SECOND: u64 = 1000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// What happens when a connection's outbox is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxOverflow {
    /// The connection is closed with 1013: a peer that misses a message would
    /// not know it.
    #[default]
    Close,
    /// The message that does not fit is dropped.
    DropNewest,
    /// What has waited longest is dropped until the message fits.
    DropOldest,
}

/// What happens when a peer sends faster than it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RateExceeded {
    /// The connection is closed with 1008.
    Close,
    /// Reading stops until the rate is met again; TCP slows the peer down.
    #[default]
    Pause,
}

/// How a connection ends whose time is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUp {
    /// With a close frame, 1001, once what waits is written.
    #[default]
    Close,
    /// Without a close frame, as Function Compute does: the peer sees 1006.
    Abort,
}

limits! {
    /// What one connection or one call of a function may use.
    pub struct FunctionLimits, FunctionLimitsWritten, FunctionLimitsMaximum, takes effect NewConnections {
        /// Names and values of the headers of a handshake. Function Compute's
        /// limit; browsers send 1 to 2 KiB.
        request_header_bytes: Bytes = 8 * KIB, 256 => 32 * KIB; "400"
        /// Path and query of a handshake. Function Compute's limit.
        request_uri_bytes: Bytes = 8 * KIB, 64 => 16 * KIB; "400"
        /// Names and values of the headers that a function adds to its answer.
        /// Function Compute's limit.
        response_header_bytes: Bytes = 8 * KIB, 0 => 64 * KIB; "502"
        /// The body of a rejection: an explanation, not a document.
        rejection_body_bytes: Bytes = 64 * KIB, 0 => MIB; "502"
        /// One message, in either direction. Function Compute's limit. The
        /// largest is what the host may have to hold in one piece for each
        /// connection.
        message_bytes: Bytes = 6 * MIB, 1 => 64 * MIB; "1009 to the peer; `dropped` or an error to the function"
        /// Frames of one message. Test suites send 65,536; a message of the
        /// default size in fragments of one byte would have 6 million, each of
        /// which costs as much as a message.
        fragments: Count = 131_072, 1 => 64 * 1024 * 1024; "1008"
        /// Messages and control frames that a connection's peer may send in a
        /// second, a second's worth at once. None: who sends faster than the
        /// function handles is slowed down anyway.
        messages_per_second: Count = 0, 1 => 1_000_000, or none; "1008, or reading pauses (`rate_exceeded`)"
        /// Bytes, frames and all, that a connection's peer may send in a
        /// second, a second's worth at once. None, for the same reason.
        bytes_per_second: Bytes = 0, KIB => 16 * GIB, or none; "1008, or reading pauses (`rate_exceeded`)"
        /// Connections of the function. None: its instances bound them, 100
        /// times 100 by default.
        connections: Count = 0, 1 => 10_000_000, or none; "429"
        /// Connections of the function from one peer address (IPv6: from one
        /// /64 network). None: behind a load balancer all come from one.
        peer_connections: Count = 0, 1 => 10_000_000, or none; "429"
        /// Handshakes of the function that one peer address may begin in a
        /// second, a second's worth at once. None, for the same reason.
        peer_handshakes_per_second: Count = 0, 1 => 1_000_000, or none; "429"
        /// What may wait to be written to one connection: the largest message
        /// and a reserve beside it.
        outbox_bytes: Bytes = 8 * MIB, 1 => GIB; "see `outbox_overflow`"
        /// What a connection carries from instance to instance. Durable
        /// Objects allow the same.
        attachment_bytes: Bytes = 16 * KIB, 0 => 16 * KIB; "an error to the function; 502 in `upgrade`"
        /// Tags of one connection. Durable Objects allow the same.
        tags: Count = 10, 0 => 100; "an error to the function; 502 in `upgrade`"
        /// Alarms of one connection, and of one affinity value: each is a timer
        /// that somebody thought of by name.
        alarms: Count = 16, 0 => 1_000; "an error to the function"
        /// Pairs of one connection that the host answers by itself. Each
        /// message is compared with each.
        auto_responses: Count = 8, 0 => 64; "an error to the function"
        /// What a function keeps for one affinity value. Durable Objects allow
        /// the same for a value.
        state_bytes: Bytes = 128 * KIB, 0 => MIB, effect NextEvent; "an error to the function"
        /// Channels of one connection. Centrifugo's default.
        channels: Count = 128, 0 => 10_000; "an error to the function; 502 in `upgrade`"
        /// Subscribers of one channel: as many as a host has connections by
        /// default, so that one channel may have them all.
        subscribers: Count = 65_536, 1 => 10_000_000; "an error to the function; 503 in `upgrade`"
        /// What a function may pass to the host in one call. 0 makes it twice
        /// `message_bytes` and 64 KiB, so that a message which is a little too
        /// large is an answer and not a fault.
        hostcall_bytes: Bytes = 0, 4 * KIB => GIB, or none, effect NextEvent; "the call is a fault, 1011"
        /// Lines that all instances of the function may print in a second, a
        /// second's worth at once: many times what a person reads.
        log_lines_per_second: Count = 1_000, 1 => 1_000_000, effect NextEvent; "what is more is counted and not shown"
        /// The time that `upgrade` has to decide, waiting for its turn
        /// included: a peer that waits longer has usually gone.
        upgrade_timeout: Time = 10 * SECOND, 5 => DAY; "504"
        /// One call, from its start to its return, awaits included. A slow
        /// answer of a third party fits; a hung one frees its connection
        /// before a person gives up.
        handler_timeout: Time = 10 * SECOND, 5 => DAY, effect NextEvent; "1011; 504 in `upgrade`"
        /// One run of guest code, until it returns or awaits; and what a call
        /// computes in several runs beyond the time it has waited between
        /// them. Thousands of times what a handler needs, and short enough
        /// that a runaway one costs its neighbours little.
        cpu_timeout: Time = 200, 5 => DAY, effect NextEvent; "1011; 504 in `upgrade`"
        /// Fuel for one call, wasmtime's unit, about one for an instruction.
        /// None: metering costs a tenth of the speed, and `cpu_timeout` bounds
        /// computing already.
        fuel_per_event: LargeCount = 0, 1 => u64::MAX, or none, effect NextEvent; "1011; 502 in `upgrade`"
        /// How long a connection may live. Function Compute's default; what
        /// is forgotten by everybody ends, and a new one takes a second.
        connection_time: Time = 15 * MINUTE, 100 => 365 * DAY, or none; "1001, or no close frame (`time_up`)"
        /// How long before the end of `connection_time` the peer is sent
        /// `time_warning_message`. None: who does not know of it cannot use it.
        time_warning: Time = 0, 1 => DAY, or none; "`time_warning_message` is sent"
        /// How long a peer may send nothing at all, not even a pong. None:
        /// pings find peers that are gone, and holding a quiet line open is
        /// what this host is for.
        idle_timeout: Time = 0, 10 => 365 * DAY, or none; "1001"
        /// After how much silence of the peer the host sends it a ping: half
        /// of the minute after which proxies and address translators forget a
        /// line.
        ping_interval: Time = 30 * SECOND, 10 => DAY, or none; "a ping is sent"
        /// How long a peer may take to answer a ping with anything at all:
        /// several round trips of a bad network.
        pong_timeout: Time = 20 * SECOND, 10 => DAY, or none; "the connection ends without a close frame"
    }
    with {
        /// What happens when `outbox_bytes` is passed.
        outbox_overflow: OutboxOverflow = OutboxOverflow::default();
        /// What happens when the peer sends faster than it may.
        rate_exceeded: RateExceeded = RateExceeded::default();
        /// How a connection ends after `connection_time`.
        time_up: TimeUp = TimeUp::default();
        /// The text that the peer is sent `time_warning` before that.
        time_warning_message: String = "{\"type\":\"openline.time-warning\"}".into();
    }
}
