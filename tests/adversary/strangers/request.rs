//! Requests of strangers by their kind, and the statuses that answer them.

use openline_kit::head::Head;

/// Kinds that are accepted, however odd they look.
pub const RIGHT: [&str; 5] = ["right", "lower-case", "spaces", "list", "loose-key"];

/// Kinds that offer compression, and are accepted.
pub const OFFERS: [&str; 4] = [
    "offer",
    "offer-windows",
    "offer-second",
    "offer-on-two-lines",
];

/// Kinds whose offers no host can meet: they are accepted without compression.
pub const ODD_OFFERS: [&str; 4] = [
    "offer-other",
    "offer-window-16",
    "offer-twice-the-same",
    "offer-unknown-parameter",
];

/// Kinds that are refused, with the status. The TCP connection goes on.
pub const REFUSED: [(&str, u16); 22] = [
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
    ("no-list-of-offers", 400),
    ("no-token-of-offers", 400),
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
    RIGHT.contains(&kind) || ODD_OFFERS.contains(&kind) || compresses(kind)
}

/// Whether both ends may compress after it.
pub fn compresses(kind: &str) -> bool {
    OFFERS.contains(&kind)
}

/// The status that answers a kind.
pub fn status(kind: &str) -> u16 {
    let mut refused = REFUSED.iter().chain(&LAST);
    refused
        .find(|(other, _)| *other == kind)
        .map_or(101, |(_, status)| *status)
}

/// Whether the rest is unpredictable.
pub fn is_last(kind: &str) -> bool {
    is_right(kind) || LAST.iter().any(|(other, _)| *other == kind)
}

/// A request of a kind.
pub fn text(kind: &str, path: &str) -> String {
    let head = Head::right(path);
    let head = match kind {
        "spaces" => head.changed("Upgrade", "   WebSocket  "),
        "list" => head.changed("Connection", "keep-alive ,, uPgRaDe"),
        "loose-key" => head.changed("Sec-WebSocket-Key", "AQIDBAUGBwgJCgsMDQ4PEC=="),
        "version-12" => head.changed("Sec-WebSocket-Version", "12"),
        "short-key" => head.changed("Sec-WebSocket-Key", "dGhlIHNhbXBs"),
        "long-key" => head.changed("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZTEyMzQ="),
        "no-websocket" => head.changed("Upgrade", "h2c"),
        "no-host" => head.without("Host"),
        "plain-get" => head.without("Upgrade"),
        "no-connection" => head.without("Connection"),
        "no-version" => head.without("Sec-WebSocket-Version"),
        "no-key" => head.without("Sec-WebSocket-Key"),
        "not-found" => head.with_line("GET /nothing/here/at/all HTTP/1.1"),
        "live" => head
            .without("Upgrade")
            .with_line("GET /.openline/live HTTP/1.1"),
        "post" => head.with_line(&format!("POST {path} HTTP/1.1")),
        "http-1.0" => head.with_line(&format!("GET {path} HTTP/1.0")),
        "long-path" => head.with_line(&format!("GET {path}?{} HTTP/1.1", "q".repeat(9 * 1024))),
        "no-http" => head.with_line("hello, is there anybody?"),
        "lower-case" => lower_case(head),
        _ => more(kind, head),
    };
    let body = match kind {
        "body" => "hello",
        "chunked" => "0\r\n\r\n",
        _ => "",
    };
    head.text() + body
}

/// Names as HTTP/2 has them.
fn lower_case(mut head: Head) -> Head {
    for (name, _) in &mut head.headers {
        name.make_ascii_lowercase();
    }
    head
}

/// Adds the headers that a kind has besides those of all.
fn more(kind: &str, head: Head) -> Head {
    let many = |count: usize| (0..count).fold(head.clone(), |head, _| head.with("X", "y"));
    match kind {
        "two-keys" => head.doubled("Sec-WebSocket-Key"),
        "two-versions" => head.doubled("Sec-WebSocket-Version"),
        "two-hosts" => head.doubled("Host"),
        "reserved-header" => head.with("openline-peer", "127.0.0.1"),
        "bad-subprotocol" => head.with("Sec-WebSocket-Protocol", "a b"),
        "many-subprotocols" => {
            let offered: Vec<_> = (0..101).map(|number| format!("p{number}")).collect();
            head.with("Sec-WebSocket-Protocol", &offered.join(","))
        }
        "large-headers" => head.with("X-Large", &"x".repeat(9 * 1024)),
        "huge-headers" => head.with("X-Huge", &"x".repeat(80 * 1024)),
        "many-headers" => many(600),
        "too-many-headers" => many(1200),
        "bad-name" => head.with("b@d name", "x"),
        "zero-byte" => head.with("X-Zero", "a\0b"),
        "body" => head.with("Content-Length", "5"),
        "chunked" => head.with("Transfer-Encoding", "chunked"),
        _ => offers(kind).iter().fold(head, |head, offer| {
            head.with("Sec-WebSocket-Extensions", offer)
        }),
    }
}

/// The lines of a kind that offer extensions (RFC 7692 section 7.1).
fn offers(kind: &str) -> &'static [&'static str] {
    match kind {
        "offer" => &["permessage-deflate"],
        "offer-windows" => {
            &["permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\""]
        }
        "offer-second" => &[
            "x-other; a=b, permessage-deflate; unknown, permessage-deflate; server_no_context_takeover",
        ],
        "offer-on-two-lines" => &["x-other", "permessage-deflate; client_no_context_takeover"],
        "offer-other" => &["x-webkit-deflate-frame"],
        "offer-window-16" => &["permessage-deflate; server_max_window_bits=16"],
        "offer-twice-the-same" => {
            &["permessage-deflate; client_no_context_takeover; client_no_context_takeover"]
        }
        "offer-unknown-parameter" => &["permessage-deflate; fastest=1"],
        "no-list-of-offers" => &["permessage-deflate; =9"],
        "no-token-of-offers" => &["permessage-deflate", "a b"],
        _ => &[],
    }
}
