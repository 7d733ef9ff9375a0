//! The callers that wait for a call in flight, and their answers.

use openline_core::event::{Acceptance, Rejection};
use openline_core::fault::Fault;
use openline_core::inspection::Verdict;

use super::end::Freed;
use super::mailbox::{
    AlarmOutcome, AlarmReply, EventOutcome, InspectOutcome, InspectReply, Turn, UpgradeOutcome,
    UpgradeReply,
};
use super::seat::Seat;

/// A caller that waits for a call in flight.
#[derive(Debug)]
pub(crate) enum Asker {
    Upgrade(Seat, UpgradeReply),
    Event(Turn),
    /// An alarm without a connection, or publications.
    Alarm(Seat, AlarmReply),
    Inspect(Seat, InspectReply),
}

impl Asker {
    /// Answers that the call has returned.
    pub(crate) fn done(self) {
        match self {
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Alarm(seat, reply) => {
                // The next alarm finds room there.
                drop(seat);
                let _ = reply.send(AlarmOutcome::Done);
            }
            // These are answered with their decisions.
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(Fault::Host))),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(Fault::Host))),
        }
    }

    /// Answers with the decision of `upgrade`, or how it breaks the contract.
    pub(crate) fn decided(self, decision: Result<Result<Acceptance, Rejection>, String>) {
        match self {
            Self::Upgrade(seat, reply) => drop(reply.send(match decision {
                Ok(Ok(acceptance)) => UpgradeOutcome::Decided(Ok((acceptance, seat))),
                Ok(Err(rejection)) => UpgradeOutcome::Decided(Err(rejection)),
                Err(text) => UpgradeOutcome::Invalid(text),
            })),
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Done)),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(Fault::Host))),
        }
    }

    /// Answers with the verdict of `inspect`.
    pub(crate) fn inspected(self, verdict: Verdict) {
        match self {
            Self::Inspect(seat, reply) => {
                // The next request finds room there.
                drop(seat);
                let _ = reply.send(InspectOutcome::Decided(verdict));
            }
            other => other.done(),
        }
    }

    /// Answers that the host has no room.
    pub(super) fn refuse(self, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Full)),
            Self::Event(turn) => turn.finish(EventOutcome::Full),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Full)),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Full)),
        }
    }

    /// Answers that the call has ended with its instance, once that has made
    /// room.
    pub(super) fn fail(self, fault: Fault, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(fault))),
            Self::Event(turn) => turn.finish(EventOutcome::Fault(fault)),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Fault(fault))),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(fault))),
        }
    }
}
