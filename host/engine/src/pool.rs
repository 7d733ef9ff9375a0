//! The instances of one version: who has room, who serves which affinity
//! value, how many there are.
//!
//! Bounded by the policy: `instances` at once, `concurrency` seats in each; and
//! by the places that all functions of the host share.
//! All of it changes under one lock that is held for a few instructions. With
//! affinity there is never more than one live instance for a value, whatever
//! its version: a value's instance is forgotten only when its guest code has
//! stopped for good, and who needs it for another version waits for its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant as Moment;

use crate::backoff::Backoff;
use crate::component::Loaded;
use crate::driver::{self, Driver};
use crate::instance::{self, Instance};
use crate::mailbox::Mailbox;
use crate::store::Shared;
use crate::version::InstanceInfo;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) loaded: Loaded,
    pub(crate) shared: Arc<Shared>,
    pub(crate) backoff: Arc<Backoff>,
    /// Connections whose next event comes here.
    pub(crate) connections: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By number.
    live: BTreeMap<u64, Arc<Instance>>,
    /// Those without a key that have room; the last is filled first, so that
    /// the others can become idle.
    roomy: Vec<Arc<Instance>>,
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

/// A connection's place in an instance; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pool: Arc<Pool>,
    pub(crate) instance: Arc<Instance>,
}

impl Pool {
    pub(crate) fn new(loaded: Loaded, shared: Arc<Shared>) -> Self {
        Self {
            loaded,
            shared,
            backoff: Arc::default(),
            connections: AtomicU32::new(0),
            state: Mutex::default(),
        }
    }

    /// Takes a seat in the instance of an affinity value, or in any that has
    /// room; makes an instance where there is none. The instance may be
    /// ending: then what is put into its mailbox is given back when it has
    /// ended.
    pub(crate) fn seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        match wanted.key {
            Some(key) => self.seat_of(key, wanted),
            None => self.any_seat(wanted),
        }
    }

    fn seat_of(self: &Arc<Self>, key: &str, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut keys = self.shared.commons.keys.lock();
        let Some(instance) = keys.get(key) else {
            let instance = match self.make(Some(key), &mut self.state.lock()) {
                Ok(instance) => instance,
                Err(Full) => return self.evict(wanted).ok_or(Full),
            };
            keys.insert(key.into(), Arc::clone(&instance));
            return Ok(Seat {
                pool: Arc::clone(self),
                instance,
            });
        };
        // Its driver holds the pool until it has forgotten the instance.
        let pool = instance.pool.upgrade().ok_or(Full)?;
        if Arc::ptr_eq(&pool, self) || wanted.follows {
            let full = instance.bound.load(Ordering::Relaxed) >= pool.shared.policy.concurrency;
            if full && wanted.joins {
                return Err(Full);
            }
        } else {
            instance.end();
        }
        let seat = Seat::take(&pool, instance, &pool.state.lock());
        Ok(seat)
    }

    fn any_seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut state = self.state.lock();
        let concurrency = self.shared.policy.concurrency;
        if let Some(instance) = state.roomy.last().cloned() {
            let seat = Seat::take(self, &instance, &state);
            if instance.bound.load(Ordering::Relaxed) >= concurrency {
                state.roomy.pop();
            }
            return Ok(seat);
        }
        match self.make(None, &mut state) {
            Ok(instance) => {
                if concurrency > 1 {
                    state.roomy.push(Arc::clone(&instance));
                }
                Ok(Seat {
                    pool: Arc::clone(self),
                    instance,
                })
            }
            Err(Full) => {
                drop(state);
                self.evict(wanted).ok_or(Full)
            }
        }
    }

    /// All seats are taken, by connections that may be quiet. An event of
    /// another open connection is not refused for that: the oldest instance
    /// ends when its calls have returned, and makes room.
    fn evict(self: &Arc<Self>, wanted: Wanted<'_>) -> Option<Seat> {
        if wanted.joins {
            return None;
        }
        let mut state = self.state.lock();
        let oldest = state.live.values().find(|instance| !instance.is_ending());
        // Those that end already make room as well.
        let instance = oldest.or_else(|| state.live.values().next()).cloned()?;
        state.roomy.retain(|other| !Arc::ptr_eq(other, &instance));
        let seat = Seat::take(self, &instance, &state);
        drop(state);
        instance.end();
        Some(seat)
    }

    /// Makes an instance with one seat taken.
    fn make(self: &Arc<Self>, key: Option<&str>, state: &mut State) -> Result<Arc<Instance>, Full> {
        let stopping = self.shared.commons.is_stopping();
        if stopping || state.live.len() >= self.shared.policy.instances as usize {
            return Err(Full);
        }
        let place = self.shared.capacity.take().ok_or(Full)?;
        let instance = Arc::new(Instance {
            number: place.number(),
            pool: Arc::downgrade(self),
            key: key.map(str::to_owned),
            mailbox: Mailbox::default(),
            driver: Driver::default(),
            bound: AtomicU32::new(1),
            ending: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            made: Moment::now(),
        });
        state.live.insert(instance.number, Arc::clone(&instance));
        let driving = instance::drive(Arc::clone(self), Arc::clone(&instance), place);
        driver::spawn(Arc::clone(&instance), driving);
        Ok(instance)
    }

    /// Forgets an instance whose guest code has stopped. Again is harmless.
    pub(crate) fn retire(&self, instance: &Arc<Instance>) {
        let mut keys = instance
            .key
            .as_ref()
            .map(|_| self.shared.commons.keys.lock());
        let mut state = self.state.lock();
        if instance.retired.swap(true, Ordering::Relaxed) {
            return;
        }
        state.live.remove(&instance.number);
        match (&instance.key, &mut keys) {
            (Some(key), Some(keys)) => drop(keys.remove(key)),
            _ => state.roomy.retain(|other| !Arc::ptr_eq(other, instance)),
        }
        drop((keys, state));
        self.shared.commons.instance_ended();
    }

    /// Has all instances end, each when its calls have returned.
    pub(crate) fn supersede(&self) {
        let mut state = self.state.lock();
        state.roomy.clear();
        let live: Vec<_> = state.live.values().cloned().collect();
        drop(state);
        live.iter().for_each(|instance| instance.end());
    }

    /// Live instances.
    pub(crate) fn instances(&self) -> u32 {
        u32::try_from(self.state.lock().live.len()).unwrap_or(u32::MAX)
    }

    /// Live instances, the oldest first.
    pub(crate) fn list(&self) -> Vec<InstanceInfo> {
        let state = self.state.lock();
        let info = |instance: &Arc<Instance>| InstanceInfo {
            number: instance.number,
            key: instance.key.clone(),
            connections: instance.bound.load(Ordering::Relaxed),
            age: instance.made.elapsed(),
        };
        state.live.values().map(info).collect()
    }

    fn release(&self, instance: &Arc<Instance>) {
        let mut state = self.state.lock();
        let was = instance.bound.fetch_sub(1, Ordering::Relaxed);
        let serves = !instance.retired.load(Ordering::Relaxed) && !instance.is_ending();
        if was == self.shared.policy.concurrency && instance.key.is_none() && serves {
            state.roomy.push(Arc::clone(instance));
        }
    }
}

impl Seat {
    /// One more in an instance, with its pool's lock held.
    fn take(pool: &Arc<Pool>, instance: &Arc<Instance>, _locked: &State) -> Self {
        instance.bound.fetch_add(1, Ordering::Relaxed);
        Self {
            pool: Arc::clone(pool),
            instance: Arc::clone(instance),
        }
    }

    /// The version that serves it.
    pub(crate) fn stamp(&self) -> u64 {
        self.pool.shared.digest.stamp()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.release(&self.instance);
    }
}
