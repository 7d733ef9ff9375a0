//! Models of a channel: peers that come, recover and go while others publish and
//! the channel is removed; and publications that wait for the disk.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use openline_broker::position::Position;
use openline_broker::rows::Row;
use openline_broker::terms::TermsTable;
use openline_core::channel::{
    ChannelPattern, ChannelTable, ChannelTerms, HistoryTerms, Subscription,
};
use openline_core::message::Message;
use openline_core::name::{ChannelName, FunctionName};
use shuttle::thread;

use super::{explore, join};
use crate::audience::{Belonging, Hearer};
use crate::budget::HostBudget;
use crate::channel_queue::{Batch, ChannelQueue, Most};
use crate::connection::{Facts, Item, Next, SocketOwner};
use crate::durable::Settling;
use crate::line::ChannelStore;
use crate::space::{Publishing, Space};
use crate::subscribing::Subscribing;
use crate::sync::block_on;
use crate::wakeups::Wakeups;

fn name() -> ChannelName {
    ChannelName::new("c").expect("a name")
}

/// A space whose channels keep so many publications, and a position only as long
/// as somebody is there.
fn space(kept: u32, durable: bool) -> Arc<Space> {
    let terms = ChannelTerms {
        history: Some(HistoryTerms {
            count: kept,
            bytes: 1 << 20,
            time: None,
        }),
        position_time: Duration::ZERO,
        recovery: true,
        durable,
        ..ChannelTerms::default()
    };
    let table = ChannelTable {
        pattern: ChannelPattern::new("*").expect("a pattern"),
        terms,
        functions: None,
    };
    let function = FunctionName::new("function").expect("a name");
    let table = TermsTable::new(&function, &[table], &[]).expect("nothing is shared");
    Space::new(table, HostBudget::new(0, 0).channels(), &Arc::default())
}

fn publishing(number: u64) -> Publishing {
    Publishing::of(Message::Text(number.to_string().into()))
}

/// The number in the next message.
fn read(owner: &SocketOwner) -> Option<u64> {
    let message = match owner.next() {
        Next::Item(Item::Published(shared)) => shared.message().clone(),
        Next::Item(Item::Message(message)) => message,
        other => {
            assert_eq!(other, Next::Idle);
            return None;
        }
    };
    match message {
        Message::Text(text) => text.parse().ok(),
        Message::Binary(_) => None,
    }
}

/// A peer of a raw channel that comes and goes.
struct Peer {
    space: Arc<Space>,
    /// Where it was, and the last number that it has.
    last: Option<(Position, u64)>,
}

impl Peer {
    /// Comes, reads what is there, and goes. What it gets continues what it has,
    /// or it is told that it does not.
    fn visit(&mut self) {
        let budget = HostBudget::new(1 << 20, 0).function();
        let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
        let wish = Subscribing {
            since: self.last.map(|(position, _)| position),
            ..Subscribing::default()
        };
        let mut wakeups = Wakeups::default();
        let subscribed = self
            .space
            .subscribe_with(owner.connection(), &name(), wish, &mut wakeups);
        let backlog = subscribed.expect("there is room").expect("it is new");
        thread::yield_now();
        owner.unsubscribe_all();
        let top = backlog.position.expect("the channel counts");
        let mut has = match (self.last, backlog.recovered) {
            (Some((since, number)), Some(true)) => {
                assert_eq!(since.epoch, top.epoch);
                let missed = u64::try_from(backlog.publications.len()).expect("few");
                assert_eq!(since.offset + missed, top.offset);
                Some(number)
            }
            (last, recovered) => {
                assert_eq!(recovered, last.map(|_| false));
                None
            }
        };
        let mut live = backlog.publications.len();
        let mut offset = top.offset;
        while let Some(number) = read(&owner) {
            if let Some(before) = has {
                assert_eq!(number, before + 1, "nothing is lost, twice or out of order");
            }
            has = Some(number);
            offset += u64::from(live == 0);
            live = live.saturating_sub(1);
        }
        assert_eq!(live, 0, "a part of the backlog");
        // Whoever has read nothing yet knows no number, only the position.
        self.last = has.map(|number| (Position::new(top.epoch, offset), number));
    }
}

/// Peers that recover while others publish and the history is cleared, and with it
/// the channel removed, get exactly what they missed or are told that they do not.
pub fn a_peer_that_recovers_has_all_or_is_told() {
    explore(|| {
        let space = space(2, false);
        let publisher = {
            let space = Arc::clone(&space);
            thread::spawn(move || {
                let mut before = None;
                for number in 1..=4 {
                    let published =
                        space.publish(&name(), publishing(number), &mut Wakeups::default());
                    let outcome = published.now().expect("there is room");
                    let position = outcome.position.expect("the channel counts");
                    let is_next = |it: &Position| {
                        position.epoch != it.epoch || position.offset == it.offset + 1
                    };
                    assert!(before.as_ref().is_none_or(is_next), "a position twice");
                    before = Some(position);
                }
            })
        };
        let peers = [(); 2].map(|()| {
            let space = Arc::clone(&space);
            thread::spawn(move || {
                let mut peer = Peer { space, last: None };
                for _ in 0..3 {
                    peer.visit();
                }
            })
        });
        let remover = {
            let space = Arc::clone(&space);
            thread::spawn(move || {
                space.clear(&name());
            })
        };
        join([publisher, remover]);
        join(peers);
        space.clear(&name());
        assert_eq!((space.count(), space.bytes()), (0, 0), "something is left");
    });
}

/// A publication of a durable channel is acknowledged and delivered once it is on
/// the disk; what the disk does not take nobody gets, and its position is given to
/// the next.
pub fn what_is_acknowledged_or_delivered_is_on_the_disk() {
    for fails_at in [None, Some(0), Some(1)] {
        explore(move || durable(fails_at));
    }
}

fn durable(fails_at: Option<usize>) {
    const PUBLISHERS: usize = 2;
    const EACH: u64 = 2;
    let (space, store) = (space(100, true), ChannelStore::default());
    let settling = Arc::new(Settling::default());
    block_on(space.restore(store.clone(), &settling)).expect("it answers");
    let budget = HostBudget::new(1 << 20, 0).function();
    let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
    let subscribed = space.subscribe_with(
        owner.connection(),
        &name(),
        Subscribing::default(),
        &mut Wakeups::default(),
    );
    subscribed.expect("there is room");
    let left = Arc::new(AtomicUsize::new(PUBLISHERS));
    let acknowledged = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let publishers = [0, 1].map(|publisher| {
        let (space, store) = (Arc::clone(&space), store.clone());
        let (left, acknowledged) = (Arc::clone(&left), Arc::clone(&acknowledged));
        thread::spawn(move || {
            for number in 0..EACH {
                let number = 10 * publisher + number;
                let published = space.publish(&name(), publishing(number), &mut Wakeups::default());
                let Ok(outcome) = block_on(published.wait()) else {
                    continue;
                };
                let offset = outcome.position.expect("the channel counts").offset;
                assert!(is_on_disk(&store, offset), "acknowledged before");
                assert_eq!(outcome.local, 1);
                acknowledged.lock().push((offset, number));
            }
            left.fetch_sub(1, Ordering::SeqCst);
        })
    });
    let writer = {
        let (store, settling) = (store.clone(), Arc::clone(&settling));
        let left = Arc::clone(&left);
        thread::spawn(move || {
            let mut settled = pin!(settling.run());
            let mut written = 0;
            while left.load(Ordering::SeqCst) > 0 || store.has_groups() {
                if store.write_next(fails_at == Some(written)) {
                    written += 1;
                    thread::yield_now();
                    // It takes all that is written, and waits for more.
                    let polled = settled
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()));
                    assert!(matches!(polled, Poll::Pending));
                } else {
                    thread::yield_now();
                }
            }
        })
    };
    let mut delivered = Vec::new();
    while left.load(Ordering::SeqCst) > 0 {
        deliver(&owner, &store, &mut delivered);
        thread::yield_now();
    }
    join(publishers);
    join([writer]);
    deliver(&owner, &store, &mut delivered);
    let mut acknowledged = std::mem::take(&mut *acknowledged.lock());
    acknowledged.sort_unstable();
    let offsets = acknowledged.iter().map(|(offset, _)| *offset);
    assert!(offsets.eq(1..=u64::try_from(acknowledged.len()).expect("few")));
    let numbers = acknowledged.into_iter().map(|(_, number)| number);
    assert!(numbers.eq(delivered.iter().copied()), "{delivered:?}");
    let all = PUBLISHERS * usize::try_from(EACH).expect("few");
    assert_eq!(delivered.len() == all, fails_at.is_none());
}

fn is_on_disk(store: &ChannelStore, offset: u64) -> bool {
    store.has(&Row::Publication(offset).name())
}

/// Reads what is there, each of which is on the disk.
fn deliver(owner: &SocketOwner, store: &ChannelStore, delivered: &mut Vec<u64>) {
    while let Some(number) = read(owner) {
        delivered.push(number);
        let offset = u64::try_from(delivered.len()).expect("few");
        assert!(is_on_disk(store, offset), "delivered before");
    }
}

/// Has the channels of a space wake a function, or none of them, as a hub does.
fn listen(space: &Space, queue: &Arc<ChannelQueue>, patterns: &[&str]) {
    queue.set_wanted(!patterns.is_empty());
    let subscriptions = patterns.iter().map(|pattern| Subscription {
        pattern: ChannelPattern::new(pattern).expect("a pattern"),
        own: false,
    });
    let hearer = Hearer {
        queue: Arc::clone(queue),
        subscriptions: subscriptions.collect(),
        belonging: Belonging::All,
    };
    space.change_audience(|audience| audience.set(hearer));
}

/// The next call, if one can be made.
fn taken(queue: &ChannelQueue) -> Option<Batch> {
    let mut cx = Context::from_waker(Waker::noop());
    match pin!(queue.next()).poll(&mut cx) {
        Poll::Ready(batch) => batch,
        Poll::Pending => None,
    }
}

/// A function that subscribes to nothing any more is handed nothing, whatever is
/// published meanwhile: neither what waits nor what was taken and waits for room.
/// When it subscribes again, it gets what is published then, and only that.
pub fn who_subscribes_to_nothing_any_more_is_handed_nothing() {
    explore(|| {
        let (space, queue) = (space(2, false), Arc::<ChannelQueue>::default());
        queue.set_most(Most {
            publications: 10,
            bytes: 1 << 20,
            calls_per_second: 1,
        });
        listen(&space, &queue, &["*"]);
        let publisher = {
            let space = Arc::clone(&space);
            thread::spawn(move || {
                for number in 1..=3 {
                    let _ = space.publish(&name(), publishing(number), &mut Wakeups::default());
                }
            })
        };
        let stopper = {
            let (space, queue) = (Arc::clone(&space), Arc::clone(&queue));
            thread::spawn(move || listen(&space, &queue, &[]))
        };
        let mut batches = Vec::new();
        for _ in 0..2 {
            batches.extend(taken(&queue));
            thread::yield_now();
        }
        join([publisher, stopper]);
        assert!(queue.is_empty());
        assert!(batches.iter().all(|batch| !queue.wants(batch)));
        let _ = space.publish(&name(), publishing(4), &mut Wakeups::default());
        assert!(taken(&queue).is_none());
        listen(&space, &queue, &["c"]);
        let _ = space.publish(&name(), publishing(5), &mut Wakeups::default());
        let batch = taken(&queue).expect("it subscribes again");
        assert_eq!(batch.publications.len(), 1);
        assert!(queue.wants(&batch) && queue.is_empty());
    });
}
