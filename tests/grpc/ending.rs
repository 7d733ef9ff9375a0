//! Deadlines, and clients that cancel.

use std::future::poll_fn;
use std::task::Poll;

use http_body_util::BodyExt;
use tonic::{Code, Request};

use super::calls::spoken;
use super::raw::{Raw, message, whole};
use super::*;
use crate::harness::eventually;

const FOREVER: &str = "/framed/0000000000/forever";

/// What it knows is in the memory of one instance.
fn one_instance(component: &str) -> HostBuilder {
    host(component).instance(|instance| instance.instances = 1)
}

async fn learns(raw: &mut Raw, times: u64) {
    let learnt = async { while raw.left().await != times {} };
    within("the function to learn it", learnt).await;
}

#[tokio::test]
async fn a_deadline_ends_a_call_before_its_answer_and_in_the_middle_of_it() {
    for component in BOTH {
        let host = one_instance(component).limit(|limit| limit.handler_timeout = LONG);
        let host = host.start().await;
        let mut raw = Raw::connect(&host).await;
        let soon = [("grpc-timeout", "300m")];
        let answer = raw.call(FOREVER, &soon, whole(message(b""))).await;
        assert_eq!(answer.status(), ("4", "grpc_deadline"), "{component}");
        assert!(answer.body.starts_with(&[0; 5]), "{component}");
        learns(&mut raw, 1).await;
        let over = [("grpc-timeout", "0n")];
        let answer = raw.call("/hello", &over, whole("")).await;
        assert_eq!(answer.status(), ("4", "grpc_deadline"), "{component}");
        // This one does not notice.
        let answer = raw.call("/sleep/600000", &soon, whole("")).await;
        assert_eq!(answer.status(), ("4", "grpc_deadline"), "{component}");
        assert!(answer.trailers.is_none(), "{component}");
    }
}

#[tokio::test]
async fn the_time_of_an_exchange_bounds_calls_with_later_deadlines_and_with_none() {
    for component in BOTH {
        let host = host(component).limit(|limit| {
            limit.stream_time = Duration::from_millis(300);
            limit.handler_timeout = LONG;
        });
        let host = host.start().await;
        let mut raw = Raw::connect(&host).await;
        let late: [&[(&str, &str)]; 2] = [&[], &[("grpc-timeout", "10H")]];
        for headers in late {
            for path in ["/sleep/600000", FOREVER] {
                let answer = raw.call(path, headers, whole("")).await;
                assert_eq!(answer.status(), ("4", "stream_time"), "{component} {path}");
            }
        }
    }
}

#[tokio::test]
async fn a_deadline_of_a_client_ends_its_stream() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let mut request = Request::new(RepeatRequest {
        name: "you".into(),
        times: 1_000_000,
        pause_ms: 10,
    });
    request.set_timeout(Duration::from_millis(500));
    let mut replies = greeter.repeat(request).await.unwrap();
    let mut number = 0;
    let failed = loop {
        match next(&mut replies).await {
            Ok(Some(reply)) => assert_eq!(reply, "Hello, you!"),
            Ok(None) => panic!("it ended well after {number}"),
            Err(failed) => break failed,
        }
        number += 1;
    };
    assert_eq!(failed.code(), Code::DeadlineExceeded);
    assert!(number > 0);
    drop((replies, greeter));
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_function_learns_that_its_client_has_cancelled() {
    for component in BOTH {
        let host = one_instance(component).start().await;
        let mut raw = Raw::connect(&host).await;
        for times in 1..=3 {
            let mut body = raw.open(FOREVER, &[], whole("")).await.into_body();
            within("a message", body.frame()).await.unwrap().unwrap();
            drop(body);
            learns(&mut raw, times).await;
        }
        let gone = host.gateway.tally().refused()["peer_gone"];
        assert_eq!(gone, 3, "{component}");
    }
}

#[tokio::test]
async fn a_cancelled_call_costs_no_other_on_its_tcp_connection() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let (sender, requests) = spoken();
    sender.send(hello("0")).await.unwrap();
    let mut kept = greeter.chat(requests).await.unwrap();
    assert_eq!(next(&mut kept).await.unwrap().unwrap(), "Hello, 0!");
    for number in 0..50 {
        // With messages on their way in both directions.
        let (others, requests) = spoken();
        others.send(hello("other")).await.unwrap();
        let replies = greeter.chat(requests).await.unwrap();
        others.send(hello("another")).await.unwrap();
        drop((replies, others));
        sender.send(hello(&number.to_string())).await.unwrap();
        let reply = next(&mut kept).await.unwrap().unwrap();
        assert_eq!(reply, format!("Hello, {number}!"));
    }
    drop((sender, kept, greeter));
    host.nothing_is_left().await;
}

/// Calls that reach functions and are cancelled before they are answered, as many as a
/// client can make.
#[tokio::test]
async fn a_flood_of_cancelled_calls_ends_its_tcp_connection_and_no_other() {
    for component in BOTH {
        let host = host(component)
            .limit(|limit| limit.handler_timeout = Duration::from_millis(500))
            .start()
            .await;
        let mut beside = Raw::connect(&host).await;
        let open = beside.open(FOREVER, &[], whole("")).await;
        let mut body = open.into_body();
        let raw = Raw::connect(&host).await;
        let flooding = async {
            while !raw.is_closed() {
                let mut caller = raw.clone();
                let mut asking = std::pin::pin!(caller.send("/sleep/600000", &[], whole("")));
                // It is sent, and given up with the future.
                let polled = poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await;
                assert!(!matches!(polled, Poll::Ready(Ok(_))));
                tokio::task::yield_now().await;
            }
        };
        within("the end of a flood", flooding).await;
        eventually("the calls to be counted", || {
            let refused = host.gateway.tally().refused();
            refused.get("peer_gone").is_some_and(|gone| *gone > 0)
        })
        .await;
        for _ in 0..10 {
            within("a message", body.frame()).await.unwrap().unwrap();
        }
        drop((body, beside, raw));
        host.nothing_is_left().await;
    }
}
