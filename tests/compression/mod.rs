//! permessage-deflate between the host and peers that compress: what is agreed
//! on, what is compressed, what it costs. [`bad`] has peers that break the rules.

mod bad;
mod sending;

use openline_control::{CompressionView, ConnectionQuery};
use openline_core::limits::Compression;
use serde_json::json;

use crate::harness::{Browser, Compressing, HANDSHAKE, Host, HostBuilder, Raw, offer_on};

const OFFER: &str = "permessage-deflate";

/// A host with an echo that compresses everything that it can.
fn echo(compression: Compression) -> HostBuilder {
    Host::with(openline_guests::ECHO, "/echo").limit(|limit| {
        limit.compression = compression;
        limit.compression_threshold = 0;
    })
}

/// Text of a size that can be compressed: no two words are alike.
fn words(bytes: usize) -> String {
    let mut text = String::new();
    for number in 0_u64.. {
        if text.len() >= bytes {
            break;
        }
        text += &format!("word {} ", number * 7919 % 10_007);
    }
    text.truncate(bytes);
    text
}

/// Bytes that cannot be compressed.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(7);
    (0..bytes).map(|_| random.u8(..)).collect()
}

/// What the host shows of its only connection.
fn shown(host: &Host) -> CompressionView {
    let query = ConnectionQuery {
        limit: 2,
        ..ConnectionQuery::default()
    };
    let page = host.deployer.connections(&query);
    let [connection] = &page.connections[..] else {
        panic!("{page:?}");
    };
    connection.compression.clone().unwrap()
}

#[tokio::test]
async fn each_setting_answers_each_offer_as_the_rfc_says() {
    let alone = "; client_no_context_takeover";
    for (compression, server) in [
        (Compression::Off, None),
        (Compression::Shared, Some("; server_no_context_takeover")),
        (Compression::Dedicated, Some("")),
    ] {
        let host = echo(compression).start().await;
        let answer = |suffix: &str| {
            let answer = server.map(|server| format!("{OFFER}{server}{alone}{suffix}"));
            answer.unwrap_or_default()
        };
        for (offer, wanted) in [
            (OFFER, answer("")),
            // What browsers offer. The host does not choose their window.
            ("permessage-deflate; client_max_window_bits", answer("")),
            (
                "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9",
                answer("; server_max_window_bits=10; client_max_window_bits=9"),
            ),
            (
                "permessage-deflate; unknown, permessage-deflate",
                answer(""),
            ),
            (
                "permessage-deflate; server_max_window_bits=8",
                String::new(),
            ),
            ("permessage-bzip2", String::new()),
            ("", String::new()),
        ] {
            let mut raw = Raw::connect(host.address).await;
            let answered = offer_on(&mut raw, "/echo", offer).await;
            assert_eq!(answered, wanted, "{compression:?} {offer}");
        }
        // An end that does not want it is asked for nothing else.
        let mut raw = Raw::upgraded(host.address, "/echo").await;
        raw.send(&crate::harness::frame(0x81, b"plain")).await;
        assert_eq!(raw.read_frame().await, (0x81, b"plain".to_vec()));
    }
}

#[tokio::test]
async fn a_peer_that_wants_no_takeover_gets_none() {
    let host = echo(Compression::Dedicated).start().await;
    let offer = "permessage-deflate; server_no_context_takeover";
    let peer = Compressing::open(host.address, "/echo", offer).await;
    assert!(peer.answer.contains("server_no_context_takeover"));
    assert_eq!(shown(&host).mode, Compression::Shared);
}

#[tokio::test]
async fn a_header_that_is_no_list_of_extensions_is_a_bad_handshake() {
    for compression in [Compression::Off, Compression::Shared] {
        let host = echo(compression).start().await;
        for header in [
            "permessage-deflate; =9",
            ";",
            "permessage-deflate\r\nSec-WebSocket-Extensions: a b",
        ] {
            let line = format!("\r\nSec-WebSocket-Extensions: {header}\r\n\r\n");
            let request = HANDSHAKE.replace("{path}", "/echo");
            let request = request.replace("\r\n\r\n", &line);
            let head = Raw::request(host.address, &request).await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{header}: {head}");
            assert!(
                head.contains("openline-error-type: bad_handshake"),
                "{head}"
            );
        }
        // Several lines are one list.
        let two = "x-other\r\nSec-WebSocket-Extensions: permessage-deflate";
        let mut raw = Raw::connect(host.address).await;
        let answer = offer_on(&mut raw, "/echo", two).await;
        assert_eq!(answer.is_empty(), compression == Compression::Off);
    }
}

#[tokio::test]
async fn messages_come_back_with_each_setting_and_window() {
    for compression in [Compression::Shared, Compression::Dedicated] {
        let host = echo(compression).start().await;
        for bits in [9, 10, 11, 12, 13, 14, 15] {
            let offer = format!("{OFFER}; server_max_window_bits={bits}");
            let mut peer = Compressing::open(host.address, "/echo", &offer).await;
            // More than any window, twice, so that the second could refer to it.
            let texts = ["", "a", &words(100), &words(70_000), &words(70_000)];
            for text in texts {
                peer.text(text).await;
                assert_eq!(peer.next_text().await, text, "{bits}");
            }
            let bytes = noise(40_000);
            peer.binary(&bytes).await;
            let arrived = peer.next().await;
            assert!(!arrived.is_text && arrived.payload == bytes);
            // With takeover a message that was compressed has to be sent so.
            let is_shared = compression == Compression::Shared;
            assert_eq!(arrived.compressed, !is_shared, "{bits}");
        }
        host.nothing_is_left().await;
        host.until("compressors to be given back", |state| {
            state["compression_bytes"] == 0
        })
        .await;
    }
}

/// The page may connect to the host that it comes from.
#[tokio::test]
async fn a_browser_compresses() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let host = echo(Compression::Dedicated).start().await;
    browser
        .goto(&format!("http://{}/.openline/", host.address))
        .await;
    let text = words(20_000);
    let address = format!("ws://{}/echo", host.address);
    let open = "window.came = [];
        const socket = window.socket = new WebSocket(arguments[0]);
        socket.onmessage = event => window.came.push(event.data);
        socket.onopen = () => [1, 2, 3].forEach(() => socket.send(arguments[1]));";
    browser.script(open, json!([address, text])).await;
    let came = "return window.came.length === 3
        && window.came.every(each => each === arguments[0])
        && window.socket.extensions.startsWith('permessage-deflate')";
    browser
        .until("three echoes in a browser", came, json!([text]))
        .await;
    let shown = shown(&host);
    assert_eq!((shown.sent.bytes, shown.received.bytes), (60_000, 60_000));
    assert!(shown.received.compressed_bytes < 40_000, "{shown:?}");
    // The second and the third refer to the first.
    assert!(shown.sent.compressed_bytes < 15_000, "{shown:?}");
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_large_message_is_compressed_bit_by_bit_and_pings_are_answered() {
    let host = echo(Compression::Shared).start().await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    let text = words(5 * 1024 * 1024);
    let deflated = peer.deflated(text.as_bytes());
    let ping = crate::harness::frame(0x89, b"?");
    let message = crate::harness::frame(crate::harness::TEXT, &deflated);
    peer.raw.send(&[&message[..], &ping].concat()).await;
    let (mut answered, mut pongs) = (Vec::new(), 0);
    while answered.is_empty() || pongs == 0 {
        match peer.raw.read_frame().await {
            (0x8a, payload) => {
                assert_eq!(payload, b"?");
                pongs += 1;
            }
            (first, payload) => {
                assert_eq!(first, crate::harness::TEXT);
                answered = payload;
            }
        }
    }
    assert!(answered.len() < text.len() / 2);
    assert!(peer.inflated(&answered) == text.as_bytes());
}
