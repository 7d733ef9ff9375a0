//! How exchanges end that do not end well: functions that fail in the middle, lengths
//! that lie, peers that leave; and what of it others notice.

use super::*;
use crate::harness::{deploy_options, runtime, variant};

#[tokio::test]
async fn a_function_that_fails_before_its_answer_is_a_502() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let answer = peer.get("/trap").await;
        assert_eq!((answer.status().as_u16(), word(&answer)), (502, "trap"));
        assert_eq!(peer.text("/hello").await.0, 200, "{component}");
    }
}

/// No answer that was cut off looks as if it were whole.
#[tokio::test]
async fn an_answer_that_is_cut_off_does_not_look_whole() {
    for component in BOTH {
        let host = host(component).start().await;
        for path in ["/trap-after/10", "/trap-after/500000", "/length/100/50"] {
            let mut peer = Peer::connect(&host).await;
            // A peer that gets no head at all would repeat its request.
            let asked = peer.asked(Method::GET, path, none());
            let answer = within("an answer", asked).await.expect("a head");
            let body = within("the end", answer.into_body().collect()).await;
            assert!(body.is_err(), "{component} {path}");
            let uri = format!("http://{}{path}", host.address);
            let request = Request::builder().uri(uri).body(none()).unwrap();
            if let Ok(answer) = over_http2(&host, request).await {
                let body = within("the end", answer.into_body().collect()).await;
                assert!(body.is_err(), "{component} {path} over HTTP/2");
            }
        }
        let mut peer = Peer::connect(&host).await;
        assert_eq!(peer.text("/hello").await.0, 200);
    }
}

#[tokio::test]
async fn a_function_learns_that_its_peer_has_left() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut peer = Peer::connect(&host).await;
        let mut stream = peer.get("/forever").await.into_body();
        piece(&mut stream).await.unwrap();
        drop((stream, peer));
        eventually("the peer to be gone", || refused(&host, "peer_gone") == 1).await;
        // The same instance answers the next request when it has noticed.
        let learnt = async {
            loop {
                let mut peer = Peer::connect(&host).await;
                let counts = counts(&mut peer).await;
                if counts["left"] == 1 {
                    return;
                }
            }
        };
        within("the function to learn it", learnt).await;
    }
}

/// A call whose peer has left has `handler_timeout`, and then its instance ends: no
/// fault, and the next request has another one.
#[tokio::test]
async fn a_plain_call_that_does_not_notice_is_ended_without_a_fault() {
    let host = host(PLAIN)
        .instance(|instance| instance.instances = 1)
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300));
    let host = host.start().await;
    let mut peer = Peer::connect(&host).await;
    // It sleeps between its lines for longer than the test lasts.
    let mut stream = peer.get("/forever?pause=600000").await.into_body();
    piece(&mut stream).await.unwrap();
    drop((stream, peer));
    let mut other = Peer::connect(&host).await;
    assert_eq!(other.text("/hello").await.0, 200);
    assert_eq!(refused(&host, "handler_timeout"), 0);
}

/// Another function needs the only place, which a peer keeps that sends nothing more:
/// that peer is refused as it would be without a place.
#[tokio::test]
async fn a_plain_call_that_ends_for_another_is_a_503() {
    let host = host(PLAIN)
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
        .and(PLAIN, "/other/{*path}")
        .limit(|limit| limit.upgrade_timeout = Duration::from_secs(60));
    let host = host.start_on(&runtime(1, |_| {})).await;
    let mut first = Peer::connect(&host).await;
    let (sender, body) = piecewise();
    let mut asked = std::pin::pin!(first.ask(Method::POST, "/swallow", body));
    // More than everything on the way holds, so the function has begun to read.
    let sending = async {
        for _ in 0..30 {
            sender.send(vec![b'x'; 1 << 20].into()).await.unwrap();
        }
    };
    tokio::select! {
        answer = asked.as_mut() => panic!("{answer:?}"),
        () = sending => {}
    }
    let mut second = Peer::connect(&host).await;
    let (refused, answered) = tokio::join!(asked, second.text("/other/hello"));
    assert_eq!(
        (refused.status().as_u16(), word(&refused)),
        (503, "no_capacity")
    );
    assert_eq!(answered, (200, "hello\n".to_owned()));
}

#[tokio::test]
async fn a_peer_that_leaves_before_the_answer_is_counted_and_harms_nobody() {
    for component in BOTH {
        let host = host(component).start().await;
        let mut other = Peer::connect(&host).await;
        let mut stream = other.get("/forever?pause=10").await.into_body();
        piece(&mut stream).await.unwrap();
        for _ in 0..3 {
            let mut peer = Peer::connect(&host).await;
            let asking = peer.asked(Method::GET, "/sleep/600000", none());
            let mut asking = std::pin::pin!(asking);
            tokio::select! {
                answer = asking.as_mut() => panic!("{answer:?}"),
                _ = piece(&mut stream) => {}
            }
        }
        eventually("the peers to be gone", || refused(&host, "peer_gone") >= 1).await;
        for _ in 0..10 {
            assert!(piece(&mut stream).await.is_some(), "{component}");
        }
    }
}

#[tokio::test]
async fn a_deploy_lets_an_answer_end_where_it_began() {
    for component in BOTH {
        let host = host(component).start().await;
        let name = host.deployer.triggers()[0].1.function().clone();
        let mut peer = Peer::connect(&host).await;
        let (pieces, body) = piecewise();
        pieces.try_send(Bytes::from_static(b"before")).unwrap();
        let mut echoed = peer.ask(Method::POST, "/echo", body).await.into_body();
        assert_eq!(piece(&mut echoed).await.unwrap(), "before");
        let next = variant(&std::fs::read(component).unwrap(), 1);
        let deployed = host
            .deployer
            .deploy(&name, next.into(), deploy_options())
            .await;
        assert!(deployed.unwrap().version_is_new);
        let mut other = Peer::connect(&host).await;
        assert_eq!(counts(&mut other).await["requests"], 1, "another instance");
        pieces.try_send(Bytes::from_static(b"after")).unwrap();
        assert_eq!(piece(&mut echoed).await.unwrap(), "after");
        drop(pieces);
        assert_eq!(piece(&mut echoed).await, None, "{component}");
    }
}
