//! Names of hosts: of a request in their one spelling, and the patterns that a
//! trigger has for them.

use std::fmt;
use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest name of a host, in bytes (RFC 1035 section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A host with its port, as `Host` and `:authority` name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: String,
    port: Option<u16>,
}

/// The hosts of a trigger or of an origin: one name, or all below one, as in
/// `*.example.org`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern {
    /// In the one spelling; without `*.`.
    name: Box<str>,
    below: bool,
}

/// A text is not a pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host")]
pub struct HostPatternError(String);

// === impl Authority ===

impl Authority {
    /// Reads a host with or without a port. The host's one spelling is in lower
    /// case and has no dot at its end. `None` for anything that is not a name
    /// or an address, such as one with a user, an escape or an empty label.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest {
                "" => None,
                rest => port(rest.strip_prefix(':')?)?,
            };
            let host = format!("[{address}]");
            return Some(Self { host, port });
        }
        let (name, port) = match text.split_once(':') {
            Some((name, digits)) => (name, port(digits)?),
            None => (text, None),
        };
        let host = name_of(name)?;
        Some(Self { host, port })
    }

    /// The host's name in its one spelling, or its address; of IPv6 in square
    /// brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if the text had one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// In its one spelling, with its port if it has one.
impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Reads a port. RFC 3986 allows an empty one, which is none.
fn port(digits: &str) -> Option<Option<u16>> {
    if digits.is_empty() {
        return Some(None);
    }
    let all = digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten().map(Some)
}

/// The one spelling of a name or an IPv4 address.
fn name_of(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let mut labels = name.split('.');
    let valid = name.len() <= HOST_BYTES_MAX
        && labels.all(|label| !label.is_empty() && label.bytes().all(letter));
    valid.then(|| name.to_ascii_lowercase())
}

// === impl HostPattern ===

impl HostPattern {
    /// Checks a pattern.
    ///
    /// # Errors
    ///
    /// When it is not the name of a host, or `*.` and one.
    pub fn new(text: &str) -> Result<Self, HostPatternError> {
        let wrong = || HostPatternError(text.chars().take(80).collect());
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let authority = Authority::parse(name).ok_or_else(wrong)?;
        let address = name.starts_with('[');
        if authority.port.is_some() || name.ends_with(':') || (address && below) {
            return Err(wrong());
        }
        Ok(Self {
            name: authority.host.into(),
            below,
        })
    }

    /// The name, without `*.`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it stands for all hosts below the name, at any depth, and not
    /// for the name itself. nginx and the Gateway API of Kubernetes read
    /// `*.example.org` in the same way.
    pub fn is_wildcard(&self) -> bool {
        self.below
    }

    /// Whether it stands for a host in its one spelling.
    pub fn matches(&self, host: &str) -> bool {
        if !self.below {
            return *self.name == *host;
        }
        let rest = host.strip_suffix(&*self.name);
        let rest = rest.and_then(|rest| rest.strip_suffix('.'));
        rest.is_some_and(|rest| !rest.is_empty())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.below {
            f.write_str("*.")?;
        }
        f.write_str(&self.name)
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_become_one() {
        for (text, host, port) in [
            ("Example.ORG", "example.org", None),
            ("example.org.:8080", "example.org", Some(8080)),
            ("example.org:", "example.org", None),
            ("example.org:0080", "example.org", Some(80)),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("[::1]", "[::1]", None),
            ("[0:0::1]:65535", "[::1]", Some(65_535)),
            ("a_b-c", "a_b-c", None),
        ] {
            let found = Authority::parse(text).unwrap();
            assert_eq!((found.host(), found.port()), (host, port), "{text}");
            let spelled = found.to_string();
            assert_eq!(Authority::parse(&spelled), Some(found), "{spelled}");
        }
        let longest = format!("{}.org", "a.".repeat(125).trim_end_matches('.'));
        assert_eq!(longest.len(), HOST_BYTES_MAX);
        assert!(Authority::parse(&longest).is_some());
        for bad in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "a b",
            "user@a",
            "a/b",
            "a%2e",
            "\u{fc}.org",
            "a:b",
            "a:+1",
            "a:65536",
            "a:1:2",
            "[::1",
            "[::1]x",
            "[a]",
            "::1",
            &format!("a{longest}"),
        ] {
            assert_eq!(Authority::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_pattern_stands_for_a_host_or_for_all_below_one() {
        let pattern = |text: &str| HostPattern::new(text).unwrap();
        assert!(pattern("Chat.Example.org.").matches("chat.example.org"));
        assert!(!pattern("example.org").matches("a.example.org"));
        let below = pattern("*.Example.org");
        assert_eq!(below.to_string(), "*.example.org");
        for (host, expected) in [
            ("a.example.org", true),
            ("a.b.example.org", true),
            ("example.org", false),
            (".example.org", false),
            ("aexample.org", false),
            ("example.org.evil.com", false),
        ] {
            assert_eq!(below.matches(host), expected, "{host}");
        }
        for bad in [
            "",
            "*",
            "*.",
            "a.*.b",
            "**.a",
            "a:80",
            "a:",
            "*.[::1]",
            "\u{fc}.org",
            "https://a",
            "a/b",
        ] {
            assert!(HostPattern::new(bad).is_err(), "{bad}");
        }
    }
}
