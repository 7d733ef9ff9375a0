//! What channels take and what one step does, at its bounds and past them; and,
//! printed by hand, how much memory and time that is.

use std::hint::black_box;
use std::time::Duration;

use openline_broker::channel::Expected;
use openline_broker::outcome::PublishError;
use openline_broker::position::Position;
use openline_broker::terms::TermsTable;
use openline_core::channel::{ChannelTerms, KeyedTerms};
use openline_core::close::CloseReason;
use openline_core::limits::{FunctionLimits, OutboxOverflow};
use openline_core::message::Message;
use tokio::time::Instant;

use super::*;
use crate::budget::HostBudget;
use crate::connection::{Next, SocketOwner};
use crate::hub::{Hub, SubscribeError, Subscribing};
use crate::space::tests::{history, name, peer, publish, space, table, terms, text};
use crate::time::now;

fn hub(host: &HostBudget, terms_now: ChannelTerms) -> Hub {
    let own = space(host, terms("a", &[table("*", terms_now, None)], &[]));
    Hub::new(own, space(host, TermsTable::default()))
}

fn subscribe(hub: &Hub, owner: &SocketOwner, channel: &str) -> Result<(), SubscribeError> {
    hub.subscribe(owner.connection(), &name(channel), &mut Wakeups::default())
}

fn many() -> FunctionLimits {
    FunctionLimits {
        channels: u32::MAX,
        subscribers: u32::MAX,
        ..FunctionLimits::default()
    }
}

/// A channel takes room although it remembers nothing: so many that they fill
/// `channel_bytes` fit, and not one more.
#[test]
fn channels_that_remember_nothing_at_channel_bytes_and_one_past_them() {
    let of_one = {
        let host = HostBudget::new(0, 0);
        let hub = hub(&host, ChannelTerms::default());
        let owner = peer(&hub, many());
        subscribe(&hub, &owner, "c000").unwrap();
        hub.own().bytes()
    };
    assert!((400..1_000).contains(&of_one), "{of_one}");
    let host = HostBudget::new(0, 0).with_channels(100 * of_one);
    // The space of what is shared is another one that takes part.
    let own = space(&host, TermsTable::default());
    let hub = Hub::new(Arc::clone(&own), own);
    let owner = peer(&hub, many());
    for number in 0..100 {
        subscribe(&hub, &owner, &format!("c{number:03}")).unwrap();
    }
    assert_eq!(host.channels.used(), 100 * of_one);
    assert_eq!(
        subscribe(&hub, &owner, "c100"),
        Err(SubscribeError::HostFull)
    );
    // Where there is a place, nothing more is taken.
    let other = peer(&hub, many());
    subscribe(&hub, &other, "c000").unwrap();
    assert_eq!(
        (hub.own().count(), owner.connection().channels().len()),
        (100, 100)
    );
    hub.leave(other.connection());
    hub.leave(owner.connection());
    assert_eq!((hub.own().count(), host.channels.used()), (0, 0));
}

/// A channel that had many subscribers does not keep their room.
#[test]
fn a_table_of_subscribers_shrinks_when_they_go() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, ChannelTerms::default());
    let owners: Vec<_> = (0..1_000).map(|_| peer(&hub, many())).collect();
    let first = &owners[0];
    subscribe(&hub, first, "c").unwrap();
    let alone = hub.own().bytes();
    for owner in &owners[1..] {
        subscribe(&hub, owner, "c").unwrap();
    }
    assert!(hub.own().bytes() > 1_000 * size_of::<Subscriber>());
    for owner in &owners[1..] {
        hub.leave(owner.connection());
    }
    assert!(hub.own().bytes() <= alone + table_cost(2 * SPARE));
    assert_eq!(publish(hub.own(), "c", text("1")).local, 1);
}

/// Publishers that are refused cannot fill the host with channels.
#[test]
fn a_refused_publish_leaves_no_channel_behind() {
    let host = HostBudget::new(0, 0).with_channels(8_000);
    let hub = hub(&host, history(9));
    let own = hub.own();
    for number in 0..100 {
        let channel = name(&format!("c{number}"));
        let large = text(&"x".repeat(30_000));
        let refused = own.publish(&channel, large, &mut Wakeups::default());
        assert!(matches!(refused.now(), Err(PublishError::Full { .. })));
        let mut conflicting = text("1");
        let elsewhere = Position::start(Epoch::from_random(1));
        conflicting.request.expected = Some(Expected::Top(elsewhere));
        let refused = own.publish(&channel, conflicting, &mut Wakeups::default());
        assert!(matches!(refused.now(), Err(PublishError::Conflict { .. })));
    }
    assert_eq!((own.count(), own.bytes()), (0, 0));
    assert!(publish(own, "c", text("1")).position.is_some());
}

/// Nor can peers that ask for what they cannot have.
#[test]
fn a_refused_subscription_leaves_no_channel_behind() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, history(9));
    let owner = peer(&hub, many());
    let elsewhere = Subscribing {
        since: Some(Position::start(Epoch::from_random(1))),
        all_or_nothing: true,
        ..Subscribing::default()
    };
    let wakeups = &mut Wakeups::default();
    let refused = hub.subscribe_with(owner.connection(), &name("c"), elsewhere, wakeups);
    assert_eq!(refused, Err(SubscribeError::Unrecoverable));
    assert_eq!((hub.own().count(), hub.own().bytes()), (0, 0));
}

/// A raw peer that reads slowly loses nothing of a channel from which it could
/// recover: its connection ends, and it comes back for the rest. Where there is
/// nothing to recover, `outbox_overflow` says what is dropped.
#[test]
fn a_slow_peer_is_not_left_with_a_gap() {
    for overflow in [OutboxOverflow::DropNewest, OutboxOverflow::DropOldest] {
        for recovery in [true, false] {
            let host = HostBudget::new(0, 0);
            let hub = hub(
                &host,
                ChannelTerms {
                    recovery,
                    ..history(99)
                },
            );
            let limits = FunctionLimits {
                outbox_bytes: 1_000,
                outbox_overflow: overflow,
                ..FunctionLimits::default()
            };
            let slow = peer(&hub, limits.clone());
            subscribe(&hub, &slow, "c").unwrap();
            let mut taken = 0;
            for number in 1..=20 {
                taken += publish(hub.own(), "c", text(&number.to_string())).local;
            }
            assert_eq!(slow.connection().is_open(), !recovery, "{overflow:?}");
            assert!(taken > 0);
            if recovery {
                assert!(taken < 20);
                assert_eq!(slow.next(), Next::End(CloseReason::OutboxOverflow));
            }
        }
    }
}

/// What is removed in one step is as much as its subscribers are told of.
#[test]
fn one_sweep_tells_as_many_as_it_may() {
    const RECEIVERS: usize = 3_000;
    const VALUES: usize = 60;
    let host = HostBudget::new(0, 0);
    let hub = hub(
        &host,
        ChannelTerms {
            keyed: Some(KeyedTerms {
                time: Some(Duration::from_millis(1)),
                ..KeyedTerms::default()
            }),
            ..ChannelTerms::default()
        },
    );
    let owners: Vec<_> = (0..RECEIVERS).map(|_| peer(&hub, many())).collect();
    for number in 0..VALUES {
        let mut set = text("1");
        set.request.key = Some(number.to_string().into());
        publish(hub.own(), "c", set);
    }
    for owner in &owners {
        subscribe(&hub, owner, "c").unwrap();
        while matches!(owner.next(), Next::Item(_)) {}
    }
    let due = now().plus(Duration::from_millis(2));
    while now() < due {
        std::hint::spin_loop();
    }
    let told = |owner: &SocketOwner| {
        let mut told = 0;
        while matches!(owner.next(), Next::Item(_)) {
            told += 1;
        }
        told
    };
    let mut in_all = 0;
    for step in 0.. {
        let more = hub.own().sweep();
        let now = told(&owners[0]);
        // The last one may be one too many: a publication is not divided.
        assert!(now <= 65_536 / RECEIVERS + 1, "{now} in step {step}");
        in_all += now;
        if !more {
            break;
        }
        assert!(now > 0);
    }
    assert_eq!(in_all, VALUES);
}

/// To remove values takes its time, too, where nobody is told of it.
#[test]
fn one_sweep_removes_so_many_values_where_nobody_is_told() {
    const CHANNELS: usize = 200;
    const VALUES: usize = 64;
    const TIME: Duration = Duration::from_millis(50);
    let host = HostBudget::new(0, 0);
    let hub = hub(
        &host,
        ChannelTerms {
            keyed: Some(KeyedTerms {
                time: Some(TIME),
                ..KeyedTerms::default()
            }),
            ..ChannelTerms::default()
        },
    );
    for number in 0..CHANNELS * VALUES {
        let mut set = text("1");
        set.request.key = Some((number % VALUES).to_string().into());
        publish(hub.own(), &format!("c{}", number / VALUES), set);
    }
    let due = now().plus(TIME + Duration::from_millis(1));
    while now() < due {
        std::hint::spin_loop();
    }
    // Each counts as eight messages, of which there may be 65,536.
    let mut sweeps = 1;
    while hub.own().sweep() {
        sweeps += 1;
    }
    assert_eq!(sweeps, (CHANNELS * VALUES * 8).div_ceil(65_536));
}

/// Bytes of this process that are in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    4_096 * pages
}

/// Prints what a channel, a subscription and a publication really take, beside
/// what is charged for them.
#[test]
#[ignore = "it measures, and is run alone, by hand"]
fn how_much_memory_channels_take() {
    const COUNT: usize = 200_000;
    let show = |what: &str, hub: &Hub, act: &mut dyn FnMut()| {
        let (before, charged) = (resident(), hub.own().bytes());
        act();
        let (after, charged_after) = (resident(), hub.own().bytes());
        let (takes, charged) = (after.saturating_sub(before), charged_after - charged);
        println!(
            "{what}: {} bytes, charged {}",
            takes / COUNT,
            charged / COUNT
        );
        assert!(
            charged > takes / 2,
            "{what}: {takes} taken, {charged} charged"
        );
    };
    let host = HostBudget::new(0, 0);
    let plain = hub(&host, ChannelTerms::default());
    let owners: Vec<_> = (0..COUNT).map(|_| peer(&plain, many())).collect();
    show("a subscription, all to one channel", &plain, &mut || {
        owners
            .iter()
            .for_each(|it| subscribe(&plain, it, "c").unwrap());
    });
    let plain = hub(&host, ChannelTerms::default());
    show("a channel with one subscriber", &plain, &mut || {
        for (number, owner) in owners.iter().enumerate() {
            subscribe(&plain, owner, &format!("channel:{number}")).unwrap();
        }
    });
    let kept = hub(&host, history(u32::MAX));
    let positions = hub(&host, history(9));
    show(
        "a channel with a position and one subscriber",
        &positions,
        &mut || {
            for (number, owner) in owners.iter().enumerate() {
                subscribe(&positions, owner, &format!("counted:{number}")).unwrap();
            }
        },
    );
    for bytes in [10, 100, 1_000] {
        let large = history(u32::MAX);
        let terms_now = ChannelTerms {
            history: large
                .history
                .map(|it| openline_core::channel::HistoryTerms {
                    bytes: usize::MAX,
                    ..it
                }),
            ..large
        };
        let hub = hub(&host, terms_now);
        show(
            &format!("a publication of {bytes} bytes"),
            &hub,
            &mut || {
                for _ in 0..COUNT {
                    publish(hub.own(), "c", text(&"x".repeat(bytes)));
                }
            },
        );
        black_box(&hub);
    }
    black_box((kept, positions));
}

/// Prints for how long the lock of a channel with very many subscribers is held,
/// and what others wait meanwhile.
#[test]
#[ignore = "it measures, and is run alone, by hand"]
fn how_long_a_publication_to_a_million_takes() {
    for count in [65_536, 1_000_000] {
        let host = HostBudget::new(0, 0);
        let hub = hub(&host, history(9));
        let owners: Vec<_> = (0..count).map(|_| peer(&hub, many())).collect();
        for owner in &owners {
            subscribe(&hub, owner, "all").unwrap();
        }
        let joiner = peer(&hub, many());
        let mut longest = [Duration::ZERO; 3];
        for _ in 0..3 {
            std::thread::scope(|scope| {
                let begun = Instant::now();
                let hub = &hub;
                let publisher = scope.spawn(move || {
                    publish(hub.own(), "all", text("1"));
                    begun.elapsed()
                });
                // It is in the middle of it, most probably.
                while hub
                    .own()
                    .entries
                    .get(&name("all"))
                    .unwrap()
                    .state
                    .try_lock()
                    .is_some()
                {}
                let begun = Instant::now();
                publish(hub.own(), "other", text("1"));
                longest[1] = longest[1].max(begun.elapsed());
                let begun = Instant::now();
                subscribe(hub, &joiner, "all").unwrap();
                longest[2] = longest[2].max(begun.elapsed());
                longest[0] = longest[0].max(publisher.join().unwrap());
            });
            hub.unsubscribe(joiner.connection(), &name("all"));
            for owner in &owners {
                while matches!(owner.next(), Next::Item(_)) {}
            }
        }
        let [publication, other, join] = longest;
        println!(
            "{count} subscribers: a publication {publication:?}, one on another channel {other:?}, a subscription to the same {join:?}"
        );
    }
}

/// A new subscriber that does not get the values it should begin with is told so.
#[test]
fn a_snapshot_that_does_not_fit_is_said_to_be_missing() {
    let host = HostBudget::new(0, 0);
    let hub = hub(
        &host,
        ChannelTerms {
            latest: true,
            recovery: true,
            ..ChannelTerms::default()
        },
    );
    publish(hub.own(), "c", text(&"x".repeat(900)));
    for (before, recovered, sent) in [(0, None, 1), (100, Some(false), 0)] {
        let limits = FunctionLimits {
            outbox_bytes: 1_000,
            outbox_overflow: OutboxOverflow::DropOldest,
            ..FunctionLimits::default()
        };
        let owner = peer(&hub, limits);
        if before > 0 {
            owner
                .connection()
                .push(Message::Text("y".repeat(before).into()));
        }
        let subscribing = Subscribing::default();
        let mut wakeups = Wakeups::default();
        let backlog = hub.subscribe_with(owner.connection(), &name("c"), subscribing, &mut wakeups);
        let backlog = backlog.unwrap().unwrap();
        assert_eq!(
            (backlog.recovered, backlog.publications.len()),
            (recovered, sent)
        );
        assert!(owner.connection().is_open());
    }
}
