//! The limits of one connection or one call of a function: `[function.limit]`.

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
    /// The oldest waiting messages are dropped until the new one fits.
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
    /// With a close frame, 1001, after everything that waits is written.
    #[default]
    Close,
    /// Without a close frame, as Function Compute does: the peer sees 1006.
    Abort,
}

/// Whether messages are compressed (`permessage-deflate`, RFC 7692) for peers
/// that offer it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// They are not.
    #[default]
    Off,
    /// Each by itself. The compressors belong to the threads: a connection has
    /// none.
    Shared,
    /// Messages to a peer refer to earlier ones, which makes small ones that
    /// resemble each other much smaller. Each connection has a compressor while
    /// it sends.
    Dedicated,
}

limits! {
    /// The limits of one connection or one call of a function.
    pub struct FunctionLimits, FunctionLimitsWritten, FunctionLimitsMaximum, takes effect NewConnections {
        /// Names and values of a handshake's headers. Function Compute has the
        /// same limit; browsers send 1 to 2 KiB.
        request_header_bytes: Bytes = 8 * KIB, 256 => 32 * KIB; "400"
        /// Path and query of a handshake. Function Compute has the same limit.
        request_uri_bytes: Bytes = 8 * KIB, 64 => 16 * KIB; "400"
        /// Names and values of the headers that a function adds to its answer, or a
        /// firewall function to the request. Function Compute has the same limit.
        response_header_bytes: Bytes = 8 * KIB, 0 => 64 * KIB; "502; 503 for a firewall function"
        /// The body of a rejection, or of a firewall function's answer: an
        /// explanation, not a document.
        rejection_body_bytes: Bytes = 64 * KIB, 0 => MIB; "502; 503 for a firewall function"
        /// The body of a request that a function answers. Function Compute has the
        /// same limit. It streams: the host never has all of it. Of a call of
        /// gRPC, what comes before the function answers; then only its messages are
        /// bounded.
        request_body_bytes: Bytes = 32 * MIB, 0 => 1024 * GIB; "413"
        /// One exchange of HTTP, from the head of its request to the end of its answer.
        /// As `connection_time`: what lasts longer is rather an answer that is held. A
        /// call of gRPC ends earlier if its client says so.
        stream_time: Time = 15 * MINUTE, 10 => 365 * DAY, or none; "504, or the answer is cut off"
        /// One message, in either direction, of a connection or of a call of gRPC.
        /// Function Compute has the same limit. The host may have to hold the largest message in one piece
        /// for each connection; of a call it holds none.
        message_bytes: Bytes = 6 * MIB, 1 => 64 * MIB; "1009 to the peer, `RESOURCE_EXHAUSTED` for a call; `dropped` or an error to the function"
        /// Frames of one message. Test suites send 65,536. A message of the
        /// default size in fragments of one byte would have 6 million, each of
        /// which costs as much as a message.
        fragments: Count = 131_072, 1 => 64 * 1024 * 1024; "1008"
        /// Messages and control frames that a peer may send on one connection
        /// in a second; a second's worth may come at once. None, because a peer
        /// that sends faster than the function handles is slowed down anyway.
        messages_per_second: Count = 0, 1 => 1_000_000, or none; "1008, or reading pauses (`rate_exceeded`)"
        /// Bytes, with frame headers, that a peer may send on one connection in
        /// a second; a second's worth may come at once. A compressed message
        /// counts with its size after decompression if that is larger. None, for
        /// the same reason.
        bytes_per_second: Bytes = 0, KIB => 16 * GIB, or none; "1008, or reading pauses (`rate_exceeded`)"
        /// Connections of the function. None, because its instances bound them:
        /// 100 times 100 by default.
        connections: Count = 0, 1 => 10_000_000, or none; "429"
        /// Connections of the function from one peer address (IPv6: from one
        /// /64 network). None, because behind a load balancer all come from one
        /// address.
        peer_connections: Count = 0, 1 => 10_000_000, or none; "429"
        /// Handshakes of the function that one peer address may begin in a
        /// second; a second's worth may come at once. None, for the same
        /// reason.
        peer_handshakes_per_second: Count = 0, 1 => 1_000_000, or none; "429"
        /// Bytes that may wait to be written to one connection: the largest
        /// message, and some room for others.
        outbox_bytes: Bytes = 8 * MIB, 1 => GIB; "see `outbox_overflow`"
        /// The smallest message that is compressed, where `compression` is on and
        /// the function does not say otherwise. JSON of this size
        /// becomes less than half as large. A message of a fourth of the size
        /// loses a fourth of its bytes in two thirds of the time, because most
        /// of that is for making the compressor ready.
        compression_threshold: Bytes = 512, 0 => 64 * MIB; "smaller messages are sent as they are"
        /// zlib's level. 6, which others use, makes messages 1 to 2 % smaller
        /// than this one and takes a quarter more time; 1 makes them a third
        /// larger in a third of the time.
        compression_level: Count = 4, 1 => 9; "–"
        /// The attachment of one connection. Durable Objects allow the same.
        attachment_bytes: Bytes = 16 * KIB, 0 => 16 * KIB; "an error to the function; 502 in `upgrade`"
        /// Tags of one connection. Durable Objects allow the same.
        tags: Count = 10, 0 => 100; "an error to the function; 502 in `upgrade`"
        /// Alarms of one connection, and of one affinity value. An alarm is a
        /// timer with a name, so a few are enough.
        alarms: Count = 16, 0 => 1_000; "an error to the function"
        /// Pairs of one connection that the host answers itself. It compares
        /// each message with each pair.
        auto_responses: Count = 8, 0 => 64; "an error to the function"
        /// The state of one affinity value. Durable Objects allow the same for
        /// a value.
        state_bytes: Bytes = 128 * KIB, 0 => MIB, effect NextEvent; "an error to the function"
        /// Channels of one connection. Centrifugo has the same default.
        channels: Count = 128, 0 => 10_000; "an error to the function; 502 in `upgrade`"
        /// Subscribers of one channel: the default number of a host's
        /// connections, so that one channel may have them all. A publication is
        /// put into all outboxes in one step, for which others wait that use the
        /// same channel: some milliseconds for this many.
        subscribers: Count = 65_536, 1 => 10_000_000; "an error to the function; 503 in `upgrade`"
        /// Publications that wait for the function's channel handler: what gathers
        /// in a second or two of a busy channel.
        channel_queue: Count = 1_024, 1 => 65_536, effect AtOnce; "the oldest are dropped; the next call says how many"
        /// Their bytes. One publication always fits.
        channel_queue_bytes: Bytes = 4 * MIB, 64 * KIB => GIB, effect AtOnce; "the oldest are dropped; the next call says how many"
        /// Calls of the channel handler in a second: each takes what has
        /// gathered, so more calls would only be smaller ones. It also bounds
        /// functions that wake each other.
        channel_calls_per_second: Count = 100, 1 => 10_000, effect AtOnce; "publications gather"
        /// Bytes that a function may pass to the host in one call. 0 means
        /// twice `message_bytes` and 64 KiB, so that a message which is
        /// slightly too large gets an answer instead of a fault.
        hostcall_bytes: Bytes = 0, 4 * KIB => GIB, or none, effect NextEvent; "the call is a fault, 1011"
        /// Lines that all instances of the function may print in a second; a
        /// second's worth may come at once. This is many times what a person
        /// reads.
        log_lines_per_second: Count = 1_000, 1 => 1_000_000, effect NextEvent; "further lines are counted and not shown"
        /// Calls to the outside that are in flight, of all instances of the
        /// function: one for each connection of an instance at the default
        /// concurrency.
        outbound_calls: Count = 100, 0 => 100_000, effect AtOnce; "the call fails: `connection-limit-reached`"
        /// TCP connections to the outside that wait for the function's next
        /// call. Most functions call a few hosts.
        outbound_idle_connections: Count = 16, 0 => 10_000, effect AtOnce; "the one that has waited longest is closed"
        /// The body of a call. As large as the body of a request to a function.
        outbound_request_bytes: Bytes = 32 * MIB, 0 => 1024 * GIB, effect AtOnce; "the call fails: `HTTP-request-body-size`"
        /// The body of the answer to a call, for the same reason: a function
        /// has to hold it, or pass it on.
        outbound_response_bytes: Bytes = 32 * MIB, 0 => 1024 * GIB, effect AtOnce; "the call fails: `HTTP-response-body-size`"
        /// Names and values of the headers of a call, and of those of its answer.
        /// Servers allow 8 to 16 KiB; some answers set many cookies.
        outbound_header_bytes: Bytes = 32 * KIB, 256 => MIB, effect AtOnce; "the call fails: `HTTP-request-header-section-size`, `HTTP-response-header-section-size`"
        /// How long a call may take to reach its host: the look-up, TCP and TLS.
        /// A lost packet takes a second or three to be sent again.
        outbound_connect_timeout: Time = 5 * SECOND, 5 => DAY, effect AtOnce; "the call fails: `connection-timeout`, or `DNS-timeout`"
        /// How long a host may take to begin its answer once it has the call.
        /// Longer than `handler_timeout`, which ends a call that waits in vain:
        /// an asynchronous function may have more of that.
        outbound_head_timeout: Time = 30 * SECOND, 5 => DAY, effect AtOnce; "the call fails: `HTTP-response-timeout`"
        /// How long a host may be silent in the middle of its answer. Those that
        /// stream send something every 15 s or so.
        outbound_silence_timeout: Time = 30 * SECOND, 5 => DAY, effect AtOnce; "the call fails: `connection-read-timeout`"
        /// A call from its start to the end of its answer: the longest streamed
        /// answer of a language model takes minutes.
        outbound_time: Time = 15 * MINUTE, 10 => 365 * DAY, or none, effect AtOnce; "the call fails: `HTTP-response-timeout`"
        /// How long a TCP connection waits for the function's next call. Less
        /// than the 5 s after which Node and others close it: a call that
        /// begins at that moment would fail.
        outbound_idle_timeout: Time = 4 * SECOND, 0 => DAY, effect AtOnce; "it is closed"
        /// How long `upgrade` or a firewall function has to decide, including the
        /// wait for its turn. A peer that waits longer has usually gone.
        upgrade_timeout: Time = 10 * SECOND, 5 => DAY; "504; 503 for a firewall function"
        /// One call, from its start to its return, including awaits. A slow
        /// answer of a third party fits; a hanging one frees its connection
        /// before a person gives up.
        handler_timeout: Time = 10 * SECOND, 5 => DAY, effect NextEvent; "1011; 504 in `upgrade`"
        /// One run of guest code, until it returns or awaits. If a call
        /// computes in several runs, the time it waits between them is
        /// subtracted. Thousands of times what a handler needs, and short
        /// enough that a runaway handler costs its neighbours little.
        cpu_timeout: Time = 200, 5 => DAY, effect NextEvent; "1011; 504 in `upgrade`"
        /// Fuel for one call, in wasmtime's unit: about one for each
        /// instruction. None, because metering costs a tenth of the speed, and
        /// `cpu_timeout` bounds computing already.
        fuel_per_event: LargeCount = 0, 1 => u64::MAX, or none, effect NextEvent; "1011; 502 in `upgrade`"
        /// How long a connection may live. Azion has the same default. It ends
        /// forgotten connections, and a new connection takes a second.
        connection_time: Time = 15 * MINUTE, 100 => 365 * DAY, or none; "1001, or no close frame (`time_up`)"
        /// How long before the end of `connection_time` the host sends
        /// `time_warning_message` to the peer. None, because only clients that
        /// expect the message can use it.
        time_warning: Time = 0, 1 => DAY, or none; "`time_warning_message` is sent"
        /// How long a peer may send nothing at all, not even a pong. None,
        /// because pings find peers that are gone, and this host exists to hold
        /// quiet connections.
        idle_timeout: Time = 0, 10 => 365 * DAY, or none; "1001"
        /// How long a peer may be silent before the host sends it a ping: half
        /// of the minute after which proxies and address translators drop a
        /// connection.
        ping_interval: Time = 30 * SECOND, 10 => DAY, or none; "a ping is sent"
        /// How long a peer may take to answer a ping, with a pong or any other
        /// bytes: several round trips of a bad network.
        pong_timeout: Time = 20 * SECOND, 10 => DAY, or none; "the connection ends without a close frame"
    }
    with {
        /// Whether messages are compressed.
        compression: Compression = Compression::default();
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
