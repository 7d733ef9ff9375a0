//! The instances of one version and their seats: which have room, which end, and
//! which is to end next.
//!
//! Bounded by the policy: `instances` at once, `concurrency` seats in each. All
//! of it changes under one lock that is held for a few instructions. What is here
//! has no way to any lock of a pool: none can be taken twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::instance::live::Instance;
use crate::sync::Ordering;

/// The instances of one version, by whether they have room.
#[derive(Debug, Default)]
pub(super) struct Seats {
    /// By number; without those that are in `awaited`.
    live: BTreeMap<u64, Arc<Instance>>,
    /// Those without a key that have room; the last is filled first, so that
    /// the others can become idle.
    roomy: Vec<Arc<Instance>>,
    /// Instances that end and whose places open connections wait for, the
    /// oldest first. Each is told to end before it is here.
    awaited: Vec<Awaited>,
}

/// An instance that ends. The one that takes its place serves those that wait.
#[derive(Debug)]
struct Awaited {
    instance: Arc<Instance>,
    /// The affinity value of those that wait.
    key: Option<Box<str>>,
    /// How many have begun to wait.
    connections: u32,
}

/// Who wants a seat.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// The affinity value.
    pub(crate) key: Option<&'a str>,
    /// A connection that is not open yet: it may be refused.
    pub(crate) joins: bool,
    /// Another version that serves the value already is as good.
    pub(crate) follows: bool,
}

/// No instance has room and no more may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Seats {
    /// Instances that there are.
    pub(super) fn instances(&self) -> usize {
        self.live.len() + self.awaited.len()
    }

    /// One more seat in an instance.
    pub(super) fn sit(&mut self, instance: &Arc<Instance>) -> Arc<Instance> {
        instance.bound.fetch_add(1, Ordering::Relaxed);
        Arc::clone(instance)
    }

    /// A seat in an instance without a key that has room.
    pub(super) fn sit_in_roomy(&mut self, concurrency: u32) -> Option<Arc<Instance>> {
        let instance = self.roomy.last().cloned()?;
        let instance = self.sit(&instance);
        if instance.bound.load(Ordering::Relaxed) >= concurrency {
            self.roomy.pop();
        }
        Some(instance)
    }

    /// A seat in an instance that ends, to wait for its place. One instance
    /// ends for as many connections as the next one has room for: those that
    /// wake together do not each end one of their own.
    pub(super) fn make_room(
        &mut self,
        key: Option<&str>,
        concurrency: u32,
    ) -> Option<Arc<Instance>> {
        let fits = |awaited: &Awaited| {
            let room = key.is_some() || awaited.connections < concurrency;
            room && awaited.key.as_deref() == key
        };
        let index = match self.awaited.iter().position(fits) {
            Some(index) => index,
            None => match self.next_to_end() {
                Some(instance) => {
                    // Told before it is in the list: what any of those that
                    // wait puts into its mailbox is behind its last job.
                    instance.end();
                    self.live.remove(&instance.number);
                    self.roomy.retain(|other| !Arc::ptr_eq(other, &instance));
                    self.awaited.push(Awaited {
                        instance,
                        key: key.map(Into::into),
                        connections: 0,
                    });
                    self.awaited.len() - 1
                }
                // All end already.
                None => {
                    let fewest = self.awaited.iter().enumerate();
                    fewest.min_by_key(|(_, awaited)| awaited.connections)?.0
                }
            },
        };
        let awaited = self.awaited.get_mut(index)?;
        awaited.connections = awaited.connections.saturating_add(1);
        let instance = Arc::clone(&awaited.instance);
        Some(self.sit(&instance))
    }

    /// One that ends already, for another version say, or else the oldest.
    fn next_to_end(&self) -> Option<Arc<Instance>> {
        let mut live = self.live.values();
        let ending = live.find(|instance| instance.is_ending());
        ending.or_else(|| self.live.values().next()).cloned()
    }

    /// All that are live, which are to be told to end. They are marked already:
    /// a seat that is given back until then makes none of them roomy again.
    pub(super) fn supersede(&mut self) -> Vec<Arc<Instance>> {
        self.roomy.clear();
        let live: Vec<_> = self.live.values().cloned().collect();
        for instance in &live {
            instance.ending.store(true, Ordering::Release);
        }
        live
    }

    /// An instance that was just made, with one seat taken.
    pub(super) fn add(&mut self, instance: &Arc<Instance>) {
        self.live.insert(instance.number, Arc::clone(instance));
    }

    /// An instance without a key has room for more.
    pub(super) fn add_roomy(&mut self, instance: &Arc<Instance>) {
        self.roomy.push(Arc::clone(instance));
    }

    /// All instances, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let awaited = self.awaited.iter().map(|awaited| &awaited.instance);
        self.live.values().chain(awaited)
    }

    /// A seat in an instance was given back.
    pub(super) fn release(&mut self, instance: &Arc<Instance>, concurrency: u32) {
        let was = instance.bound.fetch_sub(1, Ordering::Relaxed);
        let serves = !instance.retired.load(Ordering::Relaxed) && !instance.is_ending();
        if was == concurrency && instance.key.is_none() && serves {
            self.add_roomy(instance);
        }
    }

    /// Forgets an instance whose guest code has stopped.
    pub(super) fn forget(&mut self, instance: &Arc<Instance>) {
        let same = |other: &Arc<Instance>| Arc::ptr_eq(other, instance);
        self.live.remove(&instance.number);
        self.awaited.retain(|awaited| !same(&awaited.instance));
        self.roomy.retain(|other| !same(other));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(number: u64) -> Arc<Instance> {
        Arc::new(Instance::new(number, None))
    }

    /// Instances of two seats, each with one taken, and room in all.
    fn seats(instances: u64) -> (Seats, Vec<Arc<Instance>>) {
        let mut seats = Seats::default();
        let all: Vec<_> = (1..=instances).map(instance).collect();
        for instance in &all {
            seats.add(instance);
            seats.add_roomy(instance);
        }
        (seats, all)
    }

    #[test]
    fn the_last_that_has_room_is_filled_first() {
        let (mut seats, all) = seats(2);
        assert!(Arc::ptr_eq(&seats.sit_in_roomy(2).unwrap(), &all[1]));
        assert!(Arc::ptr_eq(&seats.sit_in_roomy(2).unwrap(), &all[0]));
        assert!(seats.sit_in_roomy(2).is_none());
        seats.release(&all[0], 2);
        assert!(Arc::ptr_eq(&seats.sit_in_roomy(2).unwrap(), &all[0]));
    }

    #[test]
    fn the_oldest_ends_for_as_many_as_the_next_one_has_room_for() {
        let (mut seats, all) = seats(2);
        for _ in 0..2 {
            assert!(Arc::ptr_eq(&seats.make_room(None, 2).unwrap(), &all[0]));
        }
        assert!(all[0].is_ending() && !all[1].is_ending());
        assert!(Arc::ptr_eq(&seats.make_room(None, 2).unwrap(), &all[1]));
        // All end: the one that fewest wait for gets one more.
        assert!(Arc::ptr_eq(&seats.make_room(None, 2).unwrap(), &all[1]));
        assert_eq!(seats.instances(), 2);
        assert!(seats.sit_in_roomy(2).is_none());
        seats.forget(&all[0]);
        seats.forget(&all[0]);
        assert_eq!(seats.instances(), 1);
    }

    #[test]
    fn those_of_another_affinity_value_have_an_instance_end_of_their_own() {
        let (mut seats, all) = seats(2);
        for _ in 0..3 {
            let ends = seats.make_room(Some("one"), 2).unwrap();
            assert!(Arc::ptr_eq(&ends, &all[0]));
        }
        let ends = seats.make_room(Some("other"), 2).unwrap();
        assert!(Arc::ptr_eq(&ends, &all[1]));
    }

    #[test]
    fn a_seat_that_is_given_back_makes_no_superseded_instance_roomy() {
        let (mut seats, all) = seats(1);
        seats.sit_in_roomy(2).unwrap();
        // Between the lock and the telling.
        assert_eq!(seats.supersede().len(), 1);
        seats.release(&all[0], 2);
        assert!(seats.sit_in_roomy(2).is_none());
    }
}
