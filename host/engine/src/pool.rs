//! The instances of one function: who has room, who serves which affinity
//! value, how many there are.
//!
//! Bounded by the policy: `instances` at once, `concurrency` seats in each; and
//! by the places that all functions of the host share.
//! All of it changes under one lock that is held for a few instructions. With
//! affinity there is never more than one live instance for a value: a value's
//! instance is forgotten only when its guest code has stopped for good.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::component::Loaded;
use crate::instance::{self, Instance};
use crate::mailbox::Mailbox;
use crate::store::Shared;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) loaded: Loaded,
    pub(crate) shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Live instances.
    count: u32,
    /// Those without a key that have room; the last is filled first, so that
    /// the others can become idle.
    roomy: Vec<Arc<Instance>>,
    by_key: HashMap<String, Arc<Instance>>,
}

/// No instance has room and no more may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A connection's place in an instance; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    pool: Arc<Pool>,
    pub(crate) instance: Arc<Instance>,
}

impl Pool {
    pub(crate) fn new(loaded: Loaded, shared: Arc<Shared>) -> Self {
        Self {
            loaded,
            shared,
            state: Mutex::default(),
        }
    }

    /// Takes a seat in the instance of an affinity value, or in any that has
    /// room; makes an instance where there is none.
    pub(crate) fn seat(self: &Arc<Self>, key: Option<&str>) -> Result<Seat, Full> {
        let mut state = self.state.lock();
        let found = match key {
            Some(key) => state.by_key.get(key).cloned(),
            None => state.roomy.last().cloned(),
        };
        let concurrency = self.shared.policy.concurrency;
        if let Some(instance) = found {
            let bound = instance.bound.load(Ordering::Relaxed);
            if bound == concurrency {
                return Err(Full);
            }
            instance.bound.store(bound + 1, Ordering::Relaxed);
            if key.is_none() && bound + 1 == concurrency {
                state.roomy.pop();
            }
            return Ok(Seat {
                pool: Arc::clone(self),
                instance,
            });
        }
        if state.count >= self.shared.policy.instances {
            return Err(Full);
        }
        let place = self.shared.capacity.take().ok_or(Full)?;
        let instance = Arc::new(Instance {
            key: key.map(str::to_owned),
            mailbox: Mailbox::default(),
            bound: AtomicU32::new(1),
            retired: AtomicBool::new(false),
        });
        state.count += 1;
        match key {
            Some(key) => drop(state.by_key.insert(key.into(), Arc::clone(&instance))),
            None if concurrency > 1 => state.roomy.push(Arc::clone(&instance)),
            None => {}
        }
        drop(state);
        let driving = instance::drive(Arc::clone(self), Arc::clone(&instance), place);
        tokio::spawn(driving);
        Ok(Seat {
            pool: Arc::clone(self),
            instance,
        })
    }

    /// Forgets an instance whose guest code has stopped. Again is harmless.
    pub(crate) fn retire(&self, instance: &Arc<Instance>) {
        self.state.lock().forget(instance);
    }

    /// Forgets an instance, unless somebody has taken a seat in it meanwhile.
    pub(crate) fn retire_idle(&self, instance: &Arc<Instance>) -> bool {
        let mut state = self.state.lock();
        let idle = instance.bound.load(Ordering::Relaxed) == 0;
        if idle {
            state.forget(instance);
        }
        idle
    }

    /// Live instances.
    pub(crate) fn instances(&self) -> u32 {
        self.state.lock().count
    }

    fn release(&self, instance: &Arc<Instance>) {
        let mut state = self.state.lock();
        let bound = instance.bound.load(Ordering::Relaxed) - 1;
        instance.bound.store(bound, Ordering::Relaxed);
        let was_full = bound + 1 == self.shared.policy.concurrency;
        if was_full && instance.key.is_none() && !instance.retired.load(Ordering::Relaxed) {
            state.roomy.push(Arc::clone(instance));
        }
        drop(state);
        if bound == 0 {
            // Its driver begins to count the time to its end.
            instance.mailbox.wake();
        }
    }
}

impl State {
    fn forget(&mut self, instance: &Arc<Instance>) {
        if instance.retired.swap(true, Ordering::Relaxed) {
            return;
        }
        self.count -= 1;
        match &instance.key {
            Some(key) => drop(self.by_key.remove(key)),
            None => self.roomy.retain(|other| !Arc::ptr_eq(other, instance)),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.release(&self.instance);
    }
}
