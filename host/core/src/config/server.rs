//! The host's own bounds: `[server]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::limits::table::limits;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SECOND: u64 = 1000;
const DAY: u64 = 24 * 60 * 60 * SECOND;

/// Who may open the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageAccess {
    /// Only peers on this machine that also address it by a loopback name.
    Loopback,
    /// Every peer.
    Everyone,
    /// Nobody.
    Off,
}

/// Where the admin interface listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// On 127.0.0.1, at [`admin_port`](super::admin_port), or at a free port if that is taken.
    Beside,
    /// There, or the host does not start.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

limits! {
    /// How the host listens, and its own bounds.
    pub struct ServerConfig, ServerConfigWritten, ServerConfigMaximum, takes effect NextStart {
        /// Connections of all functions. Under the usual hard limit of open
        /// files of 2^20 and, at 6 KiB each, 400 MB when all are idle.
        connections: Count = 65_536, 1 => 10_000_000, effect NewConnections; "503"
        /// TCP connections that are not upgraded, beside `connections`: page,
        /// probes, handshakes that are being decided or refused.
        requests: Count = 4_096, 1 => 1_000_000; "of the peer that has most waiting for a request, the oldest is closed; while none waits, peers wait in the kernel's backlog"
        /// Of those, from one peer address (IPv6: from one /64 network): half,
        /// so that one address, also a proxy's, leaves the rest to others. More
        /// than half of `requests` counts as half.
        peer_requests: Count = 2_048, 1 => 1_000_000, or none, effect NewConnections; "the peer's that has waited for longest is closed, or else the new one"
        /// Connections from one peer address (IPv6: from one /64 network).
        /// None: behind a load balancer all come from one.
        peer_connections: Count = 0, 1 => 10_000_000, or none, effect NewConnections; "429"
        /// Handshakes that one peer address may begin in a second, a second's
        /// worth at once. None, for the same reason.
        peer_handshakes_per_second: Count = 0, 1 => 1_000_000, or none, effect NewConnections; "429"
        /// What may wait to be written to all connections together: an eighth
        /// of a small server. What fits into 4 KiB a connection is not counted.
        /// A function beside others takes no more than it leaves free.
        outbox_bytes: Bytes = GIB, MIB => 1024 * GIB; "each function's `outbox_overflow`"
        /// What attachments, tags, alarms and automatic answers of all
        /// connections take together: 4 KiB for each of 65,536. A function
        /// beside others takes no more than it leaves free.
        attached_bytes: Bytes = 256 * MIB, KIB => 1024 * GIB; "an error to the function; 503 in `upgrade`"
        /// What functions keep in the data directory together: states and
        /// durable alarms. What a small disk has room for. A function beside
        /// others takes no more than it leaves free.
        stored_bytes: Bytes = GIB, KIB => 1024 * GIB; "an error to the function"
        /// Alarms of all functions that belong to no connection: 100 bytes
        /// each. A function beside others takes no more than it leaves free.
        alarms: Count = 100_000, 0 => 10_000_000; "an error to the function"
        /// Versions of one function that are kept: the last ones, to go back to.
        versions: Count = 50, 1 => 10_000, effect AtOnce; "the oldest that no alias and no connection has is removed"
        /// Instances of all functions together: 100,000 connections at the
        /// default concurrency. Each has address space reserved, 8 GiB in each
        /// of up to four engines, and there are 128 TiB of it. One with more
        /// than 2 memories or 4 tables counts as several.
        instances: Count = 1_000, 1 => 3_000; "503; 1013 for an open connection"
        /// The file of a component. JavaScript runtimes make 12 MiB; what is
        /// larger takes minutes to compile.
        component_bytes: Bytes = 64 * MIB, KIB => GIB; "the component is refused"
        /// Compiling one component: thirty times what a JavaScript runtime
        /// takes.
        compile_timeout: Time = 60 * SECOND, 100 => DAY; "the component is refused"
        /// Address space of the process that compiles one component. A
        /// JavaScript runtime takes 1 GiB, half of it only reserved; a function
        /// in Rust or C as good as nothing beside what all need.
        compile_memory_bytes: Bytes = 2 * GIB, 512 * MIB => 1024 * GIB; "the component is refused"
        /// Components that are compiled at once; each takes all cores for a
        /// part of its time, and the host has connections to serve meanwhile.
        compilations: Count = 1, 1 => 64; "the next one waits"
        /// What compiled components take on disk: of a hundred releases of a
        /// function in Rust or C, or of twenty in JavaScript.
        cache_bytes: Bytes = GIB, MIB => 1024 * GIB; "those that were not needed for the longest time are removed"
        /// How long to wait for a request's head, and between requests. A slow
        /// mobile network needs a few seconds; a peer that trickles its head
        /// is given no more.
        request_timeout: Time = 10 * SECOND, 1 => DAY, effect NewConnections; "408 or the end of the stream"
        /// How long a connection that is to end has for it: the rest of its
        /// outbox, and the peer's answer to the close frame. A round trip on a
        /// bad network, several times over.
        close_timeout: Time = 5 * SECOND, 1 => DAY, effect NewConnections; "the stream ends without the peer's answer"
        /// How long connections have to end after SIGTERM, and instances to
        /// hibernate: under the 30 s after which orchestrators kill.
        drain_timeout: Time = 20 * SECOND, 0 => DAY, effect AtOnce; "the process ends with connections open"
        /// How many connections are closed in a second while the host drains,
        /// so that their peers do not all come back to the next host at once.
        /// More when `drain_timeout` would not suffice.
        drain_connections_per_second: Count = 5_000, 1 => 10_000_000, effect AtOnce; "the next ones wait"
        /// How long all threads that serve may make no progress, time in which
        /// they wait for a CPU not counted. A thread is busy with one thing
        /// for milliseconds, or for a second where a guest first fills a
        /// gigabyte; no hiccup of a machine lasts ten seconds.
        watchdog_timeout: Time = 10 * SECOND, SECOND => DAY, effect AtOnce; "the host says so with stacks, and `/.openline/live` says 503"
        /// The same, after which the process ends. None: a host that nothing
        /// starts again would only lose its connections earlier, and what can
        /// be learnt from a process that hangs.
        watchdog_exit_timeout: Time = 0, SECOND => DAY, or none, effect AtOnce; "the process ends with code 70"
    }
    with {
        /// Who may open the page at `/.openline/`.
        page: PageAccess = PageAccess::Loopback;
        /// Where what was deployed, states and durable alarms are kept; none to
        /// forget them when the process ends.
        data: Option<PathBuf> = None;
        /// The token that requests to the admin interface must bear; without
        /// one it listens on a loopback address only.
        admin_token: Option<String> = None;
        /// Where compiled components are kept; none for the user's cache
        /// folder.
        cache: Option<PathBuf> = None;
    }
    by hand {
        /// Where connections are accepted. Loopback: a host is exposed on
        /// purpose or not at all.
        listen: SocketAddr, as String = SocketAddr::from(([127, 0, 0, 1], 8080));
        /// Where the admin interface listens: on a loopback address beside
        /// `listen`, or elsewhere, or nowhere.
        admin: AdminListen, as String = AdminListen::Beside;
        /// Where probes are answered, and nothing else is, by a thread that
        /// answers also when the others hang; none for the admin interface
        /// alone.
        probes: Option<SocketAddr>, as String = None;
    }
}
