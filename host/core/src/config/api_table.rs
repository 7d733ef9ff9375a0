//! The table of the interface for publishers outside of the host, `[server.api]`;
//! `api` checks it.
//!
//! Bounded: [`API_HOSTS_MAX`] hosts, each of which is compared with the host of a
//! request that no trigger takes.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::limits::table::limits;
use crate::name::FunctionName;
use crate::trigger::HostPattern;

/// Hosts of the interface on the listener for connections.
pub const API_HOSTS_MAX: usize = 64;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// A protocol of publishers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApiProtocol {
    /// The host's own: `/v1/…`.
    Openline,
    /// PushFlo's: `/api/v1/…`.
    Pushflo,
    /// Pushpin's and Fanout's: `/publish/`.
    Grip,
    /// That of API Gateway: `/@connections/…`.
    Aws,
    /// Centrifugo's server API: `/api/METHOD`.
    Centrifugo,
}

/// The hosts for which the interface answers on the listener of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiHosts {
    /// These.
    pub named: Vec<HostPattern>,
    /// All.
    pub all: bool,
}

limits! {
    /// The interface for publishers outside.
    pub struct ApiConfig, ApiConfigWritten, ApiConfigMaximum, takes effect AtOnce {
        /// The body of one request: the largest publication of the services
        /// whose clients this interface takes.
        body_bytes: Bytes = 6 * MIB, KIB => 1024 * MIB; "413"
        /// Bytes of all bodies that are being read or answered: forty of the
        /// largest.
        bodies_bytes: Bytes = 256 * MIB, MIB => 1024 * 1024 * MIB; "503"
        /// Requests of one key in a second; as many may come at once. A backend
        /// that publishes more often sends batches.
        requests_per_second: Count = 1_000, 1 => 1_000_000, or none; "429, with the time to wait"
        /// Event streams and polls that wait, of all keys. Each is a TCP
        /// connection, which `requests` counts, too.
        streams: Count = 1_024, 1 => 1_000_000, effect NewConnections; "503"
    }
    with {
        /// Which protocols it takes. All: a request of each needs a key.
        protocols: Vec<ApiProtocol> = ApiProtocol::ALL.to_vec();
        /// The function of requests that name none. Without it, they mean
        /// the one that their key is for, if it is only one, or the only one of the
        /// host.
        function: Option<FunctionName> = None;
    }
    by hand {
        /// A listener of its own. None: the host opens no port that its operator
        /// does not know.
        listen: Option<SocketAddr>, as String = None;
        /// The hosts for which it answers on `listen` of `[server]`, if no trigger
        /// takes the request. None, so that no function shares its paths with it.
        hosts: ApiHosts, as Vec<Spanned<String>> = ApiHosts::default();
    }
}

impl ApiProtocol {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Openline,
        Self::Pushflo,
        Self::Grip,
        Self::Aws,
        Self::Centrifugo,
    ];
}

impl ApiHosts {
    /// Whether the interface answers for a host, in its
    /// [one spelling](crate::trigger::Authority).
    pub fn has(&self, host: Option<&str>) -> bool {
        let named = |host| self.named.iter().any(|it| it.matches(host));
        self.all || host.is_some_and(named)
    }

    /// The hosts as they are written in the file.
    pub fn texts(&self) -> Vec<String> {
        let all = self.all.then(|| "*".to_owned());
        let named = self.named.iter().map(ToString::to_string);
        all.into_iter().chain(named).collect()
    }
}
