//! How many instances a function has and what one may hold:
//! `[function.instance]`.

use super::table::limits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

limits! {
    /// How many instances a function has and what one may hold.
    pub struct InstancePolicy, InstancePolicyWritten, InstancePolicyMaximum {
        /// Connections bound to one instance; 1 is the strongest isolation. A
        /// hundred share 50 KiB and an instantiation, and a fault still ends
        /// only the calls in flight.
        concurrency: Count = 100, 1 => 1_000_000; "another instance"
        /// Instances of the function at once: 10,000 connections at the
        /// default concurrency.
        instances: Count = 100, 1 => 10_000; "503; 1013 for an open connection"
        /// How long an instance without a connection is kept warm: long enough
        /// for a reconnecting peer to find it; Durable Objects hibernate after
        /// the same time.
        idle_timeout: Time = 10_000, 0 => 24 * 60 * 60 * 1000; "the instance is dropped"
        /// Linear memory of one instance. Rust and C functions use under
        /// 2 MiB, JavaScript engines 20.
        memory_bytes: Bytes = 64 * MIB, 64 * KIB => 4 * GIB; "a fault, 1011"
        /// Elements of the tables of one instance together. A JavaScript
        /// engine has 20,000.
        table_elements: Count = 100_000, 1 => 100_000; "`table.grow` fails; what needs more from the start is refused"
        /// Handles of the host's resources that one instance may hold:
        /// connections, and as many of WASI's streams, clocks and pollables. A
        /// handle is a few words, and who needs more should publish.
        handles: Count = 10_000, 16 => 1_000_000; "a fault, 1011"
    }
    with {
        /// The route parameter whose value chooses the instance: all
        /// connections with one value share one instance.
        affinity: Option<String> = None;
    }
}
