//! The task of an instance: it owns the store and handles its jobs until it is
//! idle for too long or a fault ends it, and tells those that wait.
//!
//! How calls are made is in `plain` and `concurrent`, in which order things end
//! in `end`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use openline_core::fault::{Blame, Fault};
use tracing::field;

use super::end::{End, Ended};
use super::live::Instance;
use super::mailbox::Job;
use super::program::Program;
use super::seat::Keeper;
use super::{concurrent, plain};
use crate::component::failure::Failure;
use crate::contract::handlers::CallStyle;

/// Makes an instance and has it do what it is asked for until it is idle for too
/// long or a fault ends it. Its keeper, which is held meanwhile, forgets it at the
/// end, also when this is dropped before it was polled.
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
    // Nothing of what it might have left in disorder is used again: the store
    // has gone with it, and so have the calls in flight, whose connections
    // were told by that.
    let end = AssertUnwindSafe(driving).catch_unwind().await;
    let name = &program.name;
    let end = end.unwrap_or_else(|panic| End::Failed(Failure::panicked(&*panic), Vec::new()));
    match end {
        End::Idle => tracing::debug!(function = %name, "an idle instance is dropped"),
        End::Failed(failure, askers) if failure.is_no_room() => {
            let cause = failure.describe();
            tracing::warn!(function = %name, "the host has no room for an instance: {cause}");
            let freed = ended.free();
            askers.into_iter().for_each(|asker| asker.refuse(&freed));
            // A new instance would find no room either.
            let asked = instance.mailbox.take_asked();
            asked.into_iter().for_each(Job::refuse);
        }
        End::Failed(failure, askers) => {
            let fault = failure.fault;
            report(&program, &failure);
            let freed = ended.free();
            if let Some(time) = ended.keeper.fail() {
                tracing::warn!(function = %name, "it keeps failing and is given nothing for {time:?}");
            }
            for asker in askers {
                asker.fail(fault, &freed);
            }
            if fault == Fault::Start {
                // What was asked for would meet the same: it is not given to a
                // new instance, which would not start either. What only waits
                // for the end may be another version's, and is given back.
                let asked = instance.mailbox.take_asked();
                asked.into_iter().for_each(|job| job.fail(fault));
            }
        }
    }
    drop(ended);
}

/// Says why an instance has failed. A function can do so at each message: its
/// faults are counted among the lines that it prints.
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
