//! One channel under each sort of terms.

use std::num::NonZeroU64;
use std::time::Duration;

use openline_core::channel::{HistoryTerms, JoinLeave, KeyedTerms};

use super::*;
use crate::filter::Filter;
use crate::log::{PageLimit, PageQuery};
use crate::outcome::Outcome;
use crate::publication::{Data, Sender};

pub(super) fn name() -> ChannelName {
    ChannelName::new("room:1").unwrap()
}

pub(super) fn epoch() -> Epoch {
    Epoch::from_random(5)
}

pub(super) fn at(offset: u64) -> Position {
    Position::new(epoch(), offset)
}

pub(super) fn with_history(count: u32) -> ChannelTerms {
    ChannelTerms {
        history: Some(HistoryTerms {
            count,
            ..HistoryTerms::default()
        }),
        recovery: true,
        ..ChannelTerms::default()
    }
}

pub(super) fn keyed() -> ChannelTerms {
    ChannelTerms {
        keyed: Some(KeyedTerms::default()),
        ..with_history(3)
    }
}

pub(super) fn channel(terms: ChannelTerms) -> Channel {
    Channel::new(name(), Arc::new(terms), epoch(), Moment(0))
}

pub(super) fn text(text: &str) -> Publish {
    Publish::new(Data::Text(text.into()))
}

pub(super) fn value(key: &str, data: &str) -> Publish {
    Publish {
        key: Some(key.into()),
        ..text(data)
    }
}

pub(super) fn removal(key: &str) -> Publish {
    Publish {
        remove: true,
        ..value(key, "")
    }
}

pub(super) fn version(number: u64) -> Option<Version> {
    Some(Version {
        number: NonZeroU64::new(number).unwrap(),
        epoch: ByteString::new(),
    })
}

pub(super) fn publish(channel: &mut Channel, request: Publish) -> Result<Published, PublishError> {
    channel.publish(request, Moment(0), &Room::ANY, |_| 7)
}

pub(super) fn said(publications: &[Publication]) -> Vec<&str> {
    let mut texts = Vec::new();
    for publication in publications {
        let Data::Text(text) = &publication.data else {
            panic!("{publication:?}");
        };
        texts.push(&**text);
    }
    texts
}

pub(super) fn since(position: Position) -> Subscribe<'static> {
    Subscribe {
        since: Some(position),
        ..Subscribe::NEW
    }
}

#[test]
fn a_channel_without_history_counts_nothing() {
    let mut channel = channel(ChannelTerms::default());
    let empty = channel.cost();
    let published = publish(&mut channel, text("a")).unwrap();
    assert_eq!(published.outcome, Outcome::published(None, 7));
    assert_eq!(published.changes, []);
    assert_eq!(
        channel.subscribe(&since(at(1)), Moment(0)),
        Backlog::default()
    );
    assert_eq!(
        channel.history(PageQuery::default(), ALL, Moment(0)),
        Ok(None)
    );
    assert_eq!((channel.position(), channel.cost()), (None, empty));
    assert!(
        channel.is_removable(Moment(0)),
        "there is nothing to forget"
    );
}

pub(super) const ALL: PageLimit = PageLimit {
    count: usize::MAX,
    bytes: usize::MAX,
};

#[test]
fn a_subscriber_that_comes_back_gets_all_it_missed_or_is_told() {
    let mut channel = channel(with_history(3));
    assert_eq!(
        channel.subscribe(&Subscribe::NEW, Moment(0)).position,
        Some(at(0))
    );
    for number in 1..=4 {
        let published = publish(&mut channel, text(&number.to_string())).unwrap();
        assert_eq!(published.outcome, Outcome::published(Some(at(number)), 7));
    }
    let new = channel.subscribe(&Subscribe::NEW, Moment(0));
    assert_eq!((new.position, new.recovered), (Some(at(4)), None));
    assert!(new.publications.is_empty());
    for (position, recovered, expected) in [
        (at(4), true, &[][..]),
        (at(2), true, &["3", "4"]),
        (at(1), true, &["2", "3", "4"]),
        (at(0), false, &[]),
        (at(5), false, &[]),
        (Position::new(Epoch::from_random(6), 4), false, &[]),
    ] {
        let backlog = channel.subscribe(&since(position), Moment(0));
        assert_eq!(backlog.recovered, Some(recovered), "{position}");
        assert_eq!(said(&backlog.publications), expected, "{position}");
        assert_eq!(backlog.position, Some(at(4)));
    }
    // Something all the same, and the subscriber knows that it is a part.
    let part = Subscribe {
        otherwise: 2,
        ..since(at(0))
    };
    let backlog = channel.subscribe(&part, Moment(0));
    assert_eq!(backlog.recovered, Some(false));
    assert_eq!(said(&backlog.publications), ["3", "4"]);
    let short = Subscribe {
        limit: PageLimit { count: 2, bytes: 9 },
        ..since(at(1))
    };
    assert_eq!(channel.subscribe(&short, Moment(0)).recovered, Some(false));
}

#[test]
fn history_that_has_aged_while_a_subscriber_was_away_is_missing() {
    let mut channel = channel(with_history(9));
    publish(&mut channel, text("1")).unwrap();
    let (last, gone) = (Moment(299_999), Moment(300_000));
    assert_eq!(channel.subscribe(&since(at(0)), last).recovered, Some(true));
    assert_eq!(channel.due_at(), Some(gone));
    assert_eq!(
        channel.subscribe(&since(at(0)), gone).recovered,
        Some(false)
    );
    assert_eq!(channel.subscribe(&since(at(1)), gone).recovered, Some(true));
    // The position outlives it.
    let page = channel
        .history(PageQuery::default(), ALL, gone)
        .unwrap()
        .unwrap();
    assert_eq!((page.top, page.publications.len()), (at(1), 0));
    let day = Duration::from_secs(86_400);
    assert_eq!(
        channel.removable_at(),
        Some(gone.plus(day)),
        "after the last use"
    );
    assert!(!channel.is_removable(Moment(gone.plus(day).0 - 1)));
    assert!(channel.is_removable(gone.plus(day)));
}

#[test]
fn without_recovery_there_is_no_position() {
    let terms = ChannelTerms {
        recovery: false,
        ..with_history(3)
    };
    let mut channel = channel(terms);
    publish(&mut channel, text("1")).unwrap();
    let backlog = channel.subscribe(&since(at(0)), Moment(0));
    assert_eq!(backlog, Backlog::default());
    let page = channel
        .history(PageQuery::default(), ALL, Moment(0))
        .unwrap()
        .unwrap();
    assert_eq!(said(&page.publications), ["1"]);
}

#[test]
fn a_current_value_is_what_each_new_subscriber_gets() {
    let terms = ChannelTerms {
        latest: true,
        history: None,
        ..with_history(1)
    };
    let mut channel = channel(terms);
    let empty = channel.subscribe(&Subscribe::NEW, Moment(0));
    assert!(empty.publications.is_empty() && !empty.is_snapshot);
    for number in ["1", "2"] {
        publish(&mut channel, text(number)).unwrap();
    }
    let new = channel.subscribe(&Subscribe::NEW, Moment(u64::MAX));
    assert_eq!((said(&new.publications), new.recovered), (vec!["2"], None));
    assert!(new.is_snapshot);
    let behind = channel.subscribe(&since(at(0)), Moment(0));
    assert_eq!(
        (said(&behind.publications), behind.recovered),
        (vec!["2"], Some(true))
    );
    let there = channel.subscribe(&since(at(2)), Moment(0));
    assert!(there.publications.is_empty() && there.recovered == Some(true));
    assert!(
        !channel.is_removable(Moment(u64::MAX)),
        "the value is content"
    );
}

#[test]
fn values_by_key_with_their_changes() {
    let mut channel = channel(keyed());
    for (key, data) in [("a", "1"), ("b", "2"), ("a", "3")] {
        publish(&mut channel, value(key, data)).unwrap();
    }
    publish(&mut channel, removal("b")).unwrap();
    let new = channel.subscribe(&Subscribe::NEW, Moment(0));
    assert_eq!(
        (said(&new.publications), new.is_snapshot),
        (vec!["3"], true)
    );
    assert_eq!(new.position, Some(at(4)));
    // The history of three has all changes after the first.
    let changes = channel.subscribe(&since(at(1)), Moment(0));
    assert_eq!(
        (said(&changes.publications), changes.is_snapshot),
        (vec!["2", "3", ""], false)
    );
    assert!(changes.publications[2].removed);
    let snapshot = channel.subscribe(&since(at(0)), Moment(0));
    assert_eq!(
        (said(&snapshot.publications), snapshot.is_snapshot),
        (vec!["3"], true)
    );
    assert_eq!(
        snapshot.recovered,
        Some(true),
        "it replaces what the subscriber has"
    );
    assert_eq!(channel.value_of("a").unwrap().position, Some(at(3)));
    assert_eq!(channel.value_of("b"), None);
    assert_eq!(said(&channel.value_page(0, ALL).unwrap()), ["3"]);
    assert_eq!(channel.value_page(3, ALL), Some(Vec::new()));
}

/// A page of values at its bytes and one past them, and never without progress.
#[test]
fn a_page_of_values_has_its_bytes_and_not_one_more() {
    let mut channel = channel(keyed());
    for key in ["a", "b", "c"] {
        publish(&mut channel, value(key, "1234")).unwrap();
    }
    let count = |after, bytes| {
        let limit = PageLimit { count: 9, bytes };
        channel.value_page(after, limit).unwrap().len()
    };
    assert_eq!((count(0, 8), count(0, 7), count(0, 11)), (2, 1, 2));
    assert_eq!(count(0, 12), 3);
    assert_eq!((count(2, 0), count(3, 0)), (1, 0), "one is always there");
}

/// What subscribers are told of at once is bounded by the caller.
#[test]
fn values_end_as_many_at_once_as_the_caller_wants() {
    let mut terms = keyed();
    terms.keyed = Some(KeyedTerms {
        time: Some(Duration::from_millis(10)),
        ..KeyedTerms::default()
    });
    let mut channel = channel(terms);
    for key in ["a", "b", "c"] {
        publish(&mut channel, value(key, "1")).unwrap();
    }
    let mut delivered = 0;
    for (most, after, more) in [(2, 2, true), (0, 3, false), (0, 3, false)] {
        let deliver = |_: &Publication| {
            delivered += 1;
            0
        };
        let expired = channel.expire((Moment(10), most), deliver, |_| ());
        assert_eq!((delivered, expired.has_more), (after, more), "{most}");
    }
}

#[test]
fn values_end_by_changes_that_are_delivered() {
    let mut terms = keyed();
    let time = Some(Duration::from_millis(10));
    terms.keyed = Some(KeyedTerms {
        time,
        ..KeyedTerms::default()
    });
    let mut channel = channel(terms);
    for number in 0..EXPIRED_MAX + 1 {
        publish(&mut channel, value(&number.to_string(), "1")).unwrap();
    }
    assert_eq!(channel.due_at(), Some(Moment(10)));
    let mut delivered = Vec::new();
    let mut expire = |channel: &mut Channel, now| {
        let deliver = |it: &Publication| {
            delivered.push(it.clone());
            1
        };
        channel
            .expire((Moment(now), usize::MAX), deliver, |_| ())
            .has_more
    };
    assert!(!expire(&mut channel, 9));
    assert!(expire(&mut channel, 10), "in steps");
    assert!(!expire(&mut channel, 10));
    assert_eq!(delivered.len(), EXPIRED_MAX + 1);
    assert!(delivered.iter().all(|it| it.removed));
    let last = u64::try_from(2 * (EXPIRED_MAX + 1)).unwrap();
    assert_eq!(channel.position(), Some(at(last)));
    assert_eq!(channel.value_page(0, ALL), Some(Vec::new()));
}

#[test]
fn a_filter_applies_to_what_was_missed() {
    let mut channel = channel(with_history(3));
    let own = ConnectionId::from_random(1);
    for (number, connection) in [("1", 1), ("2", 2)] {
        let connection = ConnectionId::from_random(connection);
        let sender = Some(Sender {
            connection,
            user: None,
        });
        publish(
            &mut channel,
            Publish {
                sender,
                ..text(number)
            },
        )
        .unwrap();
    }
    let filter = Filter {
        skip_own: true,
        ..Filter::default()
    };
    let filter = Some((&filter, own));
    let backlog = channel.subscribe(
        &Subscribe {
            filter,
            ..since(at(0))
        },
        Moment(0),
    );
    assert_eq!(
        (said(&backlog.publications), backlog.recovered),
        (vec!["2"], Some(true))
    );
    assert_eq!(backlog.position, Some(at(2)));
    // What it skips is not counted against the limit, at it and past it.
    for (bytes, recovered) in [(1, true), (0, false)] {
        let limit = PageLimit { count: 1, bytes };
        let backlog = channel.subscribe(
            &Subscribe {
                filter,
                limit,
                ..since(at(0))
            },
            Moment(0),
        );
        assert_eq!(backlog.recovered, Some(recovered), "{bytes}");
    }
}

#[test]
fn members_are_kept_if_the_terms_say_so() {
    let member = Member {
        connection: ConnectionId::from_random(1),
        user: Some("ann".into()),
        info: None,
        node: None,
    };
    let mut none = channel(ChannelTerms::default());
    assert_eq!(none.join(member.clone(), Moment(0)), Ok(None));
    assert_eq!(none.members(None, 9), []);
    let terms = ChannelTerms {
        presence: true,
        join_leave: JoinLeave::Connections,
        ..ChannelTerms::default()
    };
    let mut channel = channel(terms);
    let empty = channel.cost();
    assert!(channel.join(member.clone(), Moment(0)).unwrap().is_some());
    assert_eq!(channel.members(None, 9), std::slice::from_ref(&member));
    assert_eq!(
        channel.counts(),
        PresenceCounts {
            connections: 1,
            users: 1
        }
    );
    assert!(channel.cost() > empty && !channel.is_removable(Moment(u64::MAX)));
    assert!(channel.leave(member.connection, Moment(0)).is_some());
    assert_eq!(channel.leave(member.connection, Moment(0)), None);
    assert_eq!(channel.cost(), empty);
    let away = Member {
        node: Some(NodeId(1)),
        ..member
    };
    channel.join(away, Moment(0)).unwrap();
    assert!(channel.touch(NodeId(1), Moment(1)));
    let mut told = 0;
    channel.expire((Moment(60_001), usize::MAX), |_| 0, |_| told += 1);
    assert_eq!((told, channel.members(None, 9).len()), (1, 0));
}

#[test]
fn history_that_is_cleared_and_a_channel_that_is_reset() {
    let mut channel = channel(with_history(3));
    publish(&mut channel, text("1")).unwrap();
    assert_eq!(channel.clear(), []);
    assert_eq!(
        channel.subscribe(&since(at(1)), Moment(0)).recovered,
        Some(true)
    );
    assert_eq!(
        channel.subscribe(&since(at(0)), Moment(0)).recovered,
        Some(false)
    );
    let next = Epoch::from_random(6);
    assert_eq!(channel.reset(next), []);
    assert_eq!(channel.position(), Some(Position::start(next)));
    assert_eq!(
        channel.subscribe(&since(at(1)), Moment(0)).recovered,
        Some(false)
    );
}

#[test]
fn terms_that_change() {
    let next = Epoch::from_random(6);
    let mut channel = channel(with_history(3));
    for number in ["1", "2", "3"] {
        publish(&mut channel, text(number)).unwrap();
    }
    let set =
        |channel: &mut Channel, terms| channel.set_terms(Arc::new(terms), next, Moment(0)).unwrap();
    // The bounds shrink: at once.
    assert_eq!(set(&mut channel, with_history(1)), []);
    assert_eq!(
        channel.subscribe(&since(at(2)), Moment(0)).recovered,
        Some(true)
    );
    assert_eq!(
        channel.subscribe(&since(at(1)), Moment(0)).recovered,
        Some(false)
    );
    set(&mut channel, with_history(9));
    assert_eq!(channel.position(), Some(at(3)), "the count goes on");
    // It becomes durable: written as it is.
    let durable = ChannelTerms {
        durable: true,
        ..with_history(9)
    };
    let changes = set(&mut channel, durable.clone());
    assert!(matches!(
        changes[..],
        [Change::Clear, Change::Put(..), Change::Put(..)]
    ));
    publish(&mut channel, text("4")).unwrap();
    let refused = channel.set_terms(Arc::new(with_history(9)), next, Moment(0));
    assert_eq!(refused, Err(StillStaged));
    channel.settle(at(4), Moment(0), |_| 0);
    assert_eq!(set(&mut channel, with_history(9)), [Change::Clear]);
    assert_eq!(channel.position(), Some(at(4)));
    // It ceases to count, and begins again.
    set(&mut channel, ChannelTerms::default());
    assert_eq!(channel.position(), None);
    set(&mut channel, keyed());
    assert_eq!(channel.position(), Some(Position::start(next)));
}

#[test]
fn values_stay_when_terms_change() {
    let next = Epoch::from_random(6);
    let mut channel = channel(keyed());
    publish(&mut channel, value("a", "1")).unwrap();
    let durable = ChannelTerms {
        durable: true,
        ..keyed()
    };
    let changes = channel.set_terms(Arc::new(durable.clone()), next, Moment(0));
    assert_eq!(changes.unwrap().len(), 4, "head, publication and value");
    publish(&mut channel, value("b", "2")).unwrap();
    assert_eq!(
        said(&channel.value_page(0, ALL).unwrap()),
        ["1"],
        "not settled"
    );
    channel.settle(at(2), Moment(0), |_| 0);
    assert_eq!(said(&channel.value_page(0, ALL).unwrap()), ["1", "2"]);
    // Without its history it still counts, and the store forgets it, too.
    let without = ChannelTerms {
        history: None,
        ..durable
    };
    let changes = channel.set_terms(Arc::new(without), next, Moment(0));
    assert_eq!(changes, Ok(vec![Change::Forget { before: 3 }]));
    assert_eq!(channel.position(), Some(at(2)));
    assert_eq!(said(&channel.value_page(0, ALL).unwrap()), ["1", "2"]);
}

#[test]
fn an_idle_channel_is_small() {
    assert!(size_of::<Channel>() <= 64, "{}", size_of::<Channel>());
    let mut idle = channel(with_history(3));
    assert!(idle.cost() <= 100, "{}", idle.cost());
    idle.subscribe(&Subscribe::NEW, Moment(0));
    assert!(idle.cost() <= 350, "with a position: {}", idle.cost());
}
