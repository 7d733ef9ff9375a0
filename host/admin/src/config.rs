//! The configuration in force: every limit with its value, as the host and each
//! function have it now. It never contains the token or a secret.

use std::collections::BTreeMap;
use std::path::Path;

use http::StatusCode;
use openline_control::{Deployer, TriggerView, schema};
use openline_core::config::{
    AcmeChallenge, AcmeConfig, ApiConfig, ApiProtocol, CertificateConfig, ClientCertificates,
    FunctionConfig, HopHeader, Listener, MinVersion, PageAccess, ProxyProtocol,
};
use openline_core::deployment::Migration;
use openline_core::limits::{
    BackoffPolicy, Compression, FunctionLimits, InstancePolicy, OutboxOverflow, RateExceeded, Row,
    TimeUp, Unit,
};
use openline_core::name::{AliasName, FunctionName};
use openline_core::outbound::{OutboundConfig, OutboundRule};
use serde::Serialize;
use utoipa::ToSchema;

use crate::call::Call;
use crate::channel_terms::{self, ChannelTermsView, SubscriptionView};
use crate::json::json;
use crate::responses::Refused;
use openline_gateway::reserved::Answer;

/// The configuration in force. The token is not in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Config)]
struct ConfigView {
    server: ServerView,
    /// The channels that functions share.
    channels: Vec<ChannelTermsView>,
    functions: Vec<FunctionConfigView>,
}

/// `[server]`.
#[derive(Serialize, ToSchema)]
#[schema(as = Server)]
struct ServerView {
    listen: String,
    /// The address by which peers reach the host, if it knows it.
    public_url: Option<String>,
    admin: String,
    /// Whether there is a token. The token itself is never shown.
    admin_token: bool,
    /// Address of the listener for probes; without one, only this interface
    /// answers probes while the host hangs.
    probes: Option<String>,
    /// Address of the listener for challenges of an ACME authority.
    acme_listen: Option<String>,
    /// Networks of the proxies that are believed.
    trusted_hops: Vec<String>,
    #[schema(value_type = schema::HopHeader)]
    hop_header: HopHeader,
    #[schema(value_type = schema::ProxyProtocol)]
    proxy_protocol: ProxyProtocol,
    /// How the host speaks TLS, if it has a certificate.
    tls: TlsView,
    certificates: Vec<CertificateView>,
    /// The interface for publishers.
    api: ApiView,
    /// The networks whose peers reach triggers that are not for the internet.
    private_networks: Vec<String>,
    /// The hosts that functions of several owners share.
    shared_hosts: Vec<String>,
    /// The firewall that every request has to pass.
    firewall: Option<String>,
    #[schema(value_type = schema::PageAccess)]
    page: PageAccess,
    data: Option<String>,
    cache: Option<String>,
    limits: Vec<LimitView>,
}

/// `[server.tls]`.
#[derive(Serialize, ToSchema)]
#[schema(as = Tls)]
struct TlsView {
    #[schema(value_type = schema::MinVersion)]
    min_version: MinVersion,
    #[schema(value_type = schema::ClientCertificates)]
    client_certificates: ClientCertificates,
    client_authorities: Option<String>,
    /// The certificates that the host requests itself, if it does.
    acme: Option<AcmeView>,
}

/// `[server.tls.acme]`. The key of the external account is not in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Acme)]
struct AcmeView {
    hosts: Vec<String>,
    terms_agreed: bool,
    contact: Vec<String>,
    #[schema(value_type = schema::AcmeChallenge)]
    challenge: AcmeChallenge,
    directory: String,
    ca_file: Option<String>,
    external_account: Option<String>,
    external_account_key_file: Option<String>,
}

/// `[[server.certificate]]`.
#[derive(Serialize, ToSchema)]
#[schema(as = Certificate)]
struct CertificateView {
    certificate: String,
    key: String,
    default: bool,
    /// The listeners that it is for.
    #[schema(value_type = Vec<schema::Listener>)]
    listeners: Vec<Listener>,
}

/// `[server.api]`.
#[derive(Serialize, ToSchema)]
#[schema(as = Api)]
struct ApiView {
    /// Address of its own listener.
    listen: Option<String>,
    /// The hosts for which `listen` of the server answers publishers; `*` is all.
    hosts: Vec<String>,
    /// The protocols that it takes.
    #[schema(value_type = Vec<schema::ApiProtocol>)]
    protocols: Vec<ApiProtocol>,
    /// The function whose channels a request means that names none.
    #[schema(value_type = Option<schema::FunctionName>)]
    function: Option<FunctionName>,
    limits: Vec<LimitView>,
}

/// `[[function]]`.
#[derive(Serialize, ToSchema)]
#[schema(as = FunctionConfig)]
struct FunctionConfigView {
    #[schema(value_type = schema::FunctionName)]
    name: FunctionName,
    /// The file that the configuration names; null if the function was only
    /// deployed.
    component: Option<String>,
    #[schema(value_type = schema::AliasName)]
    alias: AliasName,
    #[schema(value_type = schema::Migration)]
    migration: Migration,
    /// All its triggers, those that were made in the running host as well.
    triggers: Vec<TriggerView>,
    /// How many automatic responses it has.
    auto_responses: usize,
    /// Its own channels.
    channels: Vec<ChannelTermsView>,
    /// The channels that wake it.
    subscriptions: Vec<SubscriptionView>,
    /// What it reads as its environment, without its secrets.
    environment: BTreeMap<String, String>,
    /// The names of its secrets. The secrets themselves are never shown.
    secrets: Vec<String>,
    /// What it may call.
    outbound: OutboundView,
    limit: FunctionLimitsView,
    instance: InstancePolicyView,
}

/// `[function.outbound]`.
#[derive(Serialize, ToSchema)]
#[schema(as = FunctionOutbound)]
struct OutboundView {
    hosts: Vec<OutboundHostView>,
    /// The files of authorities that are trusted besides the system's.
    roots: Vec<String>,
}

/// A host that a function may call.
#[derive(Serialize, ToSchema)]
#[schema(as = OutboundHost)]
struct OutboundHostView {
    /// A name, all names below one, an address, a network, or `*`; with its
    /// scheme and port if they are given.
    host: String,
    /// Whether the name may have private addresses.
    private: bool,
}

/// `[function.limit]`.
#[derive(Serialize, ToSchema)]
#[schema(as = FunctionLimits)]
struct FunctionLimitsView {
    #[schema(value_type = schema::Compression)]
    compression: Compression,
    #[schema(value_type = schema::OutboxOverflow)]
    outbox_overflow: OutboxOverflow,
    #[schema(value_type = schema::RateExceeded)]
    rate_exceeded: RateExceeded,
    #[schema(value_type = schema::TimeUp)]
    time_up: TimeUp,
    time_warning_message: String,
    limits: Vec<LimitView>,
}

/// `[function.instance]`.
#[derive(Serialize, ToSchema)]
#[schema(as = InstancePolicy)]
struct InstancePolicyView {
    affinity: Option<String>,
    #[schema(value_type = schema::Backoff)]
    backoff: BackoffPolicy,
    limits: Vec<LimitView>,
}

/// A row of a table of limits, with its value in force.
#[derive(Serialize, ToSchema)]
#[schema(as = Limit)]
struct LimitView {
    name: &'static str,
    value: u64,
    #[schema(pattern = "^(bytes|milliseconds|count)$")]
    unit: &'static str,
    /// The value as written in a configuration; `none` where there is no such
    /// limit.
    text: String,
    default: u64,
}

#[utoipa::path(
    get,
    path = "/v1/config",
    operation_id = "config",
    tag = "host",
    summary = "The configuration in force",
    responses(
        (status = 200, description = "The configuration.", body = ConfigView),
        Refused
    )
)]
pub(crate) async fn config(call: Call) -> Answer {
    let context = call.context;
    let table = context.gateway.services().table();
    let server = &table.config;
    let deployer = &context.deployer;
    let configs = deployer.configs();
    let view = ConfigView {
        server: ServerView {
            listen: context.listen.to_string(),
            public_url: server.public_url.as_ref().map(ToString::to_string),
            admin: context.admin.to_string(),
            admin_token: server.admin_token.is_some(),
            probes: server.probes.map(|address| address.to_string()),
            acme_listen: server.acme_listen.map(|address| address.to_string()),
            trusted_hops: server
                .trusted_hops
                .iter()
                .map(ToString::to_string)
                .collect(),
            hop_header: server.hop_header,
            proxy_protocol: server.proxy_protocol,
            tls: TlsView {
                min_version: server.tls.min_version,
                client_certificates: server.tls.client_certificates,
                client_authorities: shown(server.tls.client_authorities.as_deref()),
                acme: server.tls.acme.as_ref().map(acme),
            },
            api: api(&server.api),
            certificates: server.certificate.iter().map(certificate).collect(),
            private_networks: server
                .private_networks
                .iter()
                .map(ToString::to_string)
                .collect(),
            firewall: server.firewall.clone(),
            shared_hosts: server
                .shared_hosts
                .iter()
                .map(ToString::to_string)
                .collect(),
            page: server.page,
            data: shown(server.data.as_deref()),
            cache: shown(server.cache.as_deref()),
            limits: limits(server.values()),
        },
        channels: channel_terms::views(&deployer.shared_channels()),
        functions: configs.iter().map(|of| function(deployer, of)).collect(),
    };
    json(StatusCode::OK, &view)
}

fn acme(of: &AcmeConfig) -> AcmeView {
    let external = of.external_account.as_ref();
    AcmeView {
        hosts: of.hosts.clone(),
        // A configuration without it is not read.
        terms_agreed: true,
        contact: of.contact.clone(),
        challenge: of.challenge,
        directory: of.directory.clone(),
        ca_file: shown(of.ca_file.as_deref()),
        external_account: external.map(|account| account.id.clone()),
        external_account_key_file: external.and_then(|it| shown(Some(&it.key_file))),
    }
}

fn api(of: &ApiConfig) -> ApiView {
    ApiView {
        listen: of.listen.map(|listen| listen.to_string()),
        hosts: of.hosts.texts(),
        protocols: of.protocols.clone(),
        function: of.function.clone(),
        limits: limits(of.values()),
    }
}

fn certificate(of: &CertificateConfig) -> CertificateView {
    CertificateView {
        certificate: of.certificate.display().to_string(),
        key: of.key.display().to_string(),
        default: of.default,
        listeners: of.listeners.clone(),
    }
}

fn function(deployer: &Deployer, of: &FunctionConfig) -> FunctionConfigView {
    FunctionConfigView {
        name: of.name.clone(),
        component: shown(of.component.as_deref()),
        alias: of.alias.clone(),
        migration: of.migration,
        triggers: deployer.triggers_of(&of.name).unwrap_or_default(),
        auto_responses: of.auto_responses.len(),
        channels: channel_terms::views(&of.channels),
        subscriptions: of.subscriptions.iter().map(Into::into).collect(),
        environment: of.environment.values.clone(),
        secrets: of.environment.secrets.keys().cloned().collect(),
        outbound: outbound(&of.outbound),
        limit: limit(&of.limit),
        instance: instance(&of.instance),
    }
}

fn outbound(of: &OutboundConfig) -> OutboundView {
    let host = |rule: &OutboundRule| OutboundHostView {
        host: rule.to_string(),
        private: rule.is_private(),
    };
    OutboundView {
        hosts: of.rules.iter().map(host).collect(),
        roots: of.roots.iter().filter_map(|it| shown(Some(it))).collect(),
    }
}

fn shown(path: Option<&Path>) -> Option<String> {
    path.map(|path| path.display().to_string())
}

fn limit(of: &FunctionLimits) -> FunctionLimitsView {
    FunctionLimitsView {
        compression: of.compression,
        outbox_overflow: of.outbox_overflow,
        rate_exceeded: of.rate_exceeded,
        time_up: of.time_up,
        time_warning_message: of.time_warning_message.clone(),
        limits: limits(of.values()),
    }
}

fn instance(of: &InstancePolicy) -> InstancePolicyView {
    InstancePolicyView {
        affinity: of.affinity.as_ref().map(ToString::to_string),
        backoff: of.backoff,
        limits: limits(of.values()),
    }
}

fn limits(values: Vec<(&'static Row, u64)>) -> Vec<LimitView> {
    let view = |(row, value): (&'static Row, u64)| LimitView {
        name: row.name,
        value,
        unit: match row.unit {
            Unit::Bytes => "bytes",
            Unit::Time => "milliseconds",
            Unit::Count => "count",
        },
        text: row.show(value),
        default: row.default,
    };
    values.into_iter().map(view).collect()
}
