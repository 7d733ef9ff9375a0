//! Proxies in front of this host: which of them are believed, and what.
//!
//! A header that names the client of a proxy is believed only as far as trusted
//! hops have written it. It is read from the right, where the nearest hop has
//! added its own peer: as long as an address is that of a trusted hop, the
//! entry before it counts, and the first address that is not is the peer. What
//! stands further left may be the peer's own invention, and is not looked at.
//! An entry that is no address ends the search at the hop that wrote it: the
//! peer counts as that hop, but as one that may be anywhere
//! ([`Peer::is_unnamed`]).
//!
//! Bounded: at most [`HOPS_MAX`] entries are read.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;
use openline_core::config::{HopHeader, ProxyProtocol, ServerConfig};

use crate::peer::Peer;

/// Trusted hops between a peer and this host, at most: a network of content
/// delivery, a load balancer, an ingress and a sidecar are four.
pub const HOPS_MAX: usize = 16;

const X_FORWARDED_FOR: &str = "x-forwarded-for";

/// The networks whose hosts are believed, and the header that they write.
#[derive(Clone, Copy, Debug)]
pub struct Hops<'a> {
    trusted: &'a [IpNet],
    header: HopHeader,
}

/// An entry of a header: the address, and the port where it is written.
type Node = (IpAddr, Option<u16>);

impl<'a> Hops<'a> {
    /// The hops that a configuration trusts.
    pub fn of(config: &'a ServerConfig) -> Self {
        Self {
            trusted: &config.trusted_hops,
            header: config.hop_header,
        }
    }

    /// Whether the host at an address is believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted
            .iter()
            .any(|network| network.contains(&address))
    }

    /// The peer of a request that came from `from`, on whose behalf a trusted
    /// hop may speak; `None` if `from` itself is the peer.
    pub fn peer(&self, from: &Peer, headers: &HeaderMap) -> Option<Peer> {
        if self.trusted.is_empty() || from.is_unnamed() || !self.trusts(from.ip()) {
            return None;
        }
        let (name, read) = match self.header {
            HopHeader::Off => return None,
            HopHeader::XForwardedFor => (X_FORWARDED_FOR, node as fn(&str) -> Option<Node>),
            HopHeader::Forwarded => (FORWARDED.as_str(), forwarded as _),
        };
        // Lines of one header are one list.
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        let lines = lines.iter().rev();
        let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        let mut hops = from.hops().to_vec();
        let (mut ip, mut port) = (from.ip(), from.port());
        let mut is_unnamed = false;
        for entry in entries {
            if hops.len() == HOPS_MAX || !self.trusts(ip) {
                break;
            }
            let entry = std::str::from_utf8(entry).ok().map(str::trim);
            // Empty elements of a list do not count (RFC 9110 section 5.6.1).
            if entry == Some("") {
                continue;
            }
            let Some(next) = entry.and_then(read) else {
                is_unnamed = true;
                break;
            };
            hops.push(ip);
            (ip, port) = next;
        }
        let peer = match hops.len() > from.hops().len() {
            true => Peer::behind(hops, ip, port).with_tls(from.tls().cloned()),
            false if is_unnamed => from.clone(),
            false => return None,
        };
        Some(if is_unnamed {
            peer.without_name()
        } else {
            peer
        })
    }
}

/// Whether a TCP connection from an address begins with a header of the PROXY
/// protocol.
pub fn announces(config: &ServerConfig, from: SocketAddr) -> bool {
    config.proxy_protocol != ProxyProtocol::Off && Hops::of(config).trusts(from.ip())
}

/// The peer that a trusted hop has named before it passed on any byte, as by
/// the PROXY protocol.
pub fn announced(hop: SocketAddr, source: SocketAddr) -> Peer {
    Peer::behind(vec![hop.ip()], source.ip(), Some(source.port()))
}

/// An address as `X-Forwarded-For` has it: of IPv4 or IPv6, the latter in
/// brackets or not, with a port or without.
fn node(text: &str) -> Option<Node> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip, None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    if let Some((address, port)) = text.rsplit_once(':')
        && port.strip_prefix('_').is_some_and(is_token)
        && address.contains(':') == address.starts_with('[')
    {
        // A port that is not told (RFC 7239 section 6.2).
        return node(address);
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    Some((bare.parse::<Ipv6Addr>().ok()?.into(), None))
}

/// The address of `for=` in one element of `Forwarded` (RFC 7239 section 4).
///
/// The elements were cut at every comma, also at one within quotes. That is
/// safe: of a piece that begins or ends within quotes, the quotes do not match,
/// because a quote within them has a backslash before it, and a backslash
/// outside of quotes is an error. So a peer cannot make an element by what a
/// hop quotes, such as its `Host`.
fn forwarded(element: &str) -> Option<Node> {
    let mut found = None;
    let mut rest = element;
    loop {
        let (name, value) = rest.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = value.find(';').unwrap_or(value.len());
                let (value, behind) = value.split_at(end);
                is_token(value).then_some((value, behind))?
            }
        };
        if name.eq_ignore_ascii_case("for") && found.replace(value).is_some() {
            return None;
        }
        match behind.trim_start() {
            "" => break,
            behind => rest = behind.strip_prefix(';')?.trim_start(),
        }
        // Pairs may be left out.
        rest = rest.trim_start_matches([';', ' ']);
        if rest.is_empty() {
            break;
        }
    }
    // IPv6 is always in brackets, and therefore quoted.
    let found = found.filter(|value| value.starts_with('[') || !value.contains("::"))?;
    node(found)
}

/// The text up to the closing quote, and what is behind it. An address has no
/// escapes, so a text with one is no address and is not unescaped.
fn quoted_string(text: &str) -> Option<(&str, &str)> {
    let mut bytes = text.bytes().enumerate();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((&text[..place], &text[place + 1..])),
            b'\\' => drop(bytes.next()?),
            _ => {}
        }
    }
    None
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || special.contains(&byte))
}

#[cfg(test)]
#[path = "hops_tests.rs"]
mod tests;
