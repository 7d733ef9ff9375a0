//! The callers that wait for a call in flight, and their answers.

use std::sync::Arc;

use openline_core::event::{Acceptance, Rejection};
use openline_core::fault::Fault;
use openline_core::inspection::Verdict;

use super::end::Freed;
use super::exchange::{Exchange, RequestOutcome, RequestReply, ResponseBody, WrittenBody};
use super::mailbox::{
    AlarmOutcome, AlarmReply, EventOutcome, InspectOutcome, InspectReply, Turn, UpgradeOutcome,
    UpgradeReply,
};
use super::seat::Seat;
use super::streaming::Streaming;

/// A caller that waits for a call in flight.
#[derive(Debug)]
pub(crate) enum Asker {
    Upgrade(Seat, UpgradeReply),
    Event(Turn),
    /// An alarm without a connection, or publications.
    Alarm(Seat, AlarmReply),
    Inspect(Seat, InspectReply),
    /// Of a plain call: the answer may have left, and the call goes on.
    Request(Seat, RequestReply),
    /// Of a plain call whose peer has left.
    Left(Seat),
}

impl Asker {
    /// Answers that the call has returned.
    pub(crate) fn done(self) {
        match self {
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Left(seat) => drop(seat),
            Self::Alarm(seat, reply) => {
                // The next alarm finds room there.
                drop(seat);
                let _ = reply.send(AlarmOutcome::Done);
            }
            // These are answered with their decisions.
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(Fault::Host))),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(Fault::Host))),
            Self::Request(seat, reply) => {
                // The next request finds room there.
                drop(seat);
                let text = "its call has returned without an answer".to_owned();
                reply.give(RequestOutcome::Invalid(text));
            }
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
            Self::Left(seat) => drop(seat),
            Self::Event(turn) => turn.finish(EventOutcome::Done),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Done)),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(Fault::Host))),
            Self::Request(_, reply) => reply.give(RequestOutcome::Fault(Fault::Host)),
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

    /// Answers with the answer to a request, whose body may still come: it keeps the
    /// seat until then.
    pub(crate) fn answered(self, answer: http::Response<WrittenBody>, exchange: &Arc<Exchange>) {
        match self {
            Self::Request(seat, reply) => {
                exchange.answer();
                let seat = Box::new(Streaming::new(seat));
                let exchange = Arc::clone(exchange);
                let answer = ResponseBody::new(answer, exchange, Some(seat));
                reply.give(RequestOutcome::Answered(answer));
            }
            other => other.done(),
        }
    }

    /// Answers that a request has no answer, and why.
    pub(crate) fn invalid(self, why: String) {
        match self {
            Self::Request(seat, reply) => {
                drop(seat);
                reply.give(RequestOutcome::Invalid(why));
            }
            other => other.done(),
        }
    }

    /// Answers that the host has no room.
    pub(super) fn refuse(self, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Full)),
            Self::Left(seat) => drop(seat),
            Self::Event(turn) => turn.finish(EventOutcome::Full),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Full)),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Full)),
            Self::Request(_, reply) => reply.give(RequestOutcome::Full),
        }
    }

    /// Answers that the call has ended with its instance, once that has made
    /// room.
    pub(super) fn fail(self, fault: Fault, _freed: &Freed) {
        match self {
            Self::Upgrade(_, reply) => drop(reply.send(UpgradeOutcome::Fault(fault))),
            Self::Left(seat) => drop(seat),
            Self::Event(turn) => turn.finish(EventOutcome::Fault(fault)),
            Self::Alarm(_, reply) => drop(reply.send(AlarmOutcome::Fault(fault))),
            Self::Inspect(_, reply) => drop(reply.send(InspectOutcome::Fault(fault))),
            Self::Request(_, reply) => reply.give(RequestOutcome::Fault(fault)),
        }
    }
}
