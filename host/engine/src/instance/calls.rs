//! Calls into guest code: the limits of time and the turns they run under, and
//! what lies between the contract's types and ours.
//!
//! A call is bounded by `handler_timeout`, its computing by the run's clock.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use openline_core::close::{CloseInfo, CloseOrigin, CloseReason};
use openline_core::event::{Acceptance, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::name::{ChannelName, Tag};
use tokio::time::Sleep;
use tracing::field;

use crate::component::loaded::{Decision, Failure};
use crate::contract::bindings::types;
use crate::instance::live::Asker;
use crate::instance::mailbox::{AlarmOutcome, EventOutcome, UpgradeOutcome};
use crate::instance::store::{Run, Shared};
use crate::instance::turns::Gate;
use crate::pool::seating::{Pool, Seat};

/// Runs guest code under its limits of time and in its turn. Whom it wrote to is told each
/// time it pauses.
pub(crate) async fn enforce<T>(
    run: &Run,
    shared: &Shared,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    enforce_within(shared.limits.handler_timeout, run, shared, call).await
}

/// The same, with another time to return within.
pub(crate) async fn enforce_within<T>(
    time: Duration,
    run: &Run,
    shared: &Shared,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    let mut call = pin!(call);
    let mut gate = Gate::default();
    run.clock.start_over(1);
    // Most calls return in their first poll and never see a timer.
    let mut timeout: Option<Pin<Box<Sleep>>> = None;
    let enforced = std::future::poll_fn(|cx| {
        if let Poll::Ready(permit) = gate.poll(cx, &run.clock, &shared.long_runs) {
            run.clock.enter();
            let polled = call.as_mut().poll(cx);
            run.wakeups.lock().flush();
            drop(permit);
            match polled {
                Poll::Ready(result) => return Poll::Ready(result.map_err(Failure::from)),
                Poll::Pending => run.clock.pause(),
            }
        }
        let timeout = timeout.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        timeout.as_mut().poll(cx).map(|()| {
            Err(Failure {
                fault: Fault::HandlerTimeout,
                cause: None,
            })
        })
    });
    // tokio makes a task pause that has done much at once. A guest could spend
    // that budget, by printing say: each such pause would look like an await
    // and begin a new run, and would keep the timer from being looked at. The
    // epoch sees to it that the thread is given back.
    tokio::task::unconstrained(enforced).await
}

/// Lets a guest save what it wants to keep, as it is about to be dropped. What
/// goes wrong is only logged: no caller waits for it.
pub(crate) async fn hibernate<T>(
    pool: &Pool,
    run: &Run,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> bool {
    let time = pool.shared.policy.hibernate_timeout;
    let done = enforce_within(time, run, &pool.shared, call).await;
    if let Err(failure) = &done {
        let name = &pool.shared.name;
        if failure.fault == Fault::HandlerTimeout {
            tracing::warn!(function = %name, "it did not hibernate within {time:?} (hibernate_timeout)");
        } else {
            let cause = failure.describe();
            let backtrace = failure.backtrace().map(field::display);
            tracing::warn!(function = %name, fault = failure.fault.label(), backtrace, "it did not hibernate: {cause}");
        }
    }
    done.is_ok()
}

impl Asker {
    /// `upgrade` has returned.
    pub(crate) fn decided(self, decision: Decision) {
        match self {
            Self::Upgrade(seat, reply) => drop(reply.send(judge(decision, seat))),
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Alarm(reply) => drop(reply.send(AlarmOutcome::Done)),
        }
    }
}

// Between the contract's types and ours.

pub(crate) fn request(request: UpgradeRequest) -> types::UpgradeRequest {
    types::UpgradeRequest {
        method: request.method,
        uri: request.uri,
        headers: request.headers,
        peer: request.peer,
        subprotocols: request.subprotocols,
        route_params: request.route_params,
    }
}

pub(crate) fn close_arguments(reason: &CloseReason) -> (types::CloseInfo, types::CloseOrigin) {
    let CloseInfo { code, reason: text } = reason.info();
    let origin = match reason.origin() {
        CloseOrigin::Peer => types::CloseOrigin::Peer,
        CloseOrigin::Function => types::CloseOrigin::Function,
        CloseOrigin::Host => types::CloseOrigin::Host,
        CloseOrigin::Lost => types::CloseOrigin::Lost,
    };
    (types::CloseInfo { code, reason: text }, origin)
}

/// Makes ours of a decision; whether it keeps the limits, and whether headers,
/// status and subprotocol may be sent, is the gateway's to check.
fn judge(decision: Decision, seat: Seat) -> UpgradeOutcome {
    let acceptance = match decision {
        Ok(acceptance) => acceptance,
        Err(rejection) => {
            return UpgradeOutcome::Decided(Err(Rejection {
                status: rejection.status,
                headers: rejection.headers,
                body: rejection.body.into(),
            }));
        }
    };
    let channels: Result<_, _> = acceptance
        .channels
        .iter()
        .map(|name| ChannelName::new(name))
        .collect();
    let tags: Result<_, _> = acceptance.tags.iter().map(|tag| Tag::new(tag)).collect();
    match channels.and_then(|channels| Ok((channels, tags?))) {
        Ok((channels, tags)) => UpgradeOutcome::Decided(Ok((
            Acceptance {
                subprotocol: acceptance.subprotocol,
                headers: acceptance.headers,
                attachment: acceptance.attachment.into(),
                tags,
                channels,
            },
            seat,
        ))),
        Err(error) => UpgradeOutcome::Invalid(error.to_string()),
    }
}
