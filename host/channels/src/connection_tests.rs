//! The data attached to a connection, at its bounds.

use openline_core::auto_response::MatchKind;

use super::*;
use crate::budget::{ATTACHED_OVERHEAD_BYTES, HostBudget};

fn connection(limits: FunctionLimits, attached_bytes: usize) -> (Connection, Arc<FunctionBudget>) {
    let budget = HostBudget::new(1 << 20, attached_bytes).function();
    let facts = Facts {
        auto_responses: [pair("configured", "yes")].into(),
        ..Facts::default()
    };
    let connection = Connection::new(facts, Arc::new(limits), Arc::clone(&budget));
    (connection, budget)
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
    let (connection, budget) = connection(limits, cost);
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
    connection.finish();
    assert_eq!(connection.attachment(), bytes(10), "also at the end");
    drop(connection);
    assert_eq!(budget.attached.used(), 0);
}

#[test]
fn the_configured_answers_are_given_until_the_function_says_otherwise() {
    let (connection, budget) = connection(FunctionLimits::default(), 10_000);
    assert!(connection.answer(&text("configured")));
    assert!(!connection.answer(&text("own")));
    assert!(!connection.answer(&Message::Binary("configured".into())));
    connection
        .set_auto_responses(vec![pair("own", "mine")])
        .unwrap();
    assert!(connection.answer(&text("own")));
    assert!(!connection.answer(&text("configured")));
    connection.set_auto_responses(Vec::new()).unwrap();
    assert!(!connection.answer(&text("own")) && !connection.answer(&text("configured")));
    connection
        .set_auto_responses(vec![pair("configured", "yes")])
        .unwrap();
    assert_eq!(budget.attached.used(), 0, "the configuration's own list");
    assert!(connection.answer(&text("configured")));
    assert_eq!(connection.auto_responded(), 3);
    let replies: Vec<_> = (0..3).map(|_| connection.next()).collect();
    let written = |word| Next::Item(Item::Message(text(word)));
    assert_eq!(replies, [written("yes"), written("mine"), written("yes")]);
}

#[test]
fn answers_at_their_number_and_size_and_past_them() {
    let limits = FunctionLimits {
        auto_responses: 2,
        ..FunctionLimits::default()
    };
    let (connection, _) = connection(limits, 1 << 20);
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
    let (connection, budget) = connection(FunctionLimits::default(), 10_000);
    assert!(!connection.take_alarm_set());
    connection.set_alarm(name("a"), Duration::ZERO).unwrap();
    connection.set_alarm(name("b"), Duration::MAX).unwrap();
    assert!(connection.take_alarm_set() && !connection.take_alarm_set());
    let now = Instant::now();
    assert!(connection.next_alarm().unwrap() <= now);
    assert_eq!(connection.take_alarm(now), Some(name("a")));
    assert_eq!(connection.take_alarm(now), None);
    connection.finish();
    assert_eq!(connection.next_alarm(), None);
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
    let (connection, _) = connection(FunctionLimits::default(), 0);
    connection.push(text("waits"));
    assert!(connection.end(CloseReason::ShuttingDown));
    assert!(connection.terminate() && !connection.terminate());
    assert!(connection.is_terminated());
    assert_eq!(connection.next(), Next::End(CloseReason::Terminated));
}

#[test]
fn who_serves_it_is_noted() {
    let (connection, _) = connection(FunctionLimits::default(), 0);
    assert_eq!(connection.server(), (0, 0));
    connection.note_server(7, u64::MAX);
    assert_eq!(connection.server(), (7, u64::MAX));
}

#[test]
fn what_the_owner_has_not_seen_is_a_change() {
    let (connection, _) = connection(FunctionLimits::default(), 1 << 20);
    connection.pause(true);
    let seen = connection.flags();
    connection.rest();
    assert!(!connection.is_changed(seen), "sleeping is the owner's own");
    connection.pause(false);
    assert!(connection.is_changed(seen));
    let seen = connection.flags();
    connection
        .set_alarm(name("soon"), Duration::from_secs(1))
        .unwrap();
    assert!(connection.is_changed(seen));
    assert!(connection.is_changed(connection.flags()), "not taken yet");
    assert!(connection.take_alarm_set());
    assert!(!connection.is_changed(seen));
    connection.drain();
    assert!(connection.is_changed(seen));
}

#[test]
fn one_that_has_ended_keeps_nothing_and_takes_nothing() {
    let (connection, budget) = connection(FunctionLimits::default(), 10_000);
    let bytes = Bytes::from_static(b"attached");
    let name = AlarmName::new("later").unwrap();
    connection.set_attachment(bytes.clone()).unwrap();
    connection.finish();
    // Until the function's `close` has returned, the function may read and
    // change it.
    assert_eq!(connection.attachment(), bytes);
    connection.set_attachment(bytes.clone()).unwrap();
    assert!(budget.attached.used() > 0);
    connection.release();
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
    let (connection, _budget) = connection(FunctionLimits::default(), 1 << 20);
    connection.reconsider();
    let seen = connection.flags();
    assert!(connection.take_reconsider() && !connection.take_reconsider());
    assert!(!connection.is_changed(seen), "it was acted on");
    connection.reconsider();
    assert!(connection.is_changed(seen));
    assert!(connection.take_reconsider());
    connection.set_alarm(name("a"), Duration::ZERO).unwrap();
    assert!(connection.is_changed(seen));
    assert!(connection.take_alarm_set());
    for ask in [
        Connection::drain as fn(&Connection),
        Connection::redeploy,
        |connection| connection.pause(true),
    ] {
        let seen = connection.flags();
        assert!(!connection.is_changed(seen));
        ask(&connection);
        assert!(connection.is_changed(seen));
    }
}
