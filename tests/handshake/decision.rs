//! The result of each answer that a function can give to a handshake, and of
//! answers that never come.
//!
//! Response headers past 8 KiB are not tested here, because the guest gets its
//! answer from the path, which has the same limit; a unit test of the gateway
//! has them.

use std::time::Duration;

use openline_core::limits::{CHANNEL_NAME_BYTES_MAX, FunctionLimits};

use super::request::{ACCEPT, Ask, Request};
use crate::harness::{Client, Host, Raw, eventually, frame, within};

/// A host whose function answers according to the query.
async fn reject() -> Host {
    Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await
}

#[tokio::test]
async fn a_function_may_choose_a_later_subprotocol_or_none() {
    let host = reject().await;
    let offering = [("Sec-WebSocket-Protocol", "a, b, c")];
    let later = Request::right("/reject?subprotocol=b").headers(&offering);
    let answer = later.ask(&host).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.all("sec-websocket-protocol"), ["b"]);
    let none = Request::right("/reject").headers(&offering);
    let answer = none.ask(&host).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("sec-websocket-protocol"), None);
}

#[tokio::test]
async fn the_headers_of_the_function_are_in_the_101() {
    let host = reject().await;
    let path = "/reject?header=X-A:1&header=set-cookie:a=b&header=set-cookie:c=d";
    let answer = Request::right(path).ask(&host).await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.all("x-a"), ["1"]);
    assert_eq!(answer.all("set-cookie"), ["a=b", "c=d"]);
    assert_eq!(answer.header("sec-websocket-accept"), Some(ACCEPT));
}

#[tokio::test]
async fn a_rejection_is_an_ordinary_answer_and_the_tcp_connection_goes_on() {
    let host = reject().await;
    let mut raw = Raw::connect(host.address).await;
    let path = "/reject?status=403&header=x-why:because&body=not%20today";
    let answer = Request::right(path).ask_on(&mut raw).await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("x-why"), Some("because"));
    assert_eq!(answer.header("openline-error-type"), None);
    assert_eq!(answer.header("upgrade"), None);
    assert_eq!(answer.body, "not today");
    let again = Request::right("/reject?status=401").ask_on(&mut raw).await;
    assert_eq!((again.status, again.body.as_str()), (401, ""));
    let accepted = Request::right("/reject").ask_on(&mut raw).await;
    assert_eq!(accepted.status, 101);
    raw.send(&frame(0x81, b"hello")).await;
    assert_eq!(raw.read_frame().await, (0x81, b"hello".to_vec()));
}

#[tokio::test]
async fn an_answer_that_is_not_valid_becomes_a_502_that_tells_no_details() {
    let host = reject().await;
    for query in [
        "subprotocol=secret",
        "header=connection:secret",
        "header=Upgrade:secret",
        "header=content-length:3",
        "header=transfer-encoding:chunked",
        "header=sec-websocket-accept:secret",
        "header=sec-websocket-extensions:secret",
        "header=openline-error-type:secret",
        "header=date:secret",
        "header=a%20secret:1",
        "header=x:secret%0d%0aset-cookie:secret",
        "header=:secret",
        "status=403&header=host:secret",
        "status=0",
        "status=99",
        "status=101",
        "status=199",
        "status=600",
        "status=secret",
        "channel=",
    ] {
        let request = Request::right(&format!("/reject?{query}"));
        let answer = request.refused(&host, 502, "bad_answer").await;
        let shown = format!("{:?} {}", answer.headers, answer.body);
        assert!(!shown.contains("secret"), "{query}: {shown}");
    }
    // Case matters in subprotocols.
    let other_case = Request::right("/reject?subprotocol=CHAT");
    let other_case = other_case.with("Sec-WebSocket-Protocol", "chat");
    other_case.refused(&host, 502, "bad_answer").await;
    // Nothing of them is left behind.
    let function = host.function("fault-reject");
    assert_eq!(function.hub().connections(), 0);
    let mut client = host.connect("/reject").await;
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn what_an_answer_may_hold_at_its_limit_and_past_it() {
    let host = reject().await;
    let name = "c".repeat(CHANNEL_NAME_BYTES_MAX);
    let channels = |count: usize| -> String {
        let each = (0..count).map(|index| format!("&channel={index}"));
        each.collect()
    };
    let limits = FunctionLimits::default();
    let body = limits.rejection_body_bytes;
    let attachment = limits.attachment_bytes;
    let many = limits.channels as usize;
    for (at, status, past) in [
        (
            format!("status=403&body_bytes={body}"),
            403,
            format!("status=403&body_bytes={}", body + 1),
        ),
        (
            format!("attachment_bytes={attachment}"),
            101,
            format!("attachment_bytes={}", attachment + 1),
        ),
        (channels(many), 101, channels(many + 1)),
        (format!("channel={name}"), 101, format!("channel={name}c")),
        ("status=200".into(), 200, "status=199".into()),
        ("status=599".into(), 599, "status=600".into()),
    ] {
        let answer = Request::right(&format!("/reject?{at}")).ask(&host).await;
        assert_eq!(answer.status, status, "{at}");
        if at.contains("body_bytes") {
            assert_eq!(answer.body.len(), body);
        }
        let request = Request::right(&format!("/reject?{past}"));
        request.refused(&host, 502, "bad_answer").await;
    }
}

#[tokio::test]
async fn a_function_that_fails_while_it_decides_is_a_502_and_the_next_is_served() {
    let host = Host::with(openline_guests::FAULT_TRAP, "/trap")
        .start()
        .await;
    let request = Request::right("/trap?at=upgrade");
    let answer = request.refused(&host, 502, "trap").await;
    // The guest's message stays in the log.
    assert!(!answer.body.contains("asked for"), "{}", answer.body);
    let mut client = host.connect("/trap").await;
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn a_function_that_computes_without_end_while_it_decides_is_a_504() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .start()
        .await;
    let request = Request::right("/compute?at=upgrade");
    request.refused(&host, 504, "cpu_timeout").await;
    let mut client = host.connect("/compute").await;
    assert_eq!(client.ask("still here").await, "still here");
}

/// A function with room for one connection, whose `upgrade` can be made to wait
/// forever.
async fn narrow(handler_timeout: Duration) -> Host {
    Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| limit.handler_timeout = handler_timeout)
        .instance(|instance| {
            instance.concurrency = 1.try_into().unwrap();
            instance.instances = 1.try_into().unwrap();
        })
        .start()
        .await
}

#[tokio::test]
async fn without_room_a_peer_is_told_to_come_back() {
    let host = narrow(Duration::from_secs(10)).await;
    let only = host.connect("/await").await;
    let request = Request::right("/await");
    let answer = request.refused(&host, 503, "no_capacity").await;
    let seconds: u32 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    only.vanish();
    let mut next = host.connect_eventually("/await").await;
    assert_eq!(next.ask("room again").await, "room again");
}

#[tokio::test]
async fn an_upgrade_that_never_returns_is_a_504_and_its_seat_is_free_again() {
    let host = narrow(Duration::from_millis(300)).await;
    let request = Request::right("/await?at=upgrade");
    request.refused(&host, 504, "handler_timeout").await;
    // Its instance ends at the same time; a connection in between may share its
    // end.
    let trying = async {
        loop {
            match Client::open(host.address, "/await", &[]).await {
                Ok(client) => return client,
                Err(refused) => assert!([503, 504].contains(&refused.status), "{refused:?}"),
            }
        }
    };
    let mut next = within("a seat", trying).await;
    assert_eq!(next.ask("room again").await, "room again");
}

#[tokio::test]
async fn a_peer_that_vanishes_while_the_function_decides_leaves_its_seat() {
    let host = narrow(Duration::from_millis(500)).await;
    let mut peer = Raw::connect(host.address).await;
    peer.send(Request::right("/await?at=upgrade").text().as_bytes())
        .await;
    let function = host.function("fault-await-forever");
    eventually("the function to be asked", || function.instances() == 1).await;
    drop(peer);
    // Its seat is free when the function has returned, or has used up its time.
    let mut next = host.connect_eventually("/await").await;
    assert_eq!(next.ask("room again").await, "room again");
}

#[tokio::test]
async fn peers_that_vanish_at_any_moment_of_the_handshake_leave_their_seats() {
    // There is only one seat, so a lost one would show.
    for (guest, path) in [
        (openline_guests::ECHO, "/echo"),
        (openline_guests::ECHO_ASYNC, "/echo"),
    ] {
        let host = Host::with(guest, path)
            .instance(|instance| {
                instance.concurrency = 1.try_into().unwrap();
                instance.instances = 1.try_into().unwrap();
            })
            .start()
            .await;
        let request = Request::right(path).text();
        for round in 0..200 {
            let mut peer = Raw::connect(host.address).await;
            peer.send(request.as_bytes()).await;
            // Each round lets the host come a little further.
            for _ in 0..round % 40 {
                tokio::task::yield_now().await;
            }
            if round % 2 == 0 {
                peer.socket.set_zero_linger().unwrap();
            }
            drop(peer);
        }
        let mut next = host.connect_eventually(path).await;
        assert_eq!(next.ask("room again").await, "room again");
    }
}
