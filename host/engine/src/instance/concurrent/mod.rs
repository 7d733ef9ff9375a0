//! The driver of an instance with an asynchronous handler: one long run of
//! wasmtime's event loop with many calls in flight.
//!
//! Bounded by the instance's seats: each has at most one call. Wake-ups are the
//! main cost. A call completes inside the driver's own poll, so its waker only
//! notes it and wakes no task: waking the driver's task cost two fifths of the
//! whole when measured.

mod calls;
mod flight;
mod late;
mod start;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use openline_core::fault::Fault;
use wasmtime::Store;

use self::calls::{Calls, Stop};
use self::flight::Flight;
use super::end::End;
use super::enforce::{enforce, hibernate};
use super::live::Instance;
use super::program::Program;
use super::run::Run;
use super::store::{self, StoreData};
use super::turns::Gate;
use super::watch::Watch;
use crate::component::failure::Failure;
use crate::contract::exports::AsyncExports;

pub(crate) async fn drive(program: &Arc<Program>, instance: &Arc<Instance>) -> End {
    let start = async {
        let (mut store, run) = store::of(program, instance)?;
        let making = program.loaded.instantiate(&mut store);
        let made = enforce(&run, program.limits.handler_timeout, making).await?;
        let exports: AsyncExports = program.loaded.exports(&mut store, &made)?;
        Ok::<_, Failure>((store, run, exports))
    };
    let (mut store, run, exports) = match start.await {
        Ok(started) => started,
        Err(failure) => {
            return End::Failed(
                Failure {
                    fault: Fault::Start,
                    ..failure
                },
                Vec::new(),
            );
        }
    };
    // After the store, so that it is dropped before that, whatever happens.
    let breaking = Breaking(instance);
    let flight = Arc::new(Flight::new(Arc::clone(instance)));
    let ended = loop {
        let ended = serve(program, instance, &flight, &exports, &mut store, &run).await;
        if !matches!(ended, Ok(Stop::Idle)) {
            break ended;
        }
        let done = match exports.hibernate {
            Some(export) => hibernate(program, &run, export.call_async(&mut store, ())).await,
            None => true,
        };
        if !done || instance.is_ending() || instance.mailbox.is_empty() {
            break ended;
        }
    };
    // Before the store is dropped, which ends all of them.
    let is_forsaken = instance
        .exchanges()
        .iter()
        .any(|it| it.is_forsaken_for_long());
    drop(breaking);
    drop(store);
    let failure = match ended {
        Ok(Stop::Idle) => return End::Idle,
        Ok(Stop::TimedOut) if is_forsaken => return End::Forsaken(flight.take_askers()),
        Ok(Stop::TimedOut) => Failure {
            fault: Fault::HandlerTimeout,
            cause: None,
        },
        Ok(Stop::Refused(error)) | Err(error) => Failure::from(error),
    };
    End::Failed(failure, flight.take_askers())
}

/// Notes at the end of an instance that what it is still writing will not be whole:
/// without its store the answers would look as if they had ended.
struct Breaking<'a>(&'a Instance);

impl Drop for Breaking<'_> {
    fn drop(&mut self) {
        self.0.broken.store(true, Ordering::Release);
    }
}

/// Handles jobs until the instance is idle or fails.
async fn serve(
    program: &Arc<Program>,
    instance: &Arc<Instance>,
    flight: &Arc<Flight>,
    exports: &AsyncExports,
    store: &mut Store<StoreData>,
    run: &Run,
) -> wasmtime::Result<Stop> {
    let looping = store.run_concurrent(async |accessor| {
        let mut calls = Calls::new(program, instance, flight, exports, run, accessor);
        std::future::poll_fn(|cx| calls.poll(cx)).await
    });
    let mut looping = pin!(looping);
    let mut gate = Gate::default();
    let mut watch = Watch::new(program.limits.handler_timeout);
    run.clock.start_over(0);
    let turning = std::future::poll_fn(|cx| {
        if let Poll::Ready(permit) = gate.poll(cx, &run.clock, &run.long_runs) {
            run.enter();
            flight.polling.store(true, Ordering::Release);
            let polled = looping.as_mut().poll(cx);
            flight.polling.store(false, Ordering::Release);
            run.wakeups.lock().flush();
            drop(permit);
            if polled.is_ready() {
                return polled;
            }
            run.clock.pause();
            // A call that was noted after the driver's last check is handled in
            // the next poll. If the event loop is blocked, do not ask for a
            // poll: the loop checks when it goes on, and polling it now would
            // spin.
            if !flight.completed.lock().is_empty() && flight.progress.came_round() {
                cx.waker().wake_by_ref();
            }
        }
        watch
            .poll(cx, &flight.progress)
            .map(|()| Ok(Stop::TimedOut))
    });
    // For the reason given in `enforce`.
    tokio::task::unconstrained(turning).await
}
