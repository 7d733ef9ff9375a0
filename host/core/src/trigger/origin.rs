//! Origins: which web pages may open a connection (RFC 6454).
//!
//! A browser sends the cookies of a site with a handshake whichever page asks
//! for it, so a page of another site could act for its visitor. `Origin` says
//! which site the page is of.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::host::{Authority, HostPattern};

/// Origins of one trigger: the sites that embed it, not their users.
pub const ORIGINS_MAX: usize = 64;

/// What a request says about its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A site.
    Site(Site),
    /// `null`: a sandboxed page, a local file, or a redirect. Any page can make
    /// itself one of these.
    Null,
}

/// Scheme, host and port of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    scheme: Scheme,
    authority: Authority,
}

/// A scheme from which a page can open a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `http`.
    Http,
    /// `https`.
    Https,
}

/// Origins that a trigger takes besides its own host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// `*`: all, `null` too.
    Any,
    /// Those of a host, or of all below one.
    Sites {
        /// `None` takes both schemes.
        scheme: Option<Scheme>,
        /// The hosts.
        host: HostPattern,
        /// `None` is the scheme's usual port.
        port: Option<u16>,
    },
}

/// A text is not a pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin")]
pub struct OriginPatternError(String);

impl Scheme {
    /// The usual port.
    pub(crate) fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// The scheme of a text, and what follows `://`.
    pub(crate) fn split(text: &str) -> Option<(Self, &str)> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme.eq_ignore_ascii_case("https") {
            Some((Self::Https, rest))
        } else if scheme.eq_ignore_ascii_case("http") {
            Some((Self::Http, rest))
        } else {
            None
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

// === impl Origin ===

impl Origin {
    /// Reads the value of `Origin`. `None` for anything that is not one origin
    /// of the web: a path behind the host, a list, an extension of a browser.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let (scheme, rest) = Scheme::split(text)?;
        let authority = Authority::parse(rest)?;
        Some(Self::Site(Site { scheme, authority }))
    }
}

/// Where the host's own page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnPage {
    /// Whether it is there for this machine only.
    pub is_loopback: bool,
    /// Its port.
    pub port: u16,
}

impl Site {
    /// The port, or else the usual one.
    fn port(&self) -> u16 {
        self.authority.port().unwrap_or(self.scheme.port())
    }

    /// Its host, in the one spelling.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// Whether the page came from the host that it asks: the same host and the
    /// same port, whether or not `Host` and `Origin` write the usual one. `own`
    /// is the scheme by which peers reach the host, if that is known: behind a
    /// proxy this host does not see it.
    pub fn is_of(&self, asked: &Authority, own: Option<Scheme>) -> bool {
        let port = asked.port().unwrap_or(self.scheme.port());
        self.host() == asked.host()
            && self.port() == port
            && own.is_none_or(|own| own == self.scheme)
    }

    /// Whether it is the host's own page, reached by this scheme, at the host that it asks, or at this
    /// machine if both are names of it. A page that only this machine can open is
    /// at no other name: another program may have its port there.
    pub fn is_beside(&self, asked: &Authority, page: OwnPage, scheme: Scheme) -> bool {
        let same = !page.is_loopback && self.host() == asked.host();
        let here = is_loopback(self.host()) && is_loopback(asked.host());
        (same || here) && self.scheme == scheme && self.port() == page.port
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let address = address.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|it| it.is_loopback())
}

// === impl OriginPattern ===

impl OriginPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    ///
    /// When it is neither `*` nor a host, with or without scheme and port, and
    /// with or without `*.` before it.
    pub fn new(text: &str) -> Result<Self, OriginPatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let wrong = || OriginPatternError(text.chars().take(80).collect());
        if text == "null" {
            return Err(wrong());
        }
        let (scheme, rest) = match Scheme::split(text) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None if text.contains("://") => return Err(wrong()),
            None => (None, text),
        };
        // The last colon behind the brackets of an IPv6 address.
        let (name, port) = match rest.rsplit_once(':') {
            Some((name, digits)) if !digits.contains(']') => {
                let all = digits.bytes().all(|byte| byte.is_ascii_digit());
                let port = all.then(|| digits.parse().ok()).flatten();
                (name, Some(port.ok_or_else(wrong)?))
            }
            _ => (rest, None),
        };
        let host = HostPattern::new(name).map_err(|_| wrong())?;
        Ok(Self::Sites { scheme, host, port })
    }

    /// Whether it stands for an origin.
    pub fn matches(&self, origin: &Origin) -> bool {
        match (self, origin) {
            (Self::Any, _) => true,
            (Self::Sites { scheme, host, port }, Origin::Site(site)) => {
                scheme.is_none_or(|scheme| scheme == site.scheme)
                    && host.matches(site.host())
                    && port.unwrap_or(site.scheme.port()) == site.port()
            }
            (Self::Sites { .. }, Origin::Null) => false,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Sites { scheme, host, port } = self else {
            return f.write_str("*");
        };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        host.fmt(f)?;
        match port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(text: &str) -> Site {
        match Origin::parse(text) {
            Some(Origin::Site(site)) => site,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_page_is_of_the_host_that_it_asks_or_of_another() {
        for (origin, host, own, expected) in [
            ("http://a.org", "a.org", None, true),
            ("https://a.org", "a.org", None, true),
            ("https://A.org.", "a.ORG", None, true),
            // One of the two writes the usual port.
            ("https://a.org", "a.org:443", None, true),
            ("http://a.org:80", "a.org", None, true),
            ("https://a.org:80", "a.org", None, false),
            ("http://a.org", "a.org:443", None, false),
            ("http://a.org:8080", "a.org:8080", None, true),
            ("http://a.org:8081", "a.org:8080", None, false),
            ("http://a.org", "a.org:8080", None, false),
            ("http://[::1]:1", "[0::1]:1", None, true),
            ("http://a.org", "a.org", Some(Scheme::Https), false),
            ("https://a.org", "a.org", Some(Scheme::Https), true),
            ("https://a.org.evil.com", "a.org", None, false),
            ("https://evil-a.org", "a.org", None, false),
            ("https://b.a.org", "a.org", None, false),
        ] {
            let asked = Authority::parse(host).unwrap();
            assert_eq!(site(origin).is_of(&asked, own), expected, "{origin} {host}");
        }
        for none in [
            "",
            "a.org",
            "ftp://a.org",
            "chrome-extension://abc",
            "https://a.org/",
            "https://a.org/path",
            "https://user@a.org",
            "https://a.org https://b.org",
            "https://",
            "NULL",
            "https://a.org#b",
        ] {
            assert_eq!(Origin::parse(none), None, "{none}");
        }
    }

    #[test]
    fn patterns_stand_for_origins() {
        let takes = |pattern: &str, origin: &str| {
            let pattern = OriginPattern::new(pattern).unwrap();
            pattern.matches(&Origin::parse(origin).unwrap())
        };
        for (pattern, origin, expected) in [
            ("*", "https://a.org", true),
            ("*", "null", true),
            ("a.org", "null", false),
            ("a.org", "https://a.org", true),
            ("a.org", "http://a.org:80", true),
            ("a.org", "http://a.org:8080", false),
            ("A.org:3000", "http://a.org:3000", true),
            ("https://a.org", "https://a.org:443", true),
            ("https://a.org", "http://a.org", false),
            ("https://a.org:8443", "https://a.org", false),
            ("*.a.org", "https://x.y.a.org", true),
            ("*.a.org", "https://a.org", false),
            ("https://*.a.org", "http://x.a.org", false),
            ("https://*.a.org", "https://xa.org", false),
            ("[::1]:1", "http://[::1]:1", true),
        ] {
            assert_eq!(takes(pattern, origin), expected, "{pattern} {origin}");
        }
        for text in [
            "*",
            "a.org",
            "*.a.org:1",
            "https://*.a.org",
            "http://[::1]:80",
        ] {
            assert_eq!(OriginPattern::new(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "null",
            "**",
            "*.",
            "ws://a.org",
            "https://a.org/",
            "a.org/b",
            "a.org:",
            "a.org:x",
            "https://",
            "a b",
            "https://*",
            "\u{fc}.org",
        ] {
            assert!(OriginPattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_page_of_this_machine_at_another_port() {
        let asked = |text: &str| Authority::parse(text).unwrap();
        let own = |is_loopback, port| OwnPage { is_loopback, port };
        let http = Scheme::Http;
        for is_loopback in [true, false] {
            let page = site("http://localhost:18080");
            let is_beside =
                |text: &str, port| page.is_beside(&asked(text), own(is_loopback, port), http);
            assert!(is_beside("127.0.0.1:8080", 18_080));
            assert!(is_beside("[::1]:8080", 18_080));
            assert!(!is_beside("127.0.0.1:8080", 18_081));
            assert!(!is_beside("a.org:8080", 18_080));
            let other = site("http://a.org:18080");
            let is_beside =
                |text: &str| other.is_beside(&asked(text), own(is_loopback, 18_080), http);
            assert_eq!(is_beside("a.org:8080"), !is_loopback);
            assert!(!is_beside("127.0.0.1:8080"));
            let secure = site("https://localhost:18080");
            assert!(!secure.is_beside(&asked("localhost:8080"), own(is_loopback, 18_080), http));
        }
    }
}
