//! Peers that come and go while others publish: what each gets is exact.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openline_broker::position::Position;
use openline_broker::terms::TermsTable;
use openline_core::channel::ChannelTerms;
use openline_core::limits::{FunctionLimits, OutboxOverflow};
use openline_core::message::Message;

use super::*;
use crate::budget::HostBudget;
use crate::connection::{Item, Next, SocketOwner};
use crate::hub::{Hub, Subscribing};
use crate::space::tests::{history, name, peer, publish, space, table, terms, text};

/// Publications of each publisher.
const PUBLICATIONS: u64 = 4_000;

/// The number of a message, which is its offset.
fn number(item: &Item) -> u64 {
    let message = match item {
        Item::Message(message) => message,
        Item::Published(shared) => shared.message(),
        other => panic!("{other:?}"),
    };
    let Message::Text(text) = message else {
        panic!("{message:?}");
    };
    text.parse().unwrap()
}

/// What a peer has counted.
#[derive(Debug, Default)]
struct Tally {
    live: u64,
    recovered: u64,
    lost: u64,
    ended: u64,
}

/// Comes and goes until `ends`; each time it knows exactly what it has, or that
/// it has lost something.
fn come_and_go(hub: &Hub, ends: &AtomicBool, limits: &FunctionLimits) -> Tally {
    let (mut tally, mut last) = (Tally::default(), None::<Position>);
    let channel = name("c");
    'rounds: for round in 0.. {
        let is_last = ends.load(Ordering::Acquire);
        let owner = peer(hub, limits.clone());
        let wish = Subscribing {
            since: last,
            ..Subscribing::default()
        };
        let mut wakeups = Wakeups::default();
        let backlog = hub.subscribe_with(owner.connection(), &channel, wish, &mut wakeups);
        let backlog = backlog.unwrap().unwrap();
        let top = backlog.position.unwrap();
        match (last, backlog.recovered) {
            (None, None) => {}
            (Some(since), Some(true)) => {
                let offsets = backlog
                    .publications
                    .iter()
                    .map(|it| it.position.unwrap().offset);
                assert!(offsets.eq(since.offset + 1..=top.offset));
                for offset in since.offset + 1..=top.offset {
                    match owner.next() {
                        Next::Item(item) => assert_eq!(number(&item), offset),
                        // What came since was too much for its outbox: it is
                        // closed, and knows what it has read.
                        Next::End(_) if !is_last => {
                            tally.ended += 1;
                            hub.leave(owner.connection());
                            last = Some(Position::new(top.epoch, offset - 1));
                            continue 'rounds;
                        }
                        other => panic!("it is not there: {other:?}"),
                    }
                    tally.recovered += 1;
                }
            }
            (Some(since), Some(false)) => {
                assert!(backlog.publications.is_empty() && top.offset > since.offset);
                tally.lost += 1;
            }
            other => panic!("{other:?}"),
        }
        let mut next = top.offset + 1;
        for _ in 0..round % 50 {
            tally.live += u64::from(read(&owner, &mut next, &mut tally.ended));
        }
        hub.leave(owner.connection());
        // All that came before it left, and no more.
        while read(&owner, &mut next, &mut tally.ended) {
            tally.live += 1;
        }
        last = Some(Position::new(top.epoch, next - 1));
        if is_last {
            assert_eq!(last, hub.own().position(&channel));
            return tally;
        }
    }
    unreachable!("it is told when to end")
}

/// Reads one message, which is the next one.
fn read(owner: &SocketOwner, next: &mut u64, ended: &mut u64) -> bool {
    match owner.next() {
        Next::Item(item) => {
            assert_eq!(number(&item), *next);
            *next += 1;
            true
        }
        Next::End(_) => {
            *ended += 1;
            false
        }
        Next::Idle => false,
    }
}

/// One publisher whose texts are its offsets, and peers that come, recover and go
/// meanwhile, of a history that is evicted under them.
#[test]
fn whoever_comes_and_goes_has_all_or_knows_that_it_has_not() {
    for (kept, outbox_bytes) in [(8, 1 << 20), (10_000, 1_000)] {
        let host = HostBudget::new(0, 0);
        let terms_now = ChannelTerms {
            position_time: Duration::from_secs(9),
            ..history(kept)
        };
        let own = space(&host, terms("a", &[table("*", terms_now, None)], &[]));
        let hub = Hub::new(own, space(&host, TermsTable::default()));
        let limits = FunctionLimits {
            outbox_bytes,
            outbox_overflow: OutboxOverflow::DropOldest,
            ..FunctionLimits::default()
        };
        let ends = AtomicBool::new(false);
        let tallies: Vec<_> = std::thread::scope(|scope| {
            let peers: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| come_and_go(&hub, &ends, &limits)))
                .collect();
            for number in 1..=PUBLICATIONS {
                let outcome = publish(hub.own(), "c", text(&number.to_string()));
                assert_eq!(outcome.position.unwrap().offset, number);
            }
            ends.store(true, Ordering::Release);
            peers.into_iter().map(|it| it.join().unwrap()).collect()
        });
        println!("{kept} kept: {tallies:?}");
        assert_eq!(hub.own().subscribers(&name("c")), 0);
    }
}

/// Subscribers that leave in the middle of publications get a beginning of them,
/// and others all.
#[test]
fn a_subscriber_that_leaves_in_the_middle_of_a_publish_has_a_beginning() {
    let host = HostBudget::new(0, 0);
    let hub = Hub::new(
        space(&host, TermsTable::default()),
        space(&host, TermsTable::default()),
    );
    let stays = peer(&hub, FunctionLimits::default());
    let channel = name("c");
    let join = |owner: &SocketOwner| {
        hub.subscribe(owner.connection(), &channel, &mut Wakeups::default())
            .unwrap();
    };
    join(&stays);
    for _ in 0..50 {
        let leavers: Vec<_> = (0..50)
            .map(|_| peer(&hub, FunctionLimits::default()))
            .collect();
        leavers.iter().for_each(join);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for owner in &leavers {
                    hub.leave(owner.connection());
                }
            });
            for number in 1..=20 {
                let local = publish(hub.own(), "c", text(&number.to_string())).local;
                assert!((1..=51).contains(&local));
            }
        });
        let mut next = 1;
        while read(&stays, &mut next, &mut 0) {}
        assert_eq!(next, 21);
        for owner in &leavers {
            let mut next = 1;
            while read(owner, &mut next, &mut 0) {}
            assert!(next <= 21);
        }
        assert_eq!(hub.subscribers(&channel), 1);
    }
}
