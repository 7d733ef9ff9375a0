//! The limits that the gateway enforces, each at it and one past it: this file
//! has those of a handshake and of its answer.

mod messages;
mod numbers;
mod outbox;
mod slow;

use crate::harness::{HANDSHAKE, Host, Raw};

/// Status and `openline-error-type` of the answer to a handshake.
async fn asked(host: &Host, path: &str, header: &str) -> (u16, String) {
    let mut raw = Raw::connect(host.address).await;
    asked_on(&mut raw, path, header).await
}

async fn asked_on(raw: &mut Raw, path: &str, header: &str) -> (u16, String) {
    let request = HANDSHAKE
        .replace("{path}", path)
        .replace("\r\n\r\n", &format!("\r\n{header}\r\n"));
    raw.send(request.as_bytes()).await;
    let head = raw.head().await;
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let word = head
        .lines()
        .find_map(|line| line.strip_prefix("openline-error-type: "))
        .unwrap_or_default();
    if status == 429 || status == 503 {
        assert!(head.contains("\r\nretry-after: "), "{head}");
    }
    (status, word.to_owned())
}

fn accepted() -> (u16, String) {
    (101, String::new())
}

fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn a_handshake_at_its_configured_bytes_and_one_past_them() {
    let host = Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| {
            limit.request_header_bytes = 256;
            limit.request_uri_bytes = 64;
        })
        .and(openline_guests::ECHO_ASYNC, "/other")
        .start()
        .await;
    // The names and values of the five headers that a handshake has anyway.
    let have = "Hostlocalhost\
                UpgradewebsocketConnectionUpgrade\
                Sec-WebSocket-Version13Sec-WebSocket-KeydGhlIHNhbXBsZSBub25jZQ==";
    let header = |bytes: usize| format!("X: {}\r\n", "v".repeat(bytes - have.len() - 1));
    let path = |bytes: usize| format!("/echo?{}", "q".repeat(bytes - "/echo?".len()));
    assert_eq!(asked(&host, "/echo", &header(256)).await, accepted());
    let past = asked(&host, "/echo", &header(257)).await;
    assert_eq!(past, refused(400, "request_header_bytes"));
    assert_eq!(asked(&host, &path(64), "").await, accepted());
    let past = asked(&host, &path(65), "").await;
    assert_eq!(past, refused(400, "request_uri_bytes"));
    // Another function has limits of its own.
    assert_eq!(asked(&host, "/other", &header(257)).await, accepted());
}

#[tokio::test]
async fn an_answer_of_the_function_at_its_configured_bytes_and_one_past_them() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .limit(|limit| {
            limit.response_header_bytes = 100;
            limit.rejection_body_bytes = 10;
        })
        .start()
        .await;
    let header = |bytes: usize| format!("header=x-a:{}", "v".repeat(bytes - "x-a".len()));
    for (query, answer) in [
        (header(100), accepted()),
        (header(101), refused(502, "bad_answer")),
        (format!("status=403&{}", header(100)), refused(403, "")),
        (
            format!("status=403&{}", header(101)),
            refused(502, "bad_answer"),
        ),
        ("status=403&body_bytes=10".into(), refused(403, "")),
        (
            "status=403&body_bytes=11".into(),
            refused(502, "bad_answer"),
        ),
    ] {
        let got = asked(&host, &format!("/reject?{query}"), "").await;
        assert_eq!(got, answer, "{query}");
    }
}
