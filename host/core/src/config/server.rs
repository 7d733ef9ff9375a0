//! The host's own bounds: `[server]`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::Spanned;

use super::api_table::{ApiConfig, ApiConfigWritten};
use super::edge::{
    CertificateConfig, CertificateWritten, HopHeader, Listener, ProxyProtocol, TlsConfig,
    TlsWritten,
};
use super::public_url::PublicUrl;
use crate::limits::table::limits;
use crate::trigger::HostPattern;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const SECOND: u64 = 1000;
const DAY: u64 = 24 * 60 * 60 * SECOND;

/// The peers that may open the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageAccess {
    /// Only peers on this machine that also address it by a loopback name.
    Loopback,
    /// Every peer.
    Everyone,
    /// No peer: there is no page.
    Off,
}

/// Where the admin interface listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminListen {
    /// On 127.0.0.1, at [`admin_port`](super::admin_port), or at a free port if
    /// that is taken.
    Beside,
    /// At this address, or the host does not start.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

limits! {
    /// How the host listens, and its own bounds.
    pub struct ServerConfig, ServerConfigWritten, ServerConfigMaximum, takes effect NextStart {
        /// Connections of all functions. This stays below the usual hard limit
        /// of 2^20 open files; at 6 KiB each, all of them idle take 400 MB.
        connections: Count = 65_536, 1 => 10_000_000, effect NewConnections; "503"
        /// TCP connections that are not upgraded, in addition to `connections`:
        /// the page, probes, handshakes that are being decided or refused.
        requests: Count = 4_096, 1 => 1_000_000; "the peer with the most TCP connections that wait for a request loses its oldest; while none waits, the peer with the most handshakes that are being decided loses its newest with 503, unless the new peer has as many; then the new one is closed if it has any, and otherwise peers wait in the kernel's backlog"
        /// The part of `requests` that one peer address may use (IPv6: one /64
        /// network). Half, so that one address, even a proxy's, leaves the rest
        /// to others. More than half of `requests` counts as half.
        peer_requests: Count = 2_048, 1 => 1_000_000, or none, effect NewConnections; "the peer's TCP connection that has waited longest is closed; if none waits, the new one is"
        /// TLS handshakes in progress on `listen`, each with tens of KiB and a
        /// millisecond of computing. On a slow network one takes a quarter of a
        /// second, so these are 2,000 in a second: more than two cores compute
        /// beside their connections. One peer address (IPv6: one /64 network) may
        /// have half.
        tls_handshakes: Count = 512, 1 => 1_000_000; "the peer with the most loses its oldest"
        /// Streams that one TCP connection over HTTP/2 may have at once: each
        /// is a request or a connection. A browser's page opens a few; more
        /// than this lets one TCP connection hold much of the host.
        http2_streams: Count = 128, 1 => 32_768, effect NewConnections; "the stream is refused, and the peer may try again"
        /// Connections from one peer address (IPv6: from one /64 network).
        /// None, because behind a load balancer all come from one address.
        peer_connections: Count = 0, 1 => 10_000_000, or none, effect NewConnections; "429"
        /// Handshakes that one peer address may begin in a second; a second's
        /// worth may come at once. None, for the same reason.
        peer_handshakes_per_second: Count = 0, 1 => 1_000_000, or none, effect NewConnections; "429"
        /// Bytes that may wait to be written to all connections together: an
        /// eighth of a small server's memory. The first 4 KiB of each
        /// connection are not counted. A function that shares the host takes no
        /// more than it leaves free.
        outbox_bytes: Bytes = GIB, MIB => 1024 * GIB; "each function's `outbox_overflow`"
        /// Bytes of messages that all connections have received and functions
        /// have not handled, and of the parts of messages that have come; what
        /// is decompressed counts as what it becomes. The first 16 KiB of each
        /// connection are not counted. This is room for 170 messages of the
        /// largest size that is allowed by default. A function that shares the
        /// host takes no more than it leaves free.
        received_bytes: Bytes = GIB, MIB => 1024 * GIB; "nothing more is read from further connections until there is room; meanwhile a message that has been arriving for 15 s ends its connection with 1013"
        /// Bytes of all connections' attachments, tags, alarms and automatic
        /// responses together: 4 KiB for each of 65,536 connections. A function
        /// that shares the host takes no more than it leaves free.
        attached_bytes: Bytes = 256 * MIB, KIB => 1024 * GIB; "an error to the function; 503 in `upgrade`"
        /// Bytes of the compressors of all connections whose function has
        /// `compression = "dedicated"`: 261 to 373 KiB for each connection that
        /// has sent a compressed message within the last ten seconds, so this is
        /// room for 700. A function that shares the host takes no more than it
        /// leaves free.
        compression_bytes: Bytes = 256 * MIB, 0 => 1024 * GIB; "the messages of further connections are compressed as with `shared`"
        /// Bytes that all channels take together: what they remember (histories,
        /// values, presence, keys of publishes), and each channel itself, with
        /// about 600 bytes for one that has a subscriber and 110 for each further
        /// one. Room for 250 channels with a full history of the default size,
        /// 800,000 short publications, or 400,000 channels that remember nothing. A
        /// function that shares the host takes no more than it leaves free, and
        /// neither do the channels that functions share.
        channel_bytes: Bytes = 256 * MIB, 0 => 1024 * GIB; "the publish or the subscription is refused"
        /// Bytes that functions keep in the data directory together: states and
        /// durable alarms. A small disk has room for this much. A function that
        /// shares the host takes no more than it leaves free.
        stored_bytes: Bytes = GIB, KIB => 1024 * GIB; "an error to the function"
        /// Alarms of all functions that belong to no connection: 100 bytes
        /// each. A function that shares the host takes no more than it leaves
        /// free.
        alarms: Count = 100_000, 0 => 10_000_000; "an error to the function"
        /// Versions of one function that the host keeps, so that you can go
        /// back to them.
        versions: Count = 50, 1 => 10_000, effect AtOnce; "the oldest version without an alias and without connections is removed"
        /// Instances of all functions together: 100,000 connections at the
        /// default concurrency. Each instance reserves 8 GiB of address space
        /// in each of up to four engines, and there are 128 TiB. An instance
        /// with more than 2 memories or 4 tables, or an asynchronous one that is
        /// composed of several components, counts as several.
        instances: Count = 1_000, 1 => 3_000; "503; an event of an open connection waits"
        /// The file of a component. One with a JavaScript runtime has 12 MiB;
        /// larger ones take minutes to compile.
        component_bytes: Bytes = 64 * MIB, KIB => GIB; "the component is refused"
        /// Compiling one component: thirty times what a JavaScript runtime
        /// takes.
        compile_timeout: Time = 60 * SECOND, 100 => DAY; "the component is refused"
        /// Address space of the process that compiles one component. A
        /// JavaScript runtime takes 1 GiB, half of it only reserved; a function
        /// in Rust or C adds almost nothing to what every compilation needs.
        compile_memory_bytes: Bytes = 2 * GIB, 512 * MIB => 1024 * GIB; "the component is refused"
        /// Components that are compiled at once. Each compilation uses all
        /// cores for part of its time, and the host has connections to serve
        /// meanwhile.
        compilations: Count = 1, 1 => 64; "the next one waits"
        /// Compiled components on disk: a hundred releases of a function in
        /// Rust or C, or twenty in JavaScript.
        cache_bytes: Bytes = GIB, MIB => 1024 * GIB; "those not needed for the longest time are removed"
        /// Calls of all functions to the outside that are in flight. Each is a
        /// socket with its buffers, so these are as many as `requests`. One
        /// function takes no more than it leaves free.
        outbound_calls: Count = 4_096, 0 => 1_000_000; "the call fails: `connection-limit-reached`"
        /// Names of hosts that are looked up at once. Each look-up keeps a thread
        /// waiting, for as long as the system's resolver tries. One function
        /// has a fourth of them at most.
        outbound_lookups: Count = 32, 1 => 48; "the next one waits, within the call's `outbound_connect_timeout`"
        /// How long the host waits for a request's head, and between requests.
        /// A slow mobile network needs a few seconds; a peer that sends its
        /// head byte by byte gets no more.
        request_timeout: Time = 10 * SECOND, 1 => DAY, effect NewConnections; "408, or the stream ends"
        /// How long an ending connection has to write the rest of its outbox
        /// and to receive the peer's answer to the close frame: several round
        /// trips on a bad network.
        close_timeout: Time = 5 * SECOND, 1 => DAY, effect NewConnections; "the stream ends without the peer's answer"
        /// How long connections have to end after SIGTERM, and instances to
        /// hibernate: less than the 30 s after which orchestrators kill. With
        /// less than `hibernate_timeout`, instances still have that.
        drain_timeout: Time = 20 * SECOND, 0 => DAY, effect AtOnce; "the process ends with connections open"
        /// How many connections a draining host closes in a second, so that
        /// their peers do not all reach the next host at once. The host closes
        /// more if it would otherwise miss `drain_timeout`.
        drain_connections_per_second: Count = 5_000, 1 => 10_000_000, effect AtOnce; "the next ones wait"
        /// How long all serving threads may make no progress; time in which
        /// they wait for a CPU does not count. One task keeps a thread busy for
        /// milliseconds, or for a second when a guest first fills a gigabyte;
        /// no hiccup of a machine lasts ten seconds.
        watchdog_timeout: Time = 10 * SECOND, SECOND => DAY, effect AtOnce; "the host logs it with stacks, and `/.openline/live` says 503"
        /// How long the same may last before the process ends. None, because
        /// without a supervisor the host would only lose its connections
        /// sooner, and with them what can be learnt from a hanging process.
        watchdog_exit_timeout: Time = 0, SECOND => DAY, or none, effect AtOnce; "the process ends with code 70"
    }
    with {
        /// Who may open the page at `/.openline/`.
        page: PageAccess = PageAccess::Loopback;
        /// The header in which trusted hops name their peers. The usual one.
        hop_header: HopHeader = HopHeader::XForwardedFor;
        /// Which TCP connections begin with a header of the PROXY protocol.
        /// None, because a peer that does not send it would wait in vain.
        proxy_protocol: ProxyProtocol = ProxyProtocol::Off;
        /// The data directory: deployed versions, states and durable alarms.
        /// Without one the host forgets them when the process ends.
        data: Option<PathBuf> = None;
        /// The token that requests to the admin interface must bear; without
        /// one it listens on a loopback address only.
        admin_token: Option<String> = None;
        /// Where compiled components are kept; `None` means the user's cache
        /// folder.
        cache: Option<PathBuf> = None;
    }
    by hand {
        /// The firewall that every request has to pass, by its name. None:
        /// rules are the operator's to write.
        firewall: Option<String>, as String = None;
        /// Where connections are accepted. Loopback, so that a host is exposed
        /// only on purpose.
        listen: SocketAddr, as String = SocketAddr::from(([127, 0, 0, 1], 8080));
        /// The address by which peers reach the host, to give away. None: the
        /// host only knows where it listens.
        public_url: Option<PublicUrl>, as String = None;
        /// Where the admin interface listens: on a loopback address beside
        /// `listen`, or elsewhere, or nowhere.
        admin: AdminListen, as String = AdminListen::Beside;
        /// A listener that answers probes and nothing else, on a thread that
        /// answers even while the others hang. Without one, only the admin
        /// interface answers probes that way.
        probes: Option<SocketAddr>, as String = None;
        /// A listener that answers challenges of an ACME authority (HTTP-01)
        /// and nothing else, without TLS. None: the other challenge needs none.
        acme_listen: Option<SocketAddr>, as String = None;
        /// The interface for publishers outside of the host.
        api: ApiConfig, as ApiConfigWritten = ApiConfig::default();
        /// How the host speaks TLS, if it has a certificate.
        tls: TlsConfig, as TlsWritten = TlsConfig::default();
        /// The certificates with which the host speaks TLS, each for one
        /// listener or more. None: a certificate is made for a host's own
        /// names.
        certificate: Vec<CertificateConfig>, as Vec<Spanned<CertificateWritten>> = Vec::new();
        /// The networks of proxies that are believed when they name their
        /// peers. None: without a proxy, such a name is a peer's invention.
        trusted_hops: Vec<IpNet>, as Vec<Spanned<String>> = Vec::new();
        /// The networks whose peers reach triggers with `internet = false`:
        /// loopback, private and link-local addresses.
        private_networks: Vec<IpNet>, as Vec<Spanned<String>> = private();
        /// The hosts that functions of several owners share, at most
        /// [`SHARED_HOSTS_MAX`](super::SHARED_HOSTS_MAX). None: a host is one
        /// owner's unless the operator knows better.
        shared_hosts: Vec<HostPattern>, as Vec<Spanned<String>> = Vec::new();
    }
}

impl ServerConfig {
    /// Whether a listener speaks TLS. `listen` does also before there is a
    /// certificate, if the host requests some itself.
    pub fn has_tls(&self, listener: Listener) -> bool {
        let mut certificates = self.certificate.iter();
        let requests = listener == Listener::Listen && self.tls.acme.is_some();
        requests || certificates.any(|it| it.listeners.contains(&listener))
    }
}

/// The networks whose peers are not on the internet: loopback, private (RFC
/// 1918, RFC 4193) and link-local addresses.
pub(super) fn private() -> Vec<IpNet> {
    let networks = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    let networks = networks.iter().map(|text| text.parse());
    networks.filter_map(Result::ok).collect()
}
