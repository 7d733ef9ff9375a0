//! Requests of strangers by their kind, and the statuses that answer them.

use openline_kit::bytes::KEY;

/// Kinds that are accepted, however odd they look.
pub const RIGHT: [&str; 5] = ["right", "lower-case", "spaces", "list", "loose-key"];

/// Kinds that are refused, with the status. The TCP connection goes on.
pub const REFUSED: [(&str, u16); 20] = [
    ("not-found", 404),
    ("live", 200),
    ("plain-get", 426),
    ("no-host", 400),
    ("no-connection", 400),
    ("no-version", 400),
    ("no-key", 400),
    ("two-keys", 400),
    ("two-versions", 400),
    ("two-hosts", 400),
    ("version-12", 426),
    ("short-key", 400),
    ("long-key", 400),
    ("reserved-header", 400),
    ("large-headers", 400),
    ("many-headers", 400),
    ("many-subprotocols", 400),
    ("bad-subprotocol", 400),
    ("long-path", 400),
    ("no-websocket", 426),
];

/// Kinds after which the TCP connection may end.
pub const LAST: [(&str, u16); 9] = [
    ("post", 405),
    ("http-1.0", 400),
    ("body", 400),
    ("chunked", 400),
    ("huge-headers", 431),
    ("too-many-headers", 431),
    ("no-http", 400),
    ("bad-name", 400),
    ("zero-byte", 400),
];

pub fn is_right(kind: &str) -> bool {
    RIGHT.contains(&kind)
}

/// The status that answers a kind.
pub fn status(kind: &str) -> u16 {
    let mut refused = REFUSED.iter().chain(&LAST);
    refused
        .find(|(other, _)| *other == kind)
        .map_or(101, |(_, status)| *status)
}

/// Whether nothing is known of what follows.
pub fn is_last(kind: &str) -> bool {
    is_right(kind) || LAST.iter().any(|(other, _)| *other == kind)
}

/// A request of a kind.
pub fn text(kind: &str, path: &str) -> String {
    let mut line = format!("GET {path} HTTP/1.1");
    let mut headers = vec![
        ("Host", "localhost".to_owned()),
        ("Upgrade", "websocket".to_owned()),
        ("Connection", "Upgrade".to_owned()),
        ("Sec-WebSocket-Version", "13".to_owned()),
        ("Sec-WebSocket-Key", KEY.to_owned()),
    ];
    let mut set = |name: &str, value: &str| {
        let header = headers.iter_mut().find(|(other, _)| *other == name);
        header.expect("every request has it").1 = value.to_owned();
    };
    match kind {
        "spaces" => set("Upgrade", "   WebSocket  "),
        "list" => set("Connection", "keep-alive ,, uPgRaDe"),
        "loose-key" => set("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
        "version-12" => set("Sec-WebSocket-Version", "12"),
        "short-key" => set("Sec-WebSocket-Key", "dGhlIHNhbXBs"),
        "long-key" => set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTEyMzQ="),
        "no-websocket" => set("Upgrade", "h2c"),
        _ => {}
    }
    let absent = match kind {
        "no-host" => Some("Host"),
        "plain-get" | "live" => Some("Upgrade"),
        "no-connection" => Some("Connection"),
        "no-version" => Some("Sec-WebSocket-Version"),
        "no-key" => Some("Sec-WebSocket-Key"),
        _ => None,
    };
    headers.retain(|(name, _)| Some(*name) != absent);
    more(kind, &mut headers);
    match kind {
        "not-found" => line = "GET /nothing/here/at/all HTTP/1.1".into(),
        "live" => line = "GET /.openline/live HTTP/1.1".into(),
        "post" => line = format!("POST {path} HTTP/1.1"),
        "http-1.0" => line = format!("GET {path} HTTP/1.0"),
        "long-path" => line = format!("GET {path}?{} HTTP/1.1", "q".repeat(9 * 1024)),
        "no-http" => line = "hello, is there anybody?".into(),
        _ => {}
    }
    let body = match kind {
        "body" => "hello",
        "chunked" => "0\r\n\r\n",
        _ => "",
    };
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    let lines = match kind {
        "lower-case" => lines
            .replace("Upgrade", "upgrade")
            .replace("Sec-WebSocket", "sec-websocket"),
        _ => lines,
    };
    format!("{line}\r\n{lines}\r\n{body}")
}

/// Headers that a kind has beside those of all.
fn more(kind: &str, headers: &mut Vec<(&'static str, String)>) {
    let mut more = |name: &'static str, value: &str| headers.push((name, value.to_owned()));
    match kind {
        "two-keys" => more("Sec-WebSocket-Key", KEY),
        "two-versions" => more("Sec-WebSocket-Version", "13"),
        "two-hosts" => more("Host", "localhost"),
        "reserved-header" => more("openline-peer", "127.0.0.1"),
        "bad-subprotocol" => more("Sec-WebSocket-Protocol", "a b"),
        "many-subprotocols" => {
            let offered: Vec<_> = (0..101).map(|number| format!("p{number}")).collect();
            more("Sec-WebSocket-Protocol", &offered.join(","));
        }
        "large-headers" => more("X-Large", &"x".repeat(9 * 1024)),
        "huge-headers" => more("X-Huge", &"x".repeat(80 * 1024)),
        "many-headers" => (0..600).for_each(|_| more("X", "y")),
        "too-many-headers" => (0..1200).for_each(|_| more("X", "y")),
        "bad-name" => more("b@d name", "x"),
        "zero-byte" => more("X-Zero", "a\0b"),
        "body" => more("Content-Length", "5"),
        "chunked" => more("Transfer-Encoding", "chunked"),
        _ => {}
    }
}
