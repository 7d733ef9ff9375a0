//! Every answer has the id of its request, and every refusal says who can mend
//! it. A peer that leaves while its function decides is no failure.

use std::collections::BTreeSet;

use super::request::{Ask, Request};
use crate::harness::{AdminHost, Host, Raw};

#[tokio::test]
async fn every_answer_has_an_id_of_its_own() {
    let host = AdminHost::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let plain =
        |path: &str| Request::line(&format!("GET {path} HTTP/1.1")).with("Host", "localhost");
    let mut ids = BTreeSet::new();
    let mut raw = Raw::connect(host.address).await;
    let requests = [
        (plain("/.openline/live"), 200),
        (plain("/.openline/"), 200),
        (plain("/.openline/nothing"), 404),
        (plain("/nothing"), 404),
        (plain("/a%"), 400),
        (plain("/reject"), 426),
        (Request::right("/reject?status=403&body=no"), 403),
        (Request::right("/reject?status=1000"), 502),
        (Request::right("/reject"), 101),
    ];
    let count = requests.len();
    for (request, status) in requests {
        let answer = request.ask_on(&mut raw).await;
        assert_eq!(answer.status, status, "{}", request.text());
        let [id] = answer.all("openline-request-id")[..] else {
            panic!("not one id: {:?}", answer.headers);
        };
        ids.insert(id.to_owned());
        let blame = answer.header("openline-error-blame");
        assert_eq!(
            answer.header("openline-error-type").is_some(),
            blame.is_some()
        );
        match status {
            502 => assert_eq!(blame, Some("function")),
            404 | 400 | 426 => assert_eq!(blame, Some("peer")),
            _ => assert_eq!(blame, None),
        }
        if [400, 426, 502].contains(&status) {
            assert!(answer.body.contains(id), "{}", answer.body);
        }
    }
    assert_eq!(ids.len(), count);
    let answer = host.ask("GET", "/v1/host", None).await;
    assert!(
        answer.head.contains("openline-request-id: "),
        "{}",
        answer.head
    );
}

#[tokio::test]
async fn a_function_gets_the_id_that_its_peer_reads() {
    let host = Host::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await;
    let request = Request::right("/reject?status=403&request_header=openline-request-id");
    let answer = request.ask(&host).await;
    assert_eq!(
        answer.header("openline-request-id"),
        Some(answer.body.as_str())
    );
    assert!(answer.body.len() > 13, "{}", answer.body);
    // A peer cannot send one.
    let forged = request.with("Openline-Request-Id", "1");
    forged.refused(&host, 400, "reserved_header").await;
}

#[tokio::test]
async fn a_peer_that_leaves_while_its_function_decides_is_counted_and_nothing_more() {
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .start()
        .await;
    let mut raw = Raw::connect(host.address).await;
    raw.send(Request::right("/await?at=upgrade").text().as_bytes())
        .await;
    let deciding = |state: &serde_json::Value| state["connections"]["open"] == 1;
    host.until("the function to be asked", deciding).await;
    drop(raw);
    let state = host
        .until("the peer to be counted", |state| {
            state["handshakes"]["refused"]["peer_gone"] == 1
        })
        .await;
    let refused = state["handshakes"]["refused"].as_object().unwrap();
    assert_eq!(refused.len(), 1, "{state}");
}
