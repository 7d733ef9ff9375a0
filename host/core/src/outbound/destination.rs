//! Where a call goes: a scheme, a host in its one spelling, and a port.
//!
//! There is one spelling, so that a rule and a look-up cannot read a host in two
//! ways. What has several readings is no destination: a user before the host, an
//! escape, letters that are not ASCII, a zone, and numbers that a resolver would
//! take for an address although they do not look like one (`0x7f.1`,
//! `2130706433`).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::canonical;
use crate::trigger::Authority;

/// How a call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Without TLS; of WebSockets `ws`.
    Http,
    /// With TLS; of WebSockets `wss`.
    Https,
}

/// A host in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// In lower case, without a dot at the end.
    Name(Box<str>),
    /// Never one of IPv4 that is written as one of IPv6.
    Address(IpAddr),
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// How it is made.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// Where there.
    pub port: u16,
}

// === impl Scheme ===

impl Scheme {
    /// The port of calls that name none.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

// === impl Host ===

impl Host {
    /// Reads the host of an [`Authority`].
    pub(super) fn of(authority: &Authority) -> Option<Self> {
        let text = authority.host();
        if let Some(address) = text.strip_prefix('[') {
            let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(canonical(address.into())));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        (!ends_in_number(text)).then(|| Self::Name(text.into()))
    }
}

/// Whether a resolver would take a name for an address: the last part is a
/// number. The URL standard draws the same line.
pub(super) fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = last.strip_prefix("0x").unwrap_or(last);
    let is_hexadecimal = digits.len() < last.len();
    let is_number =
        |byte: u8| byte.is_ascii_digit() || (is_hexadecimal && byte.is_ascii_hexdigit());
    digits.bytes().all(is_number)
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

// === impl Destination ===

impl Destination {
    /// Reads the authority of a URL. `None` if it has no single meaning.
    pub fn parse(scheme: Scheme, authority: &str) -> Option<Self> {
        let authority = Authority::parse(authority)?;
        let port = authority.port().unwrap_or(scheme.port());
        Some(Self {
            scheme,
            host: Host::of(&authority)?,
            port: (port != 0).then_some(port)?,
        })
    }

    /// The authority in its one spelling, without the port that the scheme has
    /// anyway: the value of `Host`.
    pub fn authority(&self) -> String {
        let host = &self.host;
        if self.port == self.scheme.port() {
            host.to_string()
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_destination_become_one() {
        for (text, expected) in [
            ("API.Example.ORG", "https://api.example.org:443"),
            ("api.example.org.", "https://api.example.org:443"),
            ("api.example.org:", "https://api.example.org:443"),
            ("api.example.org:0443", "https://api.example.org:443"),
            ("xn--bcher-kva.example", "https://xn--bcher-kva.example:443"),
            ("127.0.0.1:8080", "https://127.0.0.1:8080"),
            ("[::ffff:127.0.0.1]", "https://127.0.0.1:443"),
            ("[::FFFF:7f00:1]:1", "https://127.0.0.1:1"),
            ("[0:0::1]", "https://[::1]:443"),
            ("a1", "https://a1:443"),
            ("0xg.a", "https://0xg.a:443"),
        ] {
            let found = Destination::parse(Scheme::Https, text).unwrap();
            assert_eq!(found.to_string(), expected, "{text}");
        }
        let found = |scheme, text: &str| Destination::parse(scheme, text).unwrap();
        assert_eq!(found(Scheme::Http, "A:80").authority(), "a");
        assert_eq!(found(Scheme::Https, "A:80").authority(), "a:80");
        assert_eq!(found(Scheme::Http, "[::1]").authority(), "[::1]");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_none() {
        for text in [
            "",
            ":80",
            "0x7f.1",
            "0x7f000001",
            "0X7F.0X1",
            "0x",
            "127.1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.01",
            "127.0.0.1.1",
            "a.1",
            "a.0x1",
            "user@a",
            "a@127.0.0.1",
            "a:b@c",
            "a%2eexample",
            "127%2E0.0.1",
            "b\u{fc}cher.example",
            "\u{ff11}27.0.0.1",
            "\u{2460}.a",
            "a\u{3002}b",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "a..b",
            "a..",
            ".a",
            "a:0",
            "a:65536",
            "a:80:80",
            "a b",
            "a\\b",
            "a#b",
            "a?b",
            "a/b",
            "::1",
            "[127.0.0.1]",
        ] {
            assert_eq!(Destination::parse(Scheme::Http, text), None, "{text}");
        }
    }
}
