//! Channels under attack: what races, what is charged, and what a reload takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openline_broker::channel::Subscribe;
use openline_broker::terms::TermsTable;
use openline_core::channel::{
    ChannelPattern, ChannelTable, ChannelTerms, HistoryTerms, KeyedTerms,
};
use openline_core::limits::{FunctionLimits, OutboxOverflow};
use openline_core::name::FunctionName;

use super::*;
use crate::budget::HostBudget;
use crate::connection::{Facts, SocketOwner};
use crate::hub::Hub;
use crate::sweeping::SWEPT_MAX;

pub(crate) fn name(text: &str) -> ChannelName {
    ChannelName::new(text).unwrap()
}

pub(crate) fn table(
    pattern: &str,
    terms: ChannelTerms,
    functions: Option<&[&str]>,
) -> ChannelTable {
    let function = |name: &&str| FunctionName::new(name).unwrap();
    ChannelTable {
        pattern: ChannelPattern::new(pattern).unwrap(),
        terms,
        functions: functions.map(|names| names.iter().map(function).collect()),
    }
}

pub(crate) fn history(count: u32) -> ChannelTerms {
    ChannelTerms {
        history: Some(HistoryTerms {
            count,
            bytes: 1 << 20,
            time: None,
        }),
        recovery: true,
        ..ChannelTerms::default()
    }
}

pub(crate) fn terms(function: &str, own: &[ChannelTable], shared: &[ChannelTable]) -> TermsTable {
    TermsTable::new(&FunctionName::new(function).unwrap(), own, shared).unwrap()
}

pub(crate) fn space(host: &HostBudget, terms: TermsTable) -> Arc<Space> {
    Space::new(terms, host.channels(), &Arc::default())
}

pub(crate) fn peer(hub: &Hub, limits: FunctionLimits) -> SocketOwner {
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    let owner = SocketOwner::new(Facts::default(), Arc::new(limits), budget);
    hub.join(owner.connection());
    owner
}

pub(crate) fn text(text: &str) -> Publishing {
    Publishing::of(Message::Text(text.into()))
}

pub(crate) fn publish(space: &Arc<Space>, channel: &str, publishing: Publishing) -> Outcome {
    let published = space.publish(&name(channel), publishing, &mut Wakeups::default());
    published.now().unwrap()
}

/// A space that goes, as that of a function that is removed, takes what it was
/// charged with along.
#[test]
fn a_space_that_goes_gives_back_what_it_takes() {
    let host = HostBudget::new(0, 0).with_channels(1 << 20);
    let gone = space(&host, terms("a", &[table("*", history(10), None)], &[]));
    publish(&gone, "a", text("1"));
    assert!(host.channels.used() > 0);
    drop(gone);
    assert_eq!(host.channels.used(), 0);
}

/// A publish that finds its channel and loses it to a removal is kept all the
/// same.
#[test]
fn a_publish_that_races_with_a_removal_is_kept() {
    let host = HostBudget::new(0, 0).with_channels(1 << 24);
    // Nothing of a channel outlives its last subscriber.
    let terms_now = ChannelTerms {
        position_time: Duration::ZERO,
        ..history(1)
    };
    let own = space(&host, terms("a", &[table("*", terms_now, None)], &[]));
    let hub = Hub::new(Arc::clone(&own), space(&host, TermsTable::default()));
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let owner = peer(&hub, FunctionLimits::default());
            while !ends.load(Ordering::Relaxed) {
                hub.subscribe(owner.connection(), &name("a"), &mut Wakeups::default())
                    .unwrap();
                hub.unsubscribe(owner.connection(), &name("a"));
                own.clear(&name("a"));
            }
        });
        let kept = (0..20_000).all(|_| publish(&own, "a", text("1")).position.is_some());
        ends.store(true, Ordering::Relaxed);
        assert!(kept, "one was not counted");
    });
}

/// Values that are set and removed leave nothing in the list of what is due.
#[test]
fn a_channel_is_due_once_and_not_after_it_is_gone() {
    let host = HostBudget::new(0, 0).with_channels(1 << 24);
    let keyed = ChannelTerms {
        keyed: Some(KeyedTerms {
            time: Some(Duration::from_secs(3600)),
            ..KeyedTerms::default()
        }),
        position_time: Duration::ZERO,
        ..ChannelTerms::default()
    };
    let own = space(&host, terms("a", &[table("*", keyed, None)], &[]));
    for number in 0..100 {
        let channel = format!("a{number}");
        let mut set = text("1");
        set.request.key = Some("k".into());
        publish(&own, &channel, set.clone());
        publish(&own, &channel, set.clone());
        assert_eq!(own.due.lock().len(), 1);
        set.request.data = forms::data_of(Message::Text("".into()));
        set.request.remove = true;
        publish(&own, &channel, set);
        assert_eq!(own.due.lock().len(), 0, "{channel}");
    }
    assert_eq!((own.count(), own.bytes()), (0, 0));
}

/// A position is kept for its time after its last subscriber has gone.
#[test]
fn whoever_leaves_a_quiet_channel_may_come_back() {
    let mut channel = Box::new(openline_broker::channel::Channel::new(
        name("a"),
        Arc::new(ChannelTerms {
            position_time: Duration::from_secs(1),
            ..history(1)
        }),
        Epoch::from_random(1),
        Moment(0),
    ));
    channel.subscribe(&Subscribe::NEW, Moment(0));
    let owner = peer(&Hub::alone(), FunctionLimits::default());
    channel.leave(owner.connection().id(), Moment(5_000));
    assert_eq!(channel.removable_at(), Some(Moment(6_000)));
}

/// A function that is no longer among those that share a channel gets nothing
/// more of it.
#[test]
fn a_function_that_shares_no_more_gets_no_more() {
    let host = HostBudget::new(0, 0).with_channels(1 << 20);
    let both = [table("news:*", history(1), Some(&["a", "b"]))];
    let one = [table("news:*", history(1), Some(&["b"]))];
    let shared = space(&host, TermsTable::of_shared(&both));
    let hub = Hub::new(space(&host, TermsTable::default()), Arc::clone(&shared));
    hub.set_table(terms("a", &[], &both));
    let owner = peer(&hub, FunctionLimits::default());
    let channel = name("news:1");
    hub.subscribe(owner.connection(), &channel, &mut Wakeups::default())
        .unwrap();
    assert_eq!(publish(&shared, "news:1", text("1")).local, 1);
    hub.set_table(terms("a", &[], &one));
    hub.refresh();
    assert_eq!(publish(&shared, "news:1", text("2")).local, 0);
    assert_eq!(owner.connection().membership.lock().channels.len(), 0);
}

/// A function's own channel whose name is shared now keeps nothing that nobody
/// could reach, and is no other history when the name is its own again.
#[test]
fn a_name_that_is_shared_leaves_nothing_in_the_space_it_was_in() {
    let host = HostBudget::new(0, 0).with_channels(1 << 20);
    let own_table = [table("*", history(10), None)];
    let shared_table = [table("news:*", history(10), None)];
    let own = space(&host, terms("a", &own_table, &[]));
    let hub = Hub::new(Arc::clone(&own), space(&host, TermsTable::default()));
    publish(&own, "news:1", text("1"));
    hub.set_table(terms("a", &own_table, &shared_table));
    hub.refresh();
    assert_eq!((own.count(), own.bytes()), (0, 0));
    hub.set_table(terms("a", &own_table, &[]));
    hub.refresh();
    assert_eq!(
        publish(&own, "news:1", text("2")).position.unwrap().offset,
        1
    );
}

/// A backlog that an outbox does not take is not said to be whole.
#[test]
fn a_backlog_that_is_dropped_is_not_recovered() {
    let host = HostBudget::new(0, 0).with_channels(1 << 20);
    let own = space(&host, terms("a", &[table("*", history(10), None)], &[]));
    let hub = Hub::new(Arc::clone(&own), space(&host, TermsTable::default()));
    let first = publish(&own, "a", text("1")).position;
    let large = "x".repeat(6_000);
    for _ in 0..2 {
        publish(&own, "a", text(&large));
    }
    for (taken, overflow) in [(2, 1 << 20), (1, 30_000)] {
        let owner = peer(
            &hub,
            FunctionLimits {
                outbox_bytes: overflow,
                outbox_overflow: OutboxOverflow::DropNewest,
                ..FunctionLimits::default()
            },
        );
        // What fills the outbox before.
        owner
            .connection()
            .push(Message::Text("y".repeat(20_000).into()));
        let subscribing = Subscribing {
            since: first,
            ..Subscribing::default()
        };
        let mut wakeups = Wakeups::default();
        let backlog = hub
            .subscribe_with(owner.connection(), &name("a"), subscribing, &mut wakeups)
            .unwrap()
            .unwrap();
        let whole = backlog.recovered == Some(true);
        assert_eq!(whole, backlog.publications.len() == 2, "{backlog:?}");
        assert_eq!(whole, taken == 2);
    }
}

/// What channels remember fits into `channel_bytes`, or the publish is refused and
/// leaves nothing behind.
#[test]
fn a_publish_at_channel_bytes_and_one_byte_past_them() {
    let published = |channel_bytes| {
        let host = HostBudget::new(0, 0).with_channels(channel_bytes);
        let own = space(&host, terms("a", &[table("*", history(9), None)], &[]));
        publish(&own, "a", text(""));
        let before = own.bytes();
        let answer = own.publish(&name("a"), text("hello"), &mut Wakeups::default());
        let view = own.view(&name("a")).unwrap();
        (answer.now(), view.kept, own.bytes(), before)
    };
    let (_, _, takes, _) = published(1 << 20);
    let (answer, kept, bytes, _) = published(takes);
    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!((kept, bytes), (2, takes));
    let (answer, kept, bytes, before) = published(takes - 1);
    assert!(
        matches!(answer, Err(PublishError::Full { .. })),
        "{answer:?}"
    );
    assert_eq!((kept, bytes), (1, before));
}

/// A sweep does so much, and then others have their turn.
#[test]
fn one_sweep_looks_at_its_number_of_channels_and_not_at_one_more() {
    let host = HostBudget::new(0, 0).with_channels(1 << 30);
    let ends_soon = ChannelTerms {
        history: Some(HistoryTerms {
            count: 1,
            bytes: 1 << 20,
            time: Some(Duration::from_millis(1)),
        }),
        ..history(1)
    };
    for (channels, is_more) in [(SWEPT_MAX - 1, false), (SWEPT_MAX + 1, true)] {
        let own = space(
            &host,
            terms("a", &[table("*", ends_soon.clone(), None)], &[]),
        );
        for number in 0..channels {
            publish(&own, &format!("a{number}"), text("1"));
        }
        let due = now().plus(Duration::from_millis(2));
        while now() < due {
            std::hint::spin_loop();
        }
        assert_eq!(Space::sweep(&own), is_more, "{channels}");
        let kept = own.channels(None, channels, |_| true);
        let kept = kept.iter().filter(|view| view.kept > 0).count();
        assert_eq!(kept, channels.saturating_sub(SWEPT_MAX));
        assert!(!Space::sweep(&own));
    }
}
