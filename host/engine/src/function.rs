//! The front door: one function, its instances, and each connection's binding
//! to them.
//!
//! A connection has one event in flight at a time; the next is given when the
//! last has an outcome. That makes the order of its messages, and bounds what
//! waits for it.

use std::sync::Arc;

use openline_cluster::connection::Connection;
use openline_cluster::hub::Hub;
use openline_core::event::{Acceptance, Event, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use tokio::sync::oneshot;

use crate::component::{HandlerKind, Loaded};
use crate::mailbox::{EventOutcome, Job, Line, Turn, UpgradeOutcome};
pub use crate::pool::Seat;
use crate::pool::{Full, Pool};
use crate::store::Shared;

/// How often an upgrade is asked again because its instance ended before it
/// was its turn: by other calls' faults, so more than this is no accident.
const UPGRADE_TRIES_MAX: usize = 3;

/// A function that is ready to serve.
#[derive(Debug)]
pub struct Function {
    pool: Arc<Pool>,
}

/// The function has taken a connection: what it wants, and the seat.
#[derive(Debug)]
pub struct Accepted {
    /// What the function said.
    pub acceptance: Acceptance,
    /// The connection's place in the instance that said so.
    pub seat: Seat,
}

/// Why there is no decision about a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// No instance has room; try again later.
    #[error("no instance has room")]
    Full,
    /// The function failed.
    #[error("{}", .0.reason())]
    Fault(Fault),
    /// The function's answer breaks the contract.
    #[error("{0}")]
    Invalid(String),
}

/// How the handling of an event went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function has returned.
    Done,
    /// The function failed while it handled this event.
    Fault(Fault),
    /// No instance had room for the event.
    Full,
}

/// A connection's way to its function: which instance its events go to.
#[derive(Debug)]
pub struct Binding {
    pool: Arc<Pool>,
    line: Arc<Line>,
    key: Option<String>,
    seat: Option<Seat>,
    waiting: bool,
}

impl Function {
    pub(crate) fn new(loaded: Loaded, shared: Arc<Shared>) -> Self {
        Self {
            pool: Arc::new(Pool::new(loaded, shared)),
        }
    }

    /// Its name.
    pub fn name(&self) -> &FunctionName {
        &self.pool.shared.name
    }

    /// Which handler it exports.
    pub fn handler(&self) -> HandlerKind {
        self.pool.loaded.kind
    }

    /// Its connections.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.pool.shared.hub
    }

    /// What a connection or a call may use.
    pub fn limits(&self) -> &Arc<FunctionLimits> {
        &self.pool.shared.limits
    }

    /// How its instances are made and kept.
    pub fn policy(&self) -> &InstancePolicy {
        &self.pool.shared.policy
    }

    /// The digest of the component's file.
    pub fn digest(&self) -> &[u8; 32] {
        &self.pool.shared.digest
    }

    /// Instances that are live now.
    pub fn instances(&self) -> u32 {
        self.pool.instances()
    }

    /// Asks the function whether it takes a connection.
    ///
    /// The inner result is the function's decision. Takes at most
    /// `upgrade_timeout`, the waiting for other calls included.
    pub async fn upgrade(
        &self,
        request: UpgradeRequest,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let decided = self.decide(request);
        match tokio::time::timeout(self.limits().upgrade_timeout, decided).await {
            Ok(decided) => decided,
            Err(_) => Err(UpgradeError::Fault(Fault::HandlerTimeout)),
        }
    }

    async fn decide(
        &self,
        request: UpgradeRequest,
    ) -> Result<Result<Accepted, Rejection>, UpgradeError> {
        let key = self.key(&request);
        let mut request = Box::new(request);
        for _ in 0..UPGRADE_TRIES_MAX {
            let seat = self
                .pool
                .seat(key.as_deref())
                .map_err(|Full| UpgradeError::Full)?;
            let instance = Arc::clone(&seat.instance);
            let (reply, answer) = oneshot::channel();
            if let Err(job) = instance.mailbox.push(Job::Upgrade(request, seat, reply)) {
                job.give_back();
            }
            match answer.await.unwrap_or(UpgradeOutcome::Fault(Fault::Host)) {
                UpgradeOutcome::Decided(Ok((acceptance, seat))) => {
                    return Ok(Ok(Accepted { acceptance, seat }));
                }
                UpgradeOutcome::Decided(Err(rejection)) => return Ok(Err(rejection)),
                UpgradeOutcome::Invalid(text) => return Err(UpgradeError::Invalid(text)),
                UpgradeOutcome::Fault(fault) => return Err(UpgradeError::Fault(fault)),
                UpgradeOutcome::Returned(again) => request = again,
            }
        }
        Err(UpgradeError::Full)
    }

    fn key(&self, request: &UpgradeRequest) -> Option<String> {
        let affinity = self.policy().affinity.as_deref()?;
        let param = request
            .route_params
            .iter()
            .find(|(name, _)| name == affinity);
        param.map(|(_, value)| value.clone())
    }

    /// Ties an accepted connection to the instance that accepted it.
    pub fn bind(&self, connection: Arc<Connection>, seat: Seat) -> Binding {
        Binding {
            pool: Arc::clone(&self.pool),
            line: Arc::new(Line::new(connection)),
            key: seat.instance.key.clone(),
            seat: Some(seat),
            waiting: false,
        }
    }
}

impl Binding {
    /// Whether an event is in flight: the next must wait.
    pub fn is_busy(&self) -> bool {
        self.waiting
    }

    /// Hands an event to the function. The connection is woken when there is
    /// an [outcome](Binding::outcome). Only one event at a time: what is given
    /// while one is in flight replaces nothing and is a defect of the caller.
    pub fn dispatch(&mut self, event: Event) -> Result<(), Outcome> {
        debug_assert!(!self.waiting, "one event at a time");
        let mut job = Job::Event(event, Turn::new(Arc::clone(&self.line)));
        loop {
            let seat = match self.seat.take() {
                Some(seat) => seat,
                None => match self.pool.seat(self.key.as_deref()) {
                    Ok(seat) => seat,
                    Err(Full) => {
                        self.discard(job);
                        return Err(Outcome::Full);
                    }
                },
            };
            match seat.instance.mailbox.push(job) {
                Ok(()) => {
                    self.seat = Some(seat);
                    self.waiting = true;
                    return Ok(());
                }
                // The instance has ended: the seat in it goes, and the event
                // gets another.
                Err(returned) => job = returned,
            }
        }
    }

    /// How the event in flight went, once that is known.
    pub fn outcome(&mut self) -> Option<Outcome> {
        if !self.waiting {
            return None;
        }
        let outcome = self.line.take_outcome()?;
        self.waiting = false;
        match outcome {
            EventOutcome::Done => Some(Outcome::Done),
            EventOutcome::Fault(fault) => {
                self.seat = None;
                Some(Outcome::Fault(fault))
            }
            EventOutcome::Returned(event) => {
                self.seat = None;
                self.dispatch(event).err()
            }
        }
    }

    fn discard(&self, job: Job) {
        job.give_back();
        self.line.take_outcome();
    }
}
