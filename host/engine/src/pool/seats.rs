//! The instances of one version and their seats: which have room, which end,
//! which is to end next, and which wait for a place.
//!
//! Bounded by the policy: `instances` live at once, `concurrency` seats in each.
//! Queued instances are bounded by the connections that wait in them. All of it
//! changes under one lock that is held for a few instructions. The code here
//! cannot reach any lock of a pool, so none can be taken twice.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::capacity::Holds;
use crate::instance::live::{Instance, Lane};
use crate::instance::seat::{Keeper, Seat};
use crate::sync::Ordering;

/// The instances of one version.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// Live ones, by number: the oldest first.
    serving: BTreeMap<u64, Arc<Instance>>,
    /// Live ones that were told to end.
    ending: BTreeMap<u64, Arc<Instance>>,
    /// Those of `serving` without a key that have room, by lane; the last is filled
    /// first, so that the others can become idle.
    roomy: [Vec<Arc<Instance>>; 2],
    /// Requests that wait for a seat of their lane, the oldest first.
    waiting: VecDeque<Waiter>,
    /// A task displaces slow peers, as long as requests wait.
    is_ushering: bool,
    /// Those that are not live yet, in the order in which they begin.
    queued: VecDeque<Queued>,
}

/// An instance that will be live when there is a place for it. Connections sit in
/// it already, and what they have asked for waits in its mailbox.
#[derive(Debug)]
struct Queued {
    instance: Arc<Instance>,
    /// Its version is there until it has begun. It is held, and asked nothing.
    _keeper: Arc<dyn Keeper>,
}

/// Where a request is given a seat that was given back, or nothing: an instance has
/// ended, and there may be room for another.
pub(super) type Waiter = oneshot::Sender<Option<Seat>>;

/// A request for a seat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The affinity value.
    pub(crate) key: Option<&'a str>,
    /// A connection that is not open yet: it may be refused.
    pub(crate) joins: bool,
    /// Another version that serves the value already is as good.
    pub(crate) follows: bool,
    /// Which instances it may have a seat in, without an affinity value.
    pub(crate) lane: Lane,
    /// A request that has waited for a seat, and was sent to ask anew.
    pub(crate) has_waited: bool,
}

/// No instance has room, and no more may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Requests that wait for seats.
#[derive(Debug)]
pub(super) struct Ushered {
    pub(super) waiting: usize,
    /// Whether the version may have one more instance.
    pub(super) has_room: bool,
    /// The live instances for requests.
    pub(super) instances: Vec<Arc<Instance>>,
}

/// A seat that was taken in an instance.
#[derive(Debug)]
pub(super) struct SeatTaken {
    pub(super) instance: Arc<Instance>,
    /// The instance has not begun: it will not end before it was given what this
    /// seat was taken for.
    pub(super) is_awaited: bool,
}

impl Seats {
    /// Live instances.
    pub(super) fn instances(&self) -> usize {
        self.serving.len() + self.ending.len()
    }

    /// Whether a newcomer may have an instance, with `instances_max` live at once:
    /// those that are queued come first, also those that still wait for another
    /// of their affinity value.
    pub(super) fn may_add(&self, instances_max: usize) -> bool {
        let promised = self.serving.len() + self.queued.len();
        self.instances() < instances_max && promised < instances_max
    }

    /// What of the host's places it has and wants, with `instances_max` at once.
    pub(super) fn holds(&self, instances_max: usize) -> Holds {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let wanted = instances_max.saturating_sub(self.serving.len());
        Holds {
            serving: count(self.serving.len()),
            ending: count(self.ending.len()),
            wanted: count(wanted.min(self.queued.len())),
            oldest: self.serving.keys().next().copied(),
        }
    }

    /// One more seat in an instance.
    pub(super) fn sit(&mut self, instance: &Arc<Instance>) -> SeatTaken {
        instance.bound.fetch_add(1, Ordering::Relaxed);
        let is_awaited = !self.is_live(instance) && !instance.retired.load(Ordering::Relaxed);
        if is_awaited {
            instance.mailbox.expect_another();
        }
        SeatTaken {
            instance: Arc::clone(instance),
            is_awaited,
        }
    }

    /// A seat in a live instance of a lane, without a key, that has room.
    pub(super) fn sit_in_roomy(&mut self, lane: Lane, concurrency: u32) -> Option<Arc<Instance>> {
        let roomy = &mut self.roomy[lane as usize];
        let instance = roomy.last().cloned()?;
        let bound = instance.bound.fetch_add(1, Ordering::Relaxed) + 1;
        if bound >= concurrency {
            roomy.pop();
        }
        Some(instance)
    }

    /// A seat in the last queued instance of a lane, if that has no key and room.
    pub(super) fn sit_in_queued(&mut self, lane: Lane, concurrency: u32) -> Option<SeatTaken> {
        let mut queued = self.queued.iter().rev().map(|queued| &queued.instance);
        let last = queued.find(|instance| instance.lane == lane)?;
        let has_room = last.bound.load(Ordering::Relaxed) < concurrency;
        let last = (has_room && last.key.is_none() && !last.is_ending()).then(|| Arc::clone(last));
        Some(self.sit(&last?))
    }

    /// An instance that was just made, with one seat taken, is live.
    pub(super) fn add(&mut self, instance: &Arc<Instance>, concurrency: u32) {
        let number = instance.number;
        if instance.is_ending() {
            self.ending.insert(number, Arc::clone(instance));
            return;
        }
        self.serving.insert(number, Arc::clone(instance));
        let has_room = instance.bound.load(Ordering::Relaxed) < concurrency;
        if instance.key.is_none() && has_room {
            self.roomy[instance.lane as usize].push(Arc::clone(instance));
        }
    }

    /// Whether a live instance of the lane of requests will give a seat back, or
    /// end.
    pub(super) fn has_requests(&self) -> bool {
        self.all().any(|instance| instance.lane == Lane::Requests)
    }

    /// A request waits for a seat, before all others if it `has_waited`. Answers
    /// whether a task is to usher from now on.
    pub(super) fn wait(&mut self, waiter: Waiter, has_waited: bool) -> bool {
        self.forget_gone();
        match has_waited {
            true => self.waiting.push_front(waiter),
            false => self.waiting.push_back(waiter),
        }
        !std::mem::replace(&mut self.is_ushering, true)
    }

    /// Requests that have gone are at the end of their time, or few.
    fn forget_gone(&mut self) {
        while self.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            self.waiting.pop_front();
        }
    }

    /// The seats for which requests wait, if any does; otherwise nobody ushers any
    /// more.
    pub(super) fn ushered(&mut self, instances_max: usize) -> Option<Ushered> {
        self.waiting.retain(|waiter| !waiter.is_closed());
        self.is_ushering = !self.waiting.is_empty();
        let is_of_requests = |it: &&Arc<Instance>| it.lane == Lane::Requests;
        self.is_ushering.then(|| Ushered {
            waiting: self.waiting.len(),
            has_room: self.may_add(instances_max),
            instances: self.all().filter(is_of_requests).cloned().collect(),
        })
    }

    /// The request that has waited for the longest.
    pub(super) fn next_waiter(&mut self) -> Option<Waiter> {
        loop {
            let waiter = self.waiting.pop_front()?;
            if !waiter.is_closed() {
                return Some(waiter);
            }
        }
    }

    /// All requests that wait, which are to ask elsewhere.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Waiter> {
        std::mem::take(&mut self.waiting)
    }

    /// An instance that was just made, with one seat taken, waits for a place,
    /// and for the end of others of its affinity value.
    pub(super) fn queue(&mut self, instance: &Arc<Instance>, keeper: Arc<dyn Keeper>) {
        self.queued.push_back(Queued {
            instance: Arc::clone(instance),
            _keeper: keeper,
        });
    }

    /// The first queued instance that lacks nothing but a place of the host, with
    /// `instances_max` live at once.
    pub(super) fn ready(&self, instances_max: usize) -> Option<&Arc<Instance>> {
        if self.instances() >= instances_max {
            return None;
        }
        let mut queued = self.queued.iter().map(|queued| &queued.instance);
        queued.find(|instance| instance.is_unblocked.load(Ordering::Relaxed))
    }

    /// A queued instance does not wait any more.
    pub(super) fn unqueue(&mut self, instance: &Arc<Instance>) {
        let same = |queued: &Queued| Arc::ptr_eq(&queued.instance, instance);
        if let Some(index) = self.queued.iter().position(same) {
            self.queued.remove(index);
        }
    }

    /// Whether an instance waits for a place.
    pub(super) fn is_queued(&self, instance: &Arc<Instance>) -> bool {
        let mut queued = self.queued.iter();
        queued.any(|queued| Arc::ptr_eq(&queued.instance, instance))
    }

    /// All queued instances, which wait for nothing any more.
    pub(super) fn unqueue_all(&mut self) -> Vec<Arc<Instance>> {
        let queued = self.queued.drain(..);
        queued.map(|queued| queued.instance).collect()
    }

    /// Whether an instance must end so that the queued ones get their turn
    /// among so many.
    pub(super) fn lacks_turns(&self, instances_max: usize) -> bool {
        self.instances() >= instances_max && self.queued.len() > self.ending.len()
    }

    /// Has the oldest one end that serves, if there is one, and returns it.
    pub(super) fn end_oldest(&mut self) -> Option<Arc<Instance>> {
        let oldest = self.serving.values().next().cloned()?;
        self.end(&oldest);
        Some(oldest)
    }

    /// Has an instance end, which may be queued.
    pub(super) fn end(&mut self, instance: &Arc<Instance>) {
        if self.serving.remove(&instance.number).is_some() {
            self.leave_roomy(instance);
            self.ending.insert(instance.number, Arc::clone(instance));
        }
        instance.end();
    }

    /// All that serve, which are to be told to end. They are marked already: a
    /// seat that is given back until then makes none of them roomy again.
    pub(super) fn supersede(&mut self) -> Vec<Arc<Instance>> {
        self.roomy.iter_mut().for_each(Vec::clear);
        let serving = std::mem::take(&mut self.serving);
        let all: Vec<_> = serving.values().cloned().collect();
        for instance in &all {
            instance.ending.store(true, Ordering::Release);
        }
        self.ending.extend(serving);
        all
    }

    /// Those that were told to end.
    pub(super) fn ending(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.ending.values()
    }

    /// All live instances, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.serving.values().chain(self.ending.values())
    }

    /// A seat in an instance was given back. Returns the request that is to have it,
    /// if one waits: the seat is taken again.
    pub(super) fn release(&mut self, instance: &Arc<Instance>, concurrency: u32) -> Option<Waiter> {
        let was = instance.bound.fetch_sub(1, Ordering::Relaxed);
        let was_full = was == concurrency && instance.key.is_none();
        if !was_full || !self.serving.contains_key(&instance.number) {
            return None;
        }
        if instance.lane == Lane::Requests
            && let Some(waiter) = self.next_waiter()
        {
            instance.bound.fetch_add(1, Ordering::Relaxed);
            return Some(waiter);
        }
        self.roomy[instance.lane as usize].push(Arc::clone(instance));
        None
    }

    fn leave_roomy(&mut self, instance: &Arc<Instance>) {
        let roomy = &mut self.roomy[instance.lane as usize];
        roomy.retain(|other| !Arc::ptr_eq(other, instance));
    }

    /// Forgets a live instance whose guest code has stopped.
    pub(super) fn forget(&mut self, instance: &Arc<Instance>) {
        self.serving.remove(&instance.number);
        self.ending.remove(&instance.number);
        self.leave_roomy(instance);
    }

    fn is_live(&self, instance: &Instance) -> bool {
        let number = &instance.number;
        self.serving.contains_key(number) || self.ending.contains_key(number)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A version that is not asked.
    #[derive(Debug)]
    struct Nobody;

    impl Keeper for Nobody {
        fn release(self: Arc<Self>, _: &Arc<Instance>) {}

        fn retire(&self, _: &Arc<Instance>) {}

        fn forget(&self, _: &Arc<Instance>) {}

        fn fail(&self) -> Option<Duration> {
            None
        }
    }

    fn instance(number: u64) -> Arc<Instance> {
        Arc::new(Instance::new(number, None, Lane::Connections))
    }

    /// Instances of two seats, each with one taken, and room in all.
    fn seats(instances: u64) -> (Seats, Vec<Arc<Instance>>) {
        let mut seats = Seats::default();
        let all: Vec<_> = (1..=instances).map(instance).collect();
        for instance in &all {
            seats.add(instance, 2);
        }
        (seats, all)
    }

    #[test]
    fn the_last_that_has_room_is_filled_first() {
        let (mut seats, all) = seats(2);
        assert!(Arc::ptr_eq(
            &seats.sit_in_roomy(Lane::Connections, 2).unwrap(),
            &all[1]
        ));
        assert!(Arc::ptr_eq(
            &seats.sit_in_roomy(Lane::Connections, 2).unwrap(),
            &all[0]
        ));
        assert!(seats.sit_in_roomy(Lane::Connections, 2).is_none());
        seats.release(&all[0], 2);
        assert!(Arc::ptr_eq(
            &seats.sit_in_roomy(Lane::Connections, 2).unwrap(),
            &all[0]
        ));
    }

    #[test]
    fn an_instance_is_queued_until_it_begins_and_expects_each_that_sits_in_it() {
        let (mut seats, all) = seats(1);
        assert!(seats.sit_in_queued(Lane::Connections, 2).is_none());
        let next = instance(2);
        seats.queue(&next, Arc::new(Nobody));
        assert!(seats.ready(1).is_none(), "the only one is live");
        assert!(seats.lacks_turns(1) && !seats.lacks_turns(2));
        let taken = seats.sit_in_queued(Lane::Connections, 2).unwrap();
        assert!(Arc::ptr_eq(&taken.instance, &next) && taken.is_awaited);
        assert!(
            seats.sit_in_queued(Lane::Connections, 2).is_none(),
            "it has two seats"
        );
        seats.end_oldest().unwrap();
        assert!(all[0].is_ending() && !seats.lacks_turns(1));
        assert!(!seats.sit(&all[0]).is_awaited);
        seats.forget(&all[0]);
        seats.forget(&all[0]);
        assert!(Arc::ptr_eq(seats.ready(1).unwrap(), &next));
        seats.unqueue(&next);
        seats.add(&next, 2);
        assert!(seats.ready(2).is_none() && seats.instances() == 1);
        assert!(!seats.sit(&next).is_awaited, "it is live");
        // Until both have asked, it does not end.
        next.end();
        for _ in 0..2 {
            assert!(next.mailbox.has_more());
            next.mailbox.expect_one_less();
        }
        assert!(!next.mailbox.has_more());
    }

    #[test]
    fn one_that_waits_for_another_of_its_affinity_value_is_not_ready() {
        let (mut seats, _) = seats(1);
        let other = instance(3);
        let next = Arc::new(Instance::new(2, Some("room".into()), Lane::Connections));
        next.is_unblocked.store(false, Ordering::Relaxed);
        seats.queue(&next, Arc::new(Nobody));
        seats.queue(&other, Arc::new(Nobody));
        assert!(Arc::ptr_eq(seats.ready(2).unwrap(), &other));
        assert!(seats.may_add(4) && !seats.may_add(3), "both come first");
        next.is_unblocked.store(true, Ordering::Relaxed);
        assert!(Arc::ptr_eq(seats.ready(2).unwrap(), &next));
    }

    #[test]
    fn what_it_wants_is_what_it_could_have_beside_those_that_serve() {
        let (mut seats, _) = seats(2);
        let holds = |serving, ending, wanted| Holds {
            serving,
            ending,
            wanted,
            oldest: Some(3 - u64::from(serving)),
        };
        assert_eq!(seats.holds(3), holds(2, 0, 0));
        for number in 3..6 {
            seats.queue(&instance(number), Arc::new(Nobody));
        }
        assert_eq!(seats.holds(2), holds(2, 0, 0));
        assert_eq!(seats.holds(3), holds(2, 0, 1));
        seats.end_oldest().unwrap();
        assert_eq!(seats.holds(3), holds(1, 1, 2));
        assert_eq!(seats.unqueue_all().len(), 3);
        assert_eq!(seats.holds(3), holds(1, 1, 0));
    }

    #[test]
    fn a_seat_that_is_given_back_makes_no_superseded_instance_roomy() {
        let (mut seats, all) = seats(1);
        seats.sit_in_roomy(Lane::Connections, 2).unwrap();
        // Between the lock and the telling.
        assert_eq!(seats.supersede().len(), 1);
        seats.release(&all[0], 2);
        assert!(seats.sit_in_roomy(Lane::Connections, 2).is_none());
    }
}
