//! What an event stream says at its end, and how items are written.

use openline_broker::position::{Epoch, Position};
use openline_core::close::CloseInfo;

use super::*;

#[test]
fn only_an_end_with_a_word_has_a_last_event() {
    for reason in CloseReason::all() {
        let event = last_event(&reason);
        assert_eq!(event.is_empty(), reason.frame().is_none(), "{reason}");
        assert_eq!(
            is_whole(ConnectionKind::EventStream, &reason),
            reason.frame().is_some()
        );
        let waits = matches!(
            reason,
            CloseReason::ShuttingDown { .. }
                | CloseReason::Redeployed { .. }
                | CloseReason::TimeUp { .. }
        );
        assert_eq!(event.contains("retry: 1500\n"), waits, "{event}");
    }
    let later = last_event(&CloseReason::Overloaded);
    assert!(
        later.starts_with("retry: 10000\n") && later.contains("\"later\""),
        "{later}"
    );
}

#[test]
fn only_its_function_knows_whether_a_stream_is_whole() {
    for reason in CloseReason::all() {
        let says = matches!(reason, CloseReason::Function(_) | CloseReason::Operator(_));
        assert_eq!(is_whole(ConnectionKind::Stream, &reason), says, "{reason}");
    }
    let other = CloseInfo::checked(1011, String::new()).unwrap();
    assert!(!is_whole(
        ConnectionKind::Stream,
        &CloseReason::Function(other)
    ));
}

#[test]
fn a_ping_is_a_comment_among_events_and_nothing_among_bytes() {
    let written = |kind| {
        let mut out = Vec::new();
        encode(Item::Ping(bytes::Bytes::new()), kind, None, &mut out);
        encode(Item::Plain(Message::Text("x".into())), kind, None, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(written(ConnectionKind::EventStream), ":\n\nx");
    assert_eq!(written(ConnectionKind::Stream), "x");
}

#[test]
fn the_ids_of_several_channels_are_written_anew() {
    let at = |epoch, offset| Position::new(Epoch::from_random(epoch), offset);
    let mut ids = Ids::new(vec![at(10, 1), at(11, 7)]);
    let mut out = Vec::new();
    for event in ["id: b-8\ndata: x\n\n", "data: y\n\n"] {
        let item = Item::Message(Message::Text(event.into()));
        encode(item, ConnectionKind::EventStream, Some(&mut ids), &mut out);
    }
    assert_eq!(out, b"id: a-1,b-8\ndata: x\n\ndata: y\n\n");
}
