//! The checks of a publish, each with its bounds, and their order.

use std::num::NonZeroU64;

use openline_core::channel::{HistoryTerms, KeyedTerms};

use super::tests::{
    ALL, at, channel, keyed, publish, removal, said, text, value, version, with_history,
};
use super::*;
use crate::idempotency::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::log::PageQuery;
use crate::outcome::{Outcome, Suppressed};
use crate::publication::{EVENT_BYTES_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, Sender, USER_BYTES_MAX};
use crate::versions::VERSION_EPOCH_BYTES_MAX;

#[test]
fn keys_belong_to_channels_with_values() {
    let mut plain = channel(with_history(3));
    let mut values = channel(keyed());
    let mut refused = |request| {
        let error = publish(&mut plain, request).unwrap_err();
        assert_eq!(error.word(), "invalid-name");
    };
    refused(value("a", "1"));
    refused(Publish {
        remove: true,
        ..text("")
    });
    refused(Publish {
        expected: Some(Expected::Key(None)),
        ..text("1")
    });
    refused(Publish {
        id: Some("".into()),
        ..text("1")
    });
    for request in [
        text("1"),
        Publish {
            remove: true,
            ..value("a", "1")
        },
    ] {
        assert_eq!(
            publish(&mut values, request).unwrap_err().word(),
            "invalid-name"
        );
    }
}

#[test]
fn values_at_their_bounds_and_past_them() {
    let mut terms = keyed();
    terms.keyed = Some(KeyedTerms {
        keys: 2,
        ..KeyedTerms::default()
    });
    let mut channel = channel(terms);
    for key in ["a", "b", "a"] {
        publish(&mut channel, value(key, "1")).unwrap();
    }
    let full = Err(PublishError::Full { what: "keyed.keys" });
    assert_eq!(publish(&mut channel, value("c", "1")), full);
    publish(&mut channel, removal("c")).unwrap();
    publish(&mut channel, removal("a")).unwrap();
    publish(&mut channel, value("c", "1")).unwrap();
    let large = "a".repeat(1 << 20);
    assert_eq!(
        publish(&mut channel, value("c", &large))
            .unwrap_err()
            .word(),
        "too-large"
    );
    assert_eq!(said(&channel.value_page(0, ALL).unwrap()), ["1", "1"]);
}

#[test]
fn a_repeated_publish_gets_the_first_outcome() {
    for terms in [ChannelTerms::default(), with_history(3)] {
        let mut channel = channel(terms);
        let request = Publish {
            idempotency_key: Some("k".into()),
            ..text("1")
        };
        let first = publish(&mut channel, request.clone()).unwrap();
        assert_eq!(first.outcome.local, 7);
        let again = channel.publish(request.clone(), Moment(299_999), &Room::ANY, |_| panic!());
        let again = again.unwrap();
        assert_eq!(again.publication, None);
        let suppressed = Some(Suppressed::Repeated);
        assert_eq!(
            again.outcome,
            Outcome {
                suppressed,
                ..first.outcome
            }
        );
        let later = channel
            .publish(request, Moment(300_000), &Room::ANY, |_| 1)
            .unwrap();
        assert!(later.publication.is_some());
    }
}

#[test]
fn a_late_version_is_dropped() {
    for terms in [ChannelTerms::default(), with_history(3)] {
        let mut channel = channel(terms);
        let with = |number| Publish {
            version: version(number),
            ..text("1")
        };
        assert_eq!(
            publish(&mut channel, with(5)).unwrap().outcome.suppressed,
            None
        );
        let top = channel.position();
        for late in [4, 5] {
            let published = publish(&mut channel, with(late)).unwrap();
            assert_eq!(
                published.outcome,
                Outcome::suppressed(top, Suppressed::Stale)
            );
        }
        assert_eq!(
            publish(&mut channel, with(6)).unwrap().outcome.suppressed,
            None
        );
    }
    // Each key has its own, also when its value is gone.
    let mut channel = channel(keyed());
    let with = |key, number| Publish {
        version: version(number),
        ..value(key, "1")
    };
    publish(&mut channel, with("a", 5)).unwrap();
    publish(&mut channel, removal("a")).unwrap();
    let stale = |channel: &mut Channel, request| {
        publish(channel, request).unwrap().outcome.suppressed == Some(Suppressed::Stale)
    };
    assert!(stale(&mut channel, with("a", 4)));
    assert!(!stale(&mut channel, with("b", 4)));
}

#[test]
fn a_publish_that_expects_another_position_is_refused_with_the_present_one() {
    let mut history = channel(with_history(3));
    let with = |position| Publish {
        expected: Some(Expected::Top(position)),
        ..text("1")
    };
    assert!(
        publish(&mut history, with(at(0))).is_ok(),
        "before the first one"
    );
    let conflict = |present| Err(PublishError::Conflict { present });
    assert_eq!(publish(&mut history, with(at(0))), conflict(Some(at(1))));
    let other = Position::new(Epoch::from_random(6), 1);
    assert_eq!(publish(&mut history, with(other)), conflict(Some(at(1))));
    assert!(publish(&mut history, with(at(1))).is_ok());
    let mut plain = channel(ChannelTerms::default());
    assert_eq!(publish(&mut plain, with(at(0))), conflict(None));

    let mut values = channel(keyed());
    let with = |position| Publish {
        expected: Some(Expected::Key(position)),
        ..value("a", "1")
    };
    publish(&mut values, value("b", "1")).unwrap();
    assert_eq!(publish(&mut values, with(Some(at(1)))), conflict(None));
    assert!(publish(&mut values, with(None)).is_ok());
    assert_eq!(publish(&mut values, with(None)), conflict(Some(at(2))));
    publish(&mut values, value("b", "2")).unwrap();
    assert!(
        publish(&mut values, with(Some(at(2)))).is_ok(),
        "other keys do not count"
    );
}

#[test]
fn the_checks_have_an_order() {
    let mut channel = channel(with_history(3));
    let request = Publish {
        idempotency_key: Some("k".into()),
        version: version(1),
        expected: Some(Expected::Top(at(0))),
        ..text("1")
    };
    publish(&mut channel, request.clone()).unwrap();
    // It would be stale and in conflict because of itself.
    let again = publish(&mut channel, request.clone()).unwrap();
    assert_eq!(again.outcome.suppressed, Some(Suppressed::Repeated));
    let other = Publish {
        idempotency_key: Some("l".into()),
        ..request
    };
    let stale = publish(&mut channel, other.clone()).unwrap();
    assert_eq!(stale.outcome.suppressed, Some(Suppressed::Stale));
    let newer = Publish {
        version: version(2),
        ..other
    };
    let none = Room {
        growth_bytes: 0,
        ..Room::ANY
    };
    let refused = channel.publish(newer.clone(), Moment(0), &none, |_| panic!());
    assert_eq!(refused.unwrap_err().word(), "conflict");
    let top = Publish {
        expected: Some(Expected::Top(at(1))),
        ..newer
    };
    let refused = channel.publish(top.clone(), Moment(0), &none, |_| panic!());
    assert_eq!(refused, Err(PublishError::Full { what: "memory" }));
    // Nothing refused has left its version or its key.
    assert_eq!(publish(&mut channel, top).unwrap().outcome.suppressed, None);
}

#[test]
fn parts_at_their_sizes_and_past_them() {
    let long = |bytes: usize| Some(ByteString::from("a".repeat(bytes)));
    let requests = |past: usize| {
        let epoch = "a".repeat(VERSION_EPOCH_BYTES_MAX + past).into();
        let number = NonZeroU64::MIN;
        [
            Publish {
                id: long(ID_BYTES_MAX + past),
                ..value("a", "1")
            },
            Publish {
                event: long(EVENT_BYTES_MAX + past),
                ..value("a", "1")
            },
            Publish {
                key: long(KEY_BYTES_MAX + past),
                ..text("1")
            },
            Publish {
                idempotency_key: long(IDEMPOTENCY_KEY_BYTES_MAX + past),
                ..value("b", "1")
            },
            Publish {
                version: Some(Version { number, epoch }),
                ..value("c", "1")
            },
            Publish {
                sender: Some(Sender {
                    connection: ConnectionId::from_random(1),
                    user: long(USER_BYTES_MAX + past),
                }),
                ..value("d", "1")
            },
            value("e", &"a".repeat(1000 + past)),
        ]
    };
    let mut channel = channel(keyed());
    let room = Room {
        data_bytes: 1000,
        ..Room::ANY
    };
    for request in requests(0) {
        assert!(channel.publish(request, Moment(0), &room, |_| 0).is_ok());
    }
    for request in requests(1) {
        let refused = channel.publish(request, Moment(0), &room, |_| panic!());
        assert_eq!(refused.unwrap_err().word(), "too-large");
    }
}

#[test]
fn a_publication_larger_than_its_history_is_refused() {
    let mut terms = with_history(3);
    terms.history = Some(HistoryTerms {
        bytes: 1024,
        ..terms.history.unwrap()
    });
    let mut channel = channel(terms);
    let cost = publish(&mut channel, text(""))
        .unwrap()
        .publication
        .unwrap()
        .cost();
    assert!(publish(&mut channel, text(&"a".repeat(1024 - cost))).is_ok());
    let past = publish(&mut channel, text(&"a".repeat(1025 - cost)));
    assert_eq!(past.unwrap_err().word(), "too-large");
    let page = channel
        .history(PageQuery::default(), ALL, Moment(0))
        .unwrap()
        .unwrap();
    assert_eq!(
        (page.publications.len(), page.top),
        (1, at(2)),
        "the first was evicted"
    );
}

#[test]
fn a_publish_is_estimated_before_it_is_done() {
    for (terms, request) in [
        (with_history(9), text("abc")),
        (keyed(), value("key", "abc")),
        (
            ChannelTerms {
                durable: true,
                ..keyed()
            },
            value("key", "abc"),
        ),
        (
            ChannelTerms {
                latest: true,
                ..with_history(1)
            },
            text("abc"),
        ),
        (
            ChannelTerms::default(),
            Publish {
                version: version(1),
                ..text("abc")
            },
        ),
    ] {
        let mut channel = channel(terms);
        for number in 0..40u64 {
            let mut request = request.clone();
            request.idempotency_key = (number % 2 == 0).then(|| number.to_string().into());
            request.version = request.version.and(version(number + 1));
            let before = channel.cost();
            // The least room with which it is done bounds by how much it grows.
            let mut room = 0;
            loop {
                let growth = Room {
                    growth_bytes: room,
                    ..Room::ANY
                };
                if channel
                    .publish(request.clone(), Moment(0), &growth, |_| 0)
                    .is_ok()
                {
                    break;
                }
                room += 64;
            }
            let grown = channel.cost().saturating_sub(before);
            assert!(grown <= room, "{grown} {room} at {number}");
            if let Some(staged) = channel.staged().filter(|_| number % 3 == 0) {
                channel.settle(staged, Moment(0), |_| 0);
            }
        }
    }
}
