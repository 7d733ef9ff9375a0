//! Places for TCP connections that are not upgraded, at their bounds.

use futures_util::FutureExt;

use super::*;

fn peer(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// A place that must be free.
fn enter(requests: &Arc<Requests>, last: u8, peer_max: u32) -> Option<Slot> {
    let entered = requests.enter(peer(last), peer_max).now_or_never();
    entered.expect("there is a place")
}

fn is_closed(slot: &Slot) -> bool {
    slot.closed().now_or_never().is_some()
}

#[test]
fn places_at_their_number_and_one_past_it() {
    let requests = Requests::new(2);
    let first = enter(&requests, 1, 0).unwrap();
    let second = enter(&requests, 1, 0).unwrap();
    assert!(!is_closed(&first) && !is_closed(&second));
    let mut third = Box::pin(requests.enter(peer(2), 0));
    assert!(third.as_mut().now_or_never().is_none());
    assert!(is_closed(&first), "it has waited longest");
    assert!(!is_closed(&second));
    drop(first);
    let _third = third.now_or_never().unwrap().unwrap();
    drop(second);
    assert_eq!(requests.state.lock().peers.len(), 1);
}

#[test]
fn one_that_was_asked_is_younger_than_one_that_was_not() {
    let requests = Requests::new(2);
    let asked = enter(&requests, 1, 0).unwrap();
    let silent = enter(&requests, 1, 0).unwrap();
    asked.begin();
    asked.end();
    assert!(requests.enter(peer(2), 0).now_or_never().is_none());
    assert!(is_closed(&silent) && !is_closed(&asked));
}

#[test]
fn the_peer_that_has_most_of_those_that_wait_makes_room() {
    let requests = Requests::new(4);
    let slow = enter(&requests, 1, 0).unwrap();
    let many = [2, 2, 2].map(|last| enter(&requests, last, 0).unwrap());
    let mut newcomers = Vec::new();
    let mut newcomer = || {
        let mut newcomer = Box::pin(requests.enter(peer(3), 0));
        assert!(newcomer.as_mut().now_or_never().is_none());
        newcomers.push(newcomer);
    };
    for closed in 0..2 {
        newcomer();
        let are_closed = many.each_ref().map(is_closed);
        assert_eq!(are_closed.iter().position(|it| *it), Some(closed));
        assert!(!is_closed(&slow));
    }
    // Both have one: the older one is the slow one's.
    newcomer();
    assert!(is_closed(&slow) && !is_closed(&many[2]));
}

#[test]
fn a_busy_one_is_closed_as_soon_as_it_is_answered() {
    let requests = Requests::new(1);
    let busy = enter(&requests, 1, 0).unwrap();
    busy.begin();
    let mut next = Box::pin(requests.enter(peer(2), 0));
    assert!(next.as_mut().now_or_never().is_none());
    assert!(!is_closed(&busy));
    busy.end();
    assert!(is_closed(&busy));
    drop(busy);
    assert!(next.now_or_never().unwrap().is_some());
}

#[test]
fn those_of_a_peer_at_their_number_and_one_past_it() {
    let requests = Requests::new(10);
    let first = enter(&requests, 1, 2).unwrap();
    let second = enter(&requests, 1, 2).unwrap();
    assert!(!is_closed(&first) && !is_closed(&second));
    first.begin();
    // The one that waits makes room for the next of the same peer.
    let third = enter(&requests, 1, 2).unwrap();
    assert!(is_closed(&second) && !is_closed(&first));
    third.begin();
    assert!(enter(&requests, 1, 2).is_none(), "both are busy");
    assert!(enter(&requests, 2, 2).is_some(), "another one has its own");
    // Upgraded, it does not count; and it is not counted twice.
    third.leave();
    drop(third);
    let _fourth = enter(&requests, 1, 2).unwrap();
    drop((first, second));
    assert_eq!(requests.state.lock().peers[&peer(1)].connections, 1);
}

#[test]
fn one_that_stepped_aside_returns_if_there_is_a_place() {
    let requests = Requests::new(1);
    let first = enter(&requests, 1, 0).unwrap();
    first.begin();
    first.step_aside();
    assert_eq!(requests.taken(), 0);
    let second = enter(&requests, 2, 0).unwrap();
    assert!(!is_closed(&first) && !is_closed(&second));
    drop(second);
    first.return_to(0);
    assert_eq!(requests.taken(), 1);
    assert!(!is_closed(&first));
    // It waits like others.
    let mut third = Box::pin(requests.enter(peer(3), 0));
    assert!(third.as_mut().now_or_never().is_none());
    assert!(is_closed(&first));
    drop((first, third));
    // None is free.
    let fourth = enter(&requests, 4, 0).unwrap();
    fourth.begin();
    fourth.step_aside();
    let _fifth = enter(&requests, 5, 0).unwrap();
    fourth.return_to(0);
    assert!(is_closed(&fourth));
    drop(fourth);
    let state = requests.state.lock();
    assert_eq!((state.connections, state.peers.len()), (1, 1));
}

#[test]
fn one_that_stepped_aside_returns_within_its_peers_number() {
    let requests = Requests::new(10);
    let aside = [1, 1, 1].map(|last| {
        let slot = enter(&requests, last, 1).unwrap();
        slot.begin();
        slot.step_aside();
        slot
    });
    let [first, second, third] = aside;
    first.return_to(1);
    assert!(!is_closed(&first));
    // The one that waits makes room for the next.
    second.return_to(1);
    assert!(is_closed(&first) && !is_closed(&second));
    second.begin();
    third.return_to(1);
    assert!(is_closed(&third) && !is_closed(&second));
    drop((first, third));
    assert_eq!(requests.taken(), 1);
}

/// Requests on streams of HTTP/2, say: many of a peer may wait at once.
#[test]
fn those_of_a_peer_that_wait_for_a_place_count_as_well() {
    let requests = Requests::new(1);
    let busy = enter(&requests, 1, 2).unwrap();
    busy.begin();
    let mut first = Box::pin(requests.enter_busy(peer(2), 2));
    let mut second = Box::pin(requests.enter_busy(peer(2), 2));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    let third = requests.enter_busy(peer(2), 2).now_or_never();
    assert!(third.unwrap().is_none(), "two of the peer wait");
    // One that is given up counts no longer.
    drop(second);
    let mut fourth = Box::pin(requests.enter_busy(peer(2), 2));
    assert!(fourth.as_mut().now_or_never().is_none());
    drop(busy);
    drop(first.now_or_never().unwrap().unwrap());
    drop(fourth.now_or_never().unwrap().unwrap());
    let state = requests.state.lock();
    assert!(state.peers.is_empty() && state.connections == 0);
}

#[test]
fn each_that_waits_for_a_place_closes_one_that_was_answered() {
    let requests = Requests::new(3);
    let slots = [1, 2, 3].map(|last| enter(&requests, last, 0).unwrap());
    slots.iter().for_each(Slot::begin);
    let mut first = Box::pin(requests.enter_busy(peer(4), 0));
    let mut second = Box::pin(requests.enter_busy(peer(5), 0));
    assert!(first.as_mut().now_or_never().is_none());
    assert!(second.as_mut().now_or_never().is_none());
    let [one, two, three] = slots;
    // The first gets a place that was returned; the second still needs one.
    drop(one);
    let first = first.now_or_never().unwrap().unwrap();
    two.end();
    assert!(is_closed(&two));
    three.end();
    assert!(!is_closed(&three), "none waits for its place");
    drop(two);
    let second = second.now_or_never().unwrap().unwrap();
    assert!(!is_closed(&first) && !is_closed(&second));
}

#[test]
fn one_that_waited_for_a_place_and_has_gone_closes_none() {
    let requests = Requests::new(1);
    let busy = enter(&requests, 1, 0).unwrap();
    busy.begin();
    assert!(requests.enter(peer(2), 0).now_or_never().is_none());
    busy.end();
    assert!(!is_closed(&busy));
}

#[test]
fn the_peer_that_has_most_handshakes_loses_its_newest_to_one_that_has_fewer() {
    let requests = Requests::new(5);
    let slots = [1, 1, 1, 2, 2].map(|last| enter(&requests, last, 0).unwrap());
    slots.iter().for_each(Slot::begin);
    let deciding = slots.each_ref().map(Slot::decide);
    let displaced = || {
        let of = |it: &Deciding<'_>| it.displaced().now_or_never().is_some();
        deciding.iter().position(of)
    };
    // With one more, the second peer has as many as the first one is left.
    let third = requests.enter(peer(2), 0).now_or_never();
    assert!(third.unwrap().is_none(), "others do not wait behind it");
    assert_eq!(displaced(), None, "it would have more than it leaves");
    let mut third = Box::pin(requests.enter(peer(3), 0));
    assert!(third.as_mut().now_or_never().is_none());
    assert_eq!(displaced(), Some(2));
    // Answered, it makes room.
    slots[2].end();
    assert!(is_closed(&slots[2]));
    drop(deciding);
    drop(slots);
    drop(third.now_or_never().unwrap().unwrap());
    let state = requests.state.lock();
    assert!(state.peers.is_empty() && state.deciding.is_empty());
}

/// A proxy, say: no other peer is known to wait.
#[test]
fn the_only_peer_waits_for_its_own_handshakes() {
    let requests = Requests::new(2);
    let slots = [1, 1].map(|last| enter(&requests, last, 0).unwrap());
    slots.iter().for_each(Slot::begin);
    let deciding = slots.each_ref().map(Slot::decide);
    let mut third = Box::pin(requests.enter(peer(1), 0));
    assert!(third.as_mut().now_or_never().is_none());
    drop(deciding);
    drop(slots);
    assert!(third.now_or_never().unwrap().is_some());
}

#[test]
fn one_that_was_decided_about_is_not_displaced_by_what_came_too_late() {
    let requests = Requests::new(2);
    let slots = [1, 1].map(|last| enter(&requests, last, 0).unwrap());
    slots.iter().for_each(Slot::begin);
    let first = slots[0].decide();
    let second = slots[1].decide();
    assert!(requests.enter(peer(2), 0).now_or_never().is_none());
    drop((first, second));
    // Its next handshake is another one.
    let again = slots[1].decide();
    assert!(again.displaced().now_or_never().is_none());
}

#[test]
fn nothing_is_kept_of_those_that_have_gone() {
    let requests = Requests::new(3);
    let slots = [1, 1, 2].map(|last| enter(&requests, last, 0).unwrap());
    slots[0].begin();
    assert!(requests.enter(peer(3), 0).now_or_never().is_none());
    drop(slots);
    let state = requests.state.lock();
    assert!(state.peers.is_empty() && state.waiting.is_empty());
    assert!(state.ranks.is_empty());
    assert_eq!(requests.places.available_permits(), 3);
}
