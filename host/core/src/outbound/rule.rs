//! One entry of `hosts`: a name, all names below one, an address, a network, or
//! every public host, each with or without a scheme and a port.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use openline_hint::Hint;

use super::address::{AddressKind, canonical, is_single, kind_of};
use super::destination::{Destination, Host, Scheme, ends_in_number};
use crate::trigger::HostPattern;

/// How much of an entry its error repeats.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// One entry of `hosts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRule {
    /// Both, if there is none.
    scheme: Option<Scheme>,
    target: Target,
    /// That of the scheme, if there is none.
    port: Option<u16>,
    /// Whether a name may have a private address.
    private: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// Every public host.
    Everyone,
    Names(HostPattern),
    Network(IpNet),
}

/// An entry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRuleError {
    what: String,
    hint: Cow<'static, str>,
}

// === impl OutboundRule ===

impl OutboundRule {
    /// Reads an entry. With `private`, a name may have a private address.
    ///
    /// # Errors
    ///
    /// When it is none, or `private` does not fit it.
    pub fn new(text: &str, private: bool) -> Result<Self, OutboundRuleError> {
        let shown: String = text.chars().take(SHOWN_CHARACTERS_MAX).collect();
        let wrong = |hint: Cow<'static, str>| OutboundRuleError {
            what: format!("`{shown}` is not a host that a function can call"),
            hint,
        };
        let (scheme, rest) = scheme_of(text).map_err(|hint| wrong(hint.into()))?;
        let (host, port) = split(rest).map_err(|hint| wrong(hint.into()))?;
        let port = port.map(port_of).transpose();
        let port = port.map_err(|hint| wrong(hint.into()))?;
        let target = target(host).map_err(wrong)?;
        if private && !matches!(target, Target::Names(_)) {
            return Err(OutboundRuleError {
                what: format!("`private` is for names, and `{shown}` is none"),
                hint: "list private addresses by themselves, as in \"10.0.0.0/8\", or name the hosts that may have one".into(),
            });
        }
        Ok(Self {
            scheme,
            target,
            port,
            private,
        })
    }

    /// Whether a name may have a private address.
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Whether calls of this scheme to this port are meant.
    pub(super) fn is_for(&self, scheme: Scheme, port: u16) -> bool {
        self.scheme.is_none_or(|it| it == scheme) && port == self.port.unwrap_or(scheme.port())
    }

    /// Whether it lists a host by itself, whatever its addresses are.
    pub(super) fn lists(&self, to: &Destination) -> bool {
        if !self.is_for(to.scheme, to.port) {
            return false;
        }
        match (&self.target, &to.host) {
            (Target::Everyone, Host::Name(_)) => true,
            (Target::Everyone, Host::Address(address)) => kind_of(*address) == AddressKind::Public,
            (Target::Names(pattern), Host::Name(name)) => pattern.matches(name),
            (Target::Network(_), Host::Address(address)) => self.has(*address),
            (Target::Names(_), Host::Address(_)) | (Target::Network(_), Host::Name(_)) => false,
        }
    }

    /// Whether it is a network with this address. One with an address of metadata
    /// among others does not mean it.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let Target::Network(network) = &self.target else {
            return false;
        };
        let address = canonical(address);
        let is_meant = kind_of(address) != AddressKind::Metadata || is_single(network);
        network.contains(&address) && is_meant
    }

    /// Whether the names that it lists may have this address.
    pub(super) fn lets_names_have(&self, address: IpAddr) -> bool {
        match (kind_of(address), &self.target) {
            (_, Target::Network(_)) => false,
            (AddressKind::Public, _) => true,
            (AddressKind::Private, _) => self.private,
            (AddressKind::Special | AddressKind::Metadata, _) => false,
        }
    }
}

/// As it is written in a configuration.
impl fmt::Display for OutboundRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        match &self.target {
            Target::Everyone => f.write_str("*")?,
            Target::Names(pattern) => pattern.fmt(f)?,
            Target::Network(network) => {
                let text = if is_single(network) {
                    network.addr().to_string()
                } else {
                    network.to_string()
                };
                match network {
                    IpNet::V4(_) => f.write_str(&text)?,
                    IpNet::V6(_) => write!(f, "[{text}]")?,
                }
            }
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Takes the scheme off.
fn scheme_of(text: &str) -> Result<(Option<Scheme>, &str), &'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        return Ok((None, text));
    };
    match scheme {
        "http" => Ok((Some(Scheme::Http), rest)),
        "https" => Ok((Some(Scheme::Https), rest)),
        "ws" => Err("write `http://`, which stands for `ws://`, too"),
        "wss" => Err("write `https://`, which stands for `wss://`, too"),
        _ => Err("the scheme is `http://` or `https://`; leave it out to allow both"),
    }
}

/// Splits a host from its port.
fn split(text: &str) -> Result<(&str, Option<&str>), &'static str> {
    if !text.is_ascii() {
        return Err("write the name as DNS has it, in ASCII: it begins with `xn--`");
    }
    if text.contains('@') {
        return Err("leave the user out: a function sends credentials in headers");
    }
    let colons = text.matches(':').count();
    if text.starts_with('[') {
        let end = text.find(']').map_or(text.len(), |at| at + 1);
        let (host, rest) = text.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err("after the `]` comes a port or nothing, as in \"[fd00::/8]:8443\""),
        };
    }
    match text.split_once(':') {
        Some(_) if colons > 1 => {
            Err("write addresses of IPv6 in square brackets, as in \"[fd00::/8]:8443\"")
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn port_of(text: &str) -> Result<u16, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or("a port is 1 to 65535; an entry allows every path, and names none")
}

fn target(host: &str) -> Result<Target, Cow<'static, str>> {
    const NAMES: &str = "write a host, as in \"api.example.org\", \"*.example.org\" or \"10.0.0.0/8\", with a port if it is not the usual one";
    if host == "*" {
        return Ok(Target::Everyone);
    }
    if let Some(network) = network(host)? {
        return Ok(Target::Network(network));
    }
    if host.contains('/') {
        return Err("write the host only: an entry allows every path".into());
    }
    let pattern = HostPattern::new(host).map_err(|_| NAMES)?;
    if ends_in_number(pattern.name()) {
        return Err("write an address of IPv4 with four decimal numbers".into());
    }
    Ok(Target::Names(pattern))
}

/// Reads an address or a network.
fn network(host: &str) -> Result<Option<IpNet>, Cow<'static, str>> {
    const IPV6: &str =
        "in square brackets is an address or a network of IPv6, as in \"[fd00::/8]\"";
    let network = if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or(IPV6)?;
        let address = inner.parse::<Ipv6Addr>().map(Ipv6Net::from);
        let network = inner.parse::<Ipv6Net>().or(address);
        IpNet::V6(network.map_err(|_| IPV6)?)
    } else if let Ok(address) = host.parse::<IpAddr>() {
        IpNet::from(address)
    } else if let Ok(network) = host.parse::<IpNet>() {
        network
    } else {
        return Ok(None);
    };
    if network.trunc() != network {
        return Err(format!("the network is \"{}\"", network.trunc()).into());
    }
    if network.prefix_len() == 0 {
        return Err("write \"*\" for every public host, and list the private networks".into());
    }
    if let IpNet::V6(inner) = &network
        && inner.addr().to_ipv4_mapped().is_some()
    {
        return Err("write it as an address of IPv4".into());
    }
    Ok(Some(network))
}

// === impl OutboundRuleError ===

impl fmt::Display for OutboundRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for OutboundRuleError {}

impl Hint for OutboundRuleError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_shown_in_their_one_spelling() {
        for (text, shown) in [
            ("*", "*"),
            ("*:8443", "*:8443"),
            ("https://*", "https://*"),
            ("API.example.org.", "api.example.org"),
            ("*.Example.org:8443", "*.example.org:8443"),
            ("http://localhost:08080", "http://localhost:8080"),
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7/32", "10.0.0.7"),
            ("10.0.0.0/8:8080", "10.0.0.0/8:8080"),
            ("[fd00::/8]", "[fd00::/8]"),
            ("https://[::1]:8443", "https://[::1]:8443"),
        ] {
            let rule = OutboundRule::new(text, false).unwrap();
            assert_eq!(rule.to_string(), shown, "{text}");
            assert_eq!(OutboundRule::new(shown, false), Ok(rule), "{shown}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused_with_a_hint_that_fits() {
        for (text, hint) in [
            ("", "write a host"),
            ("a b", "write a host"),
            ("a.*.b", "write a host"),
            ("*a", "write a host"),
            ("**", "write a host"),
            ("*.10.0.0.1", "four decimal numbers"),
            ("127.1", "four decimal numbers"),
            ("0x7f000001", "four decimal numbers"),
            ("b\u{fc}cher.example", "`xn--`"),
            ("user@a", "headers"),
            ("ftp://a", "`https://`"),
            ("HTTPS://a", "`https://`"),
            ("ws://a", "`http://`"),
            ("wss://a", "`https://`"),
            ("a/b", "every path"),
            ("https://a/", "every path"),
            ("a:8080/b", "every path"),
            ("a:", "1 to 65535"),
            ("a:0", "1 to 65535"),
            ("a:+1", "1 to 65535"),
            ("a:65536", "1 to 65535"),
            ("a:*", "1 to 65535"),
            ("fd00::/8", "square brackets"),
            ("::1", "square brackets"),
            ("[::1", "square brackets"),
            ("[10.0.0.0/8]", "square brackets"),
            ("[::1]8", "after the `]`"),
            ("10.0.0.1/8", "10.0.0.0/8"),
            ("0.0.0.0/0", "\"*\""),
            ("[::/0]", "\"*\""),
            ("[::ffff:10.0.0.0/104]", "IPv4"),
            ("[::ffff:127.0.0.1]", "IPv4"),
        ] {
            let error = OutboundRule::new(text, false).unwrap_err();
            let given = error.hint().unwrap();
            assert!(given.contains(hint), "{text}: {given}");
        }
        let long = OutboundRule::new(&" ".repeat(1000), false).unwrap_err();
        assert!(long.to_string().len() < 200);
    }

    #[test]
    fn only_names_are_private() {
        assert!(OutboundRule::new("db.internal", true).unwrap().is_private());
        assert!(OutboundRule::new("*.internal:8443", true).is_ok());
        for text in ["*", "10.0.0.0/8", "[::1]", "127.0.0.1:80"] {
            let error = OutboundRule::new(text, true).unwrap_err();
            assert!(error.to_string().contains("`private`"), "{text}: {error}");
        }
    }
}
