//! Every bound of this release with its unit, its default and the reason.
//!
//! A limit that a function's configuration can change is a field; one that is
//! the same for all is a constant.

use std::num::NonZeroU32;
use std::time::Duration;

/// Names and values of the headers of a handshake, in bytes. Function
/// Compute's limit; browsers send 1 to 2 KiB.
pub const REQUEST_HEADER_BYTES_MAX: usize = 8 * 1024;
/// Path and query of a handshake, in bytes. Function Compute's limit.
pub const REQUEST_URI_BYTES_MAX: usize = 8 * 1024;
/// Names and values of the headers a function adds to its answer, in bytes.
/// Function Compute's limit.
pub const RESPONSE_HEADER_BYTES_MAX: usize = 8 * 1024;
/// The body of a rejection, in bytes: an explanation, not a document.
pub const REJECTION_BODY_BYTES_MAX: usize = 64 * 1024;
/// What a connection carries from instance to instance, in bytes. Durable
/// Objects allow the same.
pub const ATTACHMENT_BYTES_MAX: usize = 16 * 1024;
/// A channel's name, in bytes: room for a path of identities.
pub const CHANNEL_NAME_BYTES_MAX: usize = 256;
/// Subscriptions of one connection. Centrifugo's default.
pub const CHANNELS_PER_CONNECTION_MAX: usize = 128;
/// Messages in one call of a function. A read of the default buffer brings
/// fewer; a larger batch would let one connection keep an instance for long.
pub const BATCH_MESSAGES_MAX: usize = 256;
/// Payload bytes from which on a batch takes no further message; the one that
/// passes it is still in it. Two batches wait in the host at most for each
/// connection: the one that is being handled and the next.
pub const BATCH_BYTES_MAX: usize = 64 * 1024;
/// Connection handles that one instance may hold at once, beside those of its
/// own calls: a handle is a few words, and who needs more should publish.
pub const HANDLES_PER_INSTANCE_MAX: usize = 10_000;
/// A compiled function's size, in bytes, as the component file. JavaScript
/// runtimes make 12 MiB; what is larger takes minutes to compile.
pub const COMPONENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How many instances a function has and what one may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstancePolicy {
    /// Connections bound to one instance. 1 is the strongest isolation.
    pub concurrency: NonZeroU32,
    /// Instances of the function at once.
    pub instances: NonZeroU32,
    /// The route parameter whose value chooses the instance: all connections
    /// with one value share one instance.
    pub affinity: Option<String>,
    /// How long an instance without a connection is kept warm.
    pub idle_timeout: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes: usize,
}

impl Default for InstancePolicy {
    fn default() -> Self {
        Self {
            // A hundred connections share 50 KiB and an instantiation, and a
            // fault still ends only the calls in flight.
            concurrency: const { NonZeroU32::new(100).expect("100 is not 0") },
            // 10,000 connections at the default concurrency.
            instances: const { NonZeroU32::new(100).expect("100 is not 0") },
            affinity: None,
            // Long enough for a reconnecting peer to find it warm; Durable
            // Objects hibernate after the same time.
            idle_timeout: Duration::from_secs(10),
            // Rust and C functions use under 2 MiB, JavaScript engines 20.
            memory_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What one connection or one call of a function may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionLimits {
    /// One message, in either direction, in bytes.
    pub message_bytes: usize,
    /// What may wait to be written to one connection, in bytes.
    pub outbox_bytes: usize,
    /// One call, from its start to its return, awaits included.
    pub handler_timeout: Duration,
    /// One uninterrupted run of guest code: until it returns or awaits.
    pub cpu_timeout: Duration,
    /// Fuel for one call, wasmtime's unit (about one for an instruction); none
    /// does not meter.
    pub fuel_per_event: Option<u64>,
}

impl Default for FunctionLimits {
    fn default() -> Self {
        Self {
            // Function Compute's limit.
            message_bytes: 6 * 1024 * 1024,
            // The largest message, and a reserve beside it.
            outbox_bytes: 8 * 1024 * 1024,
            // A slow answer of a third party fits; a hung one frees its
            // connection before a person gives up.
            handler_timeout: Duration::from_secs(10),
            // Thousands of times what a handler needs, and short enough that
            // a runaway one costs its neighbours little.
            cpu_timeout: Duration::from_millis(200),
            fuel_per_event: None,
        }
    }
}

/// The share of the outbox above which `send` answers `queued`: from here on
/// the peer reads more slowly than it is written to.
pub const OUTBOX_LOW_BYTES: usize = 64 * 1024;

/// Instances of all functions together. Each has address space reserved for
/// its memories in each engine, 8 GiB, and there are 128 TiB of it.
pub const INSTANCES_MAX: u32 = 3_000;

/// How often the epoch advances: guest code yields to its thread at the next
/// tick, so this bounds how long one guest can keep a thread at a time. Small
/// against `cpu_timeout`, and 200 wake-ups a second cost under 0.1 % of a core.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);
