//! The instances of one version: which of them have room, which serves which
//! affinity value, how many there are.
//!
//! Bounded by the policy: `instances` at once, `concurrency` seats in each; and
//! by the places that all functions of the host share.
//! All of it changes under one lock that is held for a few instructions; with
//! affinity, the function's map of values is locked before it. What happens
//! under the lock is in [`State`], which has no way to any lock of a pool: none
//! can be taken twice. With affinity there is never more than one live instance
//! for a value, whatever its version: an instance is forgotten only when its
//! guest code has stopped for good, and an event for another version waits for
//! its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant as Moment;

use crate::component::loaded::Loaded;
use crate::instance::live::{self, Instance};
use crate::instance::mailbox::{Job, Mailbox};
use crate::instance::poller::{self, Driver};
use crate::instance::store::Shared;
use crate::pool::backoff::Backoff;
use crate::pool::capacity::Place;
use crate::pool::version::InstanceInfo;
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering};

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) loaded: Loaded,
    pub(crate) shared: Arc<Shared>,
    pub(crate) backoff: Arc<Backoff>,
    /// Connections whose next event comes here, and handshakes that are decided
    /// here.
    pub(crate) connections: AtomicU32,
    /// Its version was removed: its connections are to leave.
    pub(crate) removed: AtomicBool,
    state: Mutex<State>,
}

/// What the pool's lock guards.
#[derive(Debug, Default)]
struct State {
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

/// A handshake, counted among the connections of the version that decides it.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Pool>);

/// No instance has room and no more may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A connection's place in an instance; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    pool: Arc<Pool>,
    pub(crate) instance: Arc<Instance>,
    /// The instance was made for this seat, and has not been given its job.
    first: bool,
}

impl Pool {
    pub(crate) fn new(loaded: Loaded, shared: Arc<Shared>) -> Self {
        Self {
            loaded,
            shared,
            backoff: Arc::default(),
            connections: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Counts a handshake among the connections until it is decided: its version
    /// is not removed unasked meanwhile.
    pub(crate) fn count(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
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
        if let Some(instance) = keys.get(key) {
            return self.seat_in(instance, wanted);
        }
        let mut state = self.state.lock();
        match self.admit(Some(key), &mut state) {
            Ok((instance, place)) => {
                keys.insert(key.into(), Arc::clone(&instance));
                drop(state);
                drop(keys);
                Ok(self.start(instance, place))
            }
            Err(Full) => self.wait_for_room(&mut state, wanted),
        }
    }

    /// Takes a seat in the live instance of an affinity value, with the values
    /// locked.
    fn seat_in(
        self: &Arc<Self>,
        instance: &Arc<Instance>,
        wanted: Wanted<'_>,
    ) -> Result<Seat, Full> {
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
        let mut state = pool.state.lock();
        let instance = state.sit(instance);
        drop(state);
        Ok(Seat::new(pool, instance))
    }

    fn any_seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut state = self.state.lock();
        let concurrency = self.shared.policy.concurrency;
        if let Some(instance) = state.sit_in_roomy(concurrency) {
            drop(state);
            return Ok(Seat::new(Arc::clone(self), instance));
        }
        match self.admit(None, &mut state) {
            Ok((instance, place)) => {
                if concurrency > 1 {
                    state.roomy.push(Arc::clone(&instance));
                }
                drop(state);
                Ok(self.start(instance, place))
            }
            Err(Full) => self.wait_for_room(&mut state, wanted),
        }
    }

    /// All seats are taken, by connections that may be quiet. An event of
    /// another open connection is not refused for that: an instance ends when
    /// its calls have returned, and the event waits for that in its mailbox.
    /// It is not begun there, but given back at the end, and takes a seat
    /// anew.
    fn wait_for_room(
        self: &Arc<Self>,
        state: &mut State,
        wanted: Wanted<'_>,
    ) -> Result<Seat, Full> {
        if wanted.joins {
            return Err(Full);
        }
        let instance = state.make_room(wanted.key, self.shared.policy.concurrency);
        Ok(Seat::new(Arc::clone(self), instance.ok_or(Full)?))
    }

    /// Adds an instance with one seat taken, if there is room for it. It does
    /// nothing before it is [started](Pool::start).
    fn admit(
        self: &Arc<Self>,
        key: Option<&str>,
        state: &mut State,
    ) -> Result<(Arc<Instance>, Place), Full> {
        let stopping = self.shared.commons.is_stopping();
        if stopping || state.instances() >= self.instances_max() {
            return Err(Full);
        }
        let place = self.shared.capacity.take(self.loaded.places).ok_or(Full)?;
        let instance = Arc::new(Instance {
            number: place.number(),
            pool: Arc::downgrade(self),
            key: key.map(str::to_owned),
            mailbox: Mailbox::expecting(),
            driver: Driver::default(),
            bound: AtomicU32::new(1),
            ending: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            made: Moment::now(),
        });
        state.live.insert(instance.number, Arc::clone(&instance));
        Ok((instance, place))
    }

    /// Gives a new instance its task. Called without the locks: others may have
    /// given it jobs already, which its first poll finds.
    fn start(self: &Arc<Self>, instance: Arc<Instance>, place: Place) -> Seat {
        let driving = live::drive(Arc::clone(self), Arc::clone(&instance), place);
        poller::spawn(Arc::clone(&instance), driving);
        if self.shared.commons.is_removed() {
            // It does what it was made for, a `close` say, and is not kept.
            instance.end();
        }
        Seat {
            pool: Arc::clone(self),
            instance,
            first: true,
        }
    }

    /// How many instances there may be at once: `instances`, and fewer of those
    /// that take several places each, so that a function's part of the host's
    /// places is the same whatever its component is made of.
    fn instances_max(&self) -> usize {
        let most = self.shared.policy.instances / self.loaded.places.max(1);
        most.max(1) as usize
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
        state.forget(instance);
        if let (Some(key), Some(keys)) = (&instance.key, &mut keys) {
            keys.remove(key);
        }
        drop((keys, state));
        self.shared.commons.instance_ended();
    }

    /// Has all instances end, each when its calls have returned.
    pub(crate) fn supersede(&self) {
        let live = self.state.lock().supersede();
        // Those that are awaited have been told.
        live.iter().for_each(|instance| instance.end());
    }

    /// Live instances.
    pub(crate) fn instances(&self) -> u32 {
        let instances = self.state.lock().instances();
        u32::try_from(instances).unwrap_or(u32::MAX)
    }

    /// Live instances, the oldest first.
    pub(crate) fn list(&self) -> Vec<InstanceInfo> {
        let info = |instance: &Arc<Instance>| InstanceInfo {
            number: instance.number,
            key: instance.key.clone(),
            connections: instance.bound.load(Ordering::Relaxed),
            age: instance.made.elapsed(),
        };
        let state = self.state.lock();
        let awaited = state.awaited.iter().map(|awaited| &awaited.instance);
        let mut list: Vec<_> = state.live.values().chain(awaited).map(info).collect();
        drop(state);
        list.sort_unstable_by_key(|instance| instance.number);
        list
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

// === impl State ===

impl State {
    fn instances(&self) -> usize {
        self.live.len() + self.awaited.len()
    }

    /// One more seat in an instance.
    fn sit(&mut self, instance: &Arc<Instance>) -> Arc<Instance> {
        instance.bound.fetch_add(1, Ordering::Relaxed);
        Arc::clone(instance)
    }

    /// A seat in an instance without a key that has room.
    fn sit_in_roomy(&mut self, concurrency: u32) -> Option<Arc<Instance>> {
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
    fn make_room(&mut self, key: Option<&str>, concurrency: u32) -> Option<Arc<Instance>> {
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
    fn supersede(&mut self) -> Vec<Arc<Instance>> {
        self.roomy.clear();
        let live: Vec<_> = self.live.values().cloned().collect();
        for instance in &live {
            instance.ending.store(true, Ordering::Release);
        }
        live
    }

    fn forget(&mut self, instance: &Arc<Instance>) {
        let same = |other: &Arc<Instance>| Arc::ptr_eq(other, instance);
        self.live.remove(&instance.number);
        self.awaited.retain(|awaited| !same(&awaited.instance));
        self.roomy.retain(|other| !same(other));
    }
}

// === impl Seat ===

impl Seat {
    fn new(pool: Arc<Pool>, instance: Arc<Instance>) -> Self {
        Self {
            pool,
            instance,
            first: false,
        }
    }

    /// Whether the next job is the one that the instance was made for.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    /// Gives the instance an event of the connection that has the seat; see
    /// [`Instance::submit`].
    pub(crate) fn submit(&mut self, job: Job) -> Result<(), Job> {
        let first = std::mem::take(&mut self.first);
        self.instance.submit_as(job, first)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.pool.release(&self.instance);
        if self.first {
            // The job that it was made for will not come.
            self.instance.expect_nothing();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use crate::front::tests::{config, runtime_of};

    #[tokio::test]
    async fn a_seat_that_is_given_back_makes_no_superseded_instance_roomy() {
        let mut config = config();
        config.instance.concurrency = 1;
        let bytes = std::fs::read(openline_guests::ECHO).unwrap();
        let runtime = runtime_of(10);
        let version = runtime.load_alone(&config, bytes).await.unwrap();
        let pool = &version.pool;
        let seat = pool.seat(super::Wanted::default()).unwrap();
        let live = pool.state.lock().supersede();
        // Between the lock and the telling.
        drop(seat);
        assert!(pool.state.lock().roomy.is_empty());
        live.iter().for_each(|instance| instance.end());
    }
}
