//! One version of a function: a component, its limits, and its instances.

use std::sync::Arc;
use std::time::Duration;

use openline_core::digest::Digest;
use openline_core::event::{Acceptance, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use tokio::sync::oneshot;

use crate::component::inspect::HandlerKind;
use crate::component::loaded::Loaded;
use crate::instance::mailbox::{Job, UpgradeOutcome};
use crate::instance::store::Shared;
use crate::pool::commons::Commons;
use crate::pool::seating::{Full, Pool, Seat, Wanted};
use crate::sync::Ordering;

/// A version that is ready to serve.
#[derive(Debug)]
pub struct Version {
    pub(crate) pool: Arc<Pool>,
}

/// Why there is no decision about a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The function has no version yet.
    #[error("the function is not deployed")]
    NotDeployed,
    /// The affinity value is longer than it may be.
    #[error("the affinity value is too long")]
    Affinity,
    /// No instance has room; try again later.
    #[error("no instance has room")]
    Full,
    /// The function keeps failing; try again after this time.
    #[error("the function keeps failing")]
    BackedOff(Duration),
    /// The function failed.
    #[error("{}", .0.reason())]
    Fault(Fault),
    /// The function's answer breaks the contract.
    #[error("{0}")]
    Invalid(String),
}

/// One live instance, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceInfo {
    /// Its number; no other instance of this process has had it.
    pub number: u64,
    /// The affinity value it serves, if the function has affinity.
    pub key: Option<String>,
    /// Connections that are bound to it.
    pub connections: u32,
    /// How long it has been there.
    pub age: Duration,
}

/// A decision, or the request back when it must be asked again.
pub(crate) type Answer = Result<Result<(Acceptance, Seat), Rejection>, Box<UpgradeRequest>>;

impl Version {
    pub(crate) fn new(loaded: Loaded, shared: Arc<Shared>) -> Arc<Self> {
        let pool = Arc::new(Pool::new(loaded, shared));
        pool.shared.commons.add(&pool);
        Arc::new(Self { pool })
    }

    /// The name of its function.
    pub fn name(&self) -> &FunctionName {
        &self.pool.shared.name
    }

    /// What it has in common with the function's other versions.
    pub fn commons(&self) -> &Arc<Commons> {
        &self.pool.shared.commons
    }

    /// Which handler it exports.
    pub fn handler(&self) -> HandlerKind {
        self.pool.loaded.kind
    }

    /// What a connection or a call may use.
    pub fn limits(&self) -> &Arc<FunctionLimits> {
        &self.pool.shared.limits
    }

    /// How its instances are made and kept.
    pub fn policy(&self) -> &InstancePolicy {
        &self.pool.shared.policy
    }

    /// The digest of the component's file, its name.
    pub fn digest(&self) -> Digest {
        self.pool.shared.digest
    }

    /// Instances that are live now.
    pub fn instances(&self) -> u32 {
        self.pool.instances()
    }

    /// The same, one by one, the oldest first.
    pub fn list(&self) -> Vec<InstanceInfo> {
        self.pool.list()
    }

    /// Connections whose next event goes to it, whether they are bound to an
    /// instance or not.
    pub fn connections(&self) -> u32 {
        self.pool.connections.load(Ordering::Relaxed)
    }

    /// Whether it was removed: its connections are to leave.
    pub fn is_removed(&self) -> bool {
        self.pool.removed.load(Ordering::Relaxed)
    }

    /// For how much longer it is given no calls, because it keeps failing.
    pub fn backed_off(&self) -> Option<Duration> {
        self.pool.backoff.left()
    }

    /// Ends its instances, each when its calls have returned: another version
    /// has taken over.
    pub(crate) fn supersede(&self) {
        self.pool.supersede();
    }

    /// Asks an instance about a connection.
    pub(crate) async fn ask(
        &self,
        request: Box<UpgradeRequest>,
        wanted: Wanted<'_>,
    ) -> Result<Answer, UpgradeError> {
        if let Some(left) = self.pool.backoff.left() {
            return Err(UpgradeError::BackedOff(left));
        }
        let seat = self.pool.seat(wanted).map_err(|Full| UpgradeError::Full)?;
        let instance = Arc::clone(&seat.instance);
        let (reply, answer) = oneshot::channel();
        if let Err(job) = instance.submit(Job::Upgrade(request, seat, reply)) {
            job.give_back();
        }
        match answer.await.unwrap_or(UpgradeOutcome::Fault(Fault::Host)) {
            UpgradeOutcome::Decided(decision) => Ok(Ok(decision)),
            UpgradeOutcome::Invalid(text) => Err(UpgradeError::Invalid(text)),
            UpgradeOutcome::Fault(fault) => Err(UpgradeError::Fault(fault)),
            UpgradeOutcome::Full => Err(UpgradeError::Full),
            UpgradeOutcome::Returned(again) => Ok(Err(again)),
        }
    }
}
