//! A connection's way to its function: which version and which instance its
//! events go to.
//!
//! A connection has one event in flight at a time; the next is given when the
//! last has an outcome. That makes the order of its messages, and bounds what
//! waits for it. Without an instance a binding is a few words: that is
//! hibernation.

use std::sync::Arc;

use openline_channels::connection::Connection;
use openline_core::deployment::Migration;
use openline_core::event::Event;
use openline_core::fault::Fault;

use super::accepted::Reservation;
use super::alias::Alias;
use crate::instance::mailbox::{EventOutcome, Job, Line, Turn};
use crate::instance::seat::Seat;
use crate::pool::backoff::Wait;
use crate::pool::seats::{Full, Wanted};
use crate::pool::version::{Counted, Version};

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

/// A connection's seat, its version, and its event in flight.
#[derive(Debug)]
pub struct Binding {
    alias: Arc<Alias>,
    /// Of the split that the version was picked from.
    generation: u64,
    /// The version, of whose connections it is one.
    counted: Counted,
    line: Arc<Line>,
    point: u32,
    waiting: bool,
    opened: Opened,
    ending: Ending,
    /// It stays with its version, but shares an instance of another one that
    /// serves its affinity value.
    follows: bool,
    key: Option<Box<str>>,
    seat: Option<Seat>,
    /// What waits for the function to be given events again.
    delayed: Option<Box<Delayed>>,
}

/// Whether the function knows of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    No,
    /// It was given `open`, which may still come back.
    Given,
    Yes,
}

/// How long an event may wait for the end of a back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As often as there is one: its connection is open.
    No,
    /// Once.
    MayWait,
    /// It has waited.
    Waited,
}

#[derive(Debug)]
struct Delayed {
    event: Event,
    /// The end of the version's back-off will wake this connection.
    wait: Wait,
}

impl Alias {
    /// Ties an accepted connection to the instance that accepted it.
    pub fn bind(self: &Arc<Self>, connection: Arc<Connection>, place: Reservation) -> Binding {
        Binding::new(Arc::clone(self), connection, place)
    }
}

impl Binding {
    fn new(alias: Arc<Alias>, connection: Arc<Connection>, place: Reservation) -> Self {
        let Reservation {
            seat,
            counted,
            generation,
            point,
            key,
        } = place;
        let follows = alias.way(generation, counted.version(), point).follows;
        let version = counted.version().digest();
        connection.note_server(version.stamp(), seat.instance.number);
        Self {
            alias,
            generation,
            counted,
            line: Arc::new(Line::new(connection)),
            point,
            waiting: false,
            opened: Opened::No,
            ending: Ending::No,
            follows,
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
        if self.ending != Ending::Waited && self.version().backoff.is_active() {
            return self.delay(event);
        }
        let opens = matches!(event, Event::Open);
        let mut job = Job::Event(event, Turn::new(Arc::clone(&self.line)));
        loop {
            let mut seat = match self.seat.take() {
                Some(seat) if !seat.instance.is_ending() => seat,
                _ => match self.version().seat(self.wanted()) {
                    Ok(seat) => {
                        let version = self.version().digest().stamp();
                        let instance = seat.instance.number;
                        self.line.connection.note_server(version, instance);
                        seat
                    }
                    Err(Full) => {
                        self.discard(job);
                        return Err(Outcome::Full);
                    }
                },
            };
            match seat.submit(job) {
                Ok(()) => {
                    self.seat = Some(seat);
                    self.waiting = true;
                    if opens {
                        self.opened = Opened::Given;
                    }
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
            let backoff = &self.version().backoff;
            if !self.is_led_elsewhere() && backoff.is_waited_for(delayed.wait) {
                return None;
            }
            backoff.forget(delayed.wait);
            let delayed = self.delayed.take()?;
            self.waiting = false;
            return self.dispatch(delayed.event).err();
        }
        let outcome = self.line.take_outcome()?;
        self.waiting = false;
        if self.opened == Opened::Given {
            self.opened = match outcome {
                EventOutcome::Done => Opened::Yes,
                EventOutcome::Fault(fault) if fault != Fault::Start => Opened::Yes,
                EventOutcome::Fault(_) | EventOutcome::Full | EventOutcome::Returned(_) => {
                    Opened::No
                }
            };
        }
        match outcome {
            EventOutcome::Done => Some(Outcome::Done),
            EventOutcome::Fault(fault) => {
                self.seat = None;
                Some(Outcome::Fault(fault))
            }
            EventOutcome::Full => {
                self.seat = None;
                Some(Outcome::Full)
            }
            EventOutcome::Returned(event) => {
                self.seat = None;
                self.dispatch(event).err()
            }
        }
    }

    /// Whether the function was told of the connection, and is to be told of
    /// its end.
    pub fn is_opened(&self) -> bool {
        self.opened != Opened::No
    }

    /// Whether the event in flight waits for the end of a back-off.
    pub fn is_delayed(&self) -> bool {
        self.delayed.is_some()
    }

    /// The connection has ended: what it still has to say waits for the end of
    /// one back-off at most, and is then given to the function in any case. A
    /// function that keeps failing would else never be told of the end.
    pub fn end(&mut self) {
        self.ending = match self.delayed {
            Some(_) => Ending::Waited,
            None => Ending::MayWait,
        };
    }

    /// Whether its alias does not lead to its version any more, or the version
    /// was removed.
    pub fn is_left_behind(&self) -> bool {
        let way = self.alias.way(self.generation, self.version(), self.point);
        !self.alias.serves(&way.version) || way.version.is_removed()
    }

    /// Asks the connection to leave as a drain or a removal would have done that
    /// was looking for connections while this one was being accepted. Called
    /// when it is in the hub: from then on it is found there.
    pub fn catch_up(&self) {
        let connection = &self.line.connection;
        if self.alias.commons().is_removed() {
            connection.redeploy();
            return;
        }
        let way = self.alias.way(self.generation, self.version(), self.point);
        let removed = way.version.is_removed();
        if removed || self.alias.split().migration == Migration::Drain {
            connection.reconsider();
        }
    }

    fn is_led_elsewhere(&self) -> bool {
        self.alias.generation() != self.generation && {
            let way = self.alias.way(self.generation, self.version(), self.point);
            !Arc::ptr_eq(&way.version, self.version())
        }
    }

    fn version(&self) -> &Arc<Version> {
        self.counted.version()
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            key: self.key.as_deref(),
            joins: false,
            follows: self.follows,
        }
    }

    /// Goes where the alias leads now, if it has been made to lead elsewhere
    /// since the last event.
    fn follow(&mut self) {
        let generation = self.alias.generation();
        if generation == self.generation {
            return;
        }
        let way = self.alias.way(self.generation, self.version(), self.point);
        self.generation = way.generation;
        self.follows = way.follows;
        if !Arc::ptr_eq(&way.version, self.version()) {
            self.seat = None;
            self.counted = way.version.count();
            // Also of an event that gets no seat, or waits for one: a drain
            // finds connections by their version.
            let connection = &self.line.connection;
            let (_, instance) = connection.server();
            connection.note_server(self.version().digest().stamp(), instance);
        }
    }

    /// The function keeps failing: the event waits, or is refused. The end of
    /// a connection waits in any case: nothing is open meanwhile, and a function
    /// that is not told of it counts the peer as present for good.
    fn delay(&mut self, event: Event) -> Result<(), Outcome> {
        if self.version().refuses() && !matches!(event, Event::Close(_)) {
            return Err(Outcome::BackedOff);
        }
        let wait = self.version().backoff.wait(&self.line.connection);
        if self.alias.generation() != self.generation {
            // It was moved between the look and the wait, and has woken those
            // that waited then.
            self.line.connection.wake();
        }
        self.delayed = Some(Box::new(Delayed { event, wait }));
        self.waiting = true;
        if self.ending == Ending::MayWait {
            self.ending = Ending::Waited;
        }
        Ok(())
    }

    fn discard(&self, job: Job) {
        job.give_back();
        self.line.take_outcome();
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if let Some(delayed) = &self.delayed {
            self.version().backoff.forget(delayed.wait);
        }
    }
}
