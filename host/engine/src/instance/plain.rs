//! The driver of an instance with a plain handler: one call after the other.

use std::pin::pin;
use std::sync::Arc;

use openline_channels::channel_queue::Batch;
use openline_core::call::{Call, CallError};
use openline_core::event::Event;
use openline_core::fault::Fault;
use openline_core::inspection::Inspection;
use openline_core::name::AlarmName;
use smallvec::SmallVec;
use wasmtime::Store;
use wasmtime::component::{Resource, TypedFunc};

use super::asker::Asker;
use super::end::End;
use super::enforce::{enforce, enforce_due, hibernate};
use super::exchange::{Request, RequestOutcome, RequestReply};
use super::http::plain_arguments;
use super::idleness::{Idleness, Wake};
use super::imports::published;
use super::live::Instance;
use super::mailbox::{Job, Turn};
use super::program::Program;
use super::run::Run;
use super::seat::Seat;
use super::served::is_served;
use super::store::{self, StoreData};
use crate::component::failure::Failure;
use crate::contract::bindings::MessageRef;
use crate::contract::convert::{
    called, close_arguments, inspected, judge, lowered, owned, request, verdict,
};
use crate::contract::exports::{HttpExport, PlainExports};
use crate::contract::handles::Handle;

/// How many messages of a batch need no allocation for their references. A read
/// brings more only if they are tiny.
const BATCH_INLINE: usize = 16;

/// A store with its exports; both are dropped before callers get their answers.
struct Guest {
    store: Store<StoreData>,
    run: Arc<Run>,
    exports: PlainExports,
}

pub(crate) async fn drive(program: &Arc<Program>, instance: &Arc<Instance>) -> End {
    let mut guest = match start(program, instance).await {
        Ok(guest) => guest,
        Err(failure) => {
            let failure = Failure {
                fault: Fault::Start,
                ..failure
            };
            return End::Failed(failure, Vec::new());
        }
    };
    let mut idleness = Idleness::new(program.policy.idle_timeout);
    loop {
        let run = &guest.run;
        let active = run.clock.entered();
        let next = std::future::poll_fn(|cx| idleness.poll(cx, instance, run, active, false));
        let wake = next.await;
        let handled = match wake {
            Wake::Job(job) => guest.handle(program, job).await,
            Wake::Idle => {
                let done = guest.hibernate(program).await;
                if !done || instance.is_ending() || instance.mailbox.is_empty() {
                    return End::Idle;
                }
                idleness.rearm();
                continue;
            }
        };
        match handled {
            Ok(Next::Job) => {}
            Ok(Next::End) => return End::Idle,
            Err((failure, asker)) => return End::Failed(failure, vec![asker]),
        }
    }
}

/// What an instance does after a job.
enum Next {
    /// The next one.
    Job,
    /// Nothing: it was told to end, and has nothing to save.
    End,
}

async fn start(program: &Arc<Program>, instance: &Instance) -> Result<Guest, Failure> {
    let (mut store, run) = store::of(program, instance)?;
    let making = program.loaded.instantiate(&mut store);
    let made = enforce(&run, program.limits.handler_timeout, making).await?;
    let exports = program.loaded.exports(&mut store, &made)?;
    Ok(Guest {
        store,
        run,
        exports,
    })
}

impl Guest {
    async fn handle(&mut self, program: &Program, job: Job) -> Result<Next, (Failure, Asker)> {
        let Some(job) = job.begin() else {
            return Ok(Next::Job);
        };
        if !is_served(program, &self.exports, &job) {
            job.fail(Fault::Start);
            return Ok(Next::Job);
        }
        let limits = &program.limits;
        self.store.set_epoch_deadline(1);
        if program.loaded.metered
            && let Err(error) = self.store.set_fuel(limits.fuel_per_event)
        {
            return Err((error.into(), asker_of(job)));
        }
        let handled = match job {
            Job::Request(request, seat, reply) => {
                return Box::pin(self.request(program, *request, seat, reply)).await;
            }
            Job::Upgrade(asked, seat, reply) => {
                let asker = Asker::Upgrade(seat, reply);
                let Some(exports) = &self.exports.websocket else {
                    return Ok(Next::Job);
                };
                let asked = (request(*asked),);
                let call = exports.upgrade.call_async(&mut self.store, asked);
                match enforce(&self.run, program.limits.handler_timeout, call).await {
                    Ok((decision,)) => {
                        asker.decided(judge(decision));
                        Ok(())
                    }
                    Err(failure) => Err((failure, asker)),
                }
            }
            Job::Inspect(inspection, seat, reply) => {
                let asker = Asker::Inspect(seat, reply);
                self.inspect(program, *inspection, asker).await
            }
            Job::Alarm(alarm, seat, reply) => {
                match self.alarm(program, None, &alarm.name, alarm.attempt).await {
                    Ok(()) => {
                        if self.exports.alarm.is_some() {
                            program.faults.succeed();
                        }
                        Asker::Alarm(seat, reply).done();
                        Ok(())
                    }
                    Err(failure) => Err((failure, Asker::Alarm(seat, reply))),
                }
            }
            Job::Published(batch, seat, reply) => {
                let asker = Asker::Alarm(seat, reply);
                self.published(program, *batch, asker).await
            }
            Job::Event(event, turn) => self.event(program, event, turn).await,
        };
        handled.map(|()| Next::Job)
    }

    /// Answers a request. An instance that waits for its guest although the peer has
    /// left ends, and no fault is counted: the function need not notice.
    async fn request(
        &mut self,
        program: &Program,
        request: Request,
        seat: Seat,
        reply: RequestReply,
    ) -> Result<Next, (Failure, Asker)> {
        let Some(HttpExport::Plain(export)) = self.exports.http else {
            return Ok(Next::Job);
        };
        let exchange = Arc::clone(&request.exchange);
        // With affinity, the events of connections wait for the call.
        exchange.begin(seat.instance.key.is_some());
        seat.instance.answers(&exchange);
        let in_call = exchange.call();
        let arguments = match plain_arguments(self.store.data_mut(), request, &reply) {
            Ok(arguments) => arguments,
            Err(error) => return Err((error.into(), Asker::Request(seat, reply))),
        };
        let call = export.call_async(&mut self.store, arguments);
        match enforce_due(&self.run, &*exchange, call).await {
            Ok(()) => {
                in_call.returned();
                program.faults.succeed();
                // Made for other hosts: it may bear no second request.
                let next = match program.loaded.is_ours {
                    true => Next::Job,
                    false => Next::End,
                };
                if matches!(next, Next::End) {
                    seat.retire();
                }
                Asker::Request(seat, reply).done();
                Ok(next)
            }
            Err(failure) if failure.fault == Fault::HandlerTimeout && exchange.ends_forsaken() => {
                tracing::debug!(function = %program.name, "a call whose peer has left, or has the whole answer, has not returned");
                // The peer may be there, and the place is for another that waits.
                reply.give(RequestOutcome::Full);
                seat.retire();
                Ok(Next::End)
            }
            // Any peer could have everybody refused by leaving.
            Err(failure) if exchange.has_left() => Err((failure, Asker::Left(seat))),
            Err(failure) => Err((failure, Asker::Request(seat, reply))),
        }
    }

    async fn event(
        &mut self,
        program: &Program,
        event: Event,
        turn: Turn,
    ) -> Result<(), (Failure, Asker)> {
        let Some(connection) = turn.connection().cloned() else {
            return Ok(());
        };
        let index = self.store.data_mut().handles.lend(connection);
        // Without its handler nothing runs, which says nothing of the function.
        let is_work = match event {
            Event::Messages(_) => true,
            Event::Call(_) => self.exports.call.is_some(),
            Event::Alarm(_) => self.exports.alarm.is_some(),
            Event::Open | Event::Close(_) => false,
        };
        let called = self.call(program, index, event).await;
        self.store.data_mut().handles.take_back(index);
        match called {
            Ok(()) => {
                if is_work {
                    program.faults.succeed();
                }
                Asker::Event(turn).done();
                Ok(())
            }
            Err(failure) => Err((failure, Asker::Event(turn))),
        }
    }

    async fn inspect(
        &mut self,
        program: &Program,
        inspection: Inspection,
        asker: Asker,
    ) -> Result<(), (Failure, Asker)> {
        let Some(export) = &self.exports.inspect else {
            return Ok(());
        };
        let call = export.call_async(&mut self.store, (inspected(inspection),));
        match enforce(&self.run, program.limits.handler_timeout, call).await {
            Ok((decided,)) => {
                program.note_inspection();
                asker.inspected(verdict(decided));
                Ok(())
            }
            Err(failure) => Err((failure, asker)),
        }
    }

    async fn published(
        &mut self,
        program: &Program,
        batch: Batch,
        asker: Asker,
    ) -> Result<(), (Failure, Asker)> {
        let Some(export) = &self.exports.published else {
            return Ok(());
        };
        let call = export.call_async(&mut self.store, published(batch));
        match enforce(&self.run, program.limits.handler_timeout, call).await {
            Ok(()) => {
                program.faults.succeed();
                asker.done();
                Ok(())
            }
            Err(failure) => Err((failure, asker)),
        }
    }

    /// Calls `hibernate`; `false` if it failed.
    async fn hibernate(&mut self, program: &Program) -> bool {
        let Some(export) = self.exports.hibernate else {
            return true;
        };
        self.store.set_epoch_deadline(1);
        if program.loaded.metered && self.store.set_fuel(program.limits.fuel_per_event).is_err() {
            return false;
        }
        hibernate(program, &self.run, export.call_async(&mut self.store, ())).await
    }

    async fn alarm(
        &mut self,
        program: &Program,
        connection: Option<Resource<Handle>>,
        name: &AlarmName,
        attempt: u32,
    ) -> Result<(), Failure> {
        let Some(export) = self.exports.alarm else {
            // An earlier version of the function had a handler.
            tracing::warn!(function = %program.name, alarm = name.as_str(), "no handler for an alarm");
            return Ok(());
        };
        let arguments = (connection, name.as_str().to_owned(), attempt);
        let call = export.call_async(&mut self.store, arguments);
        enforce(&self.run, program.limits.handler_timeout, call).await
    }

    /// A call of a peer, which gets the result.
    async fn answer(
        &mut self,
        program: &Program,
        connection: Resource<Handle>,
        asked: Call,
    ) -> Result<(), Failure> {
        let Some(export) = self.exports.call else {
            asked.answer.give(Err(CallError::NoSuchMethod));
            return Ok(());
        };
        let arguments = (connection, String::from(&*asked.method), owned(asked.data));
        let call = export.call_async(&mut self.store, arguments);
        let (result,) = enforce(&self.run, program.limits.handler_timeout, call).await?;
        asked.answer.give(called(result));
        Ok(())
    }

    async fn call(&mut self, program: &Program, index: u32, event: Event) -> Result<(), Failure> {
        let time = program.limits.handler_timeout;
        let connection = Resource::<Handle>::new_borrow(index);
        let event = match event {
            Event::Alarm(name) => return self.alarm(program, Some(connection), &name, 1).await,
            Event::Call(asked) => return Box::pin(self.answer(program, connection, *asked)).await,
            event => event,
        };
        let Self {
            store,
            run,
            exports,
        } = self;
        let Some(exports) = &exports.websocket else {
            return Ok(());
        };
        match event {
            Event::Open => enforce(run, time, exports.open.call_async(store, (connection,))).await,
            Event::Messages(batch) => {
                let batch: SmallVec<[MessageRef<'_>; BATCH_INLINE]> =
                    batch.iter().map(lowered).collect();
                // Shortens the lifetime in the function's type to that of the
                // batch.
                let messages: TypedFunc<(Resource<Handle>, &[MessageRef<'_>]), ()> =
                    exports.messages;
                // Pinned here: the future of a call is too large to be moved with
                // each message.
                let call = pin!(messages.call_async(store, (connection, &batch)));
                enforce(run, time, call).await
            }
            Event::Alarm(_) | Event::Call(_) => Ok(()),
            Event::Close(reason) => {
                let (info, origin) = close_arguments(&reason);
                let call = exports.close.call_async(store, (connection, info, origin));
                enforce(run, time, call).await
            }
        }
    }
}

/// The caller that waits for a job.
fn asker_of(job: Job) -> Asker {
    match job {
        Job::Upgrade(_, seat, reply) => Asker::Upgrade(seat, reply),
        Job::Event(_, turn) => Asker::Event(turn),
        Job::Alarm(_, seat, reply) | Job::Published(_, seat, reply) => Asker::Alarm(seat, reply),
        Job::Inspect(_, seat, reply) => Asker::Inspect(seat, reply),
        Job::Request(_, seat, reply) => Asker::Request(seat, reply),
    }
}
