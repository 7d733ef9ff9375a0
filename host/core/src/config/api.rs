//! The interface for publishers outside of the host: `[server.api]`.
//!
//! Bounded: [`API_HOSTS_MAX`] hosts, each of which is compared with the host of a
//! request that no trigger takes.

use std::net::SocketAddr;

use openline_hint::Hinted;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::validate::Check;
use super::{Listener, ServerConfig};
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
        /// The function whose channels are meant by requests that name none.
        /// None: then it is the only one of the key.
        function: Option<FunctionName> = None;
    }
    by hand {
        /// A listener of its own. None: the host opens no port that its operator
        /// does not know.
        listen: Option<SocketAddr>, as String = None;
        /// The hosts for which it answers on `listen` of `[server]`, where no
        /// trigger takes the request. None.
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
}

impl Check<'_> {
    /// Reads the interface for publishers.
    pub(super) fn api(&mut self, mut written: ApiConfigWritten) -> ApiConfig {
        let (listen, hosts) = (written.listen.take(), written.hosts.take());
        let mut api = written.resolve(&ApiConfigMaximum::default(), &mut self.report());
        api.listen = self.listens(listen.as_ref());
        if let Some(hosts) = hosts {
            if let Some(past) = hosts.get_ref().get(API_HOSTS_MAX) {
                let message = format!("`hosts` has more than {API_HOSTS_MAX} hosts");
                let hint = "a pattern, as in \"*.example.org\", stands for many";
                self.error(Some(past.span()), &message, hint);
            }
            let (all, named): (Vec<_>, Vec<_>) = hosts
                .into_inner()
                .into_iter()
                .partition(|host| host.get_ref() == "*");
            api.hosts = ApiHosts {
                all: !all.is_empty(),
                named: self.host_patterns(&named),
            };
        }
        api
    }
}

impl ServerConfig {
    /// Warns about keys that others can read on the way.
    pub(super) fn api_warning(&self) -> Option<Hinted> {
        let address = self.api.listen?;
        if address.ip().to_canonical().is_loopback() || self.has_tls(Listener::Api) {
            return None;
        }
        let what = format!(
            "the interface for publishers at {address} speaks no TLS, so keys can be read on the way"
        );
        let hint = "add \"api\" to `listeners` of a [[server.certificate]], or listen on a loopback address behind a proxy";
        Some(Hinted::new(what, hint))
    }
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint as _;

    use super::*;
    use crate::config::Config;

    fn parse(api: &str) -> Result<ServerConfig, Vec<String>> {
        let text = format!("[server.api]\n{api}\n[[function]]\nname = \"f\"\nroute = \"/f\"\n");
        let errors = |errors: Vec<crate::config::ConfigError>| {
            errors.iter().map(ToString::to_string).collect()
        };
        Config::parse(&text).map(|it| it.server).map_err(errors)
    }

    #[test]
    fn nothing_is_open_unless_it_is_said() {
        let api = parse("").unwrap().api;
        assert_eq!(api, ApiConfig::default());
        assert_eq!((api.listen, api.hosts.has(Some("a"))), (None, false));
        assert!(!api.hosts.has(None));
        assert_eq!(api.body_bytes, 6 << 20);
    }

    #[test]
    fn hosts_are_named_or_all() {
        let hosts = |text: &str| parse(&format!("hosts = {text}")).unwrap().api.hosts;
        assert!(hosts("[\"*\"]").has(None));
        let some = hosts("[\"push.example.org\"]");
        assert!(some.has(Some("push.example.org")));
        assert!(!some.has(Some("example.org")) && !some.has(None));
        let list = |count: usize| {
            let names = (0..count).map(|it| format!("\"a{it}.b\""));
            let names: Vec<_> = names.collect();
            parse(&format!("hosts = [{}]", names.join(","))).is_ok()
        };
        assert!(list(API_HOSTS_MAX) && !list(API_HOSTS_MAX + 1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            "listen = \"here\"",
            "protocols = [\"pusher\"]",
            "body_bytes = 0",
            "hosts = [\"a b\"]",
            "function = \"\"",
            "no = 1",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_public_address_without_tls_is_warned_of() {
        let warns = |listen: &str| {
            let server = parse(&format!("listen = \"{listen}\"")).unwrap();
            let warning = server.api_warning();
            assert!(warning.iter().all(|it| it.hint().is_some()));
            warning.is_some()
        };
        assert!(warns("0.0.0.0:8081") && !warns("127.0.0.1:8081") && !warns("[::1]:1"));
    }
}
