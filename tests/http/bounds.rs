//! What bounds an exchange, at each bound and past it.

use super::*;
use crate::harness::runtime;

#[tokio::test]
async fn the_body_of_a_request_at_its_bytes_and_past_them() {
    for component in BOTH {
        let host = host(component).limit(|limit| limit.request_body_bytes = 1000);
        let host = host.start().await;
        for (bytes, expected) in [(1000, 200), (1001, 413)] {
            let mut peer = Peer::connect(&host).await;
            let announced = peer
                .ask(Method::POST, "/swallow", whole(vec![b'x'; bytes]))
                .await;
            assert_eq!(announced.status(), expected, "{component} {bytes}");
            let mut peer = Peer::connect(&host).await;
            let (pieces, body) = piecewise();
            pieces.try_send(vec![b'x'; bytes].into()).unwrap();
            drop(pieces);
            let chunked = peer.ask(Method::POST, "/swallow", body).await;
            assert_eq!(chunked.status(), expected, "{component} {bytes}");
            if expected == 413 {
                assert_eq!(word(&chunked), "request_body_bytes");
            } else {
                assert_eq!(read(chunked).await.1, "1000\n");
            }
        }
    }
}

#[tokio::test]
async fn the_headers_of_an_answer_past_their_bytes_are_the_functions_fault() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        assert_eq!(peer.text("/many-headers/80").await.0, 200);
        for path in [
            "/many-headers/300",
            "/status/199",
            "/status/999",
            "/no-answer",
        ] {
            let answer = peer.get(path).await;
            assert_eq!(answer.status(), 502, "{component} {path}");
            assert_eq!(word(&answer), "bad_answer");
            assert_eq!(answer.headers()["openline-error-blame"], "function");
        }
        // It goes on answering.
        assert_eq!(peer.text("/hello").await.0, 200);
    }
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_a_504() {
    for component in BOTH {
        let host =
            host(component).limit(|limit| limit.handler_timeout = Duration::from_millis(200));
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/sleep/600000").await;
        assert_eq!(
            (answer.status().as_u16(), word(&answer)),
            (504, "handler_timeout")
        );
        let answer = peer.get("/spin").await;
        assert_eq!(answer.status(), 504, "{component}");
        assert_eq!(peer.text("/hello").await.0, 200);
    }
}

/// The function has time while it waits for its peer, and not while others do.
#[tokio::test]
async fn a_slow_upload_is_not_a_slow_function() {
    for component in BOTH {
        let host =
            host(component).limit(|limit| limit.handler_timeout = Duration::from_millis(300));
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        let (pieces, body) = piecewise();
        let sending = async {
            for _ in 0..5 {
                pieces.try_send(Bytes::from_static(b"xx")).unwrap();
                // Longer in all than the function has, which is what is tested.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
            drop(pieces);
        };
        let (answer, ()) = tokio::join!(peer.ask(Method::POST, "/swallow", body), sending);
        assert_eq!(read(answer).await, (200, "10\n".to_owned()), "{component}");
    }
}

#[tokio::test]
async fn a_peer_that_stops_sending_is_refused_and_blamed() {
    for component in BOTH {
        let host = host(component)
            .server(|server| server.request_timeout = Duration::from_millis(200))
            .limit(|limit| limit.handler_timeout = LONG);
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        let (pieces, body) = piecewise();
        pieces.try_send(Bytes::from_static(b"x")).unwrap();
        let answer = peer.ask(Method::POST, "/swallow", body).await;
        let refused = (answer.status().as_u16(), word(&answer));
        assert_eq!(refused, (400, "request_body_incomplete"), "{component}");
        drop(pieces);
    }
}

#[tokio::test]
async fn an_exchange_ends_when_its_time_is_up() {
    for component in BOTH {
        let host = host(component).limit(|limit| {
            limit.stream_time = Duration::from_millis(300);
            limit.handler_timeout = LONG;
        });
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/forever?pause=20").await;
        assert_eq!(answer.status(), 200);
        let cut = within("the end", answer.into_body().collect()).await;
        assert!(cut.is_err(), "it does not look whole: {component}");
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/sleep/600000").await;
        assert_eq!(
            (answer.status().as_u16(), word(&answer)),
            (504, "stream_time")
        );
        assert_eq!(refused(&host, "stream_time"), 2);
    }
}

/// A plain function with one instance answers one request after the other.
#[tokio::test]
async fn requests_wait_for_an_instance_and_are_refused_when_they_have_waited_too_long() {
    let host = host(PLAIN)
        .instance(|instance| instance.instances = 1)
        .limit(|limit| limit.upgrade_timeout = LONG);
    let host = host.start().await;
    let mut first = Peer::connect(&host).await;
    let mut stream = first.get("/forever").await.into_body();
    piece(&mut stream).await.unwrap();
    let mut second = Peer::connect(&host).await;
    let waiting = second.asked(Method::GET, "/hello", none());
    let mut waiting = std::pin::pin!(waiting);
    tokio::select! {
        answer = waiting.as_mut() => panic!("{answer:?}"),
        _ = piece(&mut stream) => {}
    }
    // The first peer leaves, and the function learns it.
    drop((stream, first));
    let answer = within("the answer", waiting).await.unwrap();
    assert_eq!(read(answer).await, (200, "hello\n".to_owned()));
}

#[tokio::test]
async fn a_request_that_finds_no_instance_is_refused() {
    let host = host(PLAIN)
        .instance(|instance| instance.instances = 1)
        .limit(|limit| limit.upgrade_timeout = Duration::from_millis(100));
    let host = host.start().await;
    let mut first = Peer::connect(&host).await;
    let mut stream = first.get("/forever").await.into_body();
    piece(&mut stream).await.unwrap();
    let mut second = Peer::connect(&host).await;
    let answer = second.get("/hello").await;
    assert_eq!(
        (answer.status().as_u16(), word(&answer)),
        (503, "no_capacity")
    );
    assert!(answer.headers().contains_key("retry-after"));
    piece(&mut stream).await.unwrap();
}

#[tokio::test]
async fn places_come_back_with_the_end_of_an_answer() {
    for component in BOTH {
        let host = host(component).limit(|limit| limit.connections = 1);
        let host = host.start().await;
        let mut peer = Peer::connect(&host).await;
        let mut stream = peer.get("/forever").await.into_body();
        piece(&mut stream).await.unwrap();
        let mut other = Peer::connect(&host).await;
        let answer = other.get("/hello").await;
        assert_eq!(
            (answer.status().as_u16(), word(&answer)),
            (429, "connections")
        );
        drop((stream, peer));
        eventually("the place", || refused(&host, "peer_gone") == 1).await;
        let mut other = Peer::connect(&host).await;
        assert_eq!(other.text("/hello").await.0, 200, "{component}");
    }
}

/// A long answer keeps its place only as long as nobody else needs it.
#[tokio::test]
async fn a_function_with_long_answers_gives_its_place_to_one_that_has_none() {
    let host = host(PLAIN)
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .and(PLAIN, "/other/{*path}")
        .limit(|limit| limit.upgrade_timeout = LONG);
    let host = host.start_on(&runtime(1, |_| {})).await;
    let mut first = Peer::connect(&host).await;
    let stream = first.get("/forever?pause=10").await;
    let mut second = Peer::connect(&host).await;
    let asking = second.text("/other/hello");
    let reading = async { within("the end", stream.into_body().collect()).await };
    let (answered, cut) = tokio::join!(asking, reading);
    assert_eq!(answered, (200, "hello\n".to_owned()));
    assert!(cut.is_err(), "it does not look whole");
}
