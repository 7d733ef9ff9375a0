//! Every refusal is documented, as it is.

use std::collections::BTreeSet;
use std::path::Path;

use openline_admission::inspectors::Undecided;
use openline_core::path::PathError;
use openline_core::route::DecodeError;
use openline_core::trigger::Methods;
use openline_engine::version::InspectError;

use super::*;
use crate::request_id::RequestIds;

/// One of each. A new variant does not compile until [`named`] has it.
fn all() -> Vec<Refusal> {
    let reached = [
        Reached::Connections,
        Reached::PeerConnections,
        Reached::PeerHandshakes,
    ];
    let mut all = vec![
        Denied::Connection.into(),
        Denied::Host("").into(),
        Denied::Scheme.into(),
        Denied::Coding.into(),
        Denied::Spelling(PathError::Zero).into(),
        Denied::NotFound.into(),
        Denied::Method(Methods::default()).into(),
        Denied::Internet.into(),
        Denied::UriTooLong(1).into(),
        Denied::HeadersTooLarge(1).into(),
        Denied::TooManyHeaders.into(),
        Denied::Origin.into(),
        Denied::CrossOrigin.into(),
        Denied::NoOrigin.into(),
        Denied::ReservedHeader.into(),
        Denied::Parameter(DecodeError::Text).into(),
        Denied::Draining.into(),
        Refusal::PlainHttp,
        Refusal::UpgradeRequired,
        Refusal::MethodNotAllowed("GET"),
        Refusal::Handshake(""),
        Refusal::Version,
        Refusal::Full,
        Refusal::NotDeployed,
        Refusal::Affinity,
        Refusal::NoAffinity,
        Refusal::BackedOff(Duration::from_secs(1)),
        Refusal::Attached,
        Refusal::Requests,
        Refusal::RequestBody(1),
        Refusal::RequestBodyIncomplete,
        Refusal::Slow,
        Refusal::StreamTime,
        Refusal::Answer(String::new()),
    ];
    let firewall = [
        Stopped::Deny(own(StatusCode::FORBIDDEN)),
        Stopped::Limit(Duration::from_secs(1)),
        Stopped::Repeated,
        Stopped::Work,
        Stopped::Respond(own(StatusCode::OK)),
        Stopped::Failed(Box::new(Undecided::Host)),
        Stopped::Failed(Box::new(Undecided::Call(InspectError::BackedOff(
            Duration::from_secs(1),
        )))),
    ];
    all.extend(firewall.map(|it| Denied::Firewall(it).into()));
    all.extend(reached.map(|it| Denied::Reached(it).into()));
    all.extend(reached.map(|it| Denied::HostReached(it).into()));
    all.extend(Fault::ALL.map(Refusal::Fault));
    all.extend(GrpcRefusal::ALL.map(Refusal::Grpc));
    all.extend(Denial::ALL.map(|denial| {
        Refusal::Unauthenticated(Unauthenticated {
            denial,
            detail: String::new(),
        })
    }));
    all.iter().for_each(named);
    all
}

/// An answer of a rule.
fn own(status: StatusCode) -> Box<firewall::Answer> {
    Box::new(firewall::Answer {
        status,
        content_type: None,
        body: Bytes::new(),
    })
}

fn named(refusal: &Refusal) {
    match refusal {
        Refusal::Denied(denied) => match denied {
            Denied::Connection
            | Denied::Host(_)
            | Denied::Scheme
            | Denied::Coding
            | Denied::Spelling(_)
            | Denied::NotFound
            | Denied::Method(_)
            | Denied::Internet
            | Denied::Firewall(
                Stopped::Deny(_)
                | Stopped::Drop
                | Stopped::Limit(_)
                | Stopped::Respond(_)
                | Stopped::Repeated
                | Stopped::Work
                | Stopped::Failed(_),
            )
            | Denied::UriTooLong(_)
            | Denied::HeadersTooLarge(_)
            | Denied::TooManyHeaders
            | Denied::Origin
            | Denied::CrossOrigin
            | Denied::NoOrigin
            | Denied::ReservedHeader
            | Denied::Parameter(_)
            | Denied::Reached(_)
            | Denied::HostReached(_)
            | Denied::Draining => {}
        },
        Refusal::PlainHttp
        | Refusal::Unauthenticated(_)
        | Refusal::UpgradeRequired
        | Refusal::MethodNotAllowed(_)
        | Refusal::Handshake(_)
        | Refusal::Version
        | Refusal::Full
        | Refusal::NotDeployed
        | Refusal::Affinity
        | Refusal::NoAffinity
        | Refusal::BackedOff(_)
        | Refusal::Attached
        | Refusal::Requests
        | Refusal::RequestBody(_)
        | Refusal::RequestBodyIncomplete
        | Refusal::Slow
        | Refusal::StreamTime
        | Refusal::Grpc(_)
        | Refusal::Fault(_)
        | Refusal::Answer(_) => {}
    }
}

/// Status, word, blame, and whether guest code has run.
fn row(refusal: &Refusal) -> [String; 4] {
    let ran = match refusal {
        Refusal::Answer(_)
        | Refusal::RequestBody(_)
        | Refusal::RequestBodyIncomplete
        | Refusal::Slow
        | Refusal::StreamTime => true,
        Refusal::Fault(fault) => fault.blame() == Blame::Guest,
        Refusal::Grpc(refusal) => refusal.has_run(),
        Refusal::Denied(Denied::Firewall(Stopped::Failed(undecided))) => {
            undecided.blame() == Blame::Guest
        }
        _ => false,
    };
    [
        refusal.status().as_str().into(),
        refusal.label().into(),
        refusal.blame().into(),
        if ran { "yes" } else { "no" }.into(),
    ]
}

#[test]
fn the_document_lists_the_refusals_as_they_are() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/refusals.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = rows.map(|line| line.split('|').map(|cell| cell.trim().replace('`', "")));
    let rows: Vec<Vec<String>> = cells.map(Iterator::collect).collect();
    let documented: BTreeSet<[String; 4]> = rows
        .iter()
        .filter(|cells| cells[1].parse::<u16>().is_ok())
        .map(|cells| [1, 2, 3, 4].map(|column| cells[column].clone()))
        .collect();
    let made: BTreeSet<_> = all().iter().map(row).collect();
    let missing: Vec<_> = made.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&made).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{missing:?} {unknown:?}"
    );
    let explained = |cells: &Vec<String>| cells.len() == 8 && !cells[6].is_empty();
    assert!(rows.iter().all(explained), "each says what to do");
    for silent in [
        PEER_GONE,
        UNFINISHED,
        PEER_SLOW,
        Refusal::from(Denied::Firewall(Stopped::Drop)).label(),
    ] {
        let mut of_it = rows.iter().filter(|cells| cells[2] == silent);
        assert!(of_it.any(|cells| cells[1] == "–"), "{silent}");
    }
}

#[test]
fn no_cache_keeps_a_refusal() {
    for refusal in all() {
        let answer = refusal.answer();
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store", "{refusal}");
    }
}

#[test]
fn peers_that_are_refused_together_come_back_apart() {
    let ids = RequestIds::default();
    let after = |refusal: &Refusal| {
        let answer = refusal.answer_to(ids.next());
        let value = answer.headers().get(RETRY_AFTER);
        value.map(|value| value.to_str().unwrap().parse::<u64>().unwrap())
    };
    let seconds =
        |refusal: &Refusal| -> BTreeSet<u64> { (0..200).filter_map(|_| after(refusal)).collect() };
    assert_eq!(seconds(&Refusal::Full), (5..=10).collect());
    let long = Refusal::BackedOff(Duration::from_millis(59_500));
    assert_eq!(seconds(&long), (60..=70).collect());
    let short = Refusal::BackedOff(Duration::from_millis(500));
    assert_eq!(seconds(&short), (1..=2).collect());
    assert_eq!(after(&Refusal::Version), None);
}
