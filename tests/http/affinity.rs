//! With affinity, a request has the instance that the connections of its value have.

use openline_core::affinity::Affinity;
use openline_core::limits::BackoffPolicy;

use super::*;

#[tokio::test]
async fn a_request_shares_the_memory_of_its_value() {
    for component in BOTH {
        let host = Host::with(component, "/{room}/{*path}")
            .function(|function| {
                function.triggers[0].methods = Methods::new(&METHODS).unwrap();
            })
            .instance(|instance| instance.affinity = Some(Affinity::new("room").unwrap()));
        let host = host.start().await;
        let mut client = host.connect("/red/socket").await;
        assert_eq!(client.ask("one").await, "one");
        let mut peer = Peer::connect(&host).await;
        let (status, red) = peer.text("/red/state").await;
        assert_eq!(status, 200);
        let red: Value = serde_json::from_str(&red).unwrap();
        assert_eq!((&red["messages"], &red["requests"]), (&1.into(), &1.into()));
        let (_, blue) = peer.text("/blue/state").await;
        let blue: Value = serde_json::from_str(&blue).unwrap();
        assert_eq!(blue["messages"], 0, "{component}");
    }
}

/// Others wait for a plain call, so it has `handler_timeout` for all of its answer.
#[tokio::test]
async fn a_plain_answer_there_has_to_be_written_in_time() {
    let host = Host::with(PLAIN, "/{room}/{*path}")
        .instance(|instance| instance.affinity = Some(Affinity::new("room").unwrap()))
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300));
    let host = host.start().await;
    let mut client = host.connect("/red/socket").await;
    assert_eq!(client.ask("one").await, "one");
    let mut peer = Peer::connect(&host).await;
    let answer = peer.get("/red/forever?pause=10").await;
    let body = within("the end", answer.into_body().collect()).await;
    assert!(body.is_err());
    // The instance has ended, and not the connection: another one has it.
    assert_eq!(client.ask("two").await, "two");
}

/// A host with rooms, in which one fault is enough to refuse the function to everyone.
fn rooms(component: &str) -> HostBuilder {
    Host::with(component, "/{room}/{*path}")
        .function(|function| {
            function.triggers[0].methods = Methods::new(&METHODS).unwrap();
        })
        .instance(|instance| {
            instance.affinity = Some(Affinity::new("room").unwrap());
            instance.faults_in_a_row = 1;
            instance.backoff = BackoffPolicy::Refuse;
            instance.backoff_time = Duration::from_secs(600);
            instance.backoff_time_max = Duration::from_secs(600);
        })
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300))
}

/// What the function of a room has counted, by a request that it answers.
async fn counted(host: &Host) -> Value {
    let mut peer = Peer::connect(host).await;
    let (status, text) = peer.text("/red/state").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// A peer sends slowly, or stops: the connections of its room do not wait for it, and
/// the memory of the room stays.
#[tokio::test]
async fn requests_that_come_slowly_delay_no_room() {
    for component in BOTH {
        let host = rooms(component).start().await;
        let mut client = host.connect("/red/socket").await;
        assert_eq!(client.ask("one").await, "one");
        let mut slow = Vec::new();
        for _ in 0..3 {
            let (sender, body) = piecewise();
            sender.send("a".into()).await.unwrap();
            let mut peer = Peer::connect(&host).await;
            let asking =
                tokio::spawn(
                    async move { peer.ask(Method::POST, "/red/swallow", body).await.status() },
                );
            slow.push((sender, asking));
        }
        // The peers stop for longer than a call may take.
        tokio::time::sleep(2 * Duration::from_millis(300)).await;
        assert_eq!(client.ask("two").await, "two");
        for (sender, asking) in slow {
            sender.send("b".into()).await.unwrap();
            drop(sender);
            assert_eq!(within("an answer", asking).await.unwrap(), 200);
        }
        let counted = counted(&host).await;
        assert_eq!(
            (&counted["messages"], &counted["requests"]),
            (&2.into(), &4.into())
        );
    }
}

/// A body that is larger than what the host holds: the room waits for its peer no
/// longer than for a call, and then goes on.
#[tokio::test]
async fn a_large_request_that_stops_loses_its_room_and_nothing_else() {
    let host = rooms(PLAIN).start().await;
    let mut client = host.connect("/red/socket").await;
    assert_eq!(client.ask("one").await, "one");
    let (sender, body) = piecewise();
    let mut peer = Peer::connect(&host).await;
    let asking = tokio::spawn(async move {
        let answer = peer.ask(Method::POST, "/red/swallow", body).await;
        (answer.status().as_u16(), word(&answer).to_owned())
    });
    for _ in 0..2 {
        sender.send(vec![0; 1 << 20].into()).await.unwrap();
    }
    let refused = within("an answer", asking).await.unwrap();
    assert_eq!(refused, (408, "peer_slow".to_owned()));
    assert_eq!(client.ask("two").await, "two");
    let counted = counted(&host).await;
    assert_eq!(
        (&counted["messages"], &counted["requests"]),
        (&2.into(), &2.into())
    );
}

/// An answer that its peer does not read. A small one delays nobody.
#[tokio::test]
async fn an_answer_that_is_not_read_loses_its_room_and_nothing_else() {
    for (bytes, is_cut_off) in [(200_000, false), (64 << 20, true)] {
        let host = rooms(PLAIN).start().await;
        let mut client = host.connect("/red/socket").await;
        assert_eq!(client.ask("one").await, "one");
        let path = format!("/red/length/{bytes}/{bytes}");
        let uri = format!("http://{}{path}", host.address);
        let request = Request::builder().uri(uri).body(none()).unwrap();
        // Its window has 64 KiB, whatever the TCP connection holds.
        let answer = over_http2(&host, request).await.unwrap();
        assert_eq!(client.ask("two").await, "two");
        let body = within("the end", answer.into_body().collect()).await;
        assert_eq!(body.is_err(), is_cut_off, "{bytes}");
        assert_eq!(refused(&host, "peer_slow"), u64::from(is_cut_off));
        let counted = counted(&host).await;
        assert_eq!(
            (&counted["messages"], &counted["requests"]),
            (&2.into(), &2.into())
        );
    }
}
