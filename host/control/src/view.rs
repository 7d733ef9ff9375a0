//! The views of the admin interface: functions, versions, aliases, connections,
//! as they are at one moment. The names of the fields are those of its JSON.

use std::collections::BTreeMap;
use std::fmt;

use openline_core::authentication::AuthMethod;
use openline_core::config::PublicUrl;
use openline_core::deployment::{CallStyle, Migration, Share};
use openline_core::digest::Digest;
use openline_core::limits::Compression;
use openline_core::name::{AliasName, FunctionName, TriggerName};
use openline_core::tls::{ClientCertificate, TlsFacts};
use openline_core::trigger::{Cors, CorsWritten, Trigger};
use serde::Serialize;
use utoipa::ToSchema;

use crate::schema;

/// A function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Function)]
pub struct FunctionView {
    /// Its name.
    #[schema(value_type = schema::FunctionName)]
    pub name: FunctionName,
    /// How it is reached.
    pub triggers: Vec<TriggerView>,
    /// Whether the configuration names it; if not, it was deployed with a
    /// route.
    pub configured: bool,
    /// What chooses the instance: the name of a route parameter, or `header:`,
    /// `query:` or `cookie:` with a name.
    pub affinity: Option<String>,
    /// Connections that are open.
    pub connections: usize,
    /// Instances that are live.
    pub instances: u32,
    /// What its channel handler has to do; none if no channel wakes it.
    pub channel_handler: Option<ChannelHandlerView>,
    /// The oldest first.
    pub versions: Vec<VersionView>,
    /// By name.
    #[schema(value_type = BTreeMap<String, AliasView>)]
    pub aliases: BTreeMap<AliasName, AliasView>,
}

/// The publications of channels that wake a function, since the host started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ChannelHandler)]
pub struct ChannelHandlerView {
    /// Publications that wait.
    pub waiting: usize,
    /// Those that were dropped because more waited than may.
    pub lost: u64,
    /// Those of calls that have failed, which are not repeated.
    pub failed: u64,
}

/// A trigger: one way to reach a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Trigger)]
pub struct TriggerView {
    /// Its name, unique within the function.
    #[schema(value_type = schema::TriggerName)]
    pub name: TriggerName,
    /// The hosts that it is on, such as `chat.example.org` or `*.example.org`;
    /// all if empty.
    pub hosts: Vec<String>,
    /// The paths that it matches: `{name}` stands for one segment, a last
    /// `{*name}` for the rest.
    pub route: String,
    /// The methods that it takes.
    pub methods: Vec<&'static str>,
    /// The alias that it leads to, or the beginning of the digest of a version.
    pub target: String,
    /// Whether it takes peers outside of the host's private networks.
    pub internet: bool,
    /// The origins of web pages that it takes besides those of the host itself;
    /// `*` stands for all.
    pub origins: Vec<String>,
    /// Whether it refuses requests without an origin.
    pub origin_required: bool,
    /// What pages of other sites may do by ordinary requests; `null` stands for
    /// nothing.
    #[schema(value_type = Option<schema::Cors>)]
    pub cors: Option<CorsWritten>,
    /// The firewall that its requests have to pass after the host's.
    pub firewall: Option<String>,
    /// How it authenticates requests: `none`, `jwt`, `signature` or `ticket`.
    pub auth: &'static str,
    /// The addresses to give away, with the parameters of the route in braces;
    /// none if the host does not know its `public_url`.
    pub urls: Vec<String>,
    /// Where it was made.
    pub source: TriggerSource,
}

/// Where a trigger was made: in the configuration (`configuration`), by the
/// deploy that made the function (`deploy`), or in the running host
/// (`interface`). Only the last can be changed or removed by the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TriggerSource {
    /// In the configuration.
    Configuration,
    /// By a deploy with a route.
    Deploy,
    /// By the admin interface.
    Interface,
}

impl fmt::Display for TriggerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "the host's configuration",
            Self::Deploy => "the deploy that made the function",
            Self::Interface => "the running host",
        })
    }
}

impl TriggerView {
    /// The view of a trigger of a function with this alias of its own. `connects` says
    /// whether it takes connections there.
    pub(crate) fn new(
        trigger: &Trigger,
        own: &AliasName,
        (url, connects): (Option<&PublicUrl>, bool),
        source: TriggerSource,
    ) -> Self {
        Self {
            name: trigger.name.clone(),
            hosts: trigger.hosts.iter().map(ToString::to_string).collect(),
            route: trigger.route.to_string(),
            methods: trigger.methods.words().collect(),
            target: trigger.target.shown(own).to_owned(),
            internet: trigger.internet,
            origins: trigger.origins.iter().map(ToString::to_string).collect(),
            origin_required: trigger.origin_required,
            cors: trigger.cors.as_ref().map(Cors::written),
            firewall: trigger.firewall.clone(),
            auth: trigger
                .auth
                .as_ref()
                .map_or(AuthMethod::None, |auth| auth.method)
                .as_str(),
            urls: url.map_or_else(Vec::new, |url| url.of_trigger(trigger, connects)),
            source,
        }
    }
}

/// Tokens that were revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Revoked)]
pub struct RevokedView {
    /// How many connections were closed.
    pub closed: usize,
    /// How many entries the function's list has.
    pub revocations: usize,
}

/// A version of a function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Version)]
pub struct VersionView {
    /// Its name.
    #[schema(value_type = schema::Digest)]
    pub digest: Digest,
    /// The size of its component.
    pub bytes: u64,
    /// How its WebSocket handler is called.
    #[schema(value_type = schema::CallStyle)]
    pub handler: CallStyle,
    /// Milliseconds since 1970.
    pub deployed_at: u64,
    /// Its author's note.
    pub note: Option<String>,
    /// Connections whose next event goes to it.
    pub connections: u32,
    /// Its live instances, the oldest first.
    pub instances: Vec<InstanceView>,
    /// How many more milliseconds the host backs off from it, because it keeps
    /// failing.
    pub backed_off: Option<u64>,
    /// Why it cannot serve although an alias or a trigger leads to it: its
    /// component does not load, or is missing. Its connections go to the other
    /// versions, or are refused.
    pub unloaded: Option<String>,
}

/// A live instance.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Instance)]
pub struct InstanceView {
    /// Identifies it while the process lives.
    pub number: u64,
    /// The affinity value that it serves.
    pub key: Option<String>,
    /// Connections that are bound to it.
    pub connections: u32,
    /// Milliseconds since it was made.
    pub age: u64,
}

/// An alias of a function.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Alias)]
pub struct AliasView {
    /// Where it points; the weights add up to 100.
    #[schema(value_type = Vec<schema::Share>)]
    pub shares: Vec<Share>,
    /// What happens to connections when it moves.
    #[schema(value_type = schema::Migration)]
    pub migration: Migration,
    /// How many connections a drain closes in a second; null for the host's own
    /// pace.
    #[schema(minimum = 1)]
    pub drain_connections_per_second: Option<u32>,
    /// How many moves can be rolled back.
    pub rollbacks: usize,
}

/// A connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// Its id.
    #[schema(value_type = schema::ConnectionId)]
    pub id: String,
    /// Its function.
    #[schema(value_type = schema::FunctionName)]
    pub function: FunctionName,
    /// How its peer is reached: `websocket`, or by an answer that is held:
    /// `event-stream`, `stream`, `poll`.
    #[schema(pattern = "^(websocket|event-stream|stream|poll)$")]
    pub kind: &'static str,
    /// The address of its peer, behind all trusted hops; with the port where
    /// that is known.
    pub peer: String,
    /// What its TLS handshake with the host has shown; null without TLS. With a
    /// proxy in between it was made with the proxy.
    pub tls: Option<TlsView>,
    /// The alias that it came by.
    #[schema(value_type = schema::AliasName)]
    pub alias: AliasName,
    /// The beginning of the digest of the version that its last event went to.
    pub version: String,
    /// The live instance that it is bound to; null when it is hibernated.
    pub instance: Option<u64>,
    /// What `upgrade` chose.
    pub subprotocol: Option<String>,
    /// The parameters of its route.
    pub route_params: Vec<(String, String)>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The size of its attachment.
    pub attachment_bytes: usize,
    /// Bytes that wait to be written.
    pub buffered_bytes: u64,
    /// Nanoseconds from the last ping to its answer.
    pub round_trip: Option<u64>,
    /// Whether the function has stopped reading from it.
    pub paused: bool,
    /// Messages that automatic responses have answered.
    pub auto_responded: u64,
    /// What was agreed on compression, and what has come of it; null if nothing
    /// was.
    pub compression: Option<CompressionView>,
}

/// The TLS handshake of a connection's peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConnectionTls)]
pub struct TlsView {
    /// The version of the protocol: `1.2` or `1.3`.
    #[schema(pattern = "^1\\.[23]$")]
    pub version: &'static str,
    /// The host name that the peer asked for.
    pub server_name: Option<String>,
    /// The certificate that the peer has shown, which is valid.
    pub certificate: Option<PeerCertificateView>,
}

/// A certificate that a peer has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PeerCertificate)]
pub struct PeerCertificateView {
    /// The subject's distinguished name, as RFC 4514 writes it.
    pub subject: String,
    /// The issuer's.
    pub issuer: String,
    /// The serial number, in hexadecimal digits.
    pub serial: String,
    /// SHA-256 of the certificate, in hexadecimal digits.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub fingerprint: String,
}

impl TlsView {
    /// The view of these facts.
    pub(crate) fn new(facts: &TlsFacts) -> Self {
        let certificate = |of: &ClientCertificate| PeerCertificateView {
            subject: (*of.subject).to_owned(),
            issuer: (*of.issuer).to_owned(),
            serial: (*of.serial).to_owned(),
            fingerprint: of.fingerprint.to_string(),
        };
        Self {
            version: facts.version.number(),
            server_name: facts.server_name.as_deref().map(str::to_owned),
            certificate: facts.client.as_ref().map(certificate),
        }
    }
}

/// The compression of a connection.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConnectionCompression)]
pub struct CompressionView {
    /// `shared`, or `dedicated` if the peer allows it.
    #[schema(value_type = schema::Compression)]
    pub mode: Compression,
    /// The largest window that the host may compress with, as a power of two.
    #[schema(minimum = 8, maximum = 15)]
    pub window_bits: u8,
    /// Messages that the host has compressed.
    pub sent: CompressedView,
    /// Messages that the peer has compressed.
    pub received: CompressedView,
}

/// How large messages are that were compressed, all together.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CompressedMessages)]
pub struct CompressedView {
    /// Bytes without compression.
    pub bytes: u64,
    /// Bytes with it.
    pub compressed_bytes: u64,
}

/// A page of connections, in the order of their ids.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ConnectionPage)]
pub struct ConnectionPage {
    /// The connections, at most as many as asked for.
    pub connections: Vec<ConnectionView>,
    /// The value to pass as `after` for the next page; null on the last page.
    #[schema(value_type = Option<schema::ConnectionId>)]
    pub next: Option<String>,
}

/// What a deploy has changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Deployed)]
pub struct DeployedView {
    /// The version's name.
    #[schema(value_type = schema::Digest)]
    pub version: Digest,
    /// Whether the version is new.
    pub version_is_new: bool,
    /// Whether the alias moved.
    pub alias_moved: bool,
    /// Where the alias points now.
    pub alias: AliasView,
    /// Whether the host forgets the deployment when the process ends, because
    /// it has no data directory.
    pub in_memory: bool,
}
