//! What a reload changes for channels that have subscribers: these become
//! members, are asked to come back, or notice nothing.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use openline_broker::channel::Publish;
use openline_broker::position::Position;
use openline_broker::presence::PresenceCounts;
use openline_core::channel::{ChannelTerms, JoinLeave, KeyedTerms};
use openline_core::close::CloseReason;
use openline_core::dialect::DialectName;
use openline_core::limits::FunctionLimits;

use super::*;
use crate::connection::{Facts, Item, Next, SocketOwner};
use crate::space::tests::{history, name, peer, publish, space, table, terms, text};

/// A hub whose channels all have these terms.
fn hub(host: &HostBudget, first: ChannelTerms) -> Hub {
    let own = space(host, TermsTable::default());
    let hub = Hub::new(own, space(host, TermsTable::default()));
    reload(&hub, first);
    hub
}

fn reload(hub: &Hub, terms_now: ChannelTerms) {
    hub.set_table(terms("a", &[table("*", terms_now, None)], &[]));
    hub.refresh();
}

fn subscribed(hub: &Hub, subscribing: Subscribing<'_>) -> (SocketOwner, Backlog) {
    let owner = peer(hub, FunctionLimits::default());
    let backlog = subscribe(hub, &owner, subscribing);
    (owner, backlog)
}

fn subscribe(hub: &Hub, owner: &SocketOwner, subscribing: Subscribing<'_>) -> Backlog {
    let mut wakeups = Wakeups::default();
    let subscribed = hub.subscribe_with(owner.connection(), &name("c"), subscribing, &mut wakeups);
    subscribed.unwrap().unwrap()
}

fn since(position: Position) -> Subscribing<'static> {
    Subscribing {
        since: Some(position),
        ..Subscribing::default()
    }
}

/// Whether it was asked to come back.
fn leaves(owner: &SocketOwner) -> bool {
    matches!(owner.leaving(), Some(CloseReason::Redeployed { .. }))
}

fn counts(hub: &Hub) -> usize {
    let counts = hub.own().counts(&name("c"));
    counts.map_or(0, |counts: PresenceCounts| counts.connections)
}

fn present() -> ChannelTerms {
    ChannelTerms {
        presence: true,
        ..ChannelTerms::default()
    }
}

#[test]
fn subscribers_become_members_when_presence_is_switched_on() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, ChannelTerms::default());
    let (first, _) = subscribed(&hub, Subscribing::default());
    let (second, _) = subscribed(&hub, Subscribing::default());
    assert_eq!(counts(&hub), 0);
    reload(&hub, present());
    let members = hub.own().members(&name("c"), None, 9).unwrap();
    let mut ids = [first.connection().id(), second.connection().id()];
    ids.sort_unstable();
    assert!(members.iter().map(|it| it.connection).eq(ids));
    assert!(!leaves(&first) && !leaves(&second));
    let (third, _) = subscribed(&hub, Subscribing::default());
    assert_eq!(counts(&hub), 3);
    for (owner, left) in [(first, 2), (second, 1), (third, 0)] {
        hub.leave(owner.connection());
        assert_eq!(counts(&hub), left);
    }
    // Switched off, nobody is a member.
    reload(&hub, ChannelTerms::default());
    assert_eq!((hub.own().count(), hub.own().bytes()), (0, 0));
}

/// Members for whom there is no room come back, and are refused then: a channel
/// with presence knows all that it has.
#[test]
fn members_that_a_reload_makes_fit_or_are_asked_to_come_back() {
    let (plain, takes) = {
        let host = HostBudget::new(0, 0);
        let hub = hub(&host, ChannelTerms::default());
        let _owners = [(); 2].map(|()| subscribed(&hub, Subscribing::default()));
        let plain = hub.own().bytes();
        reload(&hub, present());
        (plain, hub.own().bytes())
    };
    // Of two spaces, each takes no more than it leaves free.
    for (bytes, all) in [(2 * takes, true), (2 * plain, false)] {
        let host = HostBudget::new(0, 0).with_channels(bytes);
        let hub = hub(&host, ChannelTerms::default());
        let owners = [(); 2].map(|()| peer(&hub, FunctionLimits::default()));
        for owner in &owners {
            let subscribed = hub.subscribe(owner.connection(), &name("c"), &mut Wakeups::default());
            assert_eq!(subscribed, Ok(()), "{bytes}");
        }
        reload(&hub, present());
        let left = owners.iter().filter(|owner| leaves(owner)).count();
        assert_eq!(counts(&hub) + left, 2);
        assert_eq!(left == 0, all, "{bytes}");
    }
}

/// Who was there before join and leave were switched on is told of those that go
/// and come from then on, and not of itself.
#[test]
fn subscribers_are_told_of_others_as_soon_as_that_is_switched_on() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, ChannelTerms::default());
    let facts = Facts {
        dialect: Some(DialectName::Centrifugo),
        ..Facts::default()
    };
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let watcher = SocketOwner::new(facts, Arc::default(), budget);
    hub.join(watcher.connection());
    subscribe(
        &hub,
        &watcher,
        Subscribing {
            join_leave: true,
            answer: Some(&mut |_| Vec::new()),
            ..Subscribing::default()
        },
    );
    let (goes, _) = subscribed(&hub, Subscribing::default());
    assert_eq!(watcher.next(), Next::Idle);
    reload(
        &hub,
        ChannelTerms {
            join_leave: JoinLeave::Connections,
            ..present()
        },
    );
    assert_eq!(watcher.next(), Next::Idle, "nobody has come");
    let (comes, _) = subscribed(&hub, Subscribing::default());
    hub.leave(goes.connection());
    for (owner, word) in [(&comes, "join"), (&goes, "leave")] {
        let Next::Item(Item::Published(news)) = watcher.next() else {
            panic!("nothing is told of {word}");
        };
        let news = format!("{:?}", news.message());
        let id = owner.connection().id().to_string();
        assert!(news.contains(word) && news.contains(&id), "{news}");
    }
    reload(&hub, present());
    hub.leave(comes.connection());
    assert_eq!(watcher.next(), Next::Idle, "nobody is told any more");
}

/// Only a new subscription gives a peer a position, so that it can recover.
#[test]
fn subscribers_come_back_when_they_may_recover() {
    let recoverless = ChannelTerms {
        recovery: false,
        ..history(9)
    };
    for before in [ChannelTerms::default(), recoverless.clone()] {
        let host = HostBudget::new(0, 0);
        let hub = hub(&host, before);
        let (owner, backlog) = subscribed(&hub, Subscribing::default());
        assert_eq!(backlog.position, None);
        reload(&hub, history(9));
        assert!(leaves(&owner));
    }
    // And they need not when they may not any more: they are told when they do.
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, history(9));
    let (owner, backlog) = subscribed(&hub, Subscribing::default());
    reload(&hub, recoverless);
    assert!(!leaves(&owner));
    publish(hub.own(), "c", text("1"));
    hub.leave(owner.connection());
    let (_owner, after) = subscribed(&hub, since(backlog.position.unwrap()));
    assert_eq!((after.recovered, after.position), (None, None));
}

/// A history that is switched off is forgotten, and its positions recover nothing
/// when there is one again.
#[test]
fn a_history_that_was_switched_off_begins_anew() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, history(9));
    let (owner, backlog) = subscribed(&hub, Subscribing::default());
    publish(hub.own(), "c", text("1"));
    reload(&hub, ChannelTerms::default());
    assert!(leaves(&owner));
    publish(hub.own(), "c", text("2"));
    reload(&hub, history(9));
    let (_owner, after) = subscribed(&hub, since(backlog.position.unwrap()));
    assert_eq!(after.recovered, Some(false));
    assert!(after.publications.is_empty());
}

/// A smaller history keeps its newest, and what is gone is not said to be there.
#[test]
fn bounds_that_shrink_hold_at_once_and_values_stay() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, history(9));
    let (owner, _) = subscribed(&hub, Subscribing::default());
    let positions = ["1", "2", "3"].map(|it| publish(hub.own(), "c", text(it)).position.unwrap());
    let before = hub.own().bytes();
    reload(&hub, history(1));
    assert!(!leaves(&owner));
    assert!(hub.own().bytes() < before);
    let recovered = |position| subscribed(&hub, since(position)).1;
    assert_eq!(recovered(positions[0]).recovered, Some(false));
    let all = recovered(positions[1]);
    assert_eq!((all.recovered, all.publications.len()), (Some(true), 1));

    let keyed = |keys| ChannelTerms {
        keyed: Some(KeyedTerms {
            keys,
            ..KeyedTerms::default()
        }),
        recovery: true,
        ..ChannelTerms::default()
    };
    reload(&hub, keyed(2));
    let set = |key: &str| {
        let data = crate::forms::data_of(Message::Text("1".into()));
        let request = Publish {
            key: Some(key.into()),
            ..Publish::new(data)
        };
        let publishing = Publishing::new(request);
        let published = hub.publish(&name("c"), publishing, &mut Wakeups::default());
        published.now().is_ok()
    };
    assert!(set("a") && set("b") && !set("c"));
    reload(&hub, keyed(1));
    assert!(!set("c") && set("a"));
    assert_eq!(
        subscribed(&hub, Subscribing::default())
            .1
            .publications
            .len(),
        2
    );
}

/// A connection that its function has subscribed before it was in the hub is not
/// forgotten by a reload that comes between the two.
#[test]
fn a_subscription_from_before_the_hub_is_not_left_astray() {
    let host = HostBudget::new(0, 0);
    let both = [table("news:*", history(1), Some(&["a", "b"]))];
    let one = [table("news:*", history(1), Some(&["b"]))];
    let shared = space(&host, TermsTable::of_shared(&both));
    let hub = Hub::new(space(&host, TermsTable::default()), Arc::clone(&shared));
    hub.set_table(terms("a", &[], &both));
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let owner = SocketOwner::new(Facts::default(), Arc::default(), budget);
    let wakeups = &mut Wakeups::default();
    hub.subscribe(owner.connection(), &name("news:1"), wakeups)
        .unwrap();
    hub.set_table(terms("a", &[], &one));
    hub.refresh();
    hub.join(owner.connection());
    assert_eq!(publish(&shared, "news:1", text("1")).local, 0);
    assert!(owner.connection().channels().is_empty() && leaves(&owner));
}

/// Whenever a reload comes while a connection is subscribed, it is not subscribed
/// afterwards to what its function no longer has.
#[test]
fn a_subscription_that_races_with_a_reload_is_not_left_astray() {
    let host = HostBudget::new(0, 0);
    let with = [table("news:*", history(1), Some(&["a", "b"]))];
    let without = [table("news:*", history(1), Some(&["b"]))];
    let shared = space(&host, TermsTable::of_shared(&with));
    let hub = Hub::new(space(&host, TermsTable::default()), Arc::clone(&shared));
    let channel = name("news:1");
    for _ in 0..2_000 {
        hub.set_table(terms("a", &[], &with));
        let owner = peer(&hub, FunctionLimits::default());
        let ends = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                hub.subscribe(owner.connection(), &channel, &mut Wakeups::default())
                    .unwrap();
                ends.store(true, Ordering::Release);
            });
            hub.set_table(terms("a", &[], &without));
            hub.refresh();
        });
        assert!(ends.load(Ordering::Acquire));
        assert_eq!(shared.subscribers(&channel), 0);
        hub.leave(owner.connection());
        assert_eq!(hub.own().subscribers(&channel), 0);
    }
}

/// Terms that last: the position of a channel is kept as long as the new terms
/// say.
#[test]
fn a_position_is_kept_as_long_as_the_new_terms_say() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, history(9));
    let (owner, _) = subscribed(&hub, Subscribing::default());
    hub.leave(owner.connection());
    assert!(hub.own().has(&name("c")));
    let short = ChannelTerms {
        position_time: Duration::ZERO,
        ..history(9)
    };
    reload(&hub, short);
    assert!(!hub.own().has(&name("c")));
    assert_eq!(hub.own().bytes(), 0);
}

#[test]
fn who_only_looks_becomes_no_member() {
    let host = HostBudget::new(0, 0);
    let hub = hub(&host, ChannelTerms::default());
    let unseen = || Subscribing {
        is_unseen: true,
        ..Subscribing::default()
    };
    let (looks, _) = subscribed(&hub, unseen());
    let (member, _) = subscribed(&hub, Subscribing::default());
    reload(&hub, present());
    assert_eq!(counts(&hub), 1);
    assert!(!leaves(&looks) && !leaves(&member));
    hub.leave(member.connection());
    assert_eq!(counts(&hub), 0);
    hub.leave(looks.connection());
    assert_eq!((hub.own().count(), hub.own().bytes()), (0, 0));
}
