//! Which peers trusted hops can name, and what others cannot.

use proptest::prelude::*;

use super::*;

fn config(header: HopHeader) -> ServerConfig {
    ServerConfig {
        trusted_hops: ["10.0.0.0/8", "fd00::/8"]
            .map(|text| text.parse().unwrap())
            .into(),
        hop_header: header,
        ..ServerConfig::default()
    }
}

fn headers(name: &'static str, lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(name, line.parse().unwrap());
    }
    headers
}

/// The peer and its hops, as text; `?` marks one that its hop has not named.
fn found(header: HopHeader, from: &str, headers: &HeaderMap) -> Option<(String, Vec<String>)> {
    let config = config(header);
    let from = Peer::at(from.parse().unwrap());
    let peer = Hops::of(&config).peer(&from, headers)?;
    let hops = peer.hops().iter().map(IpAddr::to_string);
    let unnamed = if peer.is_unnamed() { "?" } else { "" };
    Some((format!("{unnamed}{peer}"), hops.collect()))
}

fn x_forwarded_for(from: &str, lines: &[&str]) -> Option<(String, Vec<String>)> {
    let headers = headers(X_FORWARDED_FOR, lines);
    found(HopHeader::XForwardedFor, from, &headers)
}

fn of_forwarded(line: &str) -> Option<String> {
    let headers = headers("forwarded", &[line]);
    let found = found(HopHeader::Forwarded, "10.0.0.1:1", &headers);
    found.map(|(peer, _)| peer)
}

#[test]
fn a_stranger_is_its_own_peer_whatever_it_writes() {
    for line in ["1.2.3.4", "10.0.0.9", "10.0.0.9, 1.2.3.4"] {
        assert_eq!(x_forwarded_for("192.0.2.1:1", &[line]), None, "{line}");
    }
}

#[test]
fn the_first_address_from_the_right_that_is_no_hop_is_the_peer() {
    let one = |peer: &str, hops: &[&str]| {
        let hops = hops.iter().map(|hop| (*hop).to_owned()).collect();
        Some((peer.to_owned(), hops))
    };
    let hop = "10.0.0.1:1";
    assert_eq!(
        x_forwarded_for(hop, &["192.0.2.7"]),
        one("192.0.2.7", &["10.0.0.1"])
    );
    // What the peer has written itself stands to the left of it.
    assert_eq!(
        x_forwarded_for(hop, &["127.0.0.1, 192.0.2.7,10.0.0.2"]),
        one("192.0.2.7", &["10.0.0.1", "10.0.0.2"])
    );
    // Lines are one list.
    assert_eq!(
        x_forwarded_for(hop, &["127.0.0.1", "192.0.2.7", "10.0.0.2"]),
        one("192.0.2.7", &["10.0.0.1", "10.0.0.2"])
    );
    // All are hops: the furthest is the peer.
    assert_eq!(
        x_forwarded_for(hop, &["10.0.0.3, 10.0.0.2"]),
        one("10.0.0.3", &["10.0.0.1", "10.0.0.2"])
    );
    // An IPv6 listener shows IPv4 in IPv6.
    assert_eq!(
        x_forwarded_for("[::ffff:10.0.0.1]:1", &["192.0.2.7"]),
        one("192.0.2.7", &["10.0.0.1"])
    );
}

#[test]
fn each_way_to_write_an_address() {
    for (text, shown) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:80", "192.0.2.7:80"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:80", "[2001:db8::7]:80"),
        ("192.0.2.7, ", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        // A port that is not told.
        ("192.0.2.7:_abc", "192.0.2.7"),
        ("[2001:db8::7]:_abc", "2001:db8::7"),
    ] {
        let found = x_forwarded_for("10.0.0.1:1", &[text]);
        assert_eq!(found.map(|(peer, _)| peer).as_deref(), Some(shown));
    }
}

#[test]
fn nonsense_is_the_hop_that_wrote_it() {
    for line in [
        "unknown",
        "300.1.1.1",
        "[192.0.2.7]",
        "a:b",
        "1::2:_a",
        "a:_",
    ] {
        let found = x_forwarded_for("10.0.0.1:1", &[line]);
        assert_eq!(found, Some(("?10.0.0.1:1".into(), Vec::new())), "{line}");
    }
    // The hop asks for itself, as in a health check.
    for line in ["", " , "] {
        assert_eq!(x_forwarded_for("10.0.0.1:1", &[line]), None, "{line}");
    }
    // Nor is a peer that was passed on without an address one of the hop's
    // network, whatever it writes itself.
    let hop = Peer::unnamed("10.0.0.1:1".parse().unwrap());
    let mut headers = HeaderMap::new();
    headers.append(X_FORWARDED_FOR, http::HeaderValue::from_static("10.0.0.9"));
    let config = config(HopHeader::XForwardedFor);
    assert_eq!(Hops::of(&config).peer(&hop, &headers), None);
    let (peer, hops) = x_forwarded_for("10.0.0.1:1", &["192.0.2.7, unknown, 10.0.0.2"]).unwrap();
    assert_eq!((peer.as_str(), hops.len()), ("?10.0.0.2", 1));
    // Bytes that are no text.
    let mut headers = HeaderMap::new();
    let value = http::HeaderValue::from_bytes(b"192.0.2.7, \xff").unwrap();
    headers.append(X_FORWARDED_FOR, value);
    let found = found(HopHeader::XForwardedFor, "10.0.0.1:1", &headers);
    assert_eq!(found.map(|(peer, _)| peer), Some("?10.0.0.1:1".into()));
}

#[test]
fn as_many_hops_as_there_may_be_and_one_more() {
    let line = |hops: usize| {
        let hops = (0..hops).map(|hop| format!("10.0.1.{hop}"));
        let entries = std::iter::once("192.0.2.7".into()).chain(hops);
        entries.collect::<Vec<_>>().join(", ")
    };
    let most = line(HOPS_MAX - 1);
    let (peer, hops) = x_forwarded_for("10.0.0.1:1", &[&most]).unwrap();
    assert_eq!((peer.as_str(), hops.len()), ("192.0.2.7", HOPS_MAX));
    let (peer, hops) = x_forwarded_for("10.0.0.1:1", &[&line(HOPS_MAX)]).unwrap();
    assert_eq!((peer.as_str(), hops.len()), ("10.0.1.0", HOPS_MAX));
}

#[test]
fn only_the_header_that_hops_write_is_believed() {
    let hop = "10.0.0.1:1";
    let both = {
        let mut headers = headers(X_FORWARDED_FOR, &["192.0.2.7"]);
        headers.append("forwarded", "for=192.0.2.8".parse().unwrap());
        headers
    };
    let peer = |header| found(header, hop, &both).map(|(peer, _)| peer);
    assert_eq!(peer(HopHeader::XForwardedFor).as_deref(), Some("192.0.2.7"));
    assert_eq!(peer(HopHeader::Forwarded).as_deref(), Some("192.0.2.8"));
    assert_eq!(peer(HopHeader::Off), None);
}

#[test]
fn elements_of_forwarded() {
    for (line, shown) in [
        ("for=192.0.2.7", "192.0.2.7"),
        ("For=\"192.0.2.7:80\"", "192.0.2.7:80"),
        ("for=\"[2001:db8::7]:80\"", "[2001:db8::7]:80"),
        ("proto=https; for=192.0.2.7;by=10.0.0.1", "192.0.2.7"),
        ("for=1.2.3.4, for=192.0.2.7;host=\"a\\\"b\"", "192.0.2.7"),
        // The peer has left a quote open.
        ("for=\"1.2.3.4, for=192.0.2.7", "192.0.2.7"),
        ("for=\"1.2.3.4, for=\"[2001:db8::7]\"", "2001:db8::7"),
        ("for=192.0.2.7;", "192.0.2.7"),
        ("for=192.0.2.7;;proto=https", "192.0.2.7"),
        ("for=\"192.0.2.7:_abc\"", "192.0.2.7"),
    ] {
        assert_eq!(of_forwarded(line).as_deref(), Some(shown), "{line}");
    }
    for line in [
        "for=unknown",
        "for=_hidden",
        "for=2001:db8::7",
        "for=",
        "for",
        "192.0.2.7",
        "proto=https",
        "for=192.0.2.7;for=192.0.2.8",
        "for=192.0.2.7 proto=https",
        "for=\"192.0.2.7",
        // Quoted by a hop, the peer's `Host` is `x,for=1.2.3.4` and the like.
        "for=192.0.2.7;host=\"x,for=1.2.3.4\"",
        "for=192.0.2.7;host=\"x,for=1.2.3.4;a=\\\"b\"",
        "for=192.0.2.7;host=\"x,for=\\\"1.2.3.4\\\";a=\\\"\"",
    ] {
        assert_eq!(of_forwarded(line).as_deref(), Some("?10.0.0.1:1"), "{line}");
    }
}

proptest! {
    /// Whatever a peer writes, it is what the hop next to it has seen.
    #[test]
    fn a_forged_beginning_changes_nothing(forged in "[ -~]{0,80}", is_forwarded in any::<bool>()) {
        let (header, name, entry) = match is_forwarded {
            true => (HopHeader::Forwarded, "forwarded", "for=192.0.2.7"),
            false => (HopHeader::XForwardedFor, X_FORWARDED_FOR, "192.0.2.7"),
        };
        let headers = headers(name, &[&format!("{forged}, {entry}")]);
        let (peer, hops) = found(header, "10.0.0.1:1", &headers).unwrap();
        prop_assert_eq!((peer.as_str(), hops.len()), ("192.0.2.7", 1));
    }

    /// Nor does a host name that a hop quotes as RFC 9110 section 5.6.4 says.
    #[test]
    fn a_quoted_host_is_no_element(host in "[ -~]{0,40}") {
        let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("for=192.0.2.7;host=\"{quoted}\"");
        let found = of_forwarded(&line);
        let safe = ["?10.0.0.1:1", "192.0.2.7"].map(Some);
        prop_assert!(safe.contains(&found.as_deref()), "{line}: {found:?}");
    }

    /// Any bytes lead to a decision.
    #[test]
    fn any_value_is_decided(value in prop::collection::vec(32u8..=255, 0..200), is_forwarded in any::<bool>()) {
        if let Ok(value) = http::HeaderValue::from_bytes(&value) {
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_FOR, value.clone());
            headers.append("forwarded", value);
            let header = if is_forwarded { HopHeader::Forwarded } else { HopHeader::XForwardedFor };
            if let Some((_, hops)) = found(header, "10.0.0.1:1", &headers) {
                prop_assert!(hops.len() <= HOPS_MAX);
            }
        }
    }
}
