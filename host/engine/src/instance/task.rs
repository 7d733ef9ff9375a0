//! The task of an instance: it owns the store, handles jobs until the instance
//! is idle for too long or a fault ends it, and answers waiting callers.
//!
//! `plain` and `concurrent` make the calls, and `end` has the order of the end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use openline_core::fault::{Blame, Fault};
use tracing::field;

use super::asker::Asker;
use super::end::{End, Ended};
use super::live::Instance;
use super::mailbox::Job;
use super::program::Program;
use super::seat::Keeper;
use super::{concurrent, plain};
use crate::component::failure::Failure;
use crate::contract::handlers::CallStyle;

/// Makes an instance and has it do its jobs until it is idle for too long or a
/// fault ends it. Its keeper, which is held meanwhile, forgets it at the end,
/// even when this is dropped before it was polled.
pub(crate) fn drive(
    program: Arc<Program>,
    keeper: Arc<dyn Keeper>,
    instance: Arc<Instance>,
) -> impl Future<Output = ()> + Send + 'static {
    let ended = Ended { keeper, instance };
    drive_to_end(program, ended)
}

async fn drive_to_end(program: Arc<Program>, mut ended: Ended) {
    let instance = Arc::clone(&ended.instance);
    let driving = async {
        match program.loaded.style {
            CallStyle::Plain => plain::drive(&program, &instance).await,
            CallStyle::Async => concurrent::drive(&program, &instance).await,
        }
    };
    // After a panic nothing is used again that could be inconsistent: the store
    // is dropped, and so are the calls in flight, which answered their
    // connections when they were dropped.
    let end = AssertUnwindSafe(driving).catch_unwind().await;
    let name = &program.name;
    let end = end.unwrap_or_else(|panic| End::Failed(Failure::panicked(&*panic), Vec::new()));
    match end {
        End::Idle => tracing::debug!(function = %name, "an idle instance is dropped"),
        End::Forsaken(askers) => {
            let time = program.limits.handler_timeout;
            tracing::warn!(function = %name, "a call whose peer has left has not returned for {time:?}: its instance ends");
            let freed = ended.free();
            askers.into_iter().for_each(|asker| asker.refuse(&freed));
        }
        End::Failed(failure, askers) if failure.is_no_room() => {
            let cause = failure.describe();
            tracing::warn!(function = %name, "the host has no room for an instance: {cause}");
            let freed = ended.free();
            askers.into_iter().for_each(|asker| asker.refuse(&freed));
            // For these jobs a new instance would find no room either.
            let asked = instance.mailbox.take_asked();
            asked.into_iter().for_each(Job::refuse);
        }
        End::Failed(failure, askers) => {
            let fault = failure.fault;
            report(&program, &failure);
            // Any peer may make a firewall function fail by its request, and a
            // back-off would deny the requests of all others. A new instance
            // costs less than that.
            // So may one that leaves in the middle of its upload.
            let is_by_peer = |asker: &Asker| matches!(asker, Asker::Inspect(..) | Asker::Left(_));
            let by_peers = !askers.is_empty() && askers.iter().all(is_by_peer);
            let counts = fault == Fault::Start || !by_peers;
            // Before its place is free: what is queued would begin in it, and
            // no back-off would keep it from failing as well.
            if counts && let Some(time) = ended.keeper.fail() {
                tracing::warn!(function = %name, "it keeps failing and is given nothing for {time:?}");
            }
            let freed = ended.free();
            for asker in askers {
                asker.fail(fault, &freed);
            }
            if fault == Fault::Start {
                // A new instance would not start either, so the jobs that were
                // to begin fail. Jobs that only wait for the end may belong to
                // another version, and are given back.
                let asked = instance.mailbox.take_asked();
                asked.into_iter().for_each(|job| job.fail(fault));
            }
        }
    }
    drop(ended);
}

/// Logs why an instance has failed. A function could fail at each message, so
/// its faults count as lines that it prints.
fn report(program: &Program, failure: &Failure) {
    let (name, fault) = (&program.name, failure.fault.label());
    let backtrace = || failure.backtrace().map(field::display);
    match failure.fault.blame() {
        Blame::Guest => {
            if program.log_rate.begin_line() {
                let (cause, backtrace) = (failure.describe(), backtrace());
                tracing::warn!(function = %name, fault, backtrace, "{cause}");
            }
        }
        Blame::Host => {
            let (cause, backtrace) = (failure.describe(), backtrace());
            tracing::error!(function = %name, fault, backtrace, "{cause}");
        }
    }
}
