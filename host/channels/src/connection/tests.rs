//! The data attached to a connection, at its bounds.

use bytes::Bytes;
use openline_core::auto_response::MatchKind;
use openline_core::close::CloseReason;
use openline_core::limits::AUTO_RESPONSE_BYTES_MAX;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::*;
use crate::budget::{ATTACHED_OVERHEAD_BYTES, HostBudget};

/// A connection as its owner has it, as all others have it, and what it may use.
fn opened(
    limits: FunctionLimits,
    attached_bytes: usize,
) -> (SocketOwner, Arc<Connection>, Arc<FunctionBudget>) {
    let budget = HostBudget::new(1 << 20, attached_bytes).function();
    let facts = Facts {
        auto_responses: [pair("configured", "yes")].into(),
        ..Facts::default()
    };
    let owner = SocketOwner::new(facts, Arc::new(limits), Arc::clone(&budget));
    let connection = Arc::clone(owner.connection());
    (owner, connection, budget)
}

fn text(text: &str) -> Message {
    Message::Text(text.into())
}

fn pair(request: &str, reply: &str) -> AutoResponse {
    AutoResponse {
        match_kind: MatchKind::Exact,
        request: text(request),
        reply: text(reply),
    }
}

fn name(name: &str) -> AlarmName {
    AlarmName::new(name).unwrap()
}

#[test]
fn an_attachment_at_its_size_and_past_it_and_what_it_takes() {
    let limits = FunctionLimits {
        attachment_bytes: 10,
        ..FunctionLimits::default()
    };
    let cost = 10 + ATTACHED_OVERHEAD_BYTES;
    let (owner, connection, budget) = opened(limits, cost);
    let bytes = |count: usize| Bytes::from(vec![1; count]);
    assert_eq!(
        connection.set_attachment(bytes(11)),
        Err(AttachError::TooBig)
    );
    assert_eq!(connection.set_attachment(bytes(10)), Ok(()));
    assert_eq!(budget.attached.used(), cost);
    assert_eq!(
        connection.set_alarm(name("a"), Duration::ZERO),
        Err(AttachError::HostFull)
    );
    assert_eq!(
        connection.set_auto_responses(vec![]),
        Err(AttachError::HostFull)
    );
    owner.finish();
    assert_eq!(connection.attachment(), bytes(10), "also at the end");
    drop((owner, connection));
    assert_eq!(budget.attached.used(), 0);
}

#[test]
fn the_configured_answers_are_given_until_the_function_says_otherwise() {
    let (owner, connection, budget) = opened(FunctionLimits::default(), 10_000);
    assert!(owner.answer(&text("configured")));
    assert!(!owner.answer(&text("own")));
    assert!(!owner.answer(&Message::Binary("configured".into())));
    connection
        .set_auto_responses(vec![pair("own", "mine")])
        .unwrap();
    assert!(owner.answer(&text("own")));
    assert!(!owner.answer(&text("configured")));
    connection.set_auto_responses(Vec::new()).unwrap();
    assert!(!owner.answer(&text("own")) && !owner.answer(&text("configured")));
    connection
        .set_auto_responses(vec![pair("configured", "yes")])
        .unwrap();
    assert_eq!(budget.attached.used(), 0, "the configuration's own list");
    assert!(owner.answer(&text("configured")));
    assert_eq!(connection.auto_responded(), 3);
    let replies: Vec<_> = (0..3).map(|_| owner.next()).collect();
    let written = |word| Next::Item(Item::Message(text(word)));
    assert_eq!(replies, [written("yes"), written("mine"), written("yes")]);
}

#[test]
fn answers_at_their_number_and_size_and_past_them() {
    let limits = FunctionLimits {
        auto_responses: 2,
        ..FunctionLimits::default()
    };
    let (_owner, connection, _) = opened(limits, 1 << 20);
    let pairs = |count| vec![pair("a", "b"); count];
    assert_eq!(connection.set_auto_responses(pairs(2)), Ok(()));
    assert_eq!(
        connection.set_auto_responses(pairs(3)),
        Err(AttachError::TooMany)
    );
    for (bytes, expected) in [
        (AUTO_RESPONSE_BYTES_MAX, Ok(())),
        (AUTO_RESPONSE_BYTES_MAX + 1, Err(AttachError::TooBig)),
    ] {
        let long = "x".repeat(bytes);
        assert_eq!(
            connection.set_auto_responses(vec![pair(&long, "")]),
            expected
        );
        assert_eq!(
            connection.set_auto_responses(vec![pair("", &long)]),
            expected
        );
    }
}

#[test]
fn alarms_are_announced_once_and_go_with_the_connection() {
    let (owner, connection, budget) = opened(FunctionLimits::default(), 10_000);
    assert!(!owner.take_alarm_set());
    connection.set_alarm(name("a"), Duration::ZERO).unwrap();
    connection.set_alarm(name("b"), Duration::MAX).unwrap();
    assert!(owner.take_alarm_set() && !owner.take_alarm_set());
    let now = Instant::now();
    assert!(owner.next_alarm().unwrap() <= now);
    assert_eq!(owner.take_alarm(now), Some(name("a")));
    assert_eq!(owner.take_alarm(now), None);
    owner.finish();
    assert_eq!(owner.next_alarm(), None);
    assert_eq!(budget.attached.used(), 0);
    assert_eq!(
        connection.set_alarm(name("c"), Duration::ZERO),
        Err(AttachError::Gone)
    );
    assert_eq!(
        connection.set_auto_responses(vec![]),
        Err(AttachError::Gone)
    );
}

#[test]
fn what_is_terminated_ends_without_the_rest_even_while_it_closes() {
    let (owner, connection, _) = opened(FunctionLimits::default(), 0);
    connection.push(text("waits"));
    assert!(connection.end(CloseReason::ShuttingDown { retry_after: 0 }));
    assert!(connection.terminate() && !connection.terminate());
    assert!(owner.is_terminated());
    assert_eq!(owner.next(), Next::End(CloseReason::Terminated));
}

#[test]
fn who_serves_it_is_noted() {
    let (_owner, connection, _) = opened(FunctionLimits::default(), 0);
    assert_eq!(connection.server(), (0, 0));
    connection.note_server(7, u64::MAX);
    assert_eq!(connection.server(), (7, u64::MAX));
}

#[test]
fn what_the_owner_has_not_seen_is_a_change() {
    let (owner, connection, _) = opened(FunctionLimits::default(), 1 << 20);
    connection.pause(true);
    let seen = owner.see();
    owner.rest();
    assert!(
        !connection.flags.is_changed(seen),
        "sleeping is the owner's own"
    );
    connection.pause(false);
    assert!(connection.flags.is_changed(seen));
    let seen = owner.see();
    connection
        .set_alarm(name("soon"), Duration::from_secs(1))
        .unwrap();
    assert!(connection.flags.is_changed(seen));
    assert!(connection.flags.is_changed(owner.see()), "not taken yet");
    assert!(owner.take_alarm_set());
    assert!(!connection.flags.is_changed(seen));
    connection.drain();
    assert!(connection.flags.is_changed(seen));
}

#[test]
fn one_that_has_ended_keeps_nothing_and_takes_nothing() {
    let (owner, connection, budget) = opened(FunctionLimits::default(), 10_000);
    let bytes = Bytes::from_static(b"attached");
    let name = AlarmName::new("later").unwrap();
    connection.set_attachment(bytes.clone()).unwrap();
    owner.finish();
    // Until its function was told, it may read the attachment and change it.
    assert_eq!(connection.attachment(), bytes);
    connection.set_attachment(bytes.clone()).unwrap();
    assert!(budget.attached.used() > 0);
    owner.release();
    assert_eq!(budget.attached.used(), 0);
    let gone = Err(AttachError::Gone);
    assert_eq!(connection.set_attachment(bytes), gone);
    assert_eq!(connection.set_alarm(name, Duration::ZERO), gone);
    assert_eq!(connection.set_auto_responses(Vec::new()), gone);
    assert_eq!(connection.attachment(), Bytes::new());
    assert_eq!(budget.attached.used(), 0);
}

#[test]
fn what_is_asked_again_while_the_owner_looks_is_not_lost() {
    let (owner, connection, _budget) = opened(FunctionLimits::default(), 1 << 20);
    connection.reconsider();
    let seen = owner.see();
    assert!(owner.take_reconsider() && !owner.take_reconsider());
    assert!(!connection.flags.is_changed(seen), "it was acted on");
    connection.reconsider();
    assert!(connection.flags.is_changed(seen));
    assert!(owner.take_reconsider());
    connection.doubt();
    assert!(connection.flags.is_changed(seen) && !owner.take_reconsider());
    assert!(owner.take_doubt() && !owner.take_doubt());
    assert!(!connection.flags.is_changed(seen));
    connection.set_alarm(name("a"), Duration::ZERO).unwrap();
    assert!(connection.flags.is_changed(seen));
    assert!(owner.take_alarm_set());
    for ask in [
        Connection::drain as fn(&Connection),
        Connection::redeploy,
        |connection| connection.pause(true),
    ] {
        let seen = owner.see();
        assert!(!connection.flags.is_changed(seen));
        ask(&connection);
        assert!(connection.flags.is_changed(seen));
    }
}
