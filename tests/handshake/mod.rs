//! The opening handshake: which requests are refused and how, and the content
//! of the 101. `decision` has the function's answers.

mod affinity;
mod cors;
mod decision;
mod ids;
mod request;
mod triggers;

use std::time::Duration;

use openline_core::limits::{FunctionLimits, REQUEST_HEADERS_MAX};

use crate::harness::{Host, Raw, frame, within};
use request::{ACCEPT, Answer, Ask, KEY, Request};

async fn echo() -> Host {
    Host::with(openline_guests::ECHO, "/echo").start().await
}

#[tokio::test]
async fn the_handshake_of_the_rfc_is_answered_as_in_the_rfc() {
    let host = echo().await;
    let answer = Request::right("/echo").ask(&host).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(answer.all("upgrade"), ["websocket"]);
    assert_eq!(answer.all("connection"), ["Upgrade"]);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
    assert_eq!(answer.header("sec-websocket-extensions"), None);
}

#[tokio::test]
async fn another_version_is_told_which_one_is_spoken() {
    let host = echo().await;
    for version in ["12", "14", "0", "013", "13, 8", "8, 13", "x", ""] {
        let request = Request::right("/echo").changed("Sec-WebSocket-Version", version);
        let answer = request.refused(&host, 426, "unsupported_version").await;
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        assert_eq!(answer.header("upgrade"), Some("websocket"));
    }
}

#[tokio::test]
async fn what_is_missing_doubled_or_wrong_is_refused() {
    let host = echo().await;
    let right = Request::right("/echo");
    for (name, word) in [
        ("Host", "bad_host"),
        ("Connection", "bad_handshake"),
        ("Sec-WebSocket-Version", "bad_handshake"),
        ("Sec-WebSocket-Key", "bad_handshake"),
    ] {
        let missing = right.clone().without(name);
        missing.refused(&host, 400, word).await;
    }
    for name in ["Sec-WebSocket-Version", "Sec-WebSocket-Key"] {
        let doubled = right.clone().doubled(name);
        doubled.refused(&host, 400, "bad_handshake").await;
    }
    for key in [
        "",
        "abc",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZTE=",
        "dGhlIHNhbXBsZSBub25j",
        "****",
        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
    ] {
        let bad = right.clone().changed("Sec-WebSocket-Key", key);
        bad.refused(&host, 400, "bad_handshake").await;
    }
    let closing = right.clone().changed("Connection", "close");
    closing.refused(&host, 400, "bad_handshake").await;
    // A handshake without any of these errors is accepted.
    assert_eq!(right.ask(&host).await.status, 101);
}

#[tokio::test]
async fn only_get_and_only_http_1_1_can_upgrade() {
    let host = echo().await;
    let right = Request::right("/echo");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "get"] {
        let other = right.clone().with_line(&format!("{method} /echo HTTP/1.1"));
        let answer = other.refused(&host, 405, "method_not_allowed").await;
        assert_eq!(answer.header("allow"), Some("GET"));
    }
    let old = right.with_line("GET /echo HTTP/1.0");
    old.refused(&host, 400, "bad_handshake").await;
}

#[tokio::test]
async fn a_handshake_has_no_body() {
    let host = echo().await;
    let right = Request::right("/echo");
    for (name, value) in [("Content-Length", "5"), ("Transfer-Encoding", "chunked")] {
        let with_body = right.clone().with(name, value);
        with_body.refused(&host, 400, "bad_handshake").await;
    }
    let doubled = right.clone().with("Content-Length", "5");
    let doubled = doubled.with("Content-Length", "5");
    assert_eq!(doubled.ask(&host).await.status, 400);
    let empty = right.with("Content-Length", "0");
    assert_eq!(empty.ask(&host).await.status, 101);
}

#[tokio::test]
async fn tokens_are_found_in_any_case_and_place() {
    let host = echo().await;
    let right = Request::right("/echo");
    let accepted = [
        right
            .clone()
            .changed("Connection", "keep-alive , uPgRaDe,x"),
        right.clone().changed("Upgrade", "h2c, WebSocket"),
        right.clone().with("Connection", "keep-alive"),
        right
            .clone()
            .changed("Connection", "keep-alive")
            .with("CONNECTION", "UPGRADE"),
        right.clone().with("Upgrade", "h2c"),
        right
            .clone()
            .without("Sec-WebSocket-Key")
            .with("SEC-WEBSOCKET-KEY", KEY),
        right.clone().with("X-Odd", "\u{fc}ber"),
        right
            .clone()
            .with_line("GET http://localhost/echo HTTP/1.1"),
    ];
    for request in accepted {
        let answer = request.ask(&host).await;
        assert_eq!(answer.status, 101, "{}", request.text());
        assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
    }
    for other in ["upgraded", "up grade", "not-upgrade"] {
        let request = right.clone().changed("Connection", other);
        request.refused(&host, 400, "bad_handshake").await;
    }
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let host = echo().await;
    let plain = Request::line("GET /echo HTTP/1.1").with("Host", "localhost");
    let answer = plain.refused(&host, 426, "upgrade_required").await;
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    let other = Request::right("/echo").changed("Upgrade", "h2c");
    other.refused(&host, 426, "upgrade_required").await;
}

#[tokio::test]
async fn an_answer_that_names_an_upgrade_lists_it_as_an_option_of_the_connection() {
    let host = echo().await;
    let plain = Request::line("GET /echo HTTP/1.1").with("Host", "localhost");
    let other = Request::right("/echo").changed("Sec-WebSocket-Version", "8");
    for request in [plain, other] {
        let answer = request.ask(&host).await;
        let options = answer.header("connection").unwrap_or_default();
        // RFC 9110 section 7.8.
        assert!(
            options.to_lowercase().contains("upgrade"),
            "connection: {options}"
        );
    }
}

#[tokio::test]
async fn a_path_without_a_function_is_not_found() {
    let host = echo().await;
    for path in ["/", "/ech", "/echo/", "/echo/x", "/ECHO", "/echo%2F"] {
        let request = Request::right(path);
        request.refused(&host, 404, "not_found").await;
        let plain = Request::line(&format!("GET {path} HTTP/1.1")).with("Host", "localhost");
        plain.refused(&host, 404, "not_found").await;
    }
    for line in ["OPTIONS * HTTP/1.1", "CONNECT localhost:80 HTTP/1.1"] {
        let odd = Request::right("/echo").with_line(line);
        odd.refused(&host, 404, "not_found").await;
    }
}

#[tokio::test]
async fn headers_of_the_host_are_not_for_peers() {
    let host = echo().await;
    for name in ["openline-x", "Openline-Error-Type"] {
        let request = Request::right("/echo").with(name, "1");
        request.refused(&host, 400, "reserved_header").await;
    }
    let near = Request::right("/echo").with("openliner", "1");
    assert_eq!(near.ask(&host).await.status, 101);
}

#[tokio::test]
async fn headers_are_accepted_up_to_their_bytes_and_refused_past_them() {
    let host = echo().await;
    let right = Request::right("/echo").with("X", "");
    let rest = FunctionLimits::default().request_header_bytes - right.header_bytes();
    let most = right.clone().changed("X", &"x".repeat(rest));
    assert_eq!(most.ask(&host).await.status, 101);
    let past = right.changed("X", &"x".repeat(rest + 1));
    past.refused(&host, 400, "request_header_bytes").await;
}

#[tokio::test]
async fn headers_are_accepted_up_to_their_number_and_refused_past_it() {
    let host = echo().await;
    let with = |number: usize| {
        let right = Request::right("/echo");
        // A handshake has five anyway.
        (5..number).fold(right, |request, n| request.with(&format!("x{n}"), "1"))
    };
    assert_eq!(with(REQUEST_HEADERS_MAX).ask(&host).await.status, 101);
    for past in [REQUEST_HEADERS_MAX + 1, 2 * REQUEST_HEADERS_MAX] {
        with(past).refused(&host, 400, "request_headers").await;
    }
    // Past twice as many, hyper answers, without a text.
    let answer = with(2 * REQUEST_HEADERS_MAX + 1).ask(&host).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test]
async fn a_key_of_random_letters_is_accepted() {
    let host = echo().await;
    // The example of RFC 6455 section 4.1, whose last bits are not zero.
    for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "AAAAAAAAAAAAAAAAAAAAAB=="] {
        let request = Request::right("/echo").changed("Sec-WebSocket-Key", key);
        assert_eq!(request.ask(&host).await.status, 101, "{key}");
    }
}

#[tokio::test]
async fn subprotocols_are_offered_up_to_their_number_and_refused_past_it() {
    let host = echo().await;
    let offering = |number: usize| {
        let names: Vec<_> = (0..number).map(|n| format!("p{n}")).collect();
        Request::right("/echo").with("Sec-WebSocket-Protocol", &names.join(", "))
    };
    assert_eq!(offering(100).ask(&host).await.status, 101);
    offering(101).refused(&host, 400, "bad_handshake").await;
}

#[tokio::test]
async fn a_path_with_its_query_is_accepted_up_to_its_bytes_and_refused_past_them() {
    let host = echo().await;
    let most = format!(
        "/echo?{}",
        "q".repeat(FunctionLimits::default().request_uri_bytes - "/echo?".len())
    );
    assert_eq!(Request::right(&most).ask(&host).await.status, 101);
    let past = Request::right(&format!("{most}q"));
    past.refused(&host, 400, "request_uri_bytes").await;
    // hyper takes this much of a path; past that it answers 414 itself.
    let most = Request::right(&format!("/echo?{}", "q".repeat(60_000)));
    most.refused(&host, 400, "request_uri_bytes").await;
}

#[tokio::test]
async fn what_is_no_http_or_far_too_much_of_it_ends_only_its_own_connection() {
    let host = echo().await;
    let mut witness = host.connect("/echo").await;
    let huge = Request::right("/echo").with("X", &"x".repeat(64 * 1024));
    let folded = Request::right("/echo").with("X", "a\r\n b");
    let long = Request::right(&format!("/echo?{}", "q".repeat(70_000)));
    for bytes in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(),
        b"\r\n\r\n\r\nwhat is this\r\n\r\n",
        b"GET /echo\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost localhost\r\n\r\n",
        b"PRI\r\n\r\n",
        folded.text().as_bytes(),
        huge.text().as_bytes(),
        long.text().as_bytes(),
    ] {
        let mut raw = Raw::connect(host.address).await;
        // The host may answer and close before everything is written.
        let _ = within("bytes to be sent", async {
            tokio::io::AsyncWriteExt::write_all(&mut raw.socket, bytes).await
        })
        .await;
        let head = raw.head().await;
        let status = head.split(' ').nth(1).unwrap_or("no answer");
        assert!(
            head.is_empty() || ["400", "414", "431"].contains(&status),
            "{head}"
        );
        raw.is_ended().await;
        assert_eq!(witness.ask("still here").await, "still here");
    }
}

#[tokio::test]
async fn a_peer_that_does_not_finish_its_request_is_cut_off() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .server(|server| server.request_timeout = Duration::from_millis(200))
        .start()
        .await;
    let mut silent = Raw::connect(host.address).await;
    let mut half = Raw::connect(host.address).await;
    half.send(b"GET /echo HTTP/1.1\r\nHost: local").await;
    let mut between = Raw::connect(host.address).await;
    let plain = Request::line("GET / HTTP/1.1").with("Host", "localhost");
    assert_eq!(plain.ask_on(&mut between).await.status, 404);
    for peer in [&mut silent, &mut half, &mut between] {
        peer.is_ended().await;
    }
    // The timeout was for the request only: an open connection is not affected.
    let mut client = host.connect("/echo").await;
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn the_function_chooses_of_the_offered_subprotocols() {
    let host = echo().await;
    let right = Request::right("/echo");
    for (offered, chosen) in [
        (["b, a", "c"].as_slice(), Some("b")),
        (&["", " , c"], Some("c")),
        (&["v1.chat~x"], Some("v1.chat~x")),
        (&["B, b"], Some("B")),
        (&[""], None),
    ] {
        let request = offered.iter().fold(right.clone(), |request, line| {
            request.with("Sec-WebSocket-Protocol", line)
        });
        let answer = request.ask(&host).await;
        assert_eq!(answer.status, 101);
        assert_eq!(answer.header("sec-websocket-protocol"), chosen);
    }
    for bad in ["a b", "a, b c", "a/b", "\u{fc}"] {
        let request = right.clone().with("Sec-WebSocket-Protocol", bad);
        request.refused(&host, 400, "bad_handshake").await;
    }
}

#[tokio::test]
async fn a_refusal_of_the_host_leaves_the_tcp_connection_open() {
    let host = echo().await;
    let mut raw = Raw::connect(host.address).await;
    let missing = Request::right("/nothing").ask_on(&mut raw).await;
    assert_eq!(missing.status, 404);
    let accepted = Request::right("/echo").ask_on(&mut raw).await;
    assert_eq!(accepted.status, 101);
}

#[tokio::test]
async fn the_host_reserves_no_more_than_its_own_prefix() {
    let host = Host::with(openline_guests::ECHO, "/.openliner")
        .and(openline_guests::CHAT, "/{room}")
        .start()
        .await;
    let mut client = host.connect("/.openliner").await;
    assert_eq!(client.ask("mine").await, "mine");
    let mut client = host.connect("/.openline-r?nick=ada").await;
    assert_eq!(
        client.next_text().await,
        "* welcome to .openline-r, ada: 1 here"
    );
}

#[tokio::test]
async fn a_parameter_of_the_route_is_decoded() {
    let host = Host::with(openline_guests::CHAT, "/chat/{room}")
        .start()
        .await;
    for (path, room) in [
        ("/chat/a%20b", "a b"),
        ("/chat/a%2Fb", "a/b"),
        ("/chat/gr%C3%BC%c3%9Fe", "gr\u{fc}\u{df}e"),
        ("/chat/a+b", "a+b"),
        ("/chat/100%25", "100%"),
    ] {
        let mut client = host.connect(&format!("{path}?nick=ada")).await;
        let welcome = format!("* welcome to {room}, ada: 1 here");
        assert_eq!(client.next_text().await, welcome);
    }
    for path in ["/chat/%ff", "/chat/a%C3", "/chat/%c3%28"] {
        let request = Request::right(path);
        request.refused(&host, 400, "bad_path").await;
    }
}

#[tokio::test]
async fn frames_that_come_with_the_handshake_are_not_lost() {
    let host = echo().await;
    let mut raw = Raw::connect(host.address).await;
    let mut bytes = Request::right("/echo").text().into_bytes();
    for number in 0..300 {
        bytes.extend(frame(0x81, format!("early {number}").as_bytes()));
    }
    raw.send(&bytes).await;
    assert_eq!(Answer::read(&mut raw).await.status, 101);
    for number in 0..300 {
        let expected = format!("early {number}").into_bytes();
        assert_eq!(raw.read_frame().await, (0x81, expected));
    }
}
