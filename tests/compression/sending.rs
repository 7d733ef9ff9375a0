//! What is compressed on its way to peers, for whom, and with which memory.

use openline_core::limits::Compression;

use super::{OFFER, echo, shown, words};
use crate::harness::{Arrived, Compressing, Host, frame};

/// A host whose function sends and publishes as a message says.
async fn hub(compression: Compression) -> Host {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub").limit(|limit| {
        limit.compression = compression;
        limit.compression_threshold = 100;
    });
    host.start().await
}

async fn subscriber(host: &Host, offer: &str) -> Compressing {
    let mut peer = Compressing::open(host.address, "/hub", offer).await;
    assert_eq!(peer.ask("subscribe news").await.payload, b"ok");
    peer
}

#[tokio::test]
async fn a_message_at_the_threshold_is_compressed_and_one_below_it_is_not() {
    for compression in [Compression::Shared, Compression::Dedicated] {
        let host = echo(compression)
            .limit(|limit| limit.compression_threshold = 300)
            .start()
            .await;
        let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
        for (bytes, compressed) in [(299, false), (300, true), (0, false)] {
            peer.text(&words(bytes)).await;
            let arrived = peer.next().await;
            assert_eq!(arrived.payload, words(bytes).as_bytes());
            assert_eq!(arrived.compressed, compressed, "{bytes}");
            assert_eq!(arrived.wire_bytes < bytes, compressed, "{bytes}");
        }
    }
}

#[tokio::test]
async fn what_compression_makes_no_smaller_is_sent_as_it_is_where_it_may_be() {
    for (compression, compressed) in [(Compression::Shared, false), (Compression::Dedicated, true)]
    {
        let host = echo(compression).start().await;
        let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
        for bytes in [b"".to_vec(), b"x".to_vec(), super::noise(20_000)] {
            peer.binary(&bytes).await;
            let arrived = peer.next().await;
            assert_eq!(arrived.payload, bytes);
            assert_eq!(arrived.compressed, compressed, "{}", bytes.len());
        }
    }
}

#[tokio::test]
async fn a_function_says_which_messages_are_compressed() {
    for compression in [Compression::Shared, Compression::Dedicated] {
        let host = hub(compression).await;
        let mut peer = subscriber(&host, OFFER).await;
        let (short, long) = ("a".repeat(60), words(400));
        for (said, text, compressed) in [
            ("always", &short, true),
            ("always", &long, true),
            ("never", &short, false),
            ("never", &long, false),
        ] {
            let arrived = peer.ask(&format!("{said} {text}")).await;
            assert_eq!(arrived.payload, text.as_bytes());
            assert_eq!(arrived.compressed, compressed, "{said} {}", text.len());
            let published = format!("publish-{said} news {text}");
            let arrived = peer.ask(&published).await;
            assert_eq!(arrived.payload, text.as_bytes());
            assert_eq!(arrived.compressed, compressed, "{published}");
            assert_eq!(peer.next().await.payload, b"1");
        }
        // Nothing is said: as it is configured.
        assert!(!peer.ask(&format!("publish news {short}")).await.compressed);
        assert_eq!(peer.next().await.payload, b"1");
        assert!(peer.ask(&format!("publish news {long}")).await.compressed);
    }
}

#[tokio::test]
async fn a_publication_reaches_each_receiver_as_it_can_read_it() {
    for compression in [Compression::Shared, Compression::Dedicated] {
        let host = hub(compression).await;
        let mut peers = Vec::new();
        for offer in [
            OFFER,
            OFFER,
            "permessage-deflate; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits=13",
            "permessage-deflate; server_max_window_bits=9",
            "none",
        ] {
            peers.push(subscriber(&host, offer).await);
        }
        let mut sender = host.connect("/hub").await;
        // Small, and so large that it is compressed bit by bit.
        for bytes in [500, 1_000_000] {
            let text = words(bytes);
            assert_eq!(sender.ask(&format!("publish news {text}")).await, "6");
            let mut arrived: Vec<Arrived> = Vec::new();
            for peer in &mut peers {
                arrived.push(peer.next().await);
            }
            for (index, arrived) in arrived.iter().enumerate() {
                assert!(arrived.payload == text.as_bytes(), "{index}");
                assert_eq!(arrived.compressed, index < 5, "{index}");
            }
            let sizes: Vec<_> = arrived.iter().map(|it| it.wire_bytes).collect();
            assert_eq!(sizes[0], sizes[1]);
            // The last one does not remember the words of long ago.
            assert_eq!(sizes[4] > sizes[0], bytes > 32 * 1024, "{sizes:?}");
        }
        // No peer is left waiting: the next message comes, too.
        assert_eq!(sender.ask("publish news last").await, "6");
        for peer in &mut peers {
            assert_eq!(peer.next_text().await, "last");
        }
    }
}

#[tokio::test]
async fn a_dedicated_compressor_remembers_and_a_shared_one_does_not() {
    for (compression, remembers) in [(Compression::Shared, false), (Compression::Dedicated, true)] {
        let host = echo(compression).start().await;
        let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
        let text = words(1000);
        let mut sizes = Vec::new();
        for _ in 0..3 {
            peer.text(&text).await;
            let arrived = peer.next().await;
            assert!(arrived.compressed && arrived.payload == text.as_bytes());
            sizes.push(arrived.wire_bytes);
        }
        assert_eq!(sizes[1] < sizes[0] / 4, remembers, "{sizes:?}");
        assert_eq!(sizes[2] < sizes[0] / 4, remembers, "{sizes:?}");
        // The host has counted the same.
        let shown = shown(&host);
        assert_eq!((shown.mode, shown.window_bits), (compression, 15));
        assert_eq!((shown.sent.bytes, shown.received.bytes), (3000, 3000));
        let sent = u64::try_from(sizes.iter().sum::<usize>()).unwrap();
        assert_eq!(shown.sent.compressed_bytes, sent);
        let received = 3 * peer.deflated(text.as_bytes()).len() as u64;
        assert_eq!(shown.received.compressed_bytes, received);
    }
}

#[tokio::test]
async fn connections_have_compressors_up_to_the_host_s_bytes_and_share_past_them() {
    // Room for one compressor with the largest window.
    const ONE: usize = 373 * 1024;
    for (bytes, rooms) in [(ONE, 1), (ONE - 1, 0), (2 * ONE, 2)] {
        let host = echo(Compression::Dedicated)
            .server(|server| server.compression_bytes = bytes)
            .start()
            .await;
        let text = words(1000);
        let mut peers = Vec::new();
        let mut remember = 0;
        for _ in 0..3 {
            let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
            let mut sizes = Vec::new();
            for _ in 0..2 {
                peer.text(&text).await;
                let arrived = peer.next().await;
                assert!(arrived.compressed && arrived.payload == text.as_bytes());
                sizes.push(arrived.wire_bytes);
            }
            remember += usize::from(sizes[1] < sizes[0] / 4);
            peers.push(peer);
        }
        assert_eq!(remember, rooms);
        let state = host.state().await;
        assert_eq!(state["compression_bytes"], rooms * ONE);
        drop(peers);
        host.until("compressors to be given back", |state| {
            state["compression_bytes"] == 0
        })
        .await;
    }
}

#[tokio::test]
async fn automatic_responses_and_what_comes_before_a_close_are_compressed() {
    let host = echo(Compression::Dedicated)
        .function(|function| {
            let text = |text: &str| openline_core::message::Message::Text(text.into());
            function
                .auto_responses
                .push(openline_core::auto_response::AutoResponse {
                    match_kind: openline_core::auto_response::MatchKind::Exact,
                    request: text("hey"),
                    reply: text(&words(400)),
                });
        })
        .start()
        .await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    peer.text("hey").await;
    let arrived = peer.next().await;
    assert!(arrived.compressed && arrived.payload == words(400).as_bytes());
    // The messages and the close frame come in one segment.
    let message = frame(crate::harness::TEXT, &peer.deflated(words(400).as_bytes()));
    let close = crate::harness::close_frame(1000, b"");
    peer.raw.send(&[&message[..], &close].concat()).await;
    assert_eq!(peer.raw.read_close().await.0, 1000);
    assert!(peer.raw.is_ended().await);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_host_that_drains_sends_all_that_waits() {
    let host = echo(Compression::Shared).start().await;
    let mut peer = Compressing::open(host.address, "/echo", OFFER).await;
    let text = words(300_000);
    peer.text(&text).await;
    let draining = host.drain();
    let reading = async {
        assert!(peer.next_text().await == text);
        assert_eq!(peer.raw.read_close().await.0, 1001);
        peer.raw.send(&crate::harness::close_frame(1001, b"")).await;
        assert!(peer.raw.is_ended().await);
    };
    assert_eq!(tokio::join!(draining, reading).0, 0);
}
