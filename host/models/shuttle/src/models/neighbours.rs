//! Models of several functions on a host with fewer places than they want.

use openline_core::close::CloseReason;
use openline_core::event::Event;
use shuttle::thread;

use super::{Host, Peer, explore, join, policy, rooms, served};
use crate::contract::handlers::CallStyle;
use crate::front::alias::{Alias, Split};
use crate::front::binding::Outcome;
use crate::instance::plain::AWAIT;
use crate::instance::program::Loaded;
use crate::sync::block_on;

/// A removed function still gets the `close` of each connection while others wait
/// for its only place, which another function wants as well.
pub fn a_function_that_is_removed_while_others_wait_for_its_place_leaves_it() {
    explore(|| {
        let one = Host::new(1);
        let other = Host::beside(&one.capacity);
        let (alias, beside) = (one.alias(policy(1, 1)), other.alias(policy(1, 1)));
        let peers = [(); 2].map(|()| Peer::asleep(&alias, ""));
        let beside = Peer::asleep(&beside, "");
        let peers = peers.map(|mut peer| {
            thread::spawn(move || {
                assert_eq!(peer.say(AWAIT), Outcome::Done);
                let close = Event::Close(CloseReason::ShuttingDown { retry_after: 0 });
                assert_eq!(peer.tell(close), Outcome::Done);
            })
        });
        let beside = served(beside, 2);
        block_on(one.commons.remove()).expect("nothing is written");
        join(peers.into_iter().chain([beside]));
        other.commons.stop();
        block_on(other.commons.ended());
        one.end();
    });
}

/// Two functions that want the host's only place each get it in turn.
pub fn functions_that_want_the_only_place_take_turns() {
    explore(|| {
        let one = Host::new(1);
        let other = Host::beside(&one.capacity);
        let opening = [&one, &other].map(|host| {
            let alias = host.alias(policy(1, 1));
            thread::spawn(move || {
                let mut peer = Peer::open(&alias, "").expect("it is owed a place");
                assert_eq!(peer.say(AWAIT), Outcome::Done);
            })
        });
        join(opening);
        other.commons.stop();
        block_on(other.commons.ended());
        one.end();
    });
}

/// An instance that takes all places of the host gets them beside another
/// function whose instances take one each.
pub fn an_instance_of_two_places_gets_its_turn() {
    explore(|| {
        let one = Host::new(2);
        let other = Host::beside(&one.capacity);
        let large = Loaded {
            style: CallStyle::Plain,
            places: 2,
            is_broken: false,
        };
        let small = one.alias(policy(2, 1));
        let large = Alias::to(other.version_of(1, policy(2, 1), large));
        let large = thread::spawn(move || {
            let mut peer = Peer::open(&large, "").expect("it is owed places");
            assert_eq!(peer.say(AWAIT), Outcome::Done);
        });
        let small = Peer::open(&small, "").ok();
        join(small.map(|peer| served(peer, 2)).into_iter().chain([large]));
        other.commons.stop();
        block_on(other.commons.ended());
        one.end();
    });
}

/// Rooms of two functions take turns on a host with fewer places than rooms, also
/// while one of the functions gets another version.
pub fn rooms_of_two_functions_are_served_during_a_deploy() {
    explore(|| {
        let one = Host::new(2);
        let other = Host::beside(&one.capacity);
        let (alias, beside) = (one.alias(rooms(2, 2)), other.alias(rooms(2, 2)));
        let next = one.version(2, rooms(2, 2), false);
        let rooms = [(&alias, "one"), (&alias, "two"), (&beside, "three")];
        let peers = rooms.map(|(alias, room)| Peer::asleep(alias, room));
        let moving = thread::spawn(move || drop(alias.replace(Split::to(next))));
        let served = peers.map(|peer| served(peer, 2));
        join(served.into_iter().chain([moving]));
        other.commons.stop();
        block_on(other.commons.ended());
        one.end();
    });
}

/// Instances of two functions that take two places each take turns, and a third
/// function with one place beside them.
pub fn instances_of_two_places_take_turns() {
    explore(|| {
        let one = Host::new(3);
        let others = [(); 2].map(|()| Host::beside(&one.capacity));
        let hosts = [&one, &others[0], &others[1]];
        let peers = [2, 2, 1].map(|places| Loaded {
            style: CallStyle::Plain,
            places,
            is_broken: false,
        });
        let mut peers = peers.into_iter().zip(hosts).map(|(loaded, host)| {
            let alias = Alias::to(host.version_of(1, policy(2, 1), loaded));
            Peer::asleep(&alias, "")
        });
        let peers = [(); 3].map(|()| peers.next().expect("three"));
        join(peers.map(|peer| served(peer, 2)));
        for host in &others {
            host.commons.stop();
            block_on(host.commons.ended());
        }
        one.end();
    });
}
