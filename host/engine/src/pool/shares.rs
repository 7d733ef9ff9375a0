//! The host's places that each version and each function has and wants: which
//! gets the next one, and which instance ends for it. Rules without a lock.
//!
//! Functions stand in the queue once, and versions in that of their function:
//! places go round from function to function, whatever number of versions one
//! has. When more is wanted than there is, every function keeps its *part*, the
//! same for all: one that has more gives up what is beyond it, and one that wants
//! more than its part ends instances of its own, no more than it wants. So no
//! function loses anything because another wants much.
//!
//! Bounded by the versions and functions. To look for an instance that is to end
//! takes a step for each of them, and happens only on a host that is full.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

use super::capacity::{FunctionNumber, Holds, Pool};

#[derive(Debug, Default)]
pub(super) struct Shares {
    members: BTreeMap<u64, Record>,
    functions: BTreeMap<FunctionNumber, Share>,
    /// Counts the members.
    last: u64,
    /// Instances of all members.
    pub(super) live: u32,
    /// Sums over the members, in places.
    pub(super) total: Sums,
    /// Functions with a version in their queue, each once.
    queue: VecDeque<FunctionNumber>,
}

/// The record of what a version has and wants.
#[derive(Debug)]
struct Record {
    pool: Weak<dyn Pool>,
    function: FunctionNumber,
    /// Places that each of its instances takes.
    places: u32,
    holds: Holds,
    is_queued: bool,
}

/// The sum of what the versions of a function have and want.
#[derive(Debug, Default)]
struct Share {
    versions: u32,
    /// Instances that serve.
    serving: u32,
    sums: Sums,
    /// Versions with an instance that lacks nothing but places, each once.
    queue: VecDeque<u64>,
}

/// Places.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) serving: u64,
    pub(super) ending: u64,
    pub(super) wanted: u64,
}

/// The next step so that those that wait get places.
#[derive(Debug)]
pub(super) enum Step {
    /// The first in the queue begins.
    Start(Arc<dyn Pool>),
    /// The oldest instance of a version ends.
    End(Arc<dyn Pool>),
}

impl Sums {
    /// Places that are not free.
    pub(super) fn taken(self) -> u64 {
        self.serving + self.ending
    }

    /// Places that are taken when all that end have ended, and all that is wanted
    /// has begun.
    pub(super) fn asked(self) -> u64 {
        self.serving + self.wanted
    }

    fn change(&mut self, places: u32, before: Holds, now: Holds) {
        let change = |sum: &mut u64, before: u32, now: u32| {
            let places = u64::from(places);
            *sum = (*sum + places * u64::from(now)).saturating_sub(places * u64::from(before));
        };
        change(&mut self.serving, before.serving, now.serving);
        change(&mut self.ending, before.ending, now.ending);
        change(&mut self.wanted, before.wanted, now.wanted);
    }
}

impl Shares {
    /// A version joins, and gets a number.
    pub(super) fn add(
        &mut self,
        function: FunctionNumber,
        places: u32,
        pool: Weak<dyn Pool>,
    ) -> u64 {
        self.last += 1;
        let record = Record {
            pool,
            function,
            places,
            holds: Holds::default(),
            is_queued: false,
        };
        self.members.insert(self.last, record);
        self.functions.entry(function).or_default().versions += 1;
        self.last
    }

    pub(super) fn remove(&mut self, member: u64) {
        self.set(member, Holds::default());
        self.leave(member);
        let Some(record) = self.members.remove(&member) else {
            return;
        };
        if let Some(share) = self.functions.get_mut(&record.function) {
            share.versions -= 1;
            if share.versions == 0 {
                self.functions.remove(&record.function);
            }
        }
    }

    /// Whether no function waits for a place.
    pub(super) fn is_queue_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The version that gets the next place.
    pub(super) fn first(&self) -> Option<u64> {
        let function = self.queue.front()?;
        self.functions.get(function)?.queue.front().copied()
    }

    /// A version joins the queue of its function, and that the host's.
    pub(super) fn join(&mut self, member: u64) {
        if let Some(record) = self.members.get_mut(&member)
            && !record.is_queued
            && let Some(share) = self.functions.get_mut(&record.function)
        {
            record.is_queued = true;
            if share.queue.is_empty() {
                self.queue.push_back(record.function);
            }
            share.queue.push_back(member);
        }
    }

    pub(super) fn leave(&mut self, member: u64) {
        if let Some(record) = self.members.get_mut(&member)
            && record.is_queued
            && let Some(share) = self.functions.get_mut(&record.function)
        {
            record.is_queued = false;
            share.queue.retain(|other| *other != member);
            if share.queue.is_empty() {
                self.queue.retain(|other| *other != record.function);
            }
        }
    }

    /// The first version has begun an instance: it goes to the end of the queue
    /// of its function if another one `is_ready`, and the function to the end of
    /// the host's if any of its versions has one.
    pub(super) fn pass_on(&mut self, member: u64, is_ready: bool) {
        self.leave(member);
        if is_ready {
            self.join(member);
        }
        let function = self.members.get(&member).map(|record| record.function);
        if function.is_some() && function == self.queue.front().copied() {
            self.queue.rotate_left(1);
        }
    }

    /// The next step for the first in the queue: it begins if there are places
    /// for it; otherwise an instance ends, unless enough of them end already.
    pub(super) fn next_step(&mut self, most: u64) -> Option<Step> {
        loop {
            let first = self.first()?;
            let record = self.members.get(&first)?;
            let places = u64::from(record.places);
            if self.total.taken() + places <= most {
                if let Some(pool) = record.pool.upgrade() {
                    return Some(Step::Start(pool));
                }
                // Its last connection has just left.
                self.leave(first);
            } else if self.total.serving + places > most {
                return self.end_for(first, most).map(Step::End);
            } else {
                return None;
            }
        }
    }

    /// The versions with instances that are to end.
    pub(super) fn ending(&self) -> Vec<Arc<dyn Pool>> {
        let ending = self.members.values().filter(|it| it.holds.ending > 0);
        ending.filter_map(|it| it.pool.upgrade()).collect()
    }

    /// Has the oldest instance of a version end, so that the function of a member
    /// gets its part. It is counted as ending at once, so that no other thread
    /// has one end for the same.
    pub(super) fn end_for(&mut self, member: u64, most: u64) -> Option<Arc<dyn Pool>> {
        let victim = self.victim(member, most)?;
        let record = self.members.get(&victim)?;
        let (pool, holds) = (record.pool.upgrade()?, record.holds);
        let holds = Holds {
            serving: holds.serving.saturating_sub(1),
            ending: holds.ending + 1,
            ..holds
        };
        self.set(victim, holds);
        Some(pool)
    }

    /// The version whose oldest instance ends so that the function of a member
    /// gets its part: one of a function beyond its part, then one of its own,
    /// and, if it has nothing at all, one of the largest.
    fn victim(&self, member: u64, most: u64) -> Option<u64> {
        let record = self.members.get(&member)?;
        let (function, own) = (record.function, self.functions.get(&record.function)?);
        let part = self.part(most);
        let beyond = |of: FunctionNumber, share: &Share| {
            of != function && share.serving > 1 && share.sums.serving > part
        };
        let is_owed = || {
            let lacks_places = self.total.serving + u64::from(record.places) > most;
            own.sums.taken() == 0 && lacks_places
        };
        if let Some(victim) = self.oldest_of_largest(beyond) {
            return Some(victim);
        }
        if own.sums.ending < own.sums.wanted
            && let Some(victim) = self.oldest_of_largest(|of, _| of == function)
        {
            return Some(victim);
        }
        // One that has nothing is owed an instance in any case.
        is_owed().then(|| self.oldest_of_largest(|_, _| true))?
    }

    /// Of the functions that are meant, the one with the most places; of those
    /// with as many, the one whose oldest instance is the oldest. Its version
    /// with that instance.
    fn oldest_of_largest(&self, is_meant: impl Fn(FunctionNumber, &Share) -> bool) -> Option<u64> {
        let serving = self.members.iter().filter(|(_, it)| it.holds.serving > 0);
        let meant = serving.filter_map(|(number, record)| {
            let share = self.functions.get(&record.function)?;
            is_meant(record.function, share).then(|| {
                let oldest = Reverse(record.holds.oldest);
                ((share.sums.serving, oldest), *number)
            })
        });
        meant.max().map(|(_, number)| number)
    }

    /// The places that every function may keep: the most of which all that want
    /// as many can have them.
    fn part(&self, most: u64) -> u64 {
        let asked = self.functions.values().map(|share| share.sums.asked());
        let mut asked: Vec<_> = asked.filter(|asked| *asked > 0).collect();
        asked.sort_unstable();
        let (mut left, mut functions) = (most, asked.len() as u64);
        for asked in asked {
            if asked.saturating_mul(functions) > left {
                return left / functions;
            }
            left -= asked;
            functions -= 1;
        }
        u64::MAX
    }

    /// Whether the function of a member has nothing and wants nothing.
    pub(super) fn is_owed(&self, member: u64) -> bool {
        let function = self.members.get(&member).map(|record| record.function);
        let share = function.and_then(|function| self.functions.get(&function));
        share.is_some_and(|share| share.sums.asked() == 0)
    }

    pub(super) fn set(&mut self, member: u64, holds: Holds) {
        let Some(record) = self.members.get_mut(&member) else {
            return;
        };
        let before = std::mem::replace(&mut record.holds, holds);
        self.total.change(record.places, before, holds);
        self.live = (self.live + holds.live()).saturating_sub(before.live());
        if let Some(share) = self.functions.get_mut(&record.function) {
            share.sums.change(record.places, before, holds);
            share.serving = (share.serving + holds.serving).saturating_sub(before.serving);
        }
    }
}
