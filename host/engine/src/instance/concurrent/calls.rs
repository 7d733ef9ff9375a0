//! The table of calls in flight. It begins jobs as they come, and finishes
//! calls that have completed.
//!
//! Bounded by the instance's seats: each has at most one call. Slots are reused,
//! with their wakers.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use openline_core::fault::Fault;
use tokio::time::Instant;
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;

use super::flight::{Completion, Flight};
use super::late::{Begun, BegunCall};
use super::start::{Call, Returned, Starter};
use crate::contract::convert::{judge, verdict};
use crate::contract::exports::AsyncExports;
use crate::instance::asker::Asker;
use crate::instance::exchange::Exchange;
use crate::instance::idleness::{Idleness, Wake};
use crate::instance::live::Instance;
use crate::instance::mailbox::Job;
use crate::instance::program::Program;
use crate::instance::run::Run;
use crate::instance::served::is_served;
use crate::instance::store::StoreData;
use crate::sync::Ordering;

/// Why the event loop ended.
pub(super) enum Stop {
    Idle,
    TimedOut,
    Refused(wasmtime::Error),
}

/// The calls in flight of one asynchronous instance.
pub(super) struct Calls<'a> {
    program: &'a Program,
    instance: &'a Arc<Instance>,
    flight: &'a Arc<Flight>,
    starter: Starter<'a>,
    run: &'a Run,
    accessor: &'a Accessor<StoreData>,
    /// When a call last began or returned, by the run's clock.
    active: u64,
    slots: Vec<Slot<'a>>,
    free: Vec<usize>,
    in_flight: usize,
    begun: Begun,
    serial: u64,
    idleness: Idleness,
}

struct Slot<'a> {
    call: Option<Call<'a>>,
    handle: Option<u32>,
    serial: u64,
    waker: Waker,
    /// Of a request: it says when the call must have returned.
    exchange: Option<Arc<Exchange>>,
}

impl Slot<'_> {
    /// Whether the call with this number is still in flight in this slot.
    fn has(&self, serial: u64) -> bool {
        self.serial == serial && self.call.is_some()
    }
}

impl<'a> Calls<'a> {
    pub(super) fn new(
        program: &'a Program,
        instance: &'a Arc<Instance>,
        flight: &'a Arc<Flight>,
        exports: &'a AsyncExports,
        run: &'a Run,
        accessor: &'a Accessor<StoreData>,
    ) -> Self {
        Self {
            program,
            instance,
            flight,
            starter: Starter {
                function: &program.name,
                exports,
                accessor,
            },
            active: run.clock.entered(),
            run,
            accessor,
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            begun: Begun::default(),
            serial: 0,
            idleness: Idleness::new(program.policy.idle_timeout),
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Stop> {
        if let Err(error) = self.collect() {
            return Poll::Ready(Stop::Refused(error));
        }
        loop {
            let is_writing = self.instance.streams.load(Ordering::Acquire) > 0;
            if is_writing {
                self.active = self.run.clock.entered();
            }
            // With affinity, connections wait for the end of this instance, and others
            // may: they do not wait for answers that are still being written.
            let has_time = self.instance.key.is_none() && !self.instance.is_cut();
            let is_awaited = self.instance.is_ending() && !has_time;
            let busy = self.in_flight > 0 || is_writing && !is_awaited;
            match self
                .idleness
                .poll(cx, self.instance, self.run, self.active, busy)
            {
                Poll::Ready(Wake::Job(job)) => {
                    if let Err(error) = self.begin(job) {
                        return Poll::Ready(Stop::Refused(error));
                    }
                }
                Poll::Ready(Wake::Idle) => return Poll::Ready(Stop::Idle),
                Poll::Pending => break,
            }
        }
        let slots = &self.slots;
        let oldest = self.begun.oldest(|call| {
            let slot = &slots[call.slot];
            slot.has(call.serial).then(|| {
                let exchange = slot.exchange.as_ref()?;
                exchange
                    .due(cx.waker())
                    .checked_sub(self.program.limits.handler_timeout)
            })
        });
        self.flight.progress.note(oldest);
        Poll::Pending
    }

    /// Finishes the calls that have completed.
    fn collect(&mut self) -> wasmtime::Result<()> {
        loop {
            let Some(slot) = self.flight.completed.lock().pop() else {
                return Ok(());
            };
            self.poll_slot(slot)?;
        }
    }

    /// An error ends the event loop; the caller of this call is then told with
    /// all others that are left in the table.
    fn poll_slot(&mut self, index: usize) -> wasmtime::Result<()> {
        let slot = &mut self.slots[index];
        let Some(call) = slot.call.as_mut() else {
            return Ok(());
        };
        let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(&slot.waker)) else {
            return Ok(());
        };
        slot.call = None;
        slot.exchange = None;
        if let Some(handle) = slot.handle.take() {
            self.accessor.with(|mut access| {
                access.as_context_mut().data_mut().handles.take_back(handle);
            });
        }
        let returned = result?;
        self.active = self.run.clock.entered();
        self.free.push(index);
        self.in_flight -= 1;
        self.run.clock.end_call();
        let Some(asker) = self.flight.askers.lock()[index].take() else {
            return Ok(());
        };
        match returned {
            Returned::Nothing => asker.done(),
            Returned::Work => {
                self.program.faults.succeed();
                asker.done();
            }
            Returned::Decision(decision) => asker.decided(judge(decision)),
            Returned::Answer(answer, exchange) => {
                self.program.faults.succeed();
                asker.answered(*answer, &exchange);
            }
            Returned::Unanswered(why) => asker.invalid(why),
            Returned::Verdict(decided) => {
                self.program.note_inspection();
                asker.inspected(verdict(decided));
            }
        }
        Ok(())
    }

    fn begin(&mut self, job: Job) -> wasmtime::Result<()> {
        let Some(job) = job.begin() else {
            return Ok(());
        };
        if !is_served(self.program, self.starter.exports, &job) {
            job.fail(Fault::Start);
            return Ok(());
        }
        self.active = self.run.clock.entered();
        let slot = self.slot();
        self.serial += 1;
        self.in_flight += 1;
        self.run.clock.begin_call();
        self.slots[slot].serial = self.serial;
        let slots = &self.slots;
        let in_flight = |call: &BegunCall| slots[call.slot].has(call.serial);
        self.begun.forget_returned(2 * slots.len(), in_flight);
        self.begun.push(Instant::now(), slot, self.serial);
        let (asker, event) = match job {
            Job::Upgrade(asked, seat, reply) => {
                self.flight.askers.lock()[slot] = Some(Asker::Upgrade(seat, reply));
                self.refuel()?;
                self.slots[slot].call = Some(self.starter.upgrade(*asked)?);
                return self.poll_slot(slot);
            }
            Job::Alarm(alarm, seat, reply) => {
                self.flight.askers.lock()[slot] = Some(Asker::Alarm(seat, reply));
                self.refuel()?;
                let call = self.starter.alarm(None, &alarm.name, alarm.attempt)?;
                self.slots[slot].call = Some(call);
                return self.poll_slot(slot);
            }
            Job::Published(batch, seat, reply) => {
                self.flight.askers.lock()[slot] = Some(Asker::Alarm(seat, reply));
                self.refuel()?;
                self.slots[slot].call = Some(self.starter.published(*batch)?);
                return self.poll_slot(slot);
            }
            Job::Request(request, seat, reply) => {
                let streams = self.instance.streams.load(Ordering::Acquire);
                let is_alone = self.in_flight == 1 && streams == 0;
                let exchange = Arc::clone(&request.exchange);
                exchange.begin(false);
                self.instance.answers(&exchange);
                self.slots[slot].exchange = Some(exchange);
                self.flight.askers.lock()[slot] = Some(Asker::Request(seat, reply));
                self.refuel()?;
                self.slots[slot].call = Some(self.starter.request(*request, is_alone)?);
                return self.poll_slot(slot);
            }
            Job::Inspect(inspection, seat, reply) => {
                self.flight.askers.lock()[slot] = Some(Asker::Inspect(seat, reply));
                self.refuel()?;
                self.slots[slot].call = Some(self.starter.inspect(*inspection)?);
                return self.poll_slot(slot);
            }
            Job::Event(event, turn) => (turn, event),
        };
        let Some(connection) = asker.connection().cloned() else {
            return Ok(());
        };
        self.flight.askers.lock()[slot] = Some(Asker::Event(asker));
        self.refuel()?;
        let handle = self
            .accessor
            .with(|mut access| access.as_context_mut().data_mut().handles.lend(connection));
        self.slots[slot].handle = Some(handle);
        self.slots[slot].call = Some(self.starter.event(handle, event)?);
        self.poll_slot(slot)
    }

    fn slot(&mut self) -> usize {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.slots.len();
        let flight = Arc::clone(self.flight);
        let waker = Waker::from(Arc::new(Completion { slot, flight }));
        self.slots.push(Slot {
            call: None,
            handle: None,
            serial: 0,
            waker,
            exchange: None,
        });
        self.flight.askers.lock().push(None);
        slot
    }

    /// The store has one tank of fuel for all calls in flight. Each call that
    /// begins adds its share; fuel that finished calls did not use is not saved
    /// up.
    fn refuel(&self) -> wasmtime::Result<()> {
        if !self.program.loaded.metered {
            return Ok(());
        }
        let share = self.program.limits.fuel_per_event;
        let most = share.saturating_mul(u64::try_from(self.in_flight).unwrap_or(u64::MAX));
        self.accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let left = store.get_fuel()?;
            store.set_fuel(left.saturating_add(share).min(most))
        })
    }
}
