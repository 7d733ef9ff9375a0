//! A durable channel beside a store of rows: after every prefix of what was
//! written, the channel that is restored is one that was there.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use openline_core::channel::{HistoryTerms, KeyedTerms};
use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{at, channel, epoch, keyed, name, text, version, with_history};
use super::*;
use crate::log::{PageLimit, PageQuery};
use crate::outcome::{Outcome, Suppressed};
use crate::rows::Row;

const ALL: PageLimit = PageLimit {
    count: usize::MAX,
    bytes: usize::MAX,
};

type Store = BTreeMap<Vec<u8>, Bytes>;

fn write(store: &mut Store, group: &[Change]) {
    for change in group {
        match change {
            Change::Put(row, bytes) => drop(store.insert(row.name(), bytes.clone())),
            Change::Delete(row) => drop(store.remove(&row.name())),
            Change::Forget { before } => {
                let end = Row::Publication(*before).name();
                store.retain(|name, _| name[0] != b'p' || *name >= end);
            }
            Change::Clear => store.clear(),
        }
    }
}

fn restore(store: &Store, terms: &Arc<ChannelTerms>, now: Moment) -> (Channel, Vec<Change>) {
    let rows = store
        .iter()
        .map(|(name, bytes)| (Row::parse(name).unwrap(), bytes.clone()));
    let fresh = Epoch::from_random(99);
    Channel::restore(name(), Arc::clone(terms), fresh, rows, now).unwrap()
}

/// What an observer can see of a channel.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    position: Option<Position>,
    history: Vec<Publication>,
    values: Option<Vec<Publication>>,
}

fn see(channel: &mut Channel, now: Moment) -> Seen {
    let page = channel.history(PageQuery::default(), ALL, now).unwrap();
    Seen {
        position: channel.position(),
        history: page.map(|page| page.publications).unwrap_or_default(),
        values: channel.value_page(
            0,
            PageLimit {
                count: usize::MAX,
                bytes: usize::MAX,
            },
        ),
    }
}

/// How a channel decides about each of some publishes, if it is the next.
fn decide(channel: &Channel, now: Moment) -> Vec<Result<Outcome, PublishError>> {
    let mut decisions = Vec::new();
    for number in 0..3 * 4 * 4 * 2 {
        let (key, id, rest) = (number % 3, number / 3 % 4, number / 12);
        let request = Publish {
            idempotency_key: Some(id.to_string().into()).filter(|_| id < 3),
            version: version(rest % 4 + 1),
            expected: (rest / 4 == 1).then(|| match channel.position() {
                Some(top) if channel.terms().keyed.is_none() => Expected::Top(top),
                top => Expected::Key(top),
            }),
            key: channel.terms().keyed.map(|_| key.to_string().into()),
            ..text("next")
        };
        let mut channel = channel.clone();
        let published = channel.publish(request, now, &Room::ANY, |_| 0);
        // How many took it, the store does not know.
        decisions.push(published.map(|it| Outcome {
            local: 0,
            ..it.outcome
        }));
    }
    decisions
}

#[derive(Clone, Debug)]
enum Step {
    /// Data, and a key, an idempotency key and a version.
    Publish(u8, u8, Option<u8>, Option<u8>),
    Remove(u8),
    /// So many groups reach the disk.
    Write(usize),
    Fail,
    Wait(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let small = || proptest::option::of(0..4u8);
    let step = prop_oneof![
        8 => (0..9u8, 0..3u8, small(), small()).prop_map(|(data, key, id, version)| {
            Step::Publish(data, key, id, version)
        }),
        2 => (0..3u8).prop_map(Step::Remove),
        6 => (1..4usize).prop_map(Step::Write),
        1 => Just(Step::Fail),
        2 => (0..20_000u64).prop_map(Step::Wait),
        1 => Just(Step::Clear),
    ];
    vec(step, 0..40)
}

fn terms() -> impl Strategy<Value = ChannelTerms> {
    let history = (1..5u32, proptest::option::of(1..60u64));
    let history = history.prop_map(|(count, time)| HistoryTerms {
        count,
        time: time.map(Duration::from_secs),
        bytes: 1 << 20,
    });
    (history, 0..4u8).prop_map(|(history, sort)| ChannelTerms {
        history: (sort != 3).then_some(history),
        latest: sort == 1,
        keyed: (sort >= 2).then(|| KeyedTerms {
            time: history.time.map(|time| 2 * time),
            ..KeyedTerms::default()
        }),
        durable: true,
        ..with_history(1)
    })
}

/// A host: the channel, the groups on their way to the disk, and the disk.
struct Host {
    terms: Arc<ChannelTerms>,
    channel: Channel,
    store: Store,
    /// Each with the position that is settled when it is written.
    queue: VecDeque<(Vec<Change>, Option<Position>)>,
    delivered: Vec<Publication>,
    /// Outcomes that publishers have got, by idempotency key.
    acknowledged: BTreeMap<u8, Position>,
    pending: Vec<(Position, u8)>,
    now: Moment,
}

impl Host {
    fn publish(&mut self, request: Publish, key: Option<u8>) {
        let published = self.channel.publish(request, self.now, &Room::ANY, |_| {
            panic!("a durable channel delivers what is written")
        });
        let published = published.unwrap();
        let Some(publication) = &published.publication else {
            assert!(published.changes.is_empty(), "suppressed, and written");
            return;
        };
        let position = publication.position.unwrap();
        self.pending.extend(key.map(|key| (position, key)));
        self.queue.push_back((published.changes, Some(position)));
    }

    /// Writes one group, and settles what it has.
    fn write(&mut self) {
        let Some((group, settles)) = self.queue.pop_front() else {
            return;
        };
        write(&mut self.store, &group);
        // A kill after this group, before anything else happens.
        let (mut restored, _) = restore(&self.store, &self.terms, self.now);
        if let Some(position) = settles {
            let delivered = &mut self.delivered;
            let changes = self.channel.settle(position, self.now, |it| {
                delivered.push(it.clone());
                1
            });
            self.queue
                .extend((!changes.is_empty()).then_some((changes, None)));
            for (key, at) in self.pending.iter().map(|(at, key)| (key, *at)) {
                let receipt = self.channel.receipt(&key.to_string(), self.now).unwrap();
                assert_eq!(receipt.local, u64::from(at.offset <= position.offset));
            }
            let done = self
                .pending
                .extract_if(.., |(at, _)| at.offset <= position.offset);
            self.acknowledged.extend(done.map(|(at, key)| (key, at)));
        }
        let is_begun = !self.store.is_empty();
        let seen = see(&mut self.channel, self.now);
        assert_eq!(see(&mut restored, self.now) == seen, is_begun);
        assert!(is_begun || seen.position == Some(at(0)));
        // What was acknowledged is there: a repetition gets the same position.
        for (key, position) in &self.acknowledged {
            let request = Publish {
                idempotency_key: Some(key.to_string().into()),
                ..some_request(&self.terms)
            };
            let again = restored
                .publish(request, self.now, &Room::ANY, |_| 0)
                .unwrap();
            assert_eq!(again.outcome.suppressed, Some(Suppressed::Repeated));
            assert_eq!(again.outcome.position, Some(*position));
        }
    }
}

impl Host {
    /// With nothing on its way, a restart changes no decision.
    fn compare_decisions(&self) {
        if self.store.is_empty() {
            return;
        }
        let (restored, _) = restore(&self.store, &self.terms, self.now);
        let decisions = decide(&self.channel, self.now);
        assert_eq!(decide(&restored, self.now), decisions);
    }
}

fn some_request(terms: &ChannelTerms) -> Publish {
    Publish {
        key: terms.keyed.map(|_| "0".into()),
        ..text("again")
    }
}

impl Host {
    fn new(terms: ChannelTerms) -> Self {
        let terms = Arc::new(terms);
        Self {
            channel: Channel::new(name(), Arc::clone(&terms), epoch(), Moment(0)),
            terms,
            store: Store::new(),
            queue: VecDeque::new(),
            delivered: Vec::new(),
            acknowledged: BTreeMap::new(),
            pending: Vec::new(),
            now: Moment(0),
        }
    }

    fn step(&mut self, step: Step) {
        let is_keyed = self.terms.keyed.is_some();
        match step {
            Step::Publish(data, key, id, number) => {
                let request = Publish {
                    key: is_keyed.then(|| key.to_string().into()),
                    idempotency_key: id.map(|id| id.to_string().into()),
                    version: number.and_then(|it| version(u64::from(it) + 1)),
                    ..text(&data.to_string())
                };
                self.publish(request, id);
            }
            Step::Remove(key) if is_keyed => {
                let key = Some(key.to_string().into());
                let request = Publish {
                    key,
                    remove: true,
                    ..text("")
                };
                self.publish(request, None);
            }
            Step::Remove(_) => {}
            Step::Write(groups) => (0..groups).for_each(|_| self.write()),
            Step::Fail => {
                // Groups that settle nothing are written later all the same.
                self.queue.retain(|(_, settles)| settles.is_none());
                let before = see(&mut self.channel, self.now);
                self.channel.abandon();
                self.pending.clear();
                assert_eq!(see(&mut self.channel, self.now), before);
                assert_eq!(self.channel.staged(), None);
                self.compare_decisions();
            }
            Step::Wait(wait) => {
                self.now = self.now.plus(Duration::from_millis(wait));
                self.expire();
            }
            Step::Clear => {
                // What is on its way first, so that the queue has one order.
                self.write_all();
                let changes = self.channel.clear();
                self.queue.push_back((changes, None));
                self.write();
            }
        }
    }

    fn expire(&mut self) {
        let deliver = |_: &Publication| panic!("a durable channel delivers what is written");
        let before = self.channel.staged();
        let expired = self.channel.expire((self.now, usize::MAX), deliver, |_| ());
        let settles = self.channel.staged().filter(|it| Some(*it) != before);
        self.queue.push_back((expired.changes, settles));
    }

    fn write_all(&mut self) {
        while !self.queue.is_empty() {
            self.write();
        }
    }
}

fn run(terms: ChannelTerms, steps: Vec<Step>) {
    let mut host = Host::new(terms);
    for step in steps {
        host.step(step);
        // Then keys end, which the model knows nothing of.
        if host.now.0 > 280_000 {
            break;
        }
    }
    host.write_all();
    // Reading has evicted what the store is told of with the next change.
    host.expire();
    host.write_all();
    host.compare_decisions();
    // Subscribers have got every offset once, in order.
    let offsets: Vec<_> = host.delivered.iter().map(Publication::offset).collect();
    let top = host.channel.position().unwrap();
    let expected = 1..=top.offset;
    assert!(offsets.iter().copied().eq(expected), "{offsets:?} {top}");
    let (mut restored, changes) = restore(&host.store, &host.terms, host.now);
    assert_eq!(changes, [], "everything was told");
    if top.offset > 0 {
        let seen = see(&mut host.channel, host.now);
        assert_eq!(see(&mut restored, host.now), seen);
    }
}

proptest! {
    #[test]
    fn a_kill_after_any_write_leaves_what_was_there(terms in terms(), steps in steps()) {
        run(terms, steps);
    }

    /// A subscriber that leaves at any time and comes back at another has what
    /// one has that stayed, or is told.
    #[test]
    fn a_subscriber_that_comes_back_has_what_one_has_that_stayed(
        count in 1..6u32, total in 0..12u64, away in 0..12u64, back in 0..12u64,
    ) {
        let mut channel = channel(with_history(count));
        let (away, back) = (away.min(total), back.min(total));
        let (away, back) = (away.min(back), away.max(back));
        let (mut stayed, mut seen) = (Vec::new(), Vec::new());
        let mut position = None;
        let mut recovered = None;
        for step in 0..=total {
            if step == away {
                position = channel.subscribe(&Subscribe::NEW, Moment(0)).position;
            }
            if step == back {
                let subscribe = Subscribe { since: position, ..Subscribe::NEW };
                let backlog = channel.subscribe(&subscribe, Moment(0));
                recovered = backlog.recovered;
                prop_assert!(recovered == Some(true) || backlog.publications.is_empty());
                seen.extend(backlog.publications);
            }
            if step == total {
                break;
            }
            let published = channel.publish(text("x"), Moment(0), &Room::ANY, |publication| {
                stayed.push(publication.clone());
                1
            });
            let publication = published.unwrap().publication;
            seen.extend(publication.filter(|_| step < away || step >= back));
        }
        prop_assert_eq!(recovered, Some(back - away <= count.into()));
        prop_assert_eq!(seen == stayed, recovered == Some(true) );
    }
}

#[test]
fn rows_that_are_damaged_are_an_error() {
    let mut channel = channel(ChannelTerms {
        durable: true,
        ..with_history(3)
    });
    let mut store = Store::new();
    for number in ["1", "2", "3"] {
        let published = channel
            .publish(text(number), Moment(0), &Room::ANY, |_| 0)
            .unwrap();
        write(&mut store, &published.changes);
    }
    let terms = Arc::clone(channel.terms());
    let rows = || {
        store
            .iter()
            .map(|(name, bytes)| (Row::parse(name).unwrap(), bytes.clone()))
    };
    let restored = |rows: Vec<(Row, Bytes)>| {
        Channel::restore(
            name(),
            Arc::clone(&terms),
            Epoch::from_random(99),
            rows,
            Moment(0),
        )
    };
    assert_eq!(
        restored(rows().collect()).unwrap().0.position(),
        Some(at(3))
    );
    assert_eq!(
        restored(vec![]).unwrap().0.position().unwrap().epoch.bits(),
        99
    );
    for missing in [2, 3] {
        let torn = restored(
            rows()
                .filter(|(row, _)| *row != Row::Publication(missing))
                .collect(),
        );
        assert_eq!(torn.unwrap_err(), RestoreError::Torn, "without {missing}");
    }
    let other = restored(
        rows()
            .map(|(row, bytes)| match row {
                Row::Publication(1) => (Row::Publication(4), bytes),
                row => (row, bytes),
            })
            .collect(),
    );
    assert_eq!(other.unwrap_err(), RestoreError::Torn);
    let cut = restored(
        rows()
            .map(|(row, bytes)| (row, bytes.slice(..bytes.len() / 2)))
            .collect(),
    );
    assert!(matches!(cut, Err(RestoreError::Row(_))));
    // Without a head nothing is known of the rest: a new epoch, and no rows.
    let (headless, changes) =
        restored(rows().filter(|(row, _)| *row != Row::Head).collect()).unwrap();
    assert_eq!(headless.position().unwrap().epoch.bits(), 99);
    assert_eq!(changes, [Change::Clear]);
}

#[test]
fn rows_are_made_to_fit_the_terms_of_the_next_start() {
    let mut channel = channel(ChannelTerms {
        durable: true,
        ..keyed()
    });
    let mut store = Store::new();
    for number in ["1", "2", "3"] {
        let request = Publish {
            key: Some(number.into()),
            ..text(number)
        };
        let published = channel
            .publish(request, Moment(0), &Room::ANY, |_| 0)
            .unwrap();
        write(&mut store, &published.changes);
    }
    let restored = |terms: ChannelTerms| {
        let (mut channel, changes) = restore(&store, &Arc::new(terms), Moment(0));
        (see(&mut channel, Moment(0)), changes)
    };
    let durable = |terms| ChannelTerms {
        durable: true,
        ..terms
    };
    let same = see(&mut channel, Moment(0));
    assert_eq!(same.history.len(), 0, "nothing is settled");
    let (all, changes) = restored(durable(keyed()));
    assert_eq!(
        (all.history.len(), all.values.unwrap().len(), changes),
        (3, 3, vec![])
    );
    let fewer = ChannelTerms {
        history: with_history(1).history,
        ..durable(keyed())
    };
    let (fewer, changes) = restored(fewer);
    assert_eq!(
        (fewer.history.len(), changes),
        (1, vec![Change::Forget { before: 3 }])
    );
    let (none, changes) = restored(ChannelTerms {
        history: None,
        ..durable(keyed())
    });
    assert_eq!((none.history.len(), none.position), (0, Some(at(3))));
    assert_eq!(changes, [Change::Forget { before: 4 }]);
    for other in [keyed(), durable(with_history(3))] {
        let (other, changes) = restored(other);
        assert_eq!(
            other.position.unwrap().epoch.bits(),
            99,
            "another sort of channel"
        );
        assert_eq!(changes, [Change::Clear]);
    }
}

#[test]
fn what_is_written_of_an_epoch_that_has_ended_settles_nothing() {
    let mut channel = channel(ChannelTerms {
        durable: true,
        ..with_history(3)
    });
    let publish = |channel: &mut Channel| {
        let published = channel.publish(text("1"), Moment(0), &Room::ANY, |_| 0);
        published.unwrap().outcome.position.unwrap()
    };
    let before = publish(&mut channel);
    assert_eq!(channel.reset(Epoch::from_random(6)), [Change::Clear]);
    let after = publish(&mut channel);
    assert_eq!(before.offset, after.offset);
    channel.settle(before, Moment(0), |_| panic!("it is not written"));
    let mut delivered = 0;
    channel.settle(after, Moment(0), |_| {
        delivered += 1;
        1
    });
    assert_eq!((delivered, channel.position()), (1, Some(after)));
}

#[test]
fn staged_publications_at_their_number_and_past_it() {
    let mut channel = channel(ChannelTerms {
        durable: true,
        ..with_history(3)
    });
    let publish = |channel: &mut Channel| channel.publish(text("1"), Moment(0), &Room::ANY, |_| 0);
    for _ in 0..STAGED_MAX {
        publish(&mut channel).unwrap();
    }
    assert_eq!(publish(&mut channel).unwrap_err().word(), "full");
    assert!(!channel.is_stored() && !channel.is_removable(Moment(u64::MAX)));
    assert_eq!(channel.position(), Some(at(0)));
    // Each is delivered once, in order.
    let mut delivered = Vec::new();
    for upto in [1, 1, 500, 1024] {
        channel.settle(at(upto), Moment(0), |it| {
            delivered.push(it.offset());
            1
        });
        assert_eq!(channel.position(), Some(at(upto)));
    }
    assert!(delivered.iter().copied().eq(1..=1024));
    assert!(channel.is_stored());
    assert!(publish(&mut channel).is_ok());
}
