//! Rules of the interface for publishers outside of the host: `[server.api]`.

use openline_hint::Hinted;

use super::api_table::{API_HOSTS_MAX, ApiConfig, ApiConfigMaximum, ApiConfigWritten, ApiHosts};
use super::validate::Check;
use super::{Listener, ServerConfig};

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
        let texts = |text: &str| hosts(text).texts();
        assert_eq!(texts("[\"*.example.org\", \"*\"]"), ["*", "*.example.org"]);
        assert!(texts("[]").is_empty());
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
