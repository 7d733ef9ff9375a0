//! How many instances a function has and what one may hold:
//! `[function.instance]`.

use super::table::limits;
use crate::affinity::Affinity;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// What happens to events of open connections while the host backs off from a
/// function that keeps failing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackoffPolicy {
    /// They wait; TCP slows the peers down.
    #[default]
    Wait,
    /// The connection is closed with 1013.
    Refuse,
}

limits! {
    /// How many instances a function has and what one may hold.
    pub struct InstancePolicy, InstancePolicyWritten, InstancePolicyMaximum, takes effect NextEvent {
        /// Connections bound to one instance; 1 isolates most strongly. A
        /// hundred share 50 KiB and an instantiation, and a fault still ends
        /// only the calls in flight.
        concurrency: Count = 100, 1 => 1_000_000; "another instance"
        /// Instances of the function at once: 10,000 connections at the default
        /// concurrency. An instance with more than 2 memories or 4 tables, or
        /// an asynchronous one that is composed of several components, counts as
        /// several, but every function may have one.
        instances: Count = 100, 1 => 10_000; "503; an event of an open connection waits"
        /// How long the host keeps an idle instance; its connections stay open.
        /// Durable Objects hibernate after the same time. With 0 an instance is
        /// dropped as soon as its call has returned.
        idle_timeout: Time = 10_000, 0 => 24 * 60 * 60 * 1000; "the instance is dropped"
        /// How long `hibernate` may take in all: enough for a computation and a
        /// write to disk, many times over.
        hibernate_timeout: Time = 1_000, 5 => 60_000; "the instance is dropped without it"
        /// Faults in a row, without a handled message between them, after which
        /// the function gets nothing for a while. One bad message ends one
        /// instance; five faults in a row are no accident.
        faults_in_a_row: Count = 5, 1 => 1_000_000, or none; "`backoff`"
        /// How long the first back-off lasts; each further fault doubles it. A
        /// temporary failure to start is over by then.
        backoff_time: Time = 500, 10 => 60 * 60 * 1000; "the next call is tried"
        /// How long a back-off lasts at most, so that a repaired function soon
        /// serves again.
        backoff_time_max: Time = 30_000, 10 => 60 * 60 * 1000; "the next call is tried"
        /// Linear memory of one instance. Rust and C functions use less than 2
        /// MiB, JavaScript engines 20.
        memory_bytes: Bytes = 64 * MIB, 64 * KIB => 4 * GIB; "a fault, 1011"
        /// Elements of all tables of one instance together. A JavaScript engine
        /// has 20,000.
        table_elements: Count = 100_000, 1 => 100_000; "`table.grow` fails; a component that needs more from the start is refused"
        /// Handles of the host's resources that one instance may hold:
        /// connections, and as many of WASI's streams, clocks and pollables. A
        /// handle is a few words; a function that needs more should publish
        /// instead.
        handles: Count = 10_000, 16 => 1_000_000; "a fault, 1011"
    }
    with {
        /// The part of a request whose value chooses the instance: all
        /// connections with one value share one instance.
        affinity: Option<Affinity> = None;
        /// What happens to an open connection's events while the host backs off
        /// from the function.
        backoff: BackoffPolicy = BackoffPolicy::default();
    }
}
