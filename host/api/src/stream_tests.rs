//! What streams begin with.

use openline_broker::moment::Moment;
use openline_broker::publication::{Data, Parts, Publication, Tags};

use super::*;

fn said(text: String) -> Publication {
    Publication::new(Parts {
        channel: ChannelName::new("news").unwrap(),
        position: position("1-7"),
        id: None,
        event: None,
        key: None,
        removed: false,
        data: Data::Text(text.into()),
        tags: Tags::default(),
        sender: None,
        time: Moment(0),
    })
}

fn missed(publications: Vec<Publication>, recovered: Option<bool>) -> Backlog {
    Backlog {
        position: position("1-7"),
        publications,
        recovered,
        is_snapshot: false,
    }
}

const HEAD: &str = "retry: 3000\n\n";

#[test]
fn who_asks_gets_all_or_is_told_that_it_is_lost() {
    let at = position("1-7").unwrap();
    let lost = format!("{HEAD}id: {at}\nevent: openline-lost\ndata:\n\n");
    let one = || vec![said("one".to_owned())];
    let event = forms::event(&one()[0]);
    assert_eq!(
        greeting(&missed(one(), Some(true)), true),
        format!("{HEAD}{event}")
    );
    assert_eq!(
        greeting(&missed(Vec::new(), None), false),
        format!("{HEAD}id: {at}\n\n")
    );
    // A part is as bad as nothing.
    assert_eq!(greeting(&missed(one(), Some(false)), true), lost);
    // The channel does not recover.
    assert_eq!(greeting(&missed(Vec::new(), None), true), lost);
    let nowhere = Backlog::default();
    assert_eq!(greeting(&nowhere, false), HEAD);
    let lost = format!("{HEAD}id: \nevent: openline-lost\ndata:\n\n");
    assert_eq!(greeting(&nowhere, true), lost);
    // The whole state comes after what is lost.
    let state = Backlog {
        is_snapshot: true,
        ..missed(one(), Some(false))
    };
    assert!(greeting(&state, true).ends_with(&*event));
}

#[test]
fn a_recovery_at_its_bytes_and_past_them() {
    let of = |bytes: usize| missed(vec![said("x".repeat(bytes))], Some(true));
    let rest = greeting(&of(0), true).len();
    let at = greeting(&of(EVENT_BYTES_MAX - rest), true);
    assert_eq!(at.len(), EVENT_BYTES_MAX);
    let past = greeting(&of(EVENT_BYTES_MAX - rest + 1), true);
    assert!(past.len() < 100 && past.contains(sse::LOST), "{past}");
    // Escapes count: these are fewer bytes in the channel than on the way.
    let escaped = missed(vec![said("\u{1}".repeat(EVENT_BYTES_MAX / 4))], Some(true));
    assert!(greeting(&escaped, true).contains(sse::LOST));
}
