//! The address by which peers reach a host, and what it makes of a trigger.
//!
//! The host cannot know it: a name leads to the machine, and a proxy may stand
//! in front of it, with another port, with TLS, or with a prefix of all paths.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::path;
use crate::trigger::{Authority, Scheme, Trigger};

/// An address of the web, as in `https://edge.example.org`: scheme, host, port
/// and a prefix of all paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: Scheme,
    /// In its one spelling; IPv6 in square brackets.
    host: String,
    /// `None` is the scheme's usual one.
    port: Option<u16>,
    /// Empty, or a path in its one spelling without a slash at its end.
    prefix: String,
}

/// Why a text is not an address that can be given away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It does not begin with `https://` or `http://`.
    #[error("`{0}` does not begin with `https://` or `http://`")]
    Scheme(String),
    /// The part behind the scheme is not a host with or without a port.
    #[error("`{0}` does not name a host")]
    Host(String),
    /// No peer can connect to that address.
    #[error("`{0}` stands for all addresses of a machine, and no peer can connect to it")]
    Unspecified(String),
    /// It has a query or a fragment.
    #[error("`{0}` has a query or a fragment")]
    Query(String),
    /// The path is not in the one spelling.
    #[error("the path of `{0}` is not spelled as the host spells it")]
    Path(String),
}

impl PublicUrl {
    /// Reads an address. A slash at its end does not count.
    ///
    /// # Errors
    ///
    /// When peers could not be given it.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let shown = || text.chars().take(80).collect();
        let (scheme, rest) = Scheme::split(text).ok_or_else(|| PublicUrlError::Scheme(shown()))?;
        if rest.contains(['?', '#']) {
            return Err(PublicUrlError::Query(shown()));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::parse(authority).filter(|it| it.port() != Some(0));
        let authority = authority.ok_or_else(|| PublicUrlError::Host(shown()))?;
        let address = authority.host().trim_matches(['[', ']']).parse::<IpAddr>();
        if address.is_ok_and(|it| it.is_unspecified()) {
            return Err(PublicUrlError::Unspecified(shown()));
        }
        let is_spelled = path::normalise(path).is_ok_and(|normal| normal == path);
        if !path.is_empty() && !is_spelled {
            return Err(PublicUrlError::Path(shown()));
        }
        let prefix = path.strip_suffix('/').unwrap_or(path);
        Ok(Self {
            scheme,
            host: authority.host().to_owned(),
            port: authority.port().filter(|port| *port != scheme.port()),
            prefix: prefix.to_owned(),
        })
    }

    /// The address of a listener itself, for a host without a `public_url`.
    pub fn of_listener(address: SocketAddr, has_tls: bool) -> Self {
        let scheme = if has_tls { Scheme::Https } else { Scheme::Http };
        Self {
            scheme,
            host: match address.ip() {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            },
            port: Some(address.port()),
            prefix: String::new(),
        }
    }

    /// The addresses of a trigger, one for each of its hosts, with the
    /// parameters of its route in braces. A trigger on all hosts has that of
    /// this address. They begin with `wss://` or `ws://` if the trigger takes
    /// GET, which a WebSocket needs.
    pub fn of_trigger(&self, trigger: &Trigger, connects: bool) -> Vec<String> {
        let connects = connects && trigger.methods.contains("GET");
        let scheme = match (connects, self.scheme) {
            (true, Scheme::Https) => "wss",
            (true, Scheme::Http) => "ws",
            (false, Scheme::Https) => "https",
            (false, Scheme::Http) => "http",
        };
        let port = self
            .port
            .map_or_else(String::new, |port| format!(":{port}"));
        let (prefix, route) = (&self.prefix, &trigger.route);
        let at = |host: &dyn fmt::Display| format!("{scheme}://{host}{port}{prefix}{route}");
        if trigger.hosts.is_empty() {
            return vec![at(&self.host)];
        }
        trigger.hosts.iter().map(|host| at(host)).collect()
    }

    /// Whether peers reach it by TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }

    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|it| it.to_canonical().is_loopback())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.prefix)
    }
}

impl PublicUrlError {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Scheme(_) => {
                "write it as in \"https://edge.example.org\"; addresses that begin with `wss://` are made of it"
            }
            Self::Host(text) if !text.is_ascii() => {
                "write the name in its ASCII form, which begins with `xn--`"
            }
            Self::Host(_) => {
                "write one name or address, with or without a port, as in \"https://edge.example.org:8443\""
            }
            Self::Unspecified(_) => {
                "write the name or the address by which peers reach the machine"
            }
            Self::Query(_) => "leave out what begins with `?` or `#`",
            Self::Path(_) => {
                "a proxy's prefix is written without doubled slashes, dot segments, braces and needless escapes, as in \"https://example.org/edge\""
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;
    use crate::trigger::{HostPattern, Methods};

    #[test]
    fn an_address_to_give_away_has_a_scheme_a_host_and_perhaps_more() {
        for (text, shown) in [
            ("https://edge.example.org", "https://edge.example.org"),
            ("HTTPS://Edge.Example.org./", "https://edge.example.org"),
            ("https://edge.example.org:443", "https://edge.example.org"),
            ("http://edge.example.org:443", "http://edge.example.org:443"),
            (
                "https://example.org:8443/edge/",
                "https://example.org:8443/edge",
            ),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://10.0.0.7", "http://10.0.0.7"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().to_string(), shown);
        }
        type Wrong = fn(String) -> PublicUrlError;
        let (scheme, host): (Wrong, Wrong) = (PublicUrlError::Scheme, PublicUrlError::Host);
        let (query, path): (Wrong, Wrong) = (PublicUrlError::Query, PublicUrlError::Path);
        for (text, error) in [
            ("", scheme),
            ("edge.example.org", scheme),
            ("wss://edge.example.org", scheme),
            ("https://", host),
            ("https:///edge", host),
            ("https://user@edge.example.org", host),
            ("https://edge.example.org:0", host),
            ("https://edge.example.org:65536", host),
            ("https://*.example.org", host),
            ("https://\u{fc}.org", host),
            ("https://a b", host),
            ("https://0.0.0.0:8080", PublicUrlError::Unspecified),
            ("https://[::]", PublicUrlError::Unspecified),
            ("https://example.org?a=b", query),
            ("https://example.org/#a", query),
            ("https://example.org//edge", path),
            ("https://example.org/a/../b", path),
            ("https://example.org/{room}", path),
            ("https://example.org/%7e", path),
            ("https://example.org//", path),
        ] {
            assert_eq!(PublicUrl::parse(text), Err(error(text.into())), "{text}");
        }
    }

    #[test]
    fn each_host_of_a_trigger_has_an_address() {
        let url = PublicUrl::parse("https://example.org:8443/edge").unwrap();
        let mut trigger = Trigger::new(Route::new("/chat/{room}").unwrap());
        assert_eq!(
            url.of_trigger(&trigger, true),
            ["wss://example.org:8443/edge/chat/{room}"]
        );
        let hosts = ["chat.example.org", "*.example.com"];
        trigger.hosts = hosts.map(|host| HostPattern::new(host).unwrap()).into();
        let plain = PublicUrl::of_listener("[::1]:80".parse().unwrap(), false);
        assert_eq!(
            plain.of_trigger(&trigger, true),
            [
                "ws://chat.example.org:80/chat/{room}",
                "ws://*.example.com:80/chat/{room}"
            ]
        );
        trigger.hosts.clear();
        trigger.methods = Methods::new(&["POST"]).unwrap();
        assert_eq!(
            plain.of_trigger(&trigger, true),
            ["http://[::1]:80/chat/{room}"]
        );
    }

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        let here = |text| PublicUrl::parse(text).unwrap().is_loopback();
        for text in ["http://localhost", "http://127.0.0.2:1", "https://[::1]"] {
            assert!(here(text), "{text}");
        }
        assert!(!here("http://10.0.0.1") && !here("http://localhost.example.org"));
    }
}
