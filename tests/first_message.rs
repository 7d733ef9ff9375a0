//! Authentication by the first message: nothing reaches a function before a good
//! token has, and a peer that shows none costs little and does not stay.

use std::fs;
use std::time::Duration;

use openline_authentication::Revocation;
use openline_core::authentication::UnixTime;
use openline_core::name::FunctionName;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::authentication::{Files, ask, end, now, reload, signed, token};
use crate::harness::http2::Http2;
use crate::harness::{
    Client, Compressing, Host, HostBuilder, Raw, eventually, frame, frame_saying, within,
};

const TEXT: u8 = 0x81;
const FIRST: &str = "auth = \"first-message\"\n[function.trigger.jwt]\nsecret = \"{place}\"\n";

/// A host whose trigger has these lines, and what `change` says.
async fn host_with(lines: &str, change: impl FnOnce(HostBuilder) -> HostBuilder) -> Host {
    // The secret is read while the host starts.
    let files = Files::new();
    let triggers = files.config(lines).functions[0].triggers.clone();
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject");
    let host = host.function(move |function| function.triggers = triggers);
    change(host).start().await
}

async fn host(lines: &str) -> Host {
    host_with(lines, |host| host).await
}

/// Lines with a table of the first message.
fn first(lines: &str) -> String {
    format!("{FIRST}[function.trigger.first_message]\n{lines}\n")
}

fn good() -> String {
    token(&json!({"sub": "ann", "exp": now() + 600}))
}

fn refused(host: &Host, word: &str) -> u64 {
    let refused = host.gateway.tally().refused();
    refused.get(word).copied().unwrap_or_default()
}

#[tokio::test]
async fn nothing_reaches_the_function_before_a_token() {
    let host = host(FIRST).await;
    let function = host.function("fault-reject");
    let mut client = host.connect("/reject/a?greet=claims").await;
    // It is there, in a place of those that are not upgraded, and not open.
    host.until("the connection to wait", |state| {
        state["connections"]["open"] == 1 && state["requests"] == 2
    })
    .await;
    assert_eq!(host.gateway.tally().opened(), 0);
    assert_eq!(function.instances(), 0);
    // The second message is in the function's hands after `open`.
    let own = good();
    client.feed(Message::text(&*own)).await;
    client.feed(Message::text("hello")).await;
    client.flush().await;
    let claims: Value = serde_json::from_str(&client.next_text().await).unwrap();
    assert_eq!(claims["sub"], "ann");
    assert_eq!(client.next_text().await, "hello");
    assert_eq!(client.ask("more").await, "more");
    assert_eq!(host.gateway.tally().opened(), 1);
    assert_eq!(host.gateway.requests(), 0);
    drop(client);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn each_wrong_first_message_closes_with_its_word() {
    let host = host(FIRST).await;
    let function = FunctionName::new("fault-reject").unwrap();
    let revoked = json!({"jti": "one", "sub": "ann", "exp": now() + 600});
    let revocation = Revocation::Token {
        id: "one".into(),
        expires: UnixTime(now() + 600),
    };
    host.deployer.revoke(&function, revocation).await.unwrap();
    let another = json!({"sub": "ann", "exp": now() + 600});
    for (message, word) in [
        (Message::text("hello"), "token_invalid"),
        (Message::text(""), "token_missing"),
        (Message::text(" \n"), "token_missing"),
        (Message::binary(good().into_bytes()), "token_missing"),
        (
            Message::text(token(&json!({"sub": "ann", "exp": now() - 31}))),
            "token_expired",
        ),
        (
            Message::text(token(&json!({"sub": "ann"}))),
            "token_invalid",
        ),
        (
            Message::text(signed(&another, b"another secret of 32 bytes......")),
            "token_invalid",
        ),
        (Message::text(token(&revoked)), "token_revoked"),
        (Message::text("a".repeat(16 << 10)), "token_invalid"),
    ] {
        let before = refused(&host, word);
        let mut client = host.connect("/reject/a").await;
        client.send(message.clone()).await;
        assert_eq!(client.closed().await, end(1008, word), "{message:?}");
        assert_eq!(refused(&host, word), before + 1);
    }
    assert_eq!(host.gateway.tally().opened(), 0);
    assert_eq!(host.function("fault-reject").instances(), 0);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_token_is_found_in_json_and_behind_a_prefix() {
    let lines = first("field = \"payload.authorization\"\nprefix = \"Bearer \"");
    let host = host(&lines).await;
    let message = |text: &str| {
        let payload = json!({"authorization": text});
        json!({"type": "connection_init", "payload": payload}).to_string()
    };
    let mut client = host.connect("/reject/a?greet=claims").await;
    client.text(&message(&format!("Bearer {}", good()))).await;
    assert!(client.next_text().await.contains("\"ann\""));
    for missing in [&*good(), "{}", &message(&good()), &message("Bearer ")] {
        let mut client = host.connect("/reject/a").await;
        client.text(missing).await;
        assert_eq!(
            client.closed().await,
            end(1008, "token_missing"),
            "{missing}"
        );
    }
}

/// Sends pieces, two in a second, until the host closes; its code and reason.
async fn closed_while_sending(raw: &mut Raw, pieces: &[Vec<u8>]) -> (u16, String) {
    for piece in pieces {
        raw.send(piece).await;
        let mut pause = std::pin::pin!(tokio::time::sleep(Duration::from_millis(500)));
        loop {
            tokio::select! {
                () = &mut pause => break,
                readable = raw.socket.readable() => readable.unwrap(),
            }
            let (first, payload) = raw.read_frame().await;
            if first == 0x88 {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                return (code, String::from_utf8(payload[2..].to_vec()).unwrap());
            }
        }
    }
    panic!("it had the time for all pieces");
}

#[tokio::test]
async fn the_time_for_it_is_bounded_however_it_comes() {
    let host = host(&first("timeout = \"2 s\"")).await;
    let missing = (1008, "token_missing".to_owned());
    let mut silent = Raw::upgraded(host.address, "/reject/a").await;
    assert_eq!(silent.read_close().await, missing);
    // A byte from time to time, or pings, change nothing.
    let bytes = frame(TEXT, good().as_bytes());
    let bytes: Vec<_> = bytes.chunks(1).map(<[u8]>::to_vec).collect();
    let mut slow = Raw::upgraded(host.address, "/reject/a").await;
    assert_eq!(closed_while_sending(&mut slow, &bytes).await, missing);
    let pings = vec![frame(0x89, b"still here"); 100];
    let mut pinging = Raw::upgraded(host.address, "/reject/a").await;
    assert_eq!(closed_while_sending(&mut pinging, &pings).await, missing);
    assert_eq!(refused(&host, "token_missing"), 3);
}

#[tokio::test]
async fn a_first_message_at_its_bytes_and_one_more() {
    let host = host(&first("message_bytes_max = \"1 KiB\"")).await;
    let open = async || Raw::upgraded(host.address, "/reject/a").await;
    let mut raw = open().await;
    raw.send(&frame(TEXT, &[b'a'; 1024])).await;
    assert_eq!(raw.read_close().await, (1008, "token_invalid".into()));
    let too_big = (1009, "message_bytes_max".to_owned());
    // The length in its header is enough.
    for bytes in [1025, 6 << 20] {
        let mut raw = open().await;
        let mask = Some([1, 2, 3, 4]);
        raw.send(&frame_saying(TEXT, bytes, mask, b"")).await;
        assert_eq!(raw.read_close().await, too_big);
    }
    let mut raw = open().await;
    for (first, bytes) in [(0x01, 1024), (0x80, 1)] {
        raw.send(&frame(first, &vec![b'a'; bytes])).await;
    }
    assert_eq!(raw.read_close().await, too_big);
    assert_eq!(refused(&host, "message_bytes_max"), 3);
}

#[tokio::test]
async fn fragments_with_pings_between_them_are_one_message() {
    let host = host(FIRST).await;
    let mut raw = Raw::upgraded(host.address, "/reject/a?greet=claims").await;
    let own = good();
    let (start, rest) = own.as_bytes().split_at(10);
    raw.send(&frame(0x01, start)).await;
    raw.send(&frame(0x89, b"ping")).await;
    assert_eq!(raw.read_frame().await, (0x8a, b"ping".to_vec()));
    raw.send(&frame(0x80, rest)).await;
    let (opcode, claims) = raw.read_frame().await;
    assert_eq!(opcode, 0x81);
    assert!(String::from_utf8(claims).unwrap().contains("\"ann\""));
}

#[tokio::test]
async fn pings_before_it_have_a_bound() {
    let host = host(&first("timeout = \"1 h\"")).await;
    let pings = |count: usize| frame(0x89, b"p").repeat(count);
    let mut raw = Raw::upgraded(host.address, "/reject/a").await;
    let (mut reader, mut writer) = raw.socket.split();
    let sent = async {
        tokio::io::AsyncWriteExt::write_all(&mut writer, &pings(3600))
            .await
            .unwrap();
    };
    let mut pongs = vec![0; 3 * 3600];
    let read = tokio::io::AsyncReadExt::read_exact(&mut reader, &mut pongs);
    let ((), read) = within("pongs", async { tokio::join!(sent, read) }).await;
    read.unwrap();
    raw.send(&pings(1)).await;
    assert_eq!(raw.read_close().await, (1008, "control_frames".into()));
}

#[tokio::test]
async fn a_compressed_first_message_is_one_too() {
    let lines = first("message_bytes_max = \"1 KiB\"");
    let compressing = |host: HostBuilder| {
        host.limit(|limit| limit.compression = openline_core::limits::Compression::Shared)
    };
    let host = host_with(&lines, compressing).await;
    let open = async || {
        let offer = "permessage-deflate; client_max_window_bits";
        let client = Compressing::open(host.address, "/reject/a", offer).await;
        assert!(client.answer.starts_with("permessage-deflate"));
        client
    };
    let mut client = open().await;
    client.text(&good()).await;
    let long = "compressible ".repeat(100);
    client.text(&long).await;
    let answer = client.next().await;
    assert!(answer.compressed && answer.payload == long.as_bytes());
    // A mebibyte that takes a kilobyte.
    let mut bomb = open().await;
    bomb.text(&"a".repeat(1 << 20)).await;
    let closed = bomb.raw.read_close().await;
    assert_eq!(closed, (1009, "message_bytes_max".into()));
}

#[tokio::test]
async fn a_peer_that_closes_or_goes_is_let_go() {
    let host = host(&first("timeout = \"1 h\"")).await;
    let mut client = host.connect("/reject/a").await;
    client.close(1000, "changed my mind").await;
    assert_eq!(client.closed().await, end(1000, "changed my mind"));
    host.connect("/reject/a").await.vanish();
    host.nothing_is_left().await;
    assert_eq!(refused(&host, "peer_gone"), 2);
    let mut raw = Raw::upgraded(host.address, "/reject/a").await;
    raw.send(&frame(0x83, b"no such opcode")).await;
    assert_eq!(raw.read_close().await.0, 1002);
    host.nothing_is_left().await;
}

/// They are counted twice: in the ledgers, like connections, and in `requests`,
/// like TCP connections that wait for a request.
#[tokio::test]
async fn those_that_wait_have_places_and_make_room() {
    let small = |host: HostBuilder| {
        host.server(|server| {
            server.requests = 6;
            server.peer_connections = 4;
        })
    };
    let host = host_with(&first("timeout = \"1 h\""), small).await;
    let target = "/reject/a";
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(Raw::upgraded(host.address, target).await);
    }
    eventually("three places to be taken", || host.gateway.requests() == 3).await;
    // `peer_requests` is half of them: the peer's own oldest makes room.
    waiting.push(Raw::upgraded(host.address, target).await);
    assert!(waiting[0].is_ended().await);
    assert_eq!(refused(&host, "requests"), 1);
    // Another peer is not kept out, and one with a token stays.
    let mut other = Raw::connect_from([127, 0, 0, 2], host.address).await;
    other.upgrade(target).await;
    other.send(&frame(TEXT, good().as_bytes())).await;
    other.send(&frame(TEXT, b"hello")).await;
    assert_eq!(other.read_frame().await, (0x81, b"hello".to_vec()));
    // Its place is free again.
    eventually("three places to be taken", || host.gateway.requests() == 3).await;
    assert_eq!(host.gateway.services().ledger().connections(), 4);
}

#[tokio::test]
async fn a_peers_connections_include_those_that_wait() {
    let small = |host: HostBuilder| host.server(|server| server.peer_connections = 2);
    let host = host_with(&first("timeout = \"1 h\""), small).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        waiting.push(host.connect("/reject/a").await);
    }
    let answer = host.refused("/reject/a").await;
    assert_eq!(answer.status, 429);
    waiting.pop().unwrap().vanish();
    host.until("one to be let go", |state| {
        state["connections"]["open"] == 1
    })
    .await;
    host.connect("/reject/a").await;
}

#[tokio::test]
async fn a_host_that_ends_does_not_wait_for_tokens() {
    let host = host(&first("timeout = \"1 h\"")).await;
    let mut waiting = host.connect("/reject/a").await;
    let mut open = host.connect("/reject/a").await;
    open.text(&good()).await;
    assert_eq!(open.ask("x").await, "x");
    let (left, waited, opened) = tokio::join!(host.drain(), waiting.closed(), open.closed());
    assert_eq!((left, waited.code, opened.code), (0, 1001, 1001));
    assert!(
        waited.reason.contains("come back after"),
        "{}",
        waited.reason
    );
    assert_eq!(refused(&host, "shutting_down"), 1);
}

#[tokio::test]
async fn what_the_function_decides_comes_too_late_for_an_answer_to_the_handshake() {
    let lines = first("subprotocols = [\"v2\", \"v1\"]");
    let host = host(&lines).await;
    let open = async |target: &str, offered: &str| {
        let headers = [("sec-websocket-protocol", offered)];
        let client = Client::open(host.address, target, &headers).await.unwrap();
        let agreed = client.headers.get("sec-websocket-protocol");
        let agreed = agreed.map(|it| it.to_str().unwrap().to_owned());
        (client, agreed)
    };
    // The host agrees to what it prefers, and the function may name it again.
    for query in ["", "&subprotocol=v2"] {
        let target = format!("/reject/a?greet=sec-websocket-protocol{query}");
        let (mut client, agreed) = open(&target, "v1, v2").await;
        assert_eq!(agreed.as_deref(), Some("v2"));
        client.text(&good()).await;
        assert_eq!(client.next_text().await, "v1, v2");
    }
    let (mut client, _) = open("/reject/a?subprotocol=v1", "v1, v2").await;
    client.text(&good()).await;
    assert_eq!(client.closed().await, end(1011, "bad_answer"));
    for (query, code, reason) in [
        ("status=403&body=no", 1008, "rejected: 403"),
        ("status=503", 1013, "rejected: 503"),
        ("status=99", 1011, "bad_answer"),
        ("attachment_bytes=1000000", 1011, "bad_answer"),
    ] {
        let (mut client, _) = open(&format!("/reject/a?{query}"), "v1").await;
        client.text(&good()).await;
        assert_eq!(client.closed().await, end(code, reason), "{query}");
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn claims_replace_what_the_request_said() {
    let lines = format!(
        "{FIRST}claims = \"header:sub:x-user,query:sub:user\"\nunchecked = [\"/reject/open/*\"]\n"
    );
    let host = host(&lines).await;
    let forged = [("x-user", "root")];
    let open = async |target: &str| Client::open(host.address, target, &forged).await.unwrap();
    let mut client = open("/reject/a?greet=x-user&user=root").await;
    client.text(&good()).await;
    assert_eq!(client.next_text().await, "ann");
    let mut client = open("/reject/a?greet=target&user=root&x=1").await;
    client.text(&good()).await;
    let target = client.next_text().await;
    assert_eq!(target, "/reject/a?greet=target&x=1&user=ann");
    // A path that is not checked waits for nothing, and has no claims.
    let mut client = open("/reject/open/a?greet=x-user").await;
    assert_eq!(client.next_text().await, "");
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn a_claim_of_the_first_message_chooses_the_instance() {
    let affinity = |host: HostBuilder| {
        let affinity = openline_core::affinity::Affinity::Claim("room".into());
        host.instance(|instance| instance.affinity = Some(affinity))
    };
    let host = host_with(FIRST, affinity).await;
    let mut kept = Vec::new();
    let room = |room: &str| token(&json!({"room": room, "exp": now() + 600}));
    for name in ["a", "b", "a"] {
        let mut client = host.connect("/reject/a").await;
        client.text(&room(name)).await;
        assert_eq!(client.ask("x").await, "x");
        kept.push(client);
    }
    let views = host.deployer.functions();
    let instances = views[0].versions.iter().flat_map(|it| &it.instances);
    let mut keys: Vec<_> = instances.filter_map(|it| it.key.clone()).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    let mut client = host.connect("/reject/a").await;
    client.text(&room("")).await;
    assert_eq!(client.closed().await, end(1008, "affinity"));
}

#[tokio::test]
async fn a_token_that_came_first_ends_and_is_renewed_like_another() {
    let lines = format!("{FIRST}leeway = \"0 s\"\nrenewal_prefix = \"token:\"\n");
    let host = host(&lines).await;
    let soon = now() + 5;
    let claims = |end: u64| token(&json!({"sub": "ann", "exp": end}));
    let mut ends = host.connect("/reject/a").await;
    ends.text(&claims(soon)).await;
    let mut stays = host.connect("/reject/a").await;
    stays.text(&claims(soon)).await;
    let renewal = format!("token:{}", claims(now() + 600));
    assert_eq!(stays.ask(&renewal).await, "token:ok");
    assert_eq!(ends.closed().await, end(1008, "the token has expired"));
    assert!(now() >= soon);
    assert_eq!(stays.ask("still here").await, "still here");
    // Revoked, it ends at once.
    let function = FunctionName::new("fault-reject").unwrap();
    let revocation = Revocation::Subject {
        subject: "ann".into(),
        before: UnixTime(now() + 1),
        expires: UnixTime(now() + 600),
    };
    // A token that does not say when it was made is older.
    let revoked = host.deployer.revoke(&function, revocation).await.unwrap();
    assert_eq!(revoked.closed, 1);
    assert_eq!(stays.closed().await.code, 1008);
}

/// Keys that were replaced while a connection waited let no peer in, and neither
/// does a trigger that takes no tokens any more.
#[tokio::test]
async fn a_token_is_verified_by_what_is_in_force_when_it_comes() {
    const NEXT: &[u8] = b"fedcba9876543210fedcba9876543210";
    let lines = first("timeout = \"1 h\"");
    let files = Files::new();
    let host = files.host(&lines).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(host.connect("/reject/a").await);
    }
    let [old, new, late] = &mut clients[..] else {
        panic!("three are connected");
    };
    fs::write(files.0.path().join("secret"), NEXT).unwrap();
    reload(&host.deployer, files.config(&lines)).await.unwrap();
    old.text(&good()).await;
    assert_eq!(old.closed().await, end(1008, "token_invalid"));
    let next = signed(&json!({"sub": "ann", "exp": now() + 600}), NEXT);
    new.text(&next).await;
    assert_eq!(new.ask("x").await, "x");
    reload(&host.deployer, files.config("")).await.unwrap();
    late.text(&next).await;
    assert_eq!(late.closed().await, end(1013, "token_keys_unavailable"));
    assert_eq!(refused(&host, "token_keys_unavailable"), 1);
}

/// Messages after the token wait for the function, and their bytes count.
#[tokio::test]
async fn what_waits_for_a_slow_decision_counts() {
    let files = Files::new();
    let triggers = files.config(FIRST).functions[0].triggers.clone();
    let host = Host::with(openline_guests::FAULT_SLEEP, "/reject")
        .function(move |function| function.triggers = triggers)
        .start()
        .await;
    let mut raw = Raw::upgraded(host.address, "/reject/a?decide=3000").await;
    let rest = vec![b'a'; 40 << 10];
    let both = [frame(TEXT, good().as_bytes()), frame(TEXT, &rest)].concat();
    raw.send(&both).await;
    let waiting = host
        .until("the function to be asked", |state| state["instances"] == 1)
        .await;
    assert_eq!(waiting["connections"]["opened"], 0, "{waiting:#}");
    // The bytes of one read, past those that every connection may hold.
    host.until("its bytes to count", |state| {
        state["received_bytes"].as_u64() > Some(0) || state["connections"]["opened"] == 1
    })
    .await;
    assert_eq!(raw.read_frame().await, (0x81, rest));
    drop(raw);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn over_http_2_it_is_the_same() {
    let host = host(FIRST).await;
    let mut http2 = Http2::connect(host.address).await;
    let mut stream = http2.open("/reject/a?greet=claims").await.unwrap();
    let mut wrong = http2.open("/reject/a").await.unwrap();
    eventually("three places to be taken", || host.gateway.requests() == 3).await;
    wrong.send(TEXT, b"wrong").await;
    assert_eq!(wrong.closed().await, 1008);
    stream.send(TEXT, good().as_bytes()).await;
    let (_, claims) = stream.frame().await.unwrap();
    assert!(String::from_utf8(claims).unwrap().contains("\"ann\""));
    stream.echo(b"hello").await;
    drop(wrong);
    eventually("its places to be free", || host.gateway.requests() == 0).await;
    http2.vanish();
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_handshake_needs_no_token_and_a_bad_one_is_refused_as_ever() {
    let host = host(FIRST).await;
    let authorization = format!("Bearer {}", good());
    // A token in the request counts for nothing.
    let (mut client, _) = ask(&host, "/reject/a", &[("authorization", &authorization)])
        .await
        .unwrap();
    client.text("hello").await;
    assert_eq!(client.closed().await, end(1008, "token_invalid"));
    let answer = ask(&host, "/elsewhere", &[]).await.unwrap_err();
    assert_eq!(answer.0, 404);
}

/// The claims come after the handshake: a rule about them would let all pass.
#[tokio::test]
async fn a_rule_about_claims_refuses_what_it_cannot_decide_about() {
    const RULES: &str = r#"
[[firewall]]
name = "edge"
[[firewall.rule]]
name = "banned"
criteria = ["if arg_rule exists", "and claim_plan is_equal banned"]
behaviors = ["deny"]
"#;
    let by_claims = |builder: HostBuilder| {
        let named = builder.server(|server| server.firewall = Some("edge".into()));
        named.firewalls(RULES)
    };
    let host = host_with(FIRST, by_claims).await;
    let refused = ask(&host, "/reject/a", &[]).await.err().unwrap();
    assert_eq!((refused.0, &*refused.1), (503, "firewall_failed"));
}

/// A peer that leaves the close unanswered keeps its places until then.
#[tokio::test]
async fn one_that_is_refused_counts_until_it_is_closed() {
    let refusing = ["/reject/a", "/reject/a?status=403"];
    for (target, message) in [(refusing[0], "no token".to_owned()), (refusing[1], good())] {
        let one = |host: HostBuilder| {
            host.server(|server| {
                server.peer_connections = 1;
                server.close_timeout = Duration::from_secs(600);
            })
        };
        let host = host_with(FIRST, one).await;
        let mut raw = Raw::upgraded(host.address, target).await;
        raw.send(&frame(TEXT, message.as_bytes())).await;
        assert_eq!(raw.read_close().await.0, 1008, "{target}");
        let next = ask(&host, "/reject/a", &[]).await.err().unwrap();
        assert_eq!(
            (next.0, &*next.1),
            (429, "host_peer_connections"),
            "{target}"
        );
        eventually("only it to have a place", || host.gateway.requests() == 1).await;
        raw.send(&frame(0x88, &1008_u16.to_be_bytes())).await;
        drop(raw);
        eventually("its place to be free", || host.gateway.requests() == 0).await;
        assert_eq!(host.gateway.services().ledger().connections(), 0);
    }
}
