//! Peers that send or read slowly: plain functions, whose calls wait for them, serve
//! others all the same.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::harness::runtime;

/// A host whose function has one instance, and so a plain one a single seat.
fn one_seat(component: &str) -> HostBuilder {
    host(component)
        .instance(|instance| instance.instances = 1)
        .limit(|limit| {
            limit.handler_timeout = LONG;
            limit.upgrade_timeout = LONG;
        })
}

/// The seat is for those that have sent something.
#[tokio::test]
async fn a_request_whose_body_does_not_come_takes_no_seat() {
    for length in [None, Some(10)] {
        let host = one_seat(PLAIN).start().await;
        let (sender, body) = piecewise();
        if length.is_some() {
            sender.send("a".into()).await.unwrap();
        }
        let mut slow = Peer::connect(&host).await;
        let request = Request::post("/swallow").header("host", "a");
        let request = match length {
            Some(length) => request.header("content-length", length),
            None => request,
        };
        let mut asked = std::pin::pin!(slow.send(request.body(body).unwrap()));
        let mut peer = Peer::connect(&host).await;
        for _ in 0..3 {
            tokio::select! {
                answer = asked.as_mut() => panic!("{answer:?}"),
                answer = peer.text("/hello") => assert_eq!(answer.0, 200),
            }
        }
        let rest = if length.is_some() {
            "bcdefghij"
        } else {
            "abcdefghij"
        };
        sender.send(rest.into()).await.unwrap();
        drop(sender);
        let answer = within("an answer", asked).await.unwrap();
        assert_eq!(read(answer).await, (200, "10\n".to_owned()));
    }
}

/// A peer that has sent something keeps its seat, until another request waits.
#[tokio::test]
async fn a_peer_that_stops_gives_its_seat_to_the_next() {
    let host = one_seat(PLAIN).start().await;
    let (sender, body) = piecewise();
    sender.send("a".into()).await.unwrap();
    let mut slow = Peer::connect(&host).await;
    let mut stream = slow.ask(Method::POST, "/echo", body).await.into_body();
    assert_eq!(piece(&mut stream).await.unwrap(), "a");
    let mut peer = Peer::connect(&host).await;
    assert_eq!(peer.text("/hello").await, (200, "hello\n".to_owned()));
    let end = within("the end", stream.frame()).await;
    assert!(end.unwrap().is_err(), "it does not look whole");
    assert_eq!(refused(&host, "peer_slow"), 1);
    // The same instance: it was no fault.
    assert_eq!(counts(&mut peer).await["requests"], 3);
}

#[tokio::test]
async fn a_peer_that_stops_before_its_answer_is_told_why() {
    let host = one_seat(PLAIN).start().await;
    let (sender, body) = piecewise();
    sender.send("a".into()).await.unwrap();
    let mut slow = Peer::connect(&host).await;
    let mut asked = std::pin::pin!(slow.asked(Method::POST, "/swallow", body));
    let mut peer = Peer::connect(&host).await;
    // One of these has the seat first; there is nothing to tell whose turn it is.
    let mut others = std::pin::pin!(async {
        loop {
            assert_eq!(peer.text("/hello").await.0, 200);
        }
    });
    let answer = tokio::select! {
        answer = asked.as_mut() => answer.unwrap(),
        () = others.as_mut() => unreachable!(),
    };
    assert_eq!(
        (answer.status().as_u16(), word(&answer)),
        (408, "peer_slow")
    );
    assert_eq!(answer.headers()["openline-error-blame"], "peer");
}

/// The same for a peer that does not read.
#[tokio::test]
async fn a_peer_that_does_not_read_gives_its_seat_to_the_next() {
    let host = one_seat(PLAIN).start().await;
    let uri = format!("http://{}/length/67108864/67108864", host.address);
    let request = Request::builder().uri(uri).body(none()).unwrap();
    let answer = over_http2(&host, request).await.unwrap();
    let mut peer = Peer::connect(&host).await;
    assert_eq!(peer.text("/hello").await.0, 200);
    let body = within("the end", answer.into_body().collect()).await;
    assert!(body.is_err());
    assert_eq!(refused(&host, "peer_slow"), 1);
    assert_eq!(counts(&mut peer).await["requests"], 3);
}

/// Nobody waits for them: slow peers may take their time.
#[tokio::test]
async fn a_peer_may_be_slow_while_nobody_waits() {
    for component in BOTH {
        let host =
            host(component).limit(|limit| limit.handler_timeout = Duration::from_millis(200));
        let host = host.start().await;
        let (sender, body) = piecewise();
        sender.send("a".into()).await.unwrap();
        let mut peer = Peer::connect(&host).await;
        let mut stream = peer.ask(Method::POST, "/echo", body).await.into_body();
        assert_eq!(piece(&mut stream).await.unwrap(), "a");
        // Past what a call may take that waits for nobody.
        tokio::time::sleep(Duration::from_millis(500)).await;
        sender.send("b".into()).await.unwrap();
        drop(sender);
        assert_eq!(piece(&mut stream).await.unwrap(), "b", "{component}");
        assert_eq!(piece(&mut stream).await, None, "{component}");
    }
}

/// The only place of the host is kept by a version that a deploy has replaced, for a
/// peer that sends nothing more; the next version gets it all the same.
#[tokio::test]
async fn what_a_deploy_has_replaced_keeps_no_place_for_slow_peers() {
    use crate::harness::{deploy_options, variant};
    for component in BOTH {
        let host = host(component).limit(|limit| {
            limit.handler_timeout = Duration::from_millis(300);
            limit.upgrade_timeout = LONG;
        });
        let host = host.start_on(&runtime(1, |_| {})).await;
        let (sender, body) = piecewise();
        sender.send("a".into()).await.unwrap();
        let mut slow = Peer::connect(&host).await;
        let mut stream = slow.ask(Method::POST, "/echo", body).await.into_body();
        assert_eq!(piece(&mut stream).await.unwrap(), "a");
        let name = host.deployer.triggers()[0].1.function().clone();
        let next = variant(&std::fs::read(component).unwrap(), 1);
        let deployed = host
            .deployer
            .deploy(&name, next.into(), deploy_options())
            .await;
        assert!(deployed.unwrap().version_is_new);
        // A connection waits for its place, and is not refused meanwhile.
        let mut client = host.connect("/socket").await;
        assert_eq!(client.ask("one").await, "one", "{component}");
        let end = within("the end", stream.frame()).await;
        assert!(end.unwrap().is_err(), "{component}");
    }
}

/// One stream that is not read ends, and the others of its TCP connection go on.
#[tokio::test]
async fn a_stream_that_is_not_read_ends_alone() {
    let host = host(ASYNC).server(|server| server.request_timeout = Duration::from_millis(200));
    let host = host.start().await;
    let stream = TcpStream::connect(host.address).await.unwrap();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(16 * 1024);
    let handshake = builder.handshake::<_, Body>(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let mut ask = async |path: &str| {
        let uri = format!("http://{}{path}", host.address);
        let request = Request::builder().uri(uri).body(none()).unwrap();
        within("an answer", sender.send_request(request))
            .await
            .unwrap()
    };
    let unread = ask("/length/1000000/1000000").await;
    let mut read = ask("/forever?pause=10").await.into_body();
    // The function learns that its peer is not there.
    let ended = async {
        while refused(&host, "peer_gone") == 0 {
            assert!(piece(&mut read).await.is_some());
        }
    };
    within("the unread one to end", ended).await;
    for _ in 0..10 {
        assert!(piece(&mut read).await.is_some(), "the other goes on");
    }
    let body = within("the end", unread.into_body().collect()).await;
    assert!(body.is_err());
    assert_eq!(ask("/hello").await.status(), 200);
}

/// The kernel takes much of an answer; a peer that reads slowly, and steadily, is not
/// one that does not read.
#[tokio::test]
async fn a_peer_that_reads_slowly_gets_all_of_its_answer() {
    const BYTES: usize = 6_000_000;
    let host = host(ASYNC).server(|server| server.request_timeout = Duration::from_millis(500));
    let host = host.start().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut socket = socket.connect(host.address).await.unwrap();
    let request = format!("GET /length/{BYTES}/{BYTES} HTTP/1.1\r\nHost: a\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let (mut read, mut buffer) = (0, vec![0; 16 * 1024]);
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while read < BYTES {
        pace.tick().await;
        let bytes = within("bytes", socket.read(&mut buffer)).await.unwrap();
        assert!(bytes > 0, "it ends after {read} bytes");
        read += bytes;
    }
}
