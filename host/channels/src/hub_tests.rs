//! The hub at its bounds, and that it forgets connections that leave.

use openline_core::limits::FunctionLimits;

use super::*;
use crate::budget::{ATTACHED_OVERHEAD_BYTES, HostBudget};
use crate::connection::{Facts, Item, Next, SocketOwner};

fn written(message: Message) -> Next {
    Next::Item(Item::Published(SharedMessage::new(message)))
}

fn owned(limits: FunctionLimits) -> SocketOwner {
    let budget = HostBudget::new(1 << 20, 1 << 20).function();
    SocketOwner::new(Facts::default(), Arc::new(limits), budget)
}

fn limited(limits: FunctionLimits) -> Arc<Connection> {
    Arc::clone(owned(limits).connection())
}

/// One in a hub, as the owner of its socket has it.
fn peer(hub: &Hub) -> SocketOwner {
    let owner = owned(FunctionLimits::default());
    hub.join(owner.connection());
    owner
}

fn joined(hub: &Hub) -> Arc<Connection> {
    Arc::clone(peer(hub).connection())
}

fn name(index: usize) -> ChannelName {
    ChannelName::new(&format!("channel {index}")).unwrap()
}

fn subscribe(
    hub: &Hub,
    connection: &Arc<Connection>,
    channel: ChannelName,
) -> Result<(), SubscribeError> {
    hub.subscribe(connection, &channel, &mut Wakeups::default())
}

fn text(text: &'static str) -> Message {
    Message::Text(text.into())
}

#[test]
fn a_channel_reaches_its_subscribers_but_the_sender() {
    let hub = Hub::alone();
    let (first, second, third) = (peer(&hub), peer(&hub), peer(&hub));
    subscribe(&hub, first.connection(), name(1)).unwrap();
    subscribe(&hub, second.connection(), name(1)).unwrap();
    subscribe(&hub, second.connection(), name(1)).unwrap();
    assert_eq!(hub.subscribers(&name(1)), 2);
    let mut wakeups = Wakeups::default();
    let sender = Some(first.connection().id());
    let mut publishing = Publishing::of(text("a"));
    publishing.except.connection = sender;
    let outcome = hub.publish(&name(1), publishing, &mut wakeups);
    let outcome = outcome.now().unwrap();
    assert_eq!((outcome.local, outcome.position), (1, None));
    assert_eq!(
        hub.broadcast((&text("b"), Compress::default()), None, &mut wakeups),
        3
    );
    assert_eq!(first.next(), written(text("b")));
    assert_eq!(second.next(), written(text("a")));
    assert_eq!(third.next(), written(text("b")));
}

#[test]
fn a_publication_is_encoded_once_and_shared_by_its_receivers() {
    let hub = Hub::alone();
    let (first, second) = (peer(&hub), peer(&hub));
    let message = Message::Binary(vec![7; 1000].into());
    hub.broadcast(
        (&message, Compress::default()),
        None,
        &mut Wakeups::default(),
    );
    let [first, second] = [first, second].map(|owner| match owner.next() {
        Next::Item(Item::Published(publication)) => publication,
        other => panic!("{other:?}"),
    });
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(*first.message(), message);
    // Each has given it up.
    drop(first);
    assert_eq!(Arc::strong_count(&second), 1);
}

#[test]
fn channels_of_a_connection_at_their_limit_and_past_it() {
    let hub = Hub::alone();
    let connection = limited(FunctionLimits {
        channels: 3,
        ..FunctionLimits::default()
    });
    hub.join(&connection);
    for index in 0..3 {
        subscribe(&hub, &connection, name(index)).unwrap();
    }
    assert_eq!(
        subscribe(&hub, &connection, name(3)),
        Err(SubscribeError::TooMany)
    );
    hub.unsubscribe(&connection, &name(0));
    assert_eq!(subscribe(&hub, &connection, name(3)), Ok(()));
}

#[test]
fn subscribers_of_a_channel_at_their_limit_and_past_it() {
    let hub = Hub::alone();
    let connections: Vec<_> = (0..3)
        .map(|_| {
            let connection = limited(FunctionLimits {
                subscribers: 2,
                ..FunctionLimits::default()
            });
            hub.join(&connection);
            connection
        })
        .collect();
    assert_eq!(subscribe(&hub, &connections[0], name(1)), Ok(()));
    assert_eq!(subscribe(&hub, &connections[1], name(1)), Ok(()));
    assert_eq!(
        subscribe(&hub, &connections[2], name(1)),
        Err(SubscribeError::Crowded)
    );
    hub.leave(&connections[0]);
    assert_eq!(subscribe(&hub, &connections[2], name(1)), Ok(()));
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    let hub = Hub::alone();
    let connection = joined(&hub);
    subscribe(&hub, &connection, name(1)).unwrap();
    hub.set_tags(&connection, vec![tag("a"), tag("b")]).unwrap();
    hub.leave(&connection);
    hub.leave(&connection);
    assert_eq!(
        subscribe(&hub, &connection, name(2)),
        Err(SubscribeError::Gone)
    );
    assert_eq!(
        hub.set_tags(&connection, vec![tag("c")]),
        Err(AttachError::Gone)
    );
    assert!(hub.get(connection.id()).is_none());
    assert!(hub.own.count() == 0 && hub.connections.count() == 0 && hub.tags.is_empty());
    assert_eq!(connection.tags(), [tag("a"), tag("b")]);
    assert_eq!(Arc::strong_count(&connection), 1);
}

#[test]
fn a_full_outbox_hurts_nobody_else() {
    let hub = Hub::alone();
    let slow = limited(FunctionLimits {
        outbox_bytes: 200,
        ..FunctionLimits::default()
    });
    hub.join(&slow);
    let fast = joined(&hub);
    let mut wakeups = Wakeups::default();
    let reached: Vec<_> = (0..4)
        .map(|_| hub.broadcast((&text("m"), Compress::default()), None, &mut wakeups))
        .collect();
    assert_eq!(reached, [2, 2, 2, 1]);
    assert!(!slow.is_open());
    assert!(fast.is_open());
}

fn tag(word: &str) -> Tag {
    Tag::new(word).unwrap()
}

#[test]
fn tags_at_their_number_and_one_past_it() {
    let hub = Hub::alone();
    let connection = limited(FunctionLimits {
        tags: 2,
        ..FunctionLimits::default()
    });
    hub.join(&connection);
    let twice = vec![tag("a"), tag("b"), tag("a")];
    assert_eq!(hub.set_tags(&connection, twice), Ok(()));
    assert_eq!(connection.tags(), [tag("a"), tag("b")]);
    let three = vec![tag("a"), tag("b"), tag("c")];
    assert_eq!(hub.set_tags(&connection, three), Err(AttachError::TooMany));
    assert_eq!(connection.tags(), [tag("a"), tag("b")], "they stay");
}

#[test]
fn tags_count_for_the_host_and_are_given_back_at_the_connections_end() {
    let cost = 3 + ATTACHED_OVERHEAD_BYTES;
    let budget = HostBudget::new(0, 2 * cost).function();
    let limits = Arc::new(FunctionLimits::default());
    let owner = SocketOwner::new(Facts::default(), limits, Arc::clone(&budget));
    let connection = Arc::clone(owner.connection());
    let hub = Hub::alone();
    hub.join(&connection);
    hub.set_tags(&connection, vec![tag("abc"), tag("def")])
        .unwrap();
    assert_eq!(
        hub.set_tags(&connection, vec![tag("abc"), tag("defg")]),
        Err(AttachError::HostFull)
    );
    hub.set_tags(&connection, vec![tag("ghi")]).unwrap();
    assert_eq!(budget.attached.used(), cost);
    assert!(hub.by_tag(&tag("abc"), None, 10).is_empty());
    hub.leave(&connection);
    assert_eq!(budget.attached.used(), cost);
    owner.release();
    assert_eq!(budget.attached.used(), 0);
    drop((owner, connection));
    assert_eq!(budget.attached.used(), 0);
}

/// Goes through all pages.
fn all(page: impl Fn(Option<ConnectionId>) -> Vec<Arc<Connection>>) -> Vec<ConnectionId> {
    let mut ids: Vec<ConnectionId> = Vec::new();
    loop {
        let next = page(ids.last().copied());
        if next.is_empty() {
            return ids;
        }
        ids.extend(next.iter().map(|connection| connection.id()));
    }
}

#[test]
fn pages_are_in_order_whole_and_of_open_connections() {
    let hub = Hub::alone();
    let connections: Vec<_> = (0..500).map(|_| joined(&hub)).collect();
    for connection in connections.iter().step_by(2) {
        hub.set_tags(connection, vec![tag("even")]).unwrap();
    }
    connections[0].end(openline_core::close::CloseReason::Lost);
    let mut even: Vec<_> = connections
        .iter()
        .step_by(2)
        .skip(1)
        .map(|open| open.id())
        .collect();
    let mut open: Vec<_> = connections.iter().skip(1).map(|open| open.id()).collect();
    even.sort_unstable();
    open.sort_unstable();
    for limit in [1, 7, 1000] {
        assert_eq!(all(|after| hub.page(after, limit)), open, "{limit}");
        let tagged = all(|after| hub.by_tag(&tag("even"), after, limit));
        assert_eq!(tagged, even, "{limit}");
    }
    assert_eq!(hub.page(None, 7).len(), 7);
    assert!(hub.page(None, 0).is_empty());
    assert!(hub.by_tag(&tag("eve"), None, 10).is_empty());
    assert!(hub.page(Some(open[498]), 10).is_empty());
    assert_eq!(hub.connections(), 500);
    assert_eq!(hub.snapshot().len(), 500);
}

#[test]
fn who_sets_tags_while_it_leaves_leaves_nothing_behind() {
    let hub = Hub::alone();
    for _ in 0..200 {
        let connection = joined(&hub);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for word in ["a", "b", "c"] {
                    let _ = hub.set_tags(&connection, vec![tag(word), tag("d")]);
                }
            });
            scope.spawn(|| hub.leave(&connection));
        });
        assert!(hub.tags.is_empty());
    }
}

#[test]
fn what_a_peer_has_asked_for_is_its_own_until_the_function_gives_it_too() {
    let hub = Hub::alone();
    let connection = joined(&hub);
    let asked = |index: usize| {
        let asked = Subscribing {
            is_asked: true,
            ..Subscribing::default()
        };
        let wakeups = &mut Wakeups::default();
        hub.subscribe_with(&connection, &name(index), asked, wakeups)
    };
    for index in 1..=2 {
        assert!(asked(index).unwrap().is_some());
    }
    // Given too, and given first.
    subscribe(&hub, &connection, name(2)).unwrap();
    subscribe(&hub, &connection, name(3)).unwrap();
    assert!(asked(3).unwrap().is_none());
    assert_eq!(connection.asked_channels(), [name(1)]);
    let dismissed = |index| hub.dismiss_asked(&connection, &name(index), &mut Wakeups::default());
    assert!(dismissed(1) && !dismissed(1) && !dismissed(2) && !dismissed(3));
    let mut left = connection.channels();
    left.sort();
    assert_eq!(left, [name(2), name(3)]);
}
