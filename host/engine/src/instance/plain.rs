//! The driver of an instance with a plain handler: one call after the other.

use std::sync::Arc;

use openline_core::event::Event;
use openline_core::fault::Fault;
use openline_core::message::Message;
use openline_core::name::AlarmName;
use smallvec::SmallVec;
use wasmtime::Store;
use wasmtime::component::{Resource, TypedFunc};

use crate::component::loaded::{Failure, PlainExports};
use crate::contract::bindings::MessageRef;
use crate::instance::calls::{close_arguments, enforce, hibernate, request};
use crate::instance::live::{Asker, End, Idleness, Instance, Wake};
use crate::instance::mailbox::Job;
use crate::instance::store::{self, Handle, Run, StoreData};
use crate::pool::seating::Pool;

/// Messages of a batch whose references need no allocation: more come in one
/// read only if they are tiny.
const BATCH_INLINE: usize = 16;

/// A store with its exports; both are dropped before anybody is told.
struct Guest {
    store: Store<StoreData>,
    run: Arc<Run>,
    exports: PlainExports,
}

pub(crate) async fn drive(pool: &Arc<Pool>, instance: &Arc<Instance>) -> End {
    let mut guest = match start(pool, instance).await {
        Ok(guest) => guest,
        Err(failure) => {
            let failure = Failure {
                fault: Fault::Start,
                ..failure
            };
            return End::Failed(failure, Vec::new());
        }
    };
    let mut idleness = Idleness::new(pool.shared.policy.idle_timeout);
    loop {
        let run = &guest.run;
        let active = run.clock.entered();
        // Whoever polls this may have used up what tokio lets a task do at
        // once, and the timer would not take note of whom to wake.
        let next = std::future::poll_fn(|cx| idleness.poll(cx, instance, run, active, false));
        let wake = tokio::task::unconstrained(next).await;
        let handled = match wake {
            Wake::Job(job) => guest.handle(pool, job).await,
            Wake::Idle => {
                let done = guest.hibernate(pool).await;
                if !done || instance.is_ending() || instance.mailbox.is_empty() {
                    return End::Idle;
                }
                idleness.rearm();
                continue;
            }
        };
        if let Err((failure, asker)) = handled {
            return End::Failed(failure, vec![asker]);
        }
    }
}

async fn start(pool: &Pool, instance: &Instance) -> Result<Guest, Failure> {
    let loaded = &pool.loaded;
    let scope = instance.key.clone().unwrap_or_default();
    let (mut store, run) = store::new(loaded, &pool.shared, Some(scope))?;
    let made = enforce(&run, &pool.shared, loaded.instantiate(&mut store)).await?;
    let exports = loaded.exports(&mut store, &made)?;
    Ok(Guest {
        store,
        run,
        exports,
    })
}

impl Guest {
    async fn handle(&mut self, pool: &Pool, job: Job) -> Result<(), (Failure, Asker)> {
        let Some(job) = job.begin() else {
            return Ok(());
        };
        let limits = &pool.shared.limits;
        self.store.set_epoch_deadline(1);
        if pool.loaded.metered
            && let Err(error) = self.store.set_fuel(limits.fuel_per_event)
        {
            return match job {
                Job::Upgrade(_, seat, reply) => Err((error.into(), Asker::Upgrade(seat, reply))),
                Job::Event(_, turn) => Err((error.into(), Asker::Event(turn))),
                Job::Alarm(_, _, reply) => Err((error.into(), Asker::Alarm(reply))),
            };
        }
        match job {
            Job::Upgrade(asked, seat, reply) => {
                let call = self
                    .exports
                    .upgrade
                    .call_async(&mut self.store, (request(*asked),));
                match enforce(&self.run, &pool.shared, call).await {
                    Ok((decision,)) => {
                        Asker::Upgrade(seat, reply).decided(decision);
                        Ok(())
                    }
                    Err(failure) => Err((failure, Asker::Upgrade(seat, reply))),
                }
            }
            Job::Alarm(alarm, _seat, reply) => {
                match self.alarm(pool, None, &alarm.name, alarm.attempt).await {
                    Ok(()) => {
                        pool.backoff.succeed();
                        Asker::Alarm(reply).done();
                        Ok(())
                    }
                    Err(failure) => Err((failure, Asker::Alarm(reply))),
                }
            }
            Job::Event(event, turn) => {
                let Some(connection) = turn.connection().cloned() else {
                    return Ok(());
                };
                let index = self.store.data_mut().handles.lend(connection);
                let called = self.call(pool, index, &event).await;
                self.store.data_mut().handles.take_back(index);
                match called {
                    Ok(()) => {
                        if matches!(event, Event::Messages(_) | Event::Alarm(_)) {
                            pool.backoff.succeed();
                        }
                        Asker::Event(turn).done();
                        Ok(())
                    }
                    Err(failure) => Err((failure, Asker::Event(turn))),
                }
            }
        }
    }

    /// Lets it save what it wants to keep; `false` when that failed.
    async fn hibernate(&mut self, pool: &Pool) -> bool {
        let Some(export) = self.exports.hibernate else {
            return true;
        };
        self.store.set_epoch_deadline(1);
        if pool.loaded.metered
            && self
                .store
                .set_fuel(pool.shared.limits.fuel_per_event)
                .is_err()
        {
            return false;
        }
        hibernate(pool, &self.run, export.call_async(&mut self.store, ())).await
    }

    async fn alarm(
        &mut self,
        pool: &Pool,
        connection: Option<Resource<Handle>>,
        name: &AlarmName,
        attempt: u32,
    ) -> Result<(), Failure> {
        let Some(export) = self.exports.alarm else {
            // An earlier version had a handler.
            tracing::warn!(function = %pool.shared.name, alarm = name.as_str(), "no handler for an alarm");
            return Ok(());
        };
        let arguments = (connection, name.as_str().to_owned(), attempt);
        let call = export.call_async(&mut self.store, arguments);
        enforce(&self.run, &pool.shared, call).await
    }

    async fn call(&mut self, pool: &Pool, index: u32, event: &Event) -> Result<(), Failure> {
        let shared = &pool.shared;
        let connection = Resource::<Handle>::new_borrow(index);
        if let Event::Alarm(name) = event {
            return self.alarm(pool, Some(connection), name, 1).await;
        }
        let Self {
            store,
            run,
            exports,
        } = self;
        match event {
            Event::Open => {
                enforce(run, shared, exports.open.call_async(store, (connection,))).await
            }
            Event::Messages(batch) => {
                let batch: SmallVec<[MessageRef<'_>; BATCH_INLINE]> =
                    batch.iter().map(lowered).collect();
                // Shortens the lifetime in the function's type to the batch's.
                let messages: TypedFunc<(Resource<Handle>, &[MessageRef<'_>]), ()> =
                    exports.messages;
                enforce(
                    run,
                    shared,
                    messages.call_async(store, (connection, &batch)),
                )
                .await
            }
            Event::Alarm(_) => Ok(()),
            Event::Close(reason) => {
                let (info, origin) = close_arguments(reason);
                let call = exports.close.call_async(store, (connection, info, origin));
                enforce(run, shared, call).await
            }
        }
    }
}

fn lowered(message: &Message) -> MessageRef<'_> {
    match message {
        Message::Text(text) => MessageRef::Text(text),
        Message::Binary(bytes) => MessageRef::Binary(bytes),
    }
}
