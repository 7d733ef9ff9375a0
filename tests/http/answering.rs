//! Answers: whole, in pieces, with trailers, to every method, over both versions of
//! HTTP, beside WebSockets.

use http::{HeaderMap, HeaderValue};

use super::*;

#[tokio::test]
async fn a_request_is_answered_in_both_call_styles() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/hello").await;
        assert_eq!(answer.headers()["content-length"], "6");
        assert!(answer.headers().contains_key("openline-request-id"));
        assert_eq!(read(answer).await, (200, "hello\n".to_owned()));
        // On the same TCP connection, and by the same instance.
        for requests in 2..5 {
            assert_eq!(counts(&mut peer).await["requests"], requests, "{component}");
        }
        assert_eq!(peer.text("/status/404").await.0, 404);
        assert_eq!(peer.text("/count/3").await, (200, "1\n2\n3\n".to_owned()));
        drop(peer);
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_body_goes_through_piece_by_piece_while_it_is_sent() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let (pieces, body) = piecewise();
        pieces.try_send(Bytes::from_static(b"first")).unwrap();
        let answer = peer.ask(Method::POST, "/echo", body).await;
        assert_eq!(answer.status(), 200);
        let mut echoed = answer.into_body();
        assert_eq!(piece(&mut echoed).await.unwrap(), "first");
        // The request has not ended yet.
        pieces.try_send(Bytes::from_static(b"second")).unwrap();
        assert_eq!(piece(&mut echoed).await.unwrap(), "second");
        drop(pieces);
        assert_eq!(piece(&mut echoed).await, None, "{component}");
    }
}

#[tokio::test]
async fn a_large_body_comes_back_as_it_was_sent() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let sent: Vec<u8> = (0..3_000_000_u32)
            .map(|n| (n * 31).to_le_bytes()[1])
            .collect();
        let answer = peer.ask(Method::PUT, "/echo", whole(sent.clone())).await;
        let body = within("the body", answer.into_body().collect()).await;
        assert!(body.unwrap().to_bytes() == sent, "{component}");
    }
}

#[tokio::test]
async fn trailers_come_after_the_body_over_both_versions() {
    for component in BOTH {
        let host = host(component).start().await;
        let uri = format!("http://{}/trailers", host.address);
        let asked = Request::builder().uri(uri).header("te", "trailers");
        let over_2 = over_http2(&host, asked.body(none()).unwrap())
            .await
            .unwrap();
        let mut peer = Peer::connect(&host).await;
        let over_1 = peer.get("/trailers").await;
        for answer in [over_2, over_1] {
            let body = within("a body", answer.into_body().collect())
                .await
                .unwrap();
            let trailers = body.trailers().cloned().unwrap();
            assert_eq!(trailers["grpc-status"], "0", "{component}");
            assert!(!trailers.contains_key("set-cookie"), "{component}");
        }
    }
}

#[tokio::test]
async fn trailers_of_requests_come_without_what_belongs_into_a_head() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut trailers = HeaderMap::new();
        for name in ["x-checksum", "authorization", "openline-claims"] {
            trailers.insert(name, HeaderValue::from_static("forged"));
        }
        let frames = [Frame::data("abc".into()), Frame::trailers(trailers)];
        let frames = futures_util::stream::iter(frames.map(Ok));
        let body = BodyExt::boxed(StreamBody::new(frames));
        let asked = Request::post(format!("http://{}/swallow", host.address));
        let answer = over_http2(&host, asked.body(body).unwrap()).await.unwrap();
        assert_eq!(read(answer).await, (200, "3 x-checksum\n".to_owned()));
    }
}

#[tokio::test]
async fn head_has_no_body_and_options_is_for_the_function() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.ask(Method::HEAD, "/hello", none()).await;
        assert_eq!(answer.headers()["content-length"], "6");
        assert_eq!(read(answer).await, (200, String::new()));
        let answer = peer.ask(Method::HEAD, "/forever", none()).await;
        assert_eq!(read(answer).await, (200, String::new()));
        for path in ["/hello", "/forever"] {
            let request = Request::builder().method(Method::HEAD);
            let request = request.uri(format!("http://{}{path}", host.address));
            let answer = over_http2(&host, request.body(none()).unwrap()).await;
            assert_eq!(read(answer.unwrap()).await, (200, String::new()));
        }
        let answer = peer.ask(Method::OPTIONS, "/hello", none()).await;
        assert_eq!(read(answer).await, (200, "hello\n".to_owned()));
        let gone = refused(&host, "peer_gone");
        assert_eq!(gone, 0, "nobody has left: {component}");
    }
}

#[tokio::test]
async fn a_method_that_the_trigger_does_not_take_does_not_reach_the_function() {
    let host = Host::with(PLAIN, ROUTE).start().await;
    let mut peer = Peer::connect(&host).await;
    let answer = peer.ask(Method::POST, "/hello", none()).await;
    assert_eq!(
        (answer.status().as_u16(), word(&answer)),
        (405, "method_not_allowed")
    );
    assert_eq!(answer.headers()["allow"], "GET");
}

#[tokio::test]
async fn one_function_has_websockets_and_requests() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut client = host.connect("/socket").await;
        assert_eq!(client.ask("one").await, "one");
        let mut peer = Peer::connect(&host).await;
        assert_eq!(peer.text("/hello").await, (200, "hello\n".to_owned()));
        // Not in the instance of the connection, which need not wait for an answer.
        assert_eq!(counts(&mut peer).await["messages"], 0, "{component}");
        let mut forever = peer.get("/forever").await.into_body();
        piece(&mut forever).await.unwrap();
        assert_eq!(client.ask("two").await, "two");
    }
}

#[tokio::test]
async fn a_function_without_an_http_handler_is_asked_for_a_websocket_as_before() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let mut peer = Peer::connect(&host).await;
    let answer = peer.get("/echo").await;
    assert_eq!(
        (answer.status().as_u16(), word(&answer)),
        (426, "upgrade_required")
    );
}

/// The sample of the guide: a back end posts, and all who listen get it.
#[tokio::test]
async fn a_post_reaches_all_who_are_connected() {
    let host = Host::with(openline_guests::NOTIFY, "/notify/{channel}").function(|function| {
        function.triggers[0].methods = Methods::new(&["GET", "POST"]).unwrap();
    });
    let host = host.start().await;
    let mut clients = [
        host.connect("/notify/orders").await,
        host.connect("/notify/orders").await,
    ];
    let mut other = host.connect("/notify/others").await;
    let mut peer = Peer::connect(&host).await;
    let answer = peer
        .ask(Method::POST, "/notify/orders", whole(r#"{"order":17}"#))
        .await;
    let (status, text) = read(answer).await;
    let result: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &result["delivered"]), (200, &2.into()), "{text}");
    for client in &mut clients {
        let event: Value = serde_json::from_str(&client.next_text().await).unwrap();
        assert_eq!(event["order"]["order"], 17);
    }
    let answer = peer.ask(Method::POST, "/notify/others", whole("1")).await;
    assert_eq!(answer.status(), 200);
    let event: Value = serde_json::from_str(&other.next_text().await).unwrap();
    assert_eq!(event["order"], 1, "and nothing before it");
    let answer = peer.ask(Method::POST, "/notify/orders", whole("{")).await;
    assert_eq!(answer.status(), 400);
}
