//! The measurements, and the figures that each of them gives.

use openline_kit::table::grouped;
use serde::Serialize;

use super::peer::Peer;

pub(crate) const CPU_PER_MESSAGE: &str = "cpu_microseconds_per_message";
pub(crate) const MESSAGES_PER_SECOND: &str = "messages_per_second";
pub(crate) const P50: &str = "p50_microseconds";
pub(crate) const P99: &str = "p99_microseconds";
pub(crate) const P99_9: &str = "p99_9_microseconds";
pub(crate) const LONGEST: &str = "longest_wait_microseconds";
pub(crate) const LONGEST_IN_TURNS: &str = "longest_wait_turns";
pub(crate) const CPU_PER_IDLE: &str = "cpu_microseconds_per_idle_connection_second";
pub(crate) const CPU_WITHOUT: &str = "cpu_microseconds_per_second_without_connections";
pub(crate) const CPU_PER_CONNECTION: &str = "cpu_microseconds_per_connection";
pub(crate) const CONNECTIONS_PER_SECOND: &str = "connections_per_second";
pub(crate) const BYTES_PER_CONNECTION: &str = "resident_bytes_per_connection";
pub(crate) const CPU_PER_DELIVERY: &str = "cpu_microseconds_per_delivery";
pub(crate) const DELIVERIES_PER_SECOND: &str = "deliveries_per_second";
pub(crate) const BYTES_PER_INSTANCE: &str = "resident_bytes_per_instance";
pub(crate) const CPU_OF_INSTANCES: &str = "cpu_milliseconds_of_1000_instances";
pub(crate) const CPU_ON_TWO: &str = "cpu_microseconds_per_message_on_two_cores";
pub(crate) const SCALING: &str = "scaling";
pub(crate) const MESSAGES_ON_TWO: &str = "messages_per_second_on_two_cores";
pub(crate) const MILLISECONDS: &str = "milliseconds";
pub(crate) const BYTES_PER_MESSAGE: &str = "wire_bytes_per_message";

/// Not shown, but judged: what went wrong and what was busy, as parts of a core.
pub(crate) const FAILED: &str = "failed";
pub(crate) const CLIENT_BUSY: &str = "client_busy";
pub(crate) const SERVER_BUSY: &str = "server_busy";
pub(crate) const CPU_TO_OPEN: &str = "cpu_milliseconds_to_open";

/// Subscribers that a message is delivered to.
const SUBSCRIBERS: u32 = 1_000;
/// The same in a large room.
const SUBSCRIBERS_MANY: u32 = 10_000;
/// Connections that have carried a message, and so warm instances.
pub(crate) const WARM: u32 = 1_000;
/// Handshakes under way at once: enough that the server always has one to do.
pub(crate) const HANDSHAKES: u32 = 16;
/// Messages a second that every server carries: the latency is the server's own
/// and not a queue's.
pub(crate) const RATE: u32 = 10_000;

/// Connections that each have a message in flight: enough that the server
/// always has more than it can answer, and few enough that a server with two
/// open files for each can be measured.
pub(crate) const SATURATING: u32 = 9_000;

/// Idle connections whose pings are measured.
pub(crate) const PINGED: [u32; 3] = [1_000, 8_000, 15_000];

/// Which measurements to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Group {
    /// CPU time, throughput and latency of echoes in a closed loop
    Echo,
    /// Latency at 10,000 messages a second
    Rate,
    /// Latency at half of what the native echo does; for it and the host
    HalfPeak,
    /// How long 9,000 connections with a message each wait for their turn
    Saturation,
    /// Connections opened and closed a second
    Handshakes,
    /// Memory of idle connections
    Idle,
    /// Compressed echoes of a JSON message of 1 KiB, and memory of idle
    /// connections that have had one
    Compressed,
    /// CPU time of idle connections that are pinged; for the host
    IdleCpu,
    /// One message to 1,000 subscribers, and to 10,000
    FanOut,
    /// Memory of 1,000 connections that have each carried a message, and of
    /// 1,000 instances
    Warm,
    /// One core against two; for the native echo and the host
    TwoCores,
    /// From the start of the process to the first echo
    Start,
}

/// One measurement, on every server that it makes sense for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "measurement", rename_all = "kebab-case")]
pub(crate) enum Measurement {
    Echo {
        connections: u32,
        depth: u32,
        message_bytes: usize,
    },
    Rate,
    HalfPeak,
    Saturation,
    Handshakes,
    Idle {
        connections: u32,
    },
    Compressed,
    IdleCompressed {
        connections: u32,
    },
    IdleCpu {
        connections: u32,
    },
    FanOut {
        subscribers: u32,
        depth: u32,
    },
    Warm,
    TwoCores,
    Start,
}

/// The usual case, which half of the peak is taken from.
pub(crate) const USUAL: Measurement = echo(50, 1, 125);
/// Shows batching: messages that arrive in one read leave with one write.
pub(crate) const DEEP: Measurement = echo(50, 16, 125);
/// Shows the cost of copying a message.
pub(crate) const LARGE: Measurement = echo(50, 1, 16 << 10);
/// A message that takes many reads and many writes.
pub(crate) const HUGE: Measurement = echo(50, 1, 1 << 20);
/// Hardly anything to gather: the bare path of a message.
const FEW: Measurement = echo(4, 1, 125);

/// Connections that messages are compressed on.
pub(crate) const COMPRESSED_CONNECTIONS: u32 = 50;
/// Without context takeover, so that no server keeps anything for a connection.
pub(crate) const COMPRESSED: Measurement = Measurement::Compressed;
/// The same number as in the goal.
pub(crate) const IDLE_COMPRESSED: Measurement = Measurement::IdleCompressed {
    connections: 10_000,
};

/// A message that all have before the next: a write for each delivery.
pub(crate) const FAN_OUT: Measurement = fan_out(SUBSCRIBERS, 1);
/// A server may gather what is for one subscriber.
pub(crate) const FAN_OUT_DEEP: Measurement = fan_out(SUBSCRIBERS, 16);
/// What is kept for each subscriber no longer fits the processor's caches.
pub(crate) const FAN_OUT_MANY: Measurement = fan_out(SUBSCRIBERS_MANY, 1);

const fn fan_out(subscribers: u32, depth: u32) -> Measurement {
    Measurement::FanOut { subscribers, depth }
}

const fn echo(connections: u32, depth: u32, message_bytes: usize) -> Measurement {
    Measurement::Echo {
        connections,
        depth,
        message_bytes,
    }
}

/// One figure of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) key: &'static str,
    /// With its unit.
    pub(crate) name: &'static str,
    pub(crate) decimals: usize,
}

const fn figure(key: &'static str, name: &'static str, decimals: usize) -> Figure {
    Figure {
        key,
        name,
        decimals,
    }
}

/// All of a group, with so many idle connections.
pub(crate) fn of(group: Group, idle: &[u32]) -> Vec<Measurement> {
    match group {
        Group::Echo => vec![USUAL, DEEP, FEW, LARGE, HUGE],
        Group::Rate => vec![Measurement::Rate],
        Group::HalfPeak => vec![Measurement::HalfPeak],
        Group::Saturation => vec![Measurement::Saturation],
        Group::Handshakes => vec![Measurement::Handshakes],
        Group::Idle => {
            let idle = idle.iter();
            idle.map(|&connections| Measurement::Idle { connections })
                .collect()
        }
        Group::Compressed => vec![COMPRESSED, IDLE_COMPRESSED],
        Group::IdleCpu => {
            let pinged = PINGED.iter();
            pinged
                .map(|&connections| Measurement::IdleCpu { connections })
                .collect()
        }
        Group::FanOut => vec![FAN_OUT, FAN_OUT_DEEP, FAN_OUT_MANY],
        Group::Warm => vec![Measurement::Warm],
        Group::TwoCores => vec![Measurement::TwoCores],
        Group::Start => vec![Measurement::Start],
    }
}

impl Measurement {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Echo {
                connections,
                depth,
                message_bytes,
            } => {
                let size = match message_bytes {
                    bytes if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
                    bytes if bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
                    bytes => format!("{bytes} bytes"),
                };
                format!("{connections} connections × {depth} in flight × {size}")
            }
            Self::Rate => "10,000 messages/s over 50 × 125 bytes".to_owned(),
            Self::HalfPeak => "half of native's peak over 50 × 125 bytes".to_owned(),
            Self::Saturation => format!(
                "saturation: {} connections × 1 in flight × 125 bytes",
                grouped(f64::from(SATURATING), 0)
            ),
            Self::Handshakes => format!("connections, {HANDSHAKES} at a time"),
            Self::Idle { connections } => {
                format!("{} idle connections", grouped(f64::from(connections), 0))
            }
            Self::Compressed => {
                format!("{COMPRESSED_CONNECTIONS} connections × 1 in flight × 1 KiB, compressed")
            }
            Self::IdleCompressed { connections } => {
                let connections = grouped(f64::from(connections), 0);
                format!("{connections} idle connections that have compressed")
            }
            Self::IdleCpu { connections } => format!(
                "{} idle connections with pings",
                grouped(f64::from(connections), 0)
            ),
            Self::FanOut { subscribers, depth } => format!(
                "fan-out to {} subscribers × {depth} in flight",
                grouped(f64::from(subscribers), 0)
            ),
            Self::Warm => "1,000 connections with one message each".to_owned(),
            Self::TwoCores => "one core, then two".to_owned(),
            Self::Start => "start, with what is compiled in the cache".to_owned(),
        }
    }

    /// How many connections the server has at once, where these are many.
    pub(crate) fn connections(self) -> u32 {
        match self {
            Self::Saturation => SATURATING,
            Self::Idle { connections }
            | Self::IdleCompressed { connections }
            | Self::IdleCpu { connections } => connections,
            _ => 0,
        }
    }

    /// Whether this server is measured.
    pub(crate) fn applies_to(self, peer: Peer) -> bool {
        match self {
            Self::HalfPeak | Self::TwoCores => peer.is_ours(),
            Self::Compressed | Self::IdleCompressed { .. } => peer.compresses(),
            // Others do not ping by themselves, or cannot be told how often.
            Self::IdleCpu { .. } => peer == Peer::Openline,
            // With fewer connections, nothing is comparable.
            Self::Saturation => peer.connections(SATURATING) == SATURATING,
            Self::FanOut { .. } => peer.fans_out(),
            _ => true,
        }
    }

    /// The figures that are shown.
    pub(crate) fn figures(self) -> Vec<Figure> {
        const CPU: Figure = figure(CPU_PER_MESSAGE, "CPU, µs/message", 2);
        const P50_ROW: Figure = figure(P50, "latency p50, µs", 0);
        const P99_ROW: Figure = figure(P99, "latency p99, µs", 0);
        const MESSAGES: Figure = figure(MESSAGES_PER_SECOND, "messages/s", 0);
        match self {
            Self::Echo { .. } => vec![CPU, MESSAGES, P50_ROW, P99_ROW],
            Self::Rate | Self::HalfPeak => {
                vec![P50_ROW, P99_ROW, figure(P99_9, "latency p99.9, µs", 0), CPU]
            }
            Self::Saturation => vec![
                P50_ROW,
                P99_ROW,
                figure(LONGEST, "longest wait, µs", 0),
                figure(LONGEST_IN_TURNS, "longest wait, turns", 2),
                CPU,
                MESSAGES,
            ],
            Self::Handshakes => vec![
                figure(CPU_PER_CONNECTION, "CPU, µs/connection", 1),
                figure(CONNECTIONS_PER_SECOND, "connections/s", 0),
            ],
            Self::Compressed => vec![
                CPU,
                MESSAGES,
                figure(BYTES_PER_MESSAGE, "bytes on the wire/message", 0),
            ],
            Self::Idle { .. } | Self::IdleCompressed { .. } => {
                vec![figure(BYTES_PER_CONNECTION, "resident bytes/connection", 0)]
            }
            Self::IdleCpu { .. } => vec![
                figure(CPU_PER_IDLE, "CPU, µs/s for a connection", 2),
                figure(CPU_WITHOUT, "CPU, µs/s without connections", 0),
            ],
            Self::FanOut { .. } => vec![
                figure(CPU_PER_DELIVERY, "CPU, µs/delivery", 2),
                figure(DELIVERIES_PER_SECOND, "deliveries/s", 0),
            ],
            Self::Warm => vec![
                figure(BYTES_PER_CONNECTION, "resident bytes/connection", 0),
                figure(BYTES_PER_INSTANCE, "resident bytes/instance", 0),
                figure(CPU_OF_INSTANCES, "CPU, ms for 1,000 instances", 1),
            ],
            Self::TwoCores => vec![
                figure(CPU_PER_MESSAGE, "CPU on one, µs/message", 2),
                figure(CPU_ON_TWO, "CPU on two, µs/message", 2),
                figure(SCALING, "2 × CPU on one / CPU on two", 2),
                figure(MESSAGES_PER_SECOND, "messages/s on one", 0),
                figure(MESSAGES_ON_TWO, "messages/s on two", 0),
            ],
            Self::Start => vec![figure(MILLISECONDS, "until the first echo, ms", 1)],
        }
    }
}
