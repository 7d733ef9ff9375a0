//! A connection's way to its function: the version and the instance to which
//! its events go.
//!
//! A connection has one event in flight at a time; the next is dispatched when
//! the last has an outcome. This makes the order of its messages, and bounds
//! what waits. Without an instance a binding is a few words: the connection is
//! hibernated.

use std::sync::Arc;

use openline_channels::connection::Connection;
use openline_core::deployment::Migration;
use openline_core::event::Event;
use openline_core::fault::Fault;

use super::accepted::{Reservation, Unseated};
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
    /// The host backs off from the function, which keeps failing, and does not
    /// give it the event.
    BackedOff,
}

/// A connection's seat, its version, and its event in flight.
#[derive(Debug)]
pub struct Binding {
    alias: Arc<Alias>,
    /// The generation of the split from which the version was picked.
    generation: u64,
    /// The version, which counts this connection.
    counted: Counted,
    line: Arc<Line>,
    point: u32,
    waiting: bool,
    opened: Opened,
    ending: Ending,
    /// Whether it shares the instance that serves its affinity value, even one
    /// of another version.
    follows: bool,
    key: Option<Box<str>>,
    seat: Option<Seat>,
    /// The event that waits for the end of a back-off.
    delayed: Option<Box<Delayed>>,
}

/// Whether the function knows of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opened {
    No,
    /// It got `open`, which may still come back.
    Given,
    Yes,
    /// It is an answer that is held: the answer was the opening, and a function
    /// without a handler of connections may have it.
    Held,
}

/// How long an event may wait for the end of a back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// As often as there is a back-off, because the connection is open.
    No,
    /// Once, because the connection has ended.
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
        let Reservation { seat, unseated } = place;
        Binding::new(Arc::clone(self), connection, (unseated, Some(seat)))
    }

    /// Ties a connection that has no instance: the answer to a request that is held.
    /// It begins hibernated, and its next event takes a seat. The function is not
    /// told of its opening, which was the request.
    pub fn bind_hibernated(
        self: &Arc<Self>,
        connection: Arc<Connection>,
        unseated: Unseated,
    ) -> Binding {
        let mut binding = Binding::new(Arc::clone(self), connection, (unseated, None));
        binding.opened = Opened::Held;
        binding
    }
}

impl Binding {
    fn new(
        alias: Arc<Alias>,
        connection: Arc<Connection>,
        (unseated, seat): (Unseated, Option<Seat>),
    ) -> Self {
        let Unseated {
            counted,
            generation,
            point,
            key,
        } = unseated;
        let follows = alias.way(generation, counted.version(), point).follows;
        let version = counted.version().digest();
        // No instance has the number 0.
        let instance = seat.as_ref().map_or(0, |seat| seat.instance.number);
        connection.note_server(version.stamp(), instance);
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
            seat,
            delayed: None,
        }
    }

    /// Whether an event is in flight: the next must wait.
    pub fn is_busy(&self) -> bool {
        self.waiting
    }

    /// Gives an event to the function, and wakes the connection when there is
    /// an [outcome](Binding::outcome). There is only one event at a time:
    /// calling this while one is in flight is a defect of the caller.
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
                // The instance has ended: give up the seat in it, and find
                // another for the event.
                Err(returned) => job = returned,
            }
        }
    }

    /// The outcome of the event in flight, once it is known.
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

    /// Whether `open` was called, so that `close` must be called, too. For an answer
    /// that is held, the answer was the opening, and the function may have no handler
    /// that could be told of the end.
    pub fn is_opened(&mut self) -> bool {
        if self.opened == Opened::Held {
            self.follow();
            return self.version().takes_connections();
        }
        self.opened != Opened::No
    }

    /// Whether the event in flight waits for the end of a back-off.
    pub fn is_delayed(&self) -> bool {
        self.delayed.is_some()
    }

    /// Notes that the connection has ended: its remaining events wait for one
    /// back-off at most, and then go to the function in any case. Otherwise a
    /// function that keeps failing would never learn of the end.
    pub fn end(&mut self) {
        self.ending = match self.delayed {
            Some(_) => Ending::Waited,
            None => Ending::MayWait,
        };
    }

    /// Whether its alias no longer leads to its version, or the version was
    /// removed.
    pub fn is_left_behind(&self) -> bool {
        let way = self.alias.way(self.generation, self.version(), self.point);
        !self.alias.serves(&way.version) || way.version.is_removed()
    }

    /// Asks the connection to leave, in place of a drain or a removal that
    /// listed connections while this one was being accepted. Called once the
    /// connection is in the hub, where later drains find it.
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
            ..Wanted::default()
        }
    }

    /// Follows the alias, if it has moved since the last event.
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
            // Note this even for an event that gets no seat or waits for one,
            // because a drain finds connections by their version.
            let connection = &self.line.connection;
            let (_, instance) = connection.server();
            connection.note_server(self.version().digest().stamp(), instance);
        }
    }

    /// Lets an event wait for the end of a back-off, or refuses it. The end of
    /// a connection always waits: no socket is open meanwhile, and a function
    /// that does not learn of it would count the peer as present forever.
    fn delay(&mut self, event: Event) -> Result<(), Outcome> {
        if self.version().refuses() && !matches!(event, Event::Close(_)) {
            return Err(Outcome::BackedOff);
        }
        let wait = self.version().backoff.wait(&self.line.connection);
        if self.alias.generation() != self.generation {
            // The alias moved between the check and the wait, and has already
            // woken the connections that waited then.
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
