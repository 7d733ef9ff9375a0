//! How a connection gets a seat in an instance of a version, and how a version
//! has instances made and forgets them.
//!
//! An event of an open connection is never refused because all seats are taken,
//! by connections that may be quiet. A queued instance is made for it, an
//! instance that is live ends when its calls have returned, and the queued one
//! begins in its place. Those that wait are served in the order in which they
//! came, and each has to ask only once.
//!
//! With affinity, the function's values are locked first, then the version's
//! seats: there is never more than one live instance for a value, whatever its
//! version. Two versions' seats are never locked at once.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::capacity::Pool;
use super::keys::Locked;
use super::seats::{Full, SeatTaken, Seats, Waiter, Wanted};
use super::version::Version;
use crate::contract::handlers::CallStyle;
use crate::instance::exchange::progress::Displaced;
use crate::instance::live::{Instance, Lane};
use crate::instance::mailbox::Job;
use crate::instance::poller;
use crate::instance::seat::{Keeper, Seat};
use crate::instance::task;
use crate::sync::{self, Ordering};

/// How often slow peers are looked for while requests wait for seats, at least.
const USHER_TIME: Duration = Duration::from_secs(1);

/// What became of a wish for a seat.
enum Sat {
    Seat(Seat),
    /// It comes here, or nothing does: see [`Waiter`].
    Waits(oneshot::Receiver<Option<Seat>>),
}

impl Version {
    /// Takes a seat in the instance of an affinity value, or in any that has
    /// room; makes an instance where there is none, or queues one.
    pub(crate) fn seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        match wanted.key {
            Some(key) => self.seat_of(key, wanted),
            None => match self.any_seat(wanted)? {
                Sat::Seat(seat) => Ok(seat),
                Sat::Waits(_) => Err(Full),
            },
        }
    }

    fn seat_of(self: &Arc<Self>, key: &str, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut keys = self.commons.keys.lock();
        let is_served = match keys.get(key) {
            Some((version, instance)) => {
                // Its driver holds the version, or the queue that it stands in.
                let version = version.ok_or(Full)?;
                if let Some(seat) = self.seat_in(&version, instance, wanted) {
                    return seat;
                }
                true
            }
            None => false,
        };
        let mut seats = self.seats.lock();
        if !is_served && let Some(instance) = self.admit(Some(key), wanted.lane, &mut seats) {
            keys.insert(key, self, &instance);
            drop((seats, keys));
            return Ok(self.start(instance));
        }
        let instance = self.queue(wanted, is_served, &mut seats)?;
        keys.insert(key, self, &instance);
        self.account(&seats);
        drop((seats, keys));
        self.member.make_room();
        Ok(Seat::awaited(self.keeper(), instance))
    }

    /// Takes a seat in the instance that serves an affinity value, which may be
    /// another version's, with the values locked. `None` if that instance ends,
    /// and the next one must be queued behind it.
    fn seat_in(
        self: &Arc<Self>,
        version: &Arc<Self>,
        instance: &Arc<Instance>,
        wanted: Wanted<'_>,
    ) -> Option<Result<Seat, Full>> {
        let mut seats = version.seats.lock();
        if !Arc::ptr_eq(version, self) && !wanted.follows && !instance.is_ending() {
            seats.end(instance);
            version.account(&seats);
            version.hurry(instance);
        }
        if instance.is_ending() {
            return None;
        }
        let concurrency = version.program.policy.concurrency;
        let is_full = instance.bound.load(Ordering::Relaxed) >= concurrency;
        if is_full && wanted.joins {
            return Some(Err(Full));
        }
        let taken = seats.sit(instance);
        drop(seats);
        Some(Ok(version.seat_taken(taken)))
    }

    fn any_seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Sat, Full> {
        let (lane, concurrency) = (wanted.lane, self.concurrency(wanted.lane));
        let mut seats = self.seats.lock();
        if let Some(instance) = seats.sit_in_roomy(lane, concurrency) {
            drop(seats);
            return Ok(Sat::Seat(Seat::new(self.keeper(), instance)));
        }
        if let Some(instance) = self.admit(None, lane, &mut seats) {
            drop(seats);
            return Ok(Sat::Seat(self.start(instance)));
        }
        let may_wait = !wanted.joins || seats.instances() < self.instances_max();
        if may_wait && let Some(taken) = seats.sit_in_queued(lane, concurrency) {
            drop(seats);
            return Ok(Sat::Seat(self.seat_taken(taken)));
        }
        let instance = match self.queue(wanted, false, &mut seats) {
            Ok(instance) => instance,
            Err(Full) if lane == Lane::Requests && seats.has_requests() => {
                let (waiter, seat) = oneshot::channel();
                let is_first = seats.wait(waiter, wanted.has_waited);
                drop(seats);
                if is_first {
                    sync::spawn(usher(Arc::downgrade(self)));
                }
                return Ok(Sat::Waits(seat));
            }
            Err(Full) => return Err(Full),
        };
        self.account(&seats);
        drop(seats);
        self.member.make_room();
        Ok(Sat::Seat(Seat::awaited(self.keeper(), instance)))
    }

    /// Adds an instance with one seat taken, if there is room for it. It does
    /// nothing before it is [started](Version::start).
    fn admit(&self, key: Option<&str>, lane: Lane, seats: &mut Seats) -> Option<Arc<Instance>> {
        if !seats.may_add(self.instances_max()) || self.commons.is_stopping() {
            return None;
        }
        let mut holds = seats.holds(self.instances_max());
        holds.serving += 1;
        let number = self.member.take(holds)?;
        let instance = Arc::new(Instance::new(number, key.map(str::to_owned), lane));
        seats.add(&instance, self.concurrency(lane));
        Some(instance)
    }

    /// Adds an instance that waits for a place, with one seat taken, and has
    /// another one end if this version has as many as it may. A connection that
    /// joins is refused instead, unless its affinity value `is_served` by an
    /// instance that ends, or its function has nothing while others have all.
    fn queue(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        is_served: bool,
        seats: &mut Seats,
    ) -> Result<Arc<Instance>, Full> {
        let may_join = || {
            let has_room = seats.instances() < self.instances_max();
            is_served || has_room && self.member.is_owed()
        };
        if self.commons.is_stopping() || wanted.joins && !may_join() {
            return Err(Full);
        }
        let instance = self.make(wanted.key, wanted.lane);
        seats.queue(&instance, self.keeper());
        let most = self.instances_max();
        if seats.lacks_turns(most) {
            seats.end_oldest();
        }
        if seats.instances() >= most {
            self.hurry_all(seats);
        }
        Ok(instance)
    }

    fn make(&self, key: Option<&str>, lane: Lane) -> Arc<Instance> {
        let number = self.member.number_instance();
        Arc::new(Instance::new(number, key.map(str::to_owned), lane))
    }

    /// The seats of an instance. A plain call that answers a request lasts as long
    /// as its answer, so an instance answers one at a time.
    fn concurrency(&self, lane: Lane) -> u32 {
        let is_alone = self.program.loaded.http() == Some(CallStyle::Plain);
        match lane {
            Lane::Requests if is_alone => 1,
            _ => self.program.policy.concurrency,
        }
    }

    /// Takes a seat for a request without an affinity value. If all are taken, it
    /// waits until one is given back, after those that have waited for longer;
    /// none if it is to ask anew instead, because an instance has ended or another
    /// version has taken over.
    pub(super) async fn seat_for_request(
        self: &Arc<Self>,
        has_waited: bool,
    ) -> Result<Option<Seat>, Full> {
        let wanted = Wanted {
            joins: true,
            lane: Lane::Requests,
            has_waited,
            ..Wanted::default()
        };
        match self.any_seat(wanted)? {
            Sat::Seat(seat) => Ok(Some(seat)),
            Sat::Waits(seat) => Ok(seat.await.ok().flatten()),
        }
    }

    /// Another instance waits for the end of this one. An answer may take long, so it
    /// gets no more time than one call.
    fn hurry(&self, instance: &Arc<Instance>) {
        if !self.takes_requests() || !instance.hurry() {
            return;
        }
        let instance = Arc::clone(instance);
        let time = self.program.limits.handler_timeout;
        sync::spawn(async move {
            sync::sleep(time).await;
            instance.cut();
        });
    }

    /// Others wait for the ends of those that are to end.
    fn hurry_all(&self, seats: &Seats) {
        if self.takes_requests() {
            seats.ending().for_each(|instance| self.hurry(instance));
        }
    }

    /// Reports what it has and wants after a change. Answers whether any
    /// version wants anything of the host.
    fn account(&self, seats: &Seats) -> bool {
        let most = self.instances_max();
        let is_ready = seats.ready(most).is_some();
        self.member.account(seats.holds(most), is_ready)
    }

    /// Gives a new instance its task. Called without the locks: others may have
    /// given it jobs already, which its first poll finds.
    fn start(self: &Arc<Self>, instance: Arc<Instance>) -> Seat {
        self.spawn(&instance);
        Seat::awaited(self.keeper(), instance)
    }

    fn spawn(self: &Arc<Self>, instance: &Arc<Instance>) {
        let program = Arc::clone(&self.program);
        let driving = task::drive(program, self.keeper(), Arc::clone(instance));
        poller::spawn(Arc::clone(instance), driving);
        if self.commons.is_removed() {
            // It does what it was made for, a `close` say, and is not kept.
            let mut seats = self.seats.lock();
            seats.end(instance);
            self.account(&seats);
        }
    }

    /// The asker of an upgrade has gone: the seat that it waited for is free. A
    /// queued instance that nothing else waits for does not begin, so that no
    /// instance ends for it, and it is in nothing's way.
    pub(super) fn forsake(&self, instance: &Arc<Instance>) {
        let forsaken = instance.mailbox.forsake();
        if forsaken.is_empty() {
            return;
        }
        drop(forsaken);
        let mut keys = self.commons.keys.lock();
        let mut seats = self.seats.lock();
        if !seats.is_queued(instance) || !instance.is_abandoned() {
            return;
        }
        seats.unqueue(instance);
        keys.remove(instance);
        self.account(&seats);
        drop((seats, keys));
        self.give_back(vec![Arc::clone(instance)]);
    }

    /// Ends its instances, each when its calls have returned: another version
    /// has taken over. Jobs that wait in queued ones are given back.
    pub(crate) fn supersede(&self) {
        let mut keys = self.commons.keys.lock();
        let mut seats = self.seats.lock();
        let serving = seats.supersede();
        let queued = self.unqueue(&mut keys, &mut seats);
        let waiting = seats.take_waiting();
        drop((seats, keys));
        for instance in &serving {
            instance.end();
            if instance.key.is_some() {
                self.hurry(instance);
            }
        }
        self.give_back(queued);
        send_away(waiting);
    }

    /// Takes all queued instances out of the locked lists. They never begin.
    fn unqueue(&self, keys: &mut Locked<'_, Self>, seats: &mut Seats) -> Vec<Arc<Instance>> {
        let queued = seats.unqueue_all();
        for instance in &queued {
            keys.remove(instance);
        }
        self.account(seats);
        queued
    }

    /// Gives back the jobs that wait in instances that do not begin. Called
    /// without the locks.
    fn give_back(&self, queued: Vec<Arc<Instance>>) {
        let has_keys = queued.iter().any(|instance| instance.key.is_some());
        for instance in queued {
            instance.retired.store(true, Ordering::Relaxed);
            let jobs = instance.mailbox.close();
            jobs.into_iter().for_each(Job::give_back);
        }
        self.begin_next(has_keys);
    }

    /// Begins what there are places for. An affinity value may have one instance
    /// less: the next one of it may be another version's. Called without the
    /// locks.
    fn begin_next(&self, has_keys: bool) {
        if has_keys {
            for version in self.commons.versions() {
                version.account(&version.seats.lock());
            }
        }
        self.member.hand_out();
    }

    /// Has the request ask anew that has waited for the longest. Called without the
    /// locks.
    fn send_first_away(&self) {
        // One that has gone meanwhile is passed over.
        loop {
            let first = self.seats.lock().next_waiter();
            if first.is_none_or(|waiter| waiter.send(None).is_ok()) {
                return;
            }
        }
    }

    /// How many instances there may be at once: `instances`, and fewer of those
    /// that take several places each, so that a function's part of the host's
    /// places is the same whatever its component is made of.
    fn instances_max(&self) -> usize {
        let most = self.program.policy.instances / self.program.loaded.places.max(1);
        most.max(1) as usize
    }

    fn keeper(self: &Arc<Self>) -> Arc<dyn Keeper> {
        Arc::<Self>::clone(self)
    }

    fn seat_taken(self: &Arc<Self>, taken: SeatTaken) -> Seat {
        let keeper = self.keeper();
        if taken.is_awaited {
            Seat::awaited(keeper, taken.instance)
        } else {
            Seat::new(keeper, taken.instance)
        }
    }
}

/// Displaces slow peers as long as requests wait for seats of a version: as many as
/// wait, the slowest first.
async fn usher(version: Weak<Version>) {
    let wanted = Instant::now();
    loop {
        let Some(version) = version.upgrade() else {
            return;
        };
        let Some(ushered) = version.seats.lock().ushered(version.instances_max()) else {
            return;
        };
        // A place that another function gives back tells nobody here.
        if ushered.has_room && version.member.may_take() {
            version.send_first_away();
        }
        let now = Instant::now();
        let mut next = now + USHER_TIME;
        let mut slow = Vec::new();
        // An asynchronous call that waits for its peer keeps nobody from going on.
        let is_plain = version.http_style() == Some(CallStyle::Plain);
        let instances = ushered.instances.iter().filter(|_| is_plain);
        for exchange in instances.flat_map(|it| it.exchanges()) {
            let (owed, again) = exchange.lateness(wanted, now);
            next = next.min(again);
            slow.extend(owed.map(|owed| (owed, exchange)));
        }
        slow.sort_by_key(|(owed, _)| Reverse(*owed));
        for (_, exchange) in slow.into_iter().take(ushered.waiting) {
            exchange.displace(Displaced::Slow);
        }
        drop((ushered, version));
        sync::sleep(next.saturating_duration_since(now)).await;
    }
}

/// Has requests ask anew that wait for seats. Called without the locks.
fn send_away(waiting: VecDeque<Waiter>) {
    for waiter in waiting {
        drop(waiter.send(None));
    }
}

impl Pool for Version {
    fn start_next(self: Arc<Self>) {
        let most = self.instances_max();
        let mut keys = self.commons.keys.lock();
        let mut seats = self.seats.lock();
        let mut abandoned = Vec::new();
        let ready = loop {
            match seats.ready(most).cloned() {
                Some(instance) if instance.is_abandoned() => {
                    seats.unqueue(&instance);
                    keys.remove(&instance);
                    abandoned.push(instance);
                }
                ready => break ready,
            }
        };
        drop(keys);
        let Some(instance) = ready.filter(|_| self.member.may_begin()) else {
            self.account(&seats);
            drop(seats);
            self.give_back(abandoned);
            return;
        };
        seats.unqueue(&instance);
        seats.add(&instance, self.concurrency(instance.lane));
        if seats.lacks_turns(most) {
            seats.end_oldest();
            self.hurry_all(&seats);
        }
        self.member
            .begin(seats.holds(most), seats.ready(most).is_some());
        drop(seats);
        self.spawn(&instance);
        self.give_back(abandoned);
        self.member.end_others();
    }

    fn end_oldest(&self) {
        let mut seats = self.seats.lock();
        seats.end_oldest();
        self.hurry_all(&seats);
        self.account(&seats);
    }

    fn hurry(&self) {
        self.hurry_all(&self.seats.lock());
    }
}

impl Keeper for Version {
    fn release(self: Arc<Self>, instance: &Arc<Instance>) {
        let concurrency = self.concurrency(instance.lane);
        let waiter = self.seats.lock().release(instance, concurrency);
        if let Some(waiter) = waiter {
            // A request that has gone meanwhile drops it, and the next one has it.
            let seat = Seat::new(self, Arc::clone(instance));
            drop(waiter.send(Some(seat)));
        }
    }

    fn retire(&self, instance: &Arc<Instance>) {
        let mut seats = self.seats.lock();
        seats.end(instance);
        self.account(&seats);
    }

    fn forget(&self, instance: &Arc<Instance>) {
        let mut keys = instance.key.as_ref().map(|_| self.commons.keys.lock());
        let mut seats = self.seats.lock();
        if instance.retired.swap(true, Ordering::Relaxed) {
            return;
        }
        seats.forget(instance);
        if let Some(keys) = &mut keys {
            keys.remove(instance);
        }
        let is_wanted = self.account(&seats);
        // With the last instance, no seat would come back.
        let waiting = match seats.has_requests() {
            true => VecDeque::new(),
            false => seats.take_waiting(),
        };
        drop((seats, keys));
        send_away(waiting);
        // There is room for one more.
        self.send_first_away();
        self.commons.instance_ended();
        if is_wanted {
            self.begin_next(instance.key.is_some());
        }
    }

    fn fail(&self) -> Option<Duration> {
        let faults = self.program.faults.fail();
        let time = self.backoff.fail(faults, &self.program.policy)?;
        // Queued jobs wait for the end of the back-off instead.
        let mut keys = self.commons.keys.lock();
        let mut seats = self.seats.lock();
        let queued = self.unqueue(&mut keys, &mut seats);
        let waiting = seats.take_waiting();
        drop((seats, keys));
        self.give_back(queued);
        send_away(waiting);
        Some(time)
    }
}
