//! The sample `socket-io` with frames that no client sends: what closes a
//! connection, what is ignored, and limits at them and one past them. Then the
//! parts of the protocol that the reference client hides.

use std::time::Duration;

use openline_core::name::FunctionName;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{NAME, host, sample};
use crate::harness::{Client, Host, deploy_options, variant};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// A connection of which the open packet is read.
async fn opened(host: &Host) -> Client {
    let mut client = host.connect(PATH).await;
    assert!(client.next_text().await.starts_with("0{"));
    client
}

/// In the main namespace.
async fn joined(host: &Host) -> Client {
    let mut client = opened(host).await;
    assert!(client.ask("40").await.starts_with("40{\"sid\":\""));
    assert_eq!(client.next_text().await, "42[\"auth\",{}]");
    client
}

/// In the chat and in the room `red`.
async fn in_red(host: &Host, name: &str) -> Client {
    let mut client = opened(host).await;
    let answer = client
        .ask(&format!("40/chat,{{\"name\":\"{name}\"}}"))
        .await;
    assert!(answer.starts_with("40/chat,{\"sid\":"), "{answer}");
    let answer = client.ask("42/chat,0[\"join\",\"red\"]").await;
    assert!(answer.starts_with("43/chat,0[{\"ok\":true"), "{answer}");
    assert_eq!(client.next_text().await, "42/chat,0[\"introduce\",\"red\"]");
    client
}

#[tokio::test]
async fn the_open_packet_has_what_the_protocol_says() {
    let host = sample("/{ping_interval}/{ping_timeout}/socket.io/")
        .and(openline_guests::SOCKET_IO, "/socket.io/")
        .start()
        .await;
    for (path, interval, timeout) in [
        ("/socket.io/", 25_000, 20_000),
        ("/100/3600000/socket.io/", 100, 3_600_000),
    ] {
        let path = format!("{path}?EIO=4&transport=websocket&t=abc");
        let mut client = host.connect(&path).await;
        let open = client.next_text().await;
        let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
        let sid = open["sid"].clone();
        assert_eq!(sid.as_str().unwrap().len(), 32);
        let expected = json!({
            "sid": sid, "upgrades": [], "pingInterval": interval,
            "pingTimeout": timeout, "maxPayload": 1_000_000,
        });
        assert_eq!(open, expected);
    }
}

#[tokio::test]
async fn requests_that_are_none_of_it_are_refused_in_the_words_of_the_reference() {
    let host = sample("/{ping_interval}/{ping_timeout}/socket.io/")
        .and(openline_guests::SOCKET_IO, "/socket.io/")
        .start()
        .await;
    for (path, words) in [
        ("/socket.io/", "Transport unknown"),
        ("/socket.io/?EIO=4", "Transport unknown"),
        ("/socket.io/?EIO=4&transport=polling", "Transport unknown"),
        (
            "/socket.io/?transport=websocket",
            "Unsupported protocol version",
        ),
        (
            "/socket.io/?EIO=3&transport=websocket",
            "Unsupported protocol version",
        ),
        (
            "/socket.io/?EIO=4&transport=websocket&sid=abc",
            "Session ID unknown",
        ),
        (
            "/99/100/socket.io/?EIO=4&transport=websocket",
            "from 100 to 3600000",
        ),
        (
            "/100/x/socket.io/?EIO=4&transport=websocket",
            "from 100 to 3600000",
        ),
    ] {
        let refused = host.refused(path).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.body.contains(words), "{path}: {}", refused.body);
    }
}

#[tokio::test]
async fn wrong_packets_close_the_connection() {
    let host = host().await;
    let sid = "4".to_owned() + "0";
    for (messages, code, reason) in [
        // Engine.IO.
        (vec![Message::text("")], 1002, "parse error"),
        (vec![Message::text("abc")], 1002, "parse error"),
        (vec![Message::text("2")], 1002, "parse error"),
        (vec![Message::text("2probe")], 1002, "parse error"),
        (vec![Message::text("bAQID")], 1002, "parse error"),
        (vec![Message::text("1")], 1000, ""),
        // Socket.IO.
        (vec![Message::text("4")], 1002, "parse error"),
        (vec![Message::text("4abc")], 1002, "parse error"),
        (vec![Message::text("42{}")], 1002, "parse error"),
        (vec![Message::text("42[\"connect\"]")], 1002, "parse error"),
        (vec![Message::text("42abc[\"a\"]")], 1002, "parse error"),
        (vec![Message::text("4511-[\"a\"]")], 1002, "parse error"),
        // In a wrong state.
        (vec![Message::text(&*sid)], 1002, "packet out of order"),
        (vec![Message::text("44{}")], 1002, "packet out of order"),
        (
            vec![Message::text("42/chat,[\"say\"]")],
            1002,
            "packet out of order",
        ),
        (
            vec![Message::text("41/custom")],
            1002,
            "packet out of order",
        ),
        (
            vec![Message::text("43/random,0[]")],
            1002,
            "packet out of order",
        ),
        // Binary messages.
        (vec![Message::binary(vec![4, 0])], 1002, "parse error"),
        (
            vec![Message::text("451-[\"a\"]"), Message::text("42[\"b\"]")],
            1002,
            "parse error",
        ),
        (
            vec![
                Message::text("451-[\"a\",{\"_placeholder\":true,\"num\":1}]"),
                Message::binary(vec![]),
            ],
            1002,
            "parse error",
        ),
    ] {
        let mut client = joined(&host).await;
        for message in messages.clone() {
            client.send(message).await;
        }
        let closed = client.closed().await;
        assert_eq!(
            (closed.code, &*closed.reason),
            (code, reason),
            "{messages:?}"
        );
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_the_reference_ignores_is_ignored() {
    let host = host().await;
    let mut client = joined(&host).await;
    for ignored in [
        "0",
        "5",
        "6",
        "3",
        "3probe",
        // Nothing waits for these acknowledgements.
        "430[]",
        "43[]",
        "439007199254740991[1]",
        // Nobody listens to these events.
        "42[\"unknown\"]",
        "42[7]",
        "42[\"message-with-ack\"]",
    ] {
        client.text(ignored).await;
    }
    assert_eq!(
        client.ask("4212[\"message-with-ack\",\"x\"]").await,
        "4312[\"x\"]"
    );
    // Leaving all namespaces closes nothing, and one may come back.
    client.text("41").await;
    assert!(client.ask("40").await.starts_with("40{"));
    assert_eq!(client.next_text().await, "42[\"auth\",{}]");
    // Binary packets of which no message is binary, and answers in the midst of
    // the messages of one.
    client.text("450-[\"message\"]").await;
    assert_eq!(client.next_text().await, "42[\"message-back\"]");
    client
        .text("451-[\"message\",{\"_placeholder\":true,\"num\":0}]")
        .await;
    client.text("3").await;
    client.binary(&[7]).await;
    let back = "451-[\"message-back\",{\"_placeholder\":true,\"num\":0}]";
    assert_eq!(client.next_text().await, back);
    assert_eq!(client.next().await, Message::binary(vec![7]));
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_and_the_connection_stays() {
    let host = host().await;
    let mut client = opened(&host).await;
    let refused = "44/random,{\"message\":\"Invalid namespace\"}";
    assert_eq!(client.ask("40/random").await, refused);
    // Keys keep their order.
    client.text("40/custom,{\"b\":1,\"a\":2}").await;
    assert!(
        client
            .next_text()
            .await
            .starts_with("40/custom,{\"sid\":\"")
    );
    assert_eq!(
        client.next_text().await,
        "42/custom,[\"auth\",{\"b\":1,\"a\":2}]"
    );
}

#[tokio::test]
async fn nothing_counts_that_follows_a_wrong_packet() {
    let host = host().await;
    let mut ada = in_red(&host, "ada").await;
    let mut bob = in_red(&host, "bob").await;
    assert!(ada.next_text().await.contains("\"arrived\""));
    assert!(ada.next_text().await.contains("\"joined\""));
    for text in [
        "4x",
        "42/chat,[\"say\",\"red\",\"too late\"]",
        "40",
        "40/custom",
    ] {
        bob.feed(Message::text(text)).await;
    }
    bob.flush().await;
    assert_eq!(bob.closed().await.code, 1002);
    let left = ada.next_text().await;
    assert!(left.starts_with("42/chat,[\"left\","), "{left}");
    // Told once, and nothing else.
    let answer = ada.ask("42/chat,1[\"say\",\"red\",\"hello?\"]").await;
    assert_eq!(answer, "43/chat,1[{\"ok\":true,\"heard\":0}]");
}

#[tokio::test]
async fn the_limits_hold_at_them_and_not_past_them() {
    let host = host().await;
    let event = |length: usize| {
        let rest = "42[\"unknown\",\"\"]".len();
        format!("42[\"unknown\",\"{}\"]", "x".repeat(length - rest))
    };
    let mut client = joined(&host).await;
    client.text(&event(1_000_000)).await;
    assert_eq!(client.ask("420[\"message-with-ack\"]").await, "430[]");
    client.text(&event(1_000_001)).await;
    let closed = client.closed().await;
    assert_eq!((closed.code, &*closed.reason), (1009, "packet too large"));

    // Text that would be a hundred times as large in memory.
    for json in [
        "[0],".repeat(240_000),
        "{},".repeat(300_000),
        "0,".repeat(490_000),
    ] {
        let mut client = joined(&host).await;
        client.text(&format!("42[\"unknown\",{json}0]")).await;
        let closed = client.closed().await;
        assert_eq!((closed.code, &*closed.reason), (1009, "packet too large"));
    }

    // Attachments: together at most 4,000,000 bytes with the text.
    let text = "454-[\"unknown\"]";
    let rest = 1_000_000 - (text.len() - 1);
    for (last, code) in [(rest, None), (rest + 1, Some(1009))] {
        let mut client = joined(&host).await;
        client.text(text).await;
        for length in [1_000_000, 1_000_000, 1_000_000, last] {
            client.binary(&vec![1; length]).await;
        }
        match code {
            None => assert_eq!(client.ask("420[\"message-with-ack\"]").await, "430[]"),
            Some(code) => assert_eq!(client.closed().await.code, code),
        }
    }

    // Rooms.
    let mut client = opened(&host).await;
    client.ask("40/chat,{\"name\":\"ada\"}").await;
    for room in 0..16 {
        let answer = client
            .ask(&format!("42/chat,{room}[\"join\",\"{room}\"]"))
            .await;
        assert_eq!(
            answer,
            format!("43/chat,{room}[{{\"ok\":true,\"here\":1}}]")
        );
        client.next_text().await;
    }
    let answer = client.ask("42/chat,16[\"join\",\"16\"]").await;
    assert!(answer.contains("16 are the most"), "{answer}");
    // No fault on the way.
    let ended = &host.state().await["connections"]["ended"];
    assert_eq!(ended["fault"], Value::Null, "{ended}");
}

#[tokio::test]
async fn peers_that_stop_in_the_midst_of_a_packet_do_not_keep_others_from_theirs() {
    let host = host().await;
    let mut stopped = Vec::new();
    for _ in 0..20 {
        let mut client = joined(&host).await;
        client.text("452-[\"unknown\"]").await;
        client.binary(&vec![1; 1_000_000]).await;
        client.text("3").await;
        stopped.push(client);
    }
    let mut client = joined(&host).await;
    client.text("451-0[\"message-with-ack\"]").await;
    client.binary(&[1]).await;
    assert_eq!(client.next_text().await, "461-0[]");
    assert_eq!(client.next().await, Message::binary(vec![1]));
    // The oldest one has lost its packet.
    let oldest = &mut stopped[0];
    oldest.binary(&[1]).await;
    let closed = oldest.closed().await;
    assert_eq!(
        (closed.code, &*closed.reason),
        (1012, "binary packet interrupted")
    );
}

/// Clients give up when another message comes between those of a binary packet.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_between_the_messages_of_a_binary_packet() {
    const PACKETS: usize = 300;
    let host = host().await;
    let mut ada = in_red(&host, "ada").await;
    assert!(ada.ask("40").await.starts_with("40{"));
    ada.next_text().await;
    let mut others = Vec::new();
    for name in ["bob", "eve"] {
        let mut other = in_red(&host, name).await;
        others.push(tokio::spawn(async move {
            for _ in 0..PACKETS {
                other.text("42/chat,[\"say\",\"red\",\"hello\"]").await;
            }
            other
        }));
    }
    for id in 0..PACKETS {
        ada.feed(Message::text(format!("452-{id}[\"message-with-ack\"]")))
            .await;
        ada.feed(Message::binary(vec![1])).await;
        ada.feed(Message::binary(vec![2])).await;
        ada.flush().await;
    }
    let (mut answers, mut heard) = (0, 0);
    while answers < PACKETS || heard < 2 * PACKETS {
        let text = ada.next_text().await;
        if text.starts_with("462-") {
            assert_eq!(ada.next().await, Message::binary(vec![1]));
            assert_eq!(ada.next().await, Message::binary(vec![2]));
            answers += 1;
        } else if text.starts_with("42/chat,[\"said\"") {
            heard += 1;
        }
    }
}

#[tokio::test]
async fn a_packet_that_a_deploy_cuts_in_two_closes_the_connection() {
    let host = host().await;
    let mut client = joined(&host).await;
    client.text("451-0[\"message-with-ack\"]").await;
    // So it has arrived.
    let mut other = joined(&host).await;
    assert_eq!(other.ask("420[\"message-with-ack\"]").await, "430[]");
    let component = std::fs::read(openline_guests::SOCKET_IO).unwrap();
    let name = FunctionName::new(NAME).unwrap();
    let version = variant(&component, 1).into();
    let deployed = host.deployer.deploy(&name, version, deploy_options()).await;
    deployed.unwrap();
    client.binary(&[1]).await;
    let closed = client.closed().await;
    assert_eq!(
        (closed.code, &*closed.reason),
        (1012, "binary packet interrupted")
    );
}

#[tokio::test]
async fn what_another_function_has_left_behind_is_no_session() {
    let host = Host::with(openline_guests::FAULT_KEEPER, "/keeper")
        .start()
        .await;
    let mut client = host.connect("/keeper?tag=a&attach=kept").await;
    assert_eq!(client.ask("attachment").await, "kept");
    let component = std::fs::read(openline_guests::SOCKET_IO).unwrap();
    let name = FunctionName::new("fault-keeper").unwrap();
    let deployed = host
        .deployer
        .deploy(&name, component.into(), deploy_options())
        .await;
    deployed.unwrap();
    client.text("40").await;
    let closed = client.closed().await;
    assert_eq!((closed.code, &*closed.reason), (1012, "session lost"));
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_or_joins_nothing_is_closed() {
    let host = sample("/{ping_interval}/{ping_timeout}/socket.io/")
        .instance(|instance| {
            instance.instances = 1;
            instance.idle_timeout = Duration::from_millis(20);
        })
        .start()
        .await;
    let mut client = host
        .connect("/100/200/socket.io/?EIO=4&transport=websocket")
        .await;
    client.next_text().await;
    client.ask("40").await;
    client.next_text().await;
    for _ in 0..3 {
        assert_eq!(client.next_text().await, "2");
        client.text("3").await;
    }
    assert_eq!(client.next_text().await, "2");
    let closed = client.closed().await;
    assert_eq!((closed.code, &*closed.reason), (1001, "ping timeout"));

    // It answers pings, and does nothing else.
    let mut client = host
        .connect("/200/200/socket.io/?EIO=4&transport=websocket")
        .await;
    client.next_text().await;
    assert_eq!(client.next_text().await, "2");
    client.text("3").await;
    let closed = loop {
        match client.next_frame().await.unwrap().unwrap() {
            Message::Text(text) => {
                assert_eq!(text.as_str(), "2");
                client.text("3").await;
            }
            Message::Close(close) => break close.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(u16::from(closed.code), 1001);
    assert_eq!(closed.reason.as_str(), "no namespace was joined in time");
}
