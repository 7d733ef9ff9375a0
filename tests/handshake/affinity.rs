//! What chooses the instance: a header, a key of the query, or a cookie that the
//! host sets.

use std::time::Duration;

use openline_core::affinity::Affinity;
use openline_store::Store;

use super::request::{Answer, Ask, Request};
use crate::harness::{Host, HostBuilder, Raw};

/// The sample counts for each affinity value.
fn by(affinity: &str) -> HostBuilder {
    let affinity = Affinity::new(affinity).unwrap();
    Host::with(openline_guests::COUNTER, "/counter").instance(|instance| {
        instance.affinity = Some(affinity);
        // None ends while the test counts them.
        instance.idle_timeout = Duration::from_secs(3600);
    })
}

/// How many live instances a host has once a function has answered.
async fn instances(host: &Host) -> u64 {
    host.state().await["instances"].as_u64().unwrap()
}

#[tokio::test]
async fn a_header_or_a_key_of_the_query_chooses_the_instance() {
    let host = by("header:X-Room").start().await;
    let right = Request::right("/counter");
    let mut open = Vec::new();
    for room in ["one", "two", " one ", "two"] {
        let mut raw = Raw::connect(host.address).await;
        let answer = right.clone().with("x-room", room).ask_on(&mut raw).await;
        assert_eq!(answer.status, 101, "{room}");
        open.push(raw);
    }
    assert_eq!(instances(&host).await, 2);
    right.clone().refused(&host, 400, "affinity").await;
    let twice = right.clone().with("X-Room", "one").with("X-Room", "one");
    twice.refused(&host, 400, "affinity").await;
    right
        .with("X-Room", "")
        .refused(&host, 400, "affinity")
        .await;

    let host = by("query:room").start().await;
    let mut open = Vec::new();
    for query in [
        "room=a+b",
        "x=1&room=a%20b",
        "room=a%2Bb",
        "room=a+b&room=c",
    ] {
        open.push(host.connect(&format!("/counter?{query}")).await);
    }
    assert_eq!(instances(&host).await, 2);
    for query in ["", "?room=", "?rooms=a", "?room=%ff"] {
        let request = Request::right(&format!("/counter{query}"));
        request.refused(&host, 400, "affinity").await;
    }
}

/// The cookie that an answer sets, as a peer sends it back.
fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.header("set-cookie")?;
    Some(set.split(';').next().unwrap().to_owned())
}

#[tokio::test]
async fn a_cookie_brings_a_peer_back_to_its_instance_even_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let start = async |store: &Store| by("cookie:line").store(store).start().await;
    let right = Request::right("/counter");
    let store = Store::open(folder.path(), 1 << 20).unwrap();
    let host = start(&store).await;
    let mut first = Raw::connect(host.address).await;
    let answer = right.clone().ask_on(&mut first).await;
    let mine = cookie(&answer).unwrap();
    let set = answer.header("set-cookie").unwrap();
    assert!(set.contains("; HttpOnly"), "{set}");
    let mut same = Raw::connect(host.address).await;
    let known = right.clone().with("Cookie", &format!("a=b; {mine}"));
    let answer = known.ask_on(&mut same).await;
    assert_eq!((answer.status, cookie(&answer)), (101, None));
    assert_eq!(instances(&host).await, 1);
    let mut other = Raw::connect(host.address).await;
    let forged = mine.replacen('=', "=0", 1);
    let forged = right
        .clone()
        .with("Cookie", &forged)
        .ask_on(&mut other)
        .await;
    let new = cookie(&forged).unwrap();
    assert_ne!(new, mine);
    assert_eq!(instances(&host).await, 2);
    drop((first, same, other, host, store));

    // The same data directory, as another process finds it.
    let next = tempfile::tempdir().unwrap();
    std::fs::copy(folder.path().join("secret"), next.path().join("secret")).unwrap();
    let store = Store::open(next.path(), 1 << 20).unwrap();
    let host = start(&store).await;
    assert_eq!(cookie(&known.ask(&host).await), None);
    let elsewhere = start(&Store::memory(1 << 20)).await;
    assert!(cookie(&known.ask(&elsewhere).await).is_some());
}
