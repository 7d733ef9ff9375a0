//! What a configuration allows and its author may not have meant. A host with
//! warnings serves.

use ipnet::IpNet;
use openline_hint::Hinted;

use super::server::private;
use super::{AdminListen, ClientCertificates, Listener, ServerConfig};
use crate::name::FunctionName;
use crate::trigger::Trigger;

/// Warns about an admin interface whose token others can read, and about
/// triggers, each with its function and whether that answers requests: those that
/// anyone may use, those that take tokens for other services, and those that open no
/// WebSocket where there is nothing else.
pub fn warnings<'a>(
    server: &ServerConfig,
    triggers: impl IntoIterator<Item = (&'a FunctionName, &'a Trigger, bool)>,
) -> Vec<Hinted> {
    let place = server.reached_at();
    let (mut open, mut warnings) = (Vec::new(), Vec::new());
    for (function, trigger, answers) in triggers {
        let name = format!("trigger `{}` of `{function}`", trigger.name);
        if place.is_some() && server.lets_anyone_use(trigger) {
            open.push(name.clone());
        }
        let jwt = trigger.auth.as_ref().and_then(|auth| auth.jwt.as_ref());
        if jwt.is_some_and(|jwt| jwt.jwks_url.is_some() && jwt.audience.is_empty()) {
            let what = format!(
                "{name} takes every token of its `jwks_url`, also those that the issuer signs for other services"
            );
            let hint = "set `audience` to the `aud` that the issuer gives tokens for this service";
            warnings.push(Hinted::new(what, hint));
        }
        if !answers && !trigger.methods.contains("GET") {
            let what = format!(
                "{name} takes {} only, and opens no WebSocket",
                trigger.methods
            );
            let hint = "add \"GET\" to its `methods`, or have the function answer requests";
            warnings.push(Hinted::new(what, hint));
        }
    }
    if let Some((place, first)) = place.zip(open.first()) {
        let others = match open.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let what = format!("anyone who reaches {place} can use {first}{others}");
        let hint = "set `auth` on the trigger, or `auth = \"none\"` if the function checks its peers in `upgrade`; or set `internet = false` on the trigger, ask for `client_certificates`, or listen on a loopback address";
        warnings.insert(0, Hinted::new(what, hint));
    }
    warnings.extend(server.admin_warning());
    warnings.extend(server.api_warning());
    warnings
}

impl ServerConfig {
    fn admin_warning(&self) -> Option<Hinted> {
        let AdminListen::At(address) = self.admin else {
            return None;
        };
        let is_here = address.ip().to_canonical().is_loopback();
        if is_here || self.has_tls(Listener::Admin) {
            return None;
        }
        let what = format!(
            "the admin interface at {address} speaks no TLS, so its token can be read on the way"
        );
        let hint = "add \"admin\" to `listeners` of a [[server.certificate]], or listen on a loopback address";
        Some(Hinted::new(what, hint))
    }

    /// Where peers on other machines reach the host, for people; `None` if they
    /// do not. A host on a loopback address is reached through a proxy.
    fn reached_at(&self) -> Option<String> {
        if !self.listen.ip().to_canonical().is_loopback() {
            return Some(self.listen.to_string());
        }
        let public = self.public_url.as_ref().filter(|url| !url.is_loopback());
        let hop = self.trusted_hops.first();
        let behind = |hop| format!("the proxy {hop} (`trusted_hops`)");
        public.map(ToString::to_string).or_else(|| hop.map(behind))
    }

    /// Whether nothing but the function itself keeps a peer from using a
    /// trigger, and its author has not said so by `auth = "none"`.
    fn lets_anyone_use(&self, trigger: &Trigger) -> bool {
        if trigger.auth.is_some() {
            return false;
        }
        let asks = self.tls.client_certificates == ClientCertificates::Required;
        if asks && self.has_tls(Listener::Listen) {
            return false;
        }
        // An operator can call all addresses private.
        let is_private = |network: &IpNet| private().iter().any(|it| it.contains(network));
        trigger.internet || !self.private_networks.iter().all(is_private)
    }
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint;

    use super::super::Config;

    /// The warnings about a configuration, for people.
    fn warned(server: &str, trigger: &str) -> Vec<String> {
        let text = format!(
            "[server]\n{server}\n[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n\
             [[function.trigger]]\nroute = \"/f\"\n{trigger}\n"
        );
        let config = Config::parse(&text).unwrap();
        let function = &config.functions[0];
        let triggers = function
            .triggers
            .iter()
            .map(|it| (&function.name, it, false));
        let warnings = super::warnings(&config.server, triggers);
        assert!(warnings.iter().all(|it| it.hint().is_some()));
        warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_trigger_that_others_can_use_is_warned_of() {
        const OUTSIDE: &str = "listen = \"0.0.0.0:8080\"";
        const TLS: &str = "[[server.certificate]]\ncertificate = \"a\"\nkey = \"b\"\n\
             [server.tls]\nclient_authorities = \"c\"\nclient_certificates =";
        let certificates = |asked| format!("{OUTSIDE}\n{TLS} \"{asked}\"");
        let everywhere = format!("{OUTSIDE}\nprivate_networks = [\"0.0.0.0/0\"]");
        let inside = format!("{OUTSIDE}\nprivate_networks = [\"10.1.0.0/16\", \"::1\"]");
        for (server, trigger, place) in [
            (OUTSIDE, "", Some("0.0.0.0:8080")),
            ("listen = \"[::]:80\"", "", Some("[::]:80")),
            ("listen = \"10.0.0.7:80\"", "", Some("10.0.0.7:80")),
            ("", "", None),
            ("listen = \"[::1]:80\"", "", None),
            ("listen = \"[::ffff:127.0.0.1]:80\"", "", None),
            // By a proxy on the same machine.
            ("public_url = \"https://a.org\"", "", Some("https://a.org")),
            ("public_url = \"http://localhost:8080\"", "", None),
            (
                "trusted_hops = [\"127.0.0.1\"]",
                "",
                Some("the proxy 127.0.0.1/32 (`trusted_hops`)"),
            ),
            (OUTSIDE, "internet = false", None),
            (OUTSIDE, "auth = \"none\"", None),
            (OUTSIDE, "auth = \"ticket\"", None),
            (&inside, "internet = false", None),
            (&everywhere, "internet = false", Some("0.0.0.0:8080")),
            (&certificates("required"), "", None),
            (&certificates("optional"), "", Some("0.0.0.0:8080")),
        ] {
            let warned = warned(server, trigger);
            let of = |place| format!("anyone who reaches {place} can use trigger `f` of `f`");
            let expected: Vec<_> = place.map(of).into_iter().collect();
            assert_eq!(warned, expected, "{server} {trigger}");
        }
        let two = warned(OUTSIDE, "[[function.trigger]]\nroute = \"/g\"");
        assert_eq!(two.len(), 1, "{two:?}");
        assert!(two[0].ends_with("can use trigger `f` of `f` and 1 more"));
    }

    #[test]
    fn a_token_that_others_can_read_is_warned_of() {
        const TOKEN: &str = "admin_token = \"0123456789abcdef\"\nadmin =";
        let certificate = "[[server.certificate]]\ncertificate = \"a\"\nkey = \"b\"\nlisteners =";
        for (server, is_warned) in [
            (String::new(), false),
            (format!("{TOKEN} \"127.0.0.1:1\""), false),
            (format!("{TOKEN} \"10.0.0.7:1\""), true),
            (
                format!("{TOKEN} \"10.0.0.7:1\"\n{certificate} [\"listen\"]"),
                true,
            ),
            (
                format!("{TOKEN} \"10.0.0.7:1\"\n{certificate} [\"admin\"]"),
                false,
            ),
        ] {
            let warned = warned(&server, "");
            assert_eq!(warned.len(), usize::from(is_warned), "{server}: {warned:?}");
            assert!(
                warned
                    .iter()
                    .all(|it| it.contains("the admin interface at 10.0.0.7:1"))
            );
        }
    }

    /// An issuer signs tokens for many services by the same keys.
    #[test]
    fn a_key_set_without_an_audience_is_warned_of() {
        const JWT: &str = "auth = \"jwt\"\n[function.trigger.jwt]\n";
        let url = "jwks_url = \"https://issuer.example.org/jwks\"";
        for (keys, is_warned) in [
            (url.to_owned(), true),
            (
                format!("{url}\nissuer = \"https://issuer.example.org\""),
                true,
            ),
            (format!("{url}\naudience = \"chat\""), false),
            // Whoever has the secret signs for this service.
            ("secret = \"env:SECRET\"".to_owned(), false),
        ] {
            let warned = warned("", &format!("{JWT}{keys}"));
            assert_eq!(warned.len(), usize::from(is_warned), "{keys}: {warned:?}");
            let begin = "trigger `f` of `f` takes every token of its `jwks_url`";
            assert!(warned.iter().all(|it| it.starts_with(begin)), "{warned:?}");
        }
    }

    #[test]
    fn a_trigger_that_opens_no_websocket_is_warned_of() {
        let warned = |methods: &str| warned("", &format!("methods = {methods}"));
        assert!(warned("[\"POST\", \"GET\"]").is_empty());
        assert_eq!(
            warned("[\"POST\", \"HEAD\"]"),
            ["trigger `f` of `f` takes POST, HEAD only, and opens no WebSocket"]
        );
    }
}
