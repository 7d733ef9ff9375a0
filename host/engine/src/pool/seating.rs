//! How a connection gets a seat in an instance of a version, and how a version
//! has instances made and forgets them.
//!
//! With affinity, the function's values are locked first, then the version's
//! seats: there is never more than one live instance for a value, whatever its
//! version.

use std::sync::Arc;
use std::time::Duration;

use super::capacity::Place;
use super::seats::{Full, Seats, Wanted};
use super::version::Version;
use crate::instance::live::Instance;
use crate::instance::poller;
use crate::instance::seat::{Keeper, Seat};
use crate::instance::task;
use crate::sync::Ordering;

impl Version {
    /// Takes a seat in the instance of an affinity value, or in any that has
    /// room; makes an instance where there is none. The instance may be
    /// ending: then what is put into its mailbox is given back when it has
    /// ended.
    pub(crate) fn seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let seat = match wanted.key {
            Some(key) => self.seat_of(key, wanted),
            None => self.any_seat(wanted),
        };
        seat.or_else(|Full| self.wait_beside(wanted))
    }

    /// There is no room, and no instance of this version that could make some:
    /// the host is full, of instances of the version before perhaps, which end. An
    /// open connection waits for one of those, or else has the oldest one end, of
    /// the oldest version.
    fn wait_beside(&self, wanted: Wanted<'_>) -> Result<Seat, Full> {
        if wanted.joins {
            return Err(Full);
        }
        let versions = self.commons.versions();
        let mut seats = versions.iter().filter_map(|version| {
            let concurrency = version.program.policy.concurrency;
            let instance = version.seats.lock().make_room(wanted.key, concurrency)?;
            Some(Seat::new(version.keeper(), instance))
        });
        seats.next().ok_or(Full)
    }

    fn seat_of(self: &Arc<Self>, key: &str, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut keys = self.commons.keys.lock();
        if let Some((version, instance)) = keys.get(key) {
            // Its driver holds the version until it has forgotten the instance.
            let version = version.ok_or(Full)?;
            return self.seat_in(version, instance, wanted);
        }
        let mut seats = self.seats.lock();
        match self.admit(Some(key), &mut seats) {
            Ok((instance, place)) => {
                keys.insert(key, self, &instance);
                drop(seats);
                drop(keys);
                Ok(self.start(instance, place))
            }
            Err(Full) => self.wait_for_room(&mut seats, wanted),
        }
    }

    /// Takes a seat in the live instance of an affinity value, which may be
    /// another version's, with the values locked.
    fn seat_in(
        self: &Arc<Self>,
        version: Arc<Self>,
        instance: &Arc<Instance>,
        wanted: Wanted<'_>,
    ) -> Result<Seat, Full> {
        if Arc::ptr_eq(&version, self) || wanted.follows {
            let seats = version.program.policy.concurrency;
            let full = instance.bound.load(Ordering::Relaxed) >= seats;
            if full && wanted.joins {
                return Err(Full);
            }
        } else {
            instance.end();
        }
        let instance = version.seats.lock().sit(instance);
        Ok(Seat::new(version, instance))
    }

    fn any_seat(self: &Arc<Self>, wanted: Wanted<'_>) -> Result<Seat, Full> {
        let mut seats = self.seats.lock();
        let concurrency = self.program.policy.concurrency;
        if let Some(instance) = seats.sit_in_roomy(concurrency) {
            drop(seats);
            return Ok(Seat::new(self.keeper(), instance));
        }
        match self.admit(None, &mut seats) {
            Ok((instance, place)) => {
                if concurrency > 1 {
                    seats.add_roomy(&instance);
                }
                drop(seats);
                Ok(self.start(instance, place))
            }
            Err(Full) => self.wait_for_room(&mut seats, wanted),
        }
    }

    /// All seats are taken, by connections that may be quiet. An event of
    /// another open connection is not refused for that: an instance ends when
    /// its calls have returned, and the event waits for that in its mailbox.
    /// It is not begun there, but given back at the end, and takes a seat
    /// anew.
    fn wait_for_room(
        self: &Arc<Self>,
        seats: &mut Seats,
        wanted: Wanted<'_>,
    ) -> Result<Seat, Full> {
        if wanted.joins {
            return Err(Full);
        }
        let instance = seats.make_room(wanted.key, self.program.policy.concurrency);
        Ok(Seat::new(self.keeper(), instance.ok_or(Full)?))
    }

    /// Adds an instance with one seat taken, if there is room for it. It does
    /// nothing before it is [started](Version::start).
    fn admit(&self, key: Option<&str>, seats: &mut Seats) -> Result<(Arc<Instance>, Place), Full> {
        let stopping = self.commons.is_stopping();
        if stopping || seats.instances() >= self.instances_max() {
            return Err(Full);
        }
        let place = self.capacity.take(self.program.loaded.places).ok_or(Full)?;
        let instance = Instance::new(place.number(), key.map(str::to_owned));
        let instance = Arc::new(instance);
        seats.add(&instance);
        Ok((instance, place))
    }

    /// Gives a new instance its task. Called without the locks: others may have
    /// given it jobs already, which its first poll finds.
    fn start(self: &Arc<Self>, instance: Arc<Instance>, place: Place) -> Seat {
        let program = Arc::clone(&self.program);
        let driving = task::drive(program, self.keeper(), Arc::clone(&instance), place);
        poller::spawn(Arc::clone(&instance), driving);
        if self.commons.is_removed() {
            // It does what it was made for, a `close` say, and is not kept.
            instance.end();
        }
        Seat::first(self.keeper(), instance)
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
}

impl Keeper for Version {
    fn release(&self, instance: &Arc<Instance>) {
        let seats = self.program.policy.concurrency;
        self.seats.lock().release(instance, seats);
    }

    fn forget(&self, instance: &Arc<Instance>) {
        let mut keys = instance.key.as_ref().map(|_| self.commons.keys.lock());
        let mut seats = self.seats.lock();
        if instance.retired.swap(true, Ordering::Relaxed) {
            return;
        }
        seats.forget(instance);
        if let (Some(key), Some(keys)) = (&instance.key, &mut keys) {
            keys.remove(key);
        }
        drop((keys, seats));
        self.commons.instance_ended();
    }

    fn fail(&self) -> Option<Duration> {
        let faults = self.program.faults.fail();
        self.backoff.fail(faults, &self.program.policy)
    }
}
