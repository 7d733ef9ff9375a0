//! Stand-ins for parts that the files need and the models do not check: the
//! store, alarms, and wasmtime with the guests in it.

use std::convert::Infallible;

/// Stores nothing.
#[derive(Debug)]
pub struct FunctionStore;

/// Never happens.
#[derive(Debug, thiserror::Error)]
#[error("never")]
pub struct StoreError(Infallible);

#[expect(clippy::unused_async, reason = "the store's interface")]
impl FunctionStore {
    pub(crate) async fn alarms(&self) -> Result<Vec<Infallible>, StoreError> {
        Ok(Vec::new())
    }

    pub(crate) async fn forget(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// There are no alarms without a connection.
pub(crate) mod clock {
    use std::convert::Infallible;
    use std::sync::Arc;

    use crate::alarms::owner::{Owner, OwnerNumber};

    #[derive(Debug, Default)]
    pub(crate) struct AlarmClock;

    impl AlarmClock {
        pub(crate) fn join(&self) -> OwnerNumber {
            0
        }

        pub(crate) fn leave(&self) {}

        pub(crate) fn serve(&self, _owner: OwnerNumber) {}

        pub(crate) fn forget(&self, _owner: OwnerNumber) {}

        pub(crate) fn restore(&self, _owner: &Arc<dyn Owner>, _alarms: Vec<Infallible>) {}
    }
}

/// A call that did not return.
pub(crate) mod failure {
    use std::any::Any;

    use openline_core::fault::Fault;

    #[derive(Debug)]
    pub(crate) struct Failure {
        pub(crate) fault: Fault,
    }

    impl Failure {
        /// The world counts panics.
        pub(crate) fn panicked(_panic: &(dyn Any + Send)) -> Self {
            Self { fault: Fault::Host }
        }

        /// The engine has as many places as the host assigns.
        pub(crate) fn is_no_room(&self) -> bool {
            false
        }

        pub(crate) fn describe(&self) -> &'static str {
            self.fault.reason()
        }

        pub(crate) fn backtrace(&self) -> Option<&'static str> {
            None
        }
    }
}

/// How handlers are called.
pub(crate) mod handlers {
    pub(crate) use openline_core::deployment::CallStyle;
}

/// The state that the instances of a version share.
pub(crate) mod program {
    use std::sync::Arc;

    use openline_channels::hub::Hub;
    use openline_core::digest::Digest;
    use openline_core::limits::{FunctionLimits, InstancePolicy};
    use openline_core::name::FunctionName;

    use crate::alarms::clock::AlarmClock;
    use crate::alarms::owner::Owner;
    use crate::contract::handlers::CallStyle;
    use crate::instance::faults::FaultsInARow;

    #[derive(Debug)]
    pub(crate) struct Program {
        pub(crate) name: FunctionName,
        pub(crate) digest: Digest,
        pub(crate) loaded: Loaded,
        pub(crate) policy: InstancePolicy,
        pub(crate) limits: Arc<FunctionLimits>,
        pub(crate) log_rate: LogRate,
        pub(crate) faults: FaultsInARow,
    }

    #[derive(Debug)]
    pub(crate) struct Loaded {
        pub(crate) style: CallStyle,
        pub(crate) places: u32,
        /// Whether its guests fail to start.
        pub(crate) is_broken: bool,
    }

    #[expect(clippy::unused_self, reason = "the engine's interface")]
    impl Loaded {
        pub(crate) fn takes_connections(&self) -> bool {
            true
        }

        pub(crate) fn takes_inspections(&self) -> bool {
            true
        }

        pub(crate) fn takes_publications(&self) -> bool {
            true
        }

        pub(crate) fn http(&self) -> Option<CallStyle> {
            Some(CallStyle::Plain)
        }
    }

    /// Guests reach nothing.
    #[derive(Debug)]
    pub(crate) struct Reach {
        pub(crate) hub: Arc<Hub>,
        pub(crate) clock: Arc<AlarmClock>,
        pub(crate) owner: Arc<dyn Owner>,
    }

    /// Faults are not logged.
    #[derive(Debug)]
    pub(crate) struct LogRate;

    #[expect(clippy::unused_self, reason = "the engine's interface")]
    impl LogRate {
        pub(crate) fn begin_line(&self) -> bool {
            false
        }
    }
}

/// A run of guest code.
pub(crate) mod run {
    use std::time::Duration;

    #[derive(Debug, Default)]
    pub(crate) struct Run {
        pub(crate) clock: RunClock,
    }

    /// No time passes between calls.
    #[derive(Debug, Default)]
    pub(crate) struct RunClock;

    impl RunClock {
        pub(crate) fn entered(&self) -> u64 {
            0
        }

        pub(crate) fn since(&self, _moment: u64) -> Duration {
            Duration::ZERO
        }
    }
}

/// The engine's driver of plain handlers, with guests that obey the text of a
/// message.
pub(crate) mod plain {
    use std::future::poll_fn;
    use std::sync::Arc;

    use openline_core::event::{Acceptance, Event};
    use openline_core::fault::Fault;
    use openline_core::inspection::Verdict;
    use openline_core::message::Message;

    use crate::component::failure::Failure;
    use crate::instance::asker::Asker;
    use crate::instance::end::End;
    use crate::instance::idleness::{Idleness, Wake};
    use crate::instance::live::Instance;
    use crate::instance::mailbox::{Job, UpgradeOutcome};
    use crate::instance::program::Program;
    use crate::instance::run::Run;
    use crate::sync::pause;
    use crate::world::Guest;

    /// Ends the instance with a fault.
    pub(crate) const TRAP: &str = "trap";
    /// Awaits something before it returns.
    pub(crate) const AWAIT: &str = "await";

    pub(crate) async fn drive(program: &Arc<Program>, instance: &Arc<Instance>) -> End {
        let mut guest = Guest::new(instance.key.clone());
        if program.loaded.is_broken {
            guest.used = true;
            drop(guest);
            let fault = Fault::Start;
            return End::Failed(Failure { fault }, Vec::new());
        }
        let (run, mut idleness) = (Run::default(), Idleness::new(program.policy.idle_timeout));
        loop {
            let active = run.clock.entered();
            let wake = poll_fn(|cx| idleness.poll(cx, instance, &run, active, false)).await;
            match wake {
                Wake::Job(job) => {
                    guest.used = true;
                    if let Err((failure, asker)) = handle(program, job).await {
                        return End::Failed(failure, vec![asker]);
                    }
                }
                Wake::Idle if instance.is_ending() || instance.mailbox.is_empty() => {
                    return End::Idle;
                }
                Wake::Idle => idleness.rearm(),
            }
        }
    }

    async fn handle(program: &Program, job: Job) -> Result<(), (Failure, Asker)> {
        match job.begin() {
            Some(Job::Upgrade(_, seat, reply)) => {
                let accepted = UpgradeOutcome::Decided(Ok((Acceptance::default(), seat)));
                drop(reply.send(accepted));
            }
            Some(Job::Event(event, turn)) => {
                let asker = Asker::Event(turn);
                let Event::Messages(batch) = &event else {
                    asker.done();
                    return Ok(());
                };
                for message in batch {
                    if *message == Message::Text(TRAP.into()) {
                        return Err((Failure { fault: Fault::Trap }, asker));
                    }
                    if *message == Message::Text(AWAIT.into()) {
                        pause().await;
                    }
                }
                program.faults.succeed();
                asker.done();
            }
            Some(Job::Alarm(_, seat, reply) | Job::Published(_, seat, reply)) => {
                Asker::Alarm(seat, reply).done()
            }
            Some(Job::Inspect(_, seat, reply)) => {
                Asker::Inspect(seat, reply).inspected(Verdict::Drop);
            }
            Some(Job::Request(_, seat, reply)) => Asker::Request(seat, reply).done(),
            None => {}
        }
        Ok(())
    }
}

/// Driven like plain handlers: that calls overlap makes no difference to the
/// locks of a pool.
pub(crate) mod concurrent {
    pub(crate) use super::plain::drive;
}
