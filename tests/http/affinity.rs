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

/// A peer that sends slowly ends the instance of its room, but causes no fault: after
/// enough faults, the host would refuse the function to everyone.
#[tokio::test]
async fn requests_that_come_slowly_are_no_faults() {
    let host = Host::with(PLAIN, "/{room}/{*path}")
        .function(|function| {
            function.triggers[0].methods = Methods::new(&METHODS).unwrap();
        })
        .instance(|instance| {
            instance.affinity = Some(Affinity::new("room").unwrap());
            // One fault would be enough.
            instance.faults_in_a_row = 1;
            instance.backoff = BackoffPolicy::Refuse;
            instance.backoff_time = Duration::from_secs(600);
            instance.backoff_time_max = Duration::from_secs(600);
        })
        .limit(|limit| limit.handler_timeout = Duration::from_millis(300));
    let host = host.start().await;
    let mut client = host.connect("/red/socket").await;
    assert_eq!(client.ask("one").await, "one");
    for _ in 0..3 {
        let (sender, body) = piecewise();
        sender.send("a".into()).await.unwrap();
        let mut peer = Peer::connect(&host).await;
        let answer = peer.ask(Method::POST, "/red/swallow", body).await;
        assert_eq!(
            (answer.status().as_u16(), word(&answer)),
            (504, "handler_timeout")
        );
    }
    let mut other = Peer::connect(&host).await;
    assert_eq!(other.text("/blue/hello").await.0, 200);
    assert_eq!(client.ask("two").await, "two");
}
