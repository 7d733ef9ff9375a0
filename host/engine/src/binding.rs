//! A connection's way to its function: which version and which instance its
//! events go to.
//!
//! A connection has one event in flight at a time; the next is given when the
//! last has an outcome. That makes the order of its messages, and bounds what
//! waits for it. Without an instance a binding is a few words: that is
//! hibernation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use openline_cluster::connection::Connection;
use openline_core::deployment::Migration;
use openline_core::event::Event;
use openline_core::fault::Fault;
use openline_core::limits::Backoff;

use crate::alias::{Alias, Place};
use crate::mailbox::{EventOutcome, Job, Line, Turn};
use crate::pool::{Full, Seat, Wanted};
use crate::version::Version;

/// How the handling of an event went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function has returned.
    Done,
    /// The function failed while it handled this event.
    Fault(Fault),
    /// No instance had room for the event.
    Full,
    /// The function keeps failing, and is not given the event.
    BackedOff,
}

/// See the module.
#[derive(Debug)]
pub struct Binding {
    alias: Arc<Alias>,
    /// Of the split that `version` was picked from.
    generation: u64,
    version: Arc<Version>,
    line: Arc<Line>,
    point: u32,
    waiting: bool,
    /// It stays with its version, but shares an instance of another one that
    /// serves its affinity value.
    pinned: bool,
    key: Option<Box<str>>,
    seat: Option<Seat>,
    /// What waits for the function to be given events again.
    delayed: Option<Box<Delayed>>,
}

#[derive(Debug)]
struct Delayed {
    event: Event,
    /// The back-off that will wake this connection at its end.
    backoff: u64,
}

impl Binding {
    pub(crate) fn new(alias: Arc<Alias>, connection: Arc<Connection>, place: Place) -> Self {
        let Place {
            seat,
            version,
            generation,
            point,
            key,
        } = place;
        let pinned = alias.split().migration == Migration::Pin;
        version.pool.connections.fetch_add(1, Ordering::Relaxed);
        connection.note_server(seat.stamp(), seat.instance.number);
        Self {
            alias,
            generation,
            version,
            line: Arc::new(Line::new(connection)),
            point,
            waiting: false,
            pinned,
            key,
            seat: Some(seat),
            delayed: None,
        }
    }

    /// Whether an event is in flight: the next must wait.
    pub fn is_busy(&self) -> bool {
        self.waiting
    }

    /// Hands an event to the function. The connection is woken when there is
    /// an [outcome](Binding::outcome). Only one event at a time: what is given
    /// while one is in flight replaces nothing and is a defect of the caller.
    pub fn dispatch(&mut self, event: Event) -> Result<(), Outcome> {
        debug_assert!(!self.waiting, "one event at a time");
        self.follow();
        if self.version.pool.backoff.is_active() {
            return self.delay(event);
        }
        let mut job = Job::Event(event, Turn::new(Arc::clone(&self.line)));
        loop {
            let seat = match self.seat.take() {
                Some(seat) if !seat.instance.is_ending() => seat,
                _ => match self.version.pool.seat(self.wanted()) {
                    Ok(seat) => {
                        let connection = &self.line.connection;
                        connection.note_server(seat.stamp(), seat.instance.number);
                        seat
                    }
                    Err(Full) => {
                        self.discard(job);
                        return Err(Outcome::Full);
                    }
                },
            };
            match seat.instance.submit(job) {
                Ok(()) => {
                    self.seat = Some(seat);
                    self.waiting = true;
                    return Ok(());
                }
                // The instance has ended: the seat in it goes, and the event
                // gets another.
                Err(returned) => job = returned,
            }
        }
    }

    /// How the event in flight went, once that is known.
    pub fn outcome(&mut self) -> Option<Outcome> {
        if !self.waiting {
            return None;
        }
        if let Some(delayed) = &self.delayed {
            if self.version.pool.backoff.is_waited_for(delayed.backoff) {
                return None;
            }
            let delayed = self.delayed.take()?;
            self.waiting = false;
            return self.dispatch(delayed.event).err();
        }
        let outcome = self.line.take_outcome()?;
        self.waiting = false;
        match outcome {
            EventOutcome::Done => Some(Outcome::Done),
            EventOutcome::Fault(fault) => {
                self.seat = None;
                Some(Outcome::Fault(fault))
            }
            EventOutcome::Returned(event) => {
                self.seat = None;
                self.dispatch(event).err()
            }
        }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            key: self.key.as_deref(),
            joins: false,
            follows: self.pinned,
        }
    }

    /// Goes where the alias leads now, if it has been made to lead elsewhere
    /// since the last event.
    fn follow(&mut self) {
        let generation = self.alias.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let split = self.alias.split();
        self.pinned = split.migration == Migration::Pin;
        if split.migration != Migration::Migrate {
            return;
        }
        let Some(version) = split.pick(self.point) else {
            return;
        };
        if !Arc::ptr_eq(version, &self.version) {
            self.seat = None;
            version.pool.connections.fetch_add(1, Ordering::Relaxed);
            self.version
                .pool
                .connections
                .fetch_sub(1, Ordering::Relaxed);
            self.version = Arc::clone(version);
        }
    }

    /// The function keeps failing: the event waits, or is refused. The end of
    /// a connection is not worth waiting for.
    fn delay(&mut self, event: Event) -> Result<(), Outcome> {
        let pool = &self.version.pool;
        let refused = pool.shared.policy.backoff == Backoff::Refuse;
        if refused || matches!(event, Event::Close(_)) {
            return Err(Outcome::BackedOff);
        }
        let backoff = pool.backoff.wait(&self.line.connection);
        self.delayed = Some(Box::new(Delayed { event, backoff }));
        self.waiting = true;
        Ok(())
    }

    fn discard(&self, job: Job) {
        job.give_back();
        self.line.take_outcome();
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        self.version
            .pool
            .connections
            .fetch_sub(1, Ordering::Relaxed);
    }
}
