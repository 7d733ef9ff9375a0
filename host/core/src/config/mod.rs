//! Configuration: the text of one TOML file becomes a [`Config`], or a list of
//! errors, each with a line and a hint.
//!
//! `file` is the shape of the text, `server` the host's own limits, `edge` what
//! it says about proxies and TLS, `api_table` what it says about publishers, `keys`
//! the purpose of each key and when a change of it takes effect, `validate` the
//! rules between its parts; `access`, `acme`, `admin`, `answers`, `api`, `channels`,
//! `environment`, `hops`, `networks`, `outbound`, `public_url`, `shared`, `tls` and `triggers`
//! hold the longer of these rules. `warnings` has what is allowed and probably not
//! meant. The server reads files and finds components.

mod access;
mod acme;
mod admin;
mod answers;
mod api;
mod api_table;
mod channels;
mod edge;
mod environment;
mod error;
mod file;
mod hints;
mod hops;
mod key_row;
mod keys;
mod keys_access;
mod keys_api;
mod keys_authentication;
mod keys_channels;
mod networks;
mod outbound;
mod public_url;
mod server;
mod shared;
mod tls;
mod triggers;
mod validate;
mod warnings;

use std::path::PathBuf;

pub use access::key_warnings;
pub use admin::{ADMIN_TOKEN_CHARACTERS_MIN, admin_port};
pub use api_table::{API_HOSTS_MAX, ApiConfig, ApiHosts, ApiProtocol};
pub use edge::{
    AcmeChallenge, AcmeConfig, CertificateConfig, ClientCertificates, ExternalAccount, HopHeader,
    Listener, MinVersion, ProxyProtocol, TlsConfig,
};
pub use error::ConfigError;
pub use file::nearest_word;
pub use hints::{ORIGIN_HINT, cors_hint, host_hint, methods_hint, route_hint, trigger_hint};
pub use keys::{Key, effect_of, keys};
pub use networks::NETWORKS_MAX;
pub use public_url::{PublicUrl, PublicUrlError};
pub use server::{AdminListen, PageAccess, ServerConfig};
pub use shared::SHARED_HOSTS_MAX;
pub use tls::CERTIFICATES_MAX;
pub use warnings::warnings;

use crate::auto_response::AutoResponse;
use crate::channel::{ChannelTable, Subscription};
use crate::deployment::Migration;
use crate::environment::EnvironmentTable;
use crate::key::KeyTable;
use crate::limits::{FunctionLimits, InstancePolicy, Row};
use crate::name::{AliasName, FunctionName};
use crate::outbound::OutboundConfig;
use crate::route::Route;
use crate::trigger::Trigger;

/// All rows of limits, by their table in the configuration.
pub const TABLES: [(&str, &[Row]); 4] = [
    ("[server]", ServerConfig::ROWS),
    ("[server.api]", ApiConfig::ROWS),
    ("[function.limit]", FunctionLimits::ROWS),
    ("[function.instance]", InstancePolicy::ROWS),
];

/// The whole configuration of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The host itself.
    pub server: ServerConfig,
    /// The channels that functions share.
    pub channels: Vec<ChannelTable>,
    /// The functions, in the file's order. Names are distinct, and no two
    /// triggers match the same requests.
    pub functions: Vec<FunctionConfig>,
    /// The API keys, in the file's order. Names are distinct.
    pub keys: Vec<KeyTable>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionConfig {
    /// Its name.
    pub name: FunctionName,
    /// The component's file, as written; relative to the configuration file.
    /// A function without one waits for a deploy.
    pub component: Option<PathBuf>,
    /// The line that names the component, or else the function. Errors point at
    /// it when the component does not load.
    pub component_line: usize,
    /// Which of its versions its triggers lead to, unless they say otherwise.
    pub alias: AliasName,
    /// What happens to open connections when an alias of the function moves and
    /// has no migration of its own.
    pub migration: Migration,
    /// How it is reached: at most [`TRIGGERS_MAX`](crate::trigger::TRIGGERS_MAX)
    /// and the short form, `route`, which is the first.
    pub triggers: Vec<Trigger>,
    /// The automatic responses of every connection of the function; at most the
    /// limit `auto_responses`.
    pub auto_responses: Vec<AutoResponse>,
    /// The terms of its own channels.
    pub channels: Vec<ChannelTable>,
    /// The channels that wake it.
    pub subscriptions: Vec<Subscription>,
    /// What it reads as its environment.
    pub environment: EnvironmentTable,
    /// What it may call.
    pub outbound: OutboundConfig,
    /// How many instances and what each may hold.
    pub instance: InstancePolicy,
    /// The limits of a connection or a call.
    pub limit: FunctionLimits,
}

impl Config {
    /// Reads a configuration. `Err` is never empty.
    pub fn parse(text: &str) -> Result<Self, Vec<ConfigError>> {
        let file = file::read(text).map_err(|error| vec![error])?;
        validate::validate(text, file)
    }
}

impl FunctionConfig {
    /// A function with one trigger, and defaults for everything else.
    pub fn new(name: FunctionName, component: Option<PathBuf>, route: Route) -> Self {
        Self {
            name,
            component,
            component_line: 0,
            alias: AliasName::live(),
            migration: Migration::default(),
            triggers: vec![Trigger::new(route)],
            auto_responses: Vec::new(),
            channels: Vec::new(),
            subscriptions: Vec::new(),
            environment: EnvironmentTable::default(),
            outbound: OutboundConfig::default(),
            instance: InstancePolicy::default(),
            limit: FunctionLimits::default(),
        }
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod trigger_tests;
