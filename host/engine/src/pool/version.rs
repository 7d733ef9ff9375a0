//! One version of a function: a component, its limits, and its instances.

use std::sync::{Arc, Weak};
use std::time::Duration;

use http::Response;
use openline_core::digest::Digest;
use openline_core::environment::Environment;
use openline_core::event::{Acceptance, Rejection, UpgradeRequest};
use openline_core::fault::Fault;
use openline_core::inspection::{Inspection, Verdict};
use openline_core::limits::{BackoffPolicy, FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use tokio::sync::oneshot;

use super::backoff::Backoff;
use super::capacity::{Capacity, FunctionNumber, Member};
use super::commons::Commons;
use super::seats::{Full, Seats, Wanted};
use crate::contract::handlers::CallStyle;
use crate::instance::exchange::{Exchange, Request, RequestOutcome, RequestReply, ResponseBody};
use crate::instance::live::Instance;
use crate::instance::mailbox::{InspectOutcome, Job, UpgradeOutcome};
use crate::instance::program::Program;
use crate::instance::seat::Seat;
use crate::sync::{AtomicBool, AtomicU32, Mutex, Ordering};

/// A version that is ready to serve: a program, and the pool of its instances.
#[derive(Debug)]
pub struct Version {
    pub(super) program: Arc<Program>,
    pub(super) commons: Arc<Commons>,
    pub(super) member: Member,
    pub(crate) backoff: Arc<Backoff>,
    /// Connections whose next event comes here, and handshakes that are decided
    /// here.
    pub(super) connections: AtomicU32,
    /// Whether its connections are to leave.
    pub(super) removed: AtomicBool,
    pub(super) seats: Mutex<Seats>,
}

/// Why there is no decision about a connection, or no answer to a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeError {
    /// The function has no version yet.
    #[error("the function is not deployed")]
    NotDeployed,
    /// The affinity value is longer than it may be.
    #[error("the affinity value is too long")]
    Affinity,
    /// The request has no value that chooses the instance.
    #[error("the request has no affinity value")]
    NoAffinity,
    /// The version has no handler for what is asked of it.
    #[error("the function has no handler for such requests")]
    NoHandler,
    /// No instance has room; try again later.
    #[error("no instance has room")]
    Full,
    /// The peer sends its request slowly, and others wait for the instance.
    #[error("the request comes too slowly, and others wait for the instance")]
    Slow,
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

/// Why a firewall function has not decided about a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
    /// The function has no version yet.
    #[error("the function is not deployed")]
    NotDeployed,
    /// The version has no handler of the firewall.
    #[error("the function's component does not export `firewall`")]
    NoHandler,
    /// No instance has room.
    #[error("no instance has room")]
    Full,
    /// The function keeps failing; it is asked again after this time.
    #[error("the function keeps failing")]
    BackedOff(Duration),
    /// The function failed.
    #[error("{}", .0.reason())]
    Fault(Fault),
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

/// A connection, or a handshake, among those of the version that it belongs to.
#[derive(Debug)]
pub(crate) struct Counted(Arc<Version>);

/// An upgrade or an inspection that waits for its answer. If it is dropped before
/// that, because the peer has gone or the time is over, it leaves the queue.
struct Asking<'a, T> {
    version: &'a Version,
    instance: Arc<Instance>,
    answer: oneshot::Receiver<T>,
}

impl Version {
    pub(crate) fn new(
        program: Arc<Program>,
        commons: Arc<Commons>,
        capacity: &Arc<Capacity>,
    ) -> Arc<Self> {
        let places = program.loaded.places;
        let function: FunctionNumber = Arc::as_ptr(&commons).addr();
        let version = Arc::new_cyclic(|version: &Weak<Self>| Self {
            program,
            commons,
            member: capacity.join(function, places, Weak::<Self>::clone(version)),
            backoff: Arc::default(),
            connections: AtomicU32::new(0),
            removed: AtomicBool::new(false),
            seats: Mutex::default(),
        });
        version.commons.add(&version);
        version
    }

    /// The name of its function.
    pub fn name(&self) -> &FunctionName {
        &self.program.name
    }

    /// The state that it shares with the function's other versions.
    pub fn commons(&self) -> &Arc<Commons> {
        &self.commons
    }

    /// Whether its component has a WebSocket handler.
    pub fn takes_connections(&self) -> bool {
        self.program.loaded.takes_connections()
    }

    /// Whether triggers can lead to it: it has a WebSocket or an HTTP handler.
    pub fn is_reachable(&self) -> bool {
        self.takes_connections() || self.takes_requests()
    }

    /// Whether its component has a handler of the firewall.
    pub fn takes_inspections(&self) -> bool {
        self.program.loaded.takes_inspections()
    }

    /// Whether its component has an HTTP handler.
    pub fn takes_requests(&self) -> bool {
        self.program.loaded.http().is_some()
    }

    /// How its HTTP handler is called, if its component has one.
    pub(crate) fn http_style(&self) -> Option<CallStyle> {
        self.program.loaded.http()
    }

    /// Whether its component has a handler of channels.
    pub fn takes_publications(&self) -> bool {
        self.program.loaded.takes_publications()
    }

    /// How its instances make calls.
    pub fn call_style(&self) -> CallStyle {
        self.program.loaded.style
    }

    /// The limits of a connection or a call.
    pub fn limits(&self) -> &Arc<FunctionLimits> {
        &self.program.limits
    }

    /// What its instances read as their environment.
    pub fn environment(&self) -> &Environment {
        &self.program.environment
    }

    /// How its instances are made and kept.
    pub fn policy(&self) -> &InstancePolicy {
        &self.program.policy
    }

    /// The digest of the component's file, its name.
    pub fn digest(&self) -> Digest {
        self.program.digest
    }

    /// Instances that are live now.
    pub fn instances(&self) -> u32 {
        let instances = self.seats.lock().instances();
        u32::try_from(instances).unwrap_or(u32::MAX)
    }

    /// The live instances one by one, the oldest first.
    pub fn list(&self) -> Vec<InstanceInfo> {
        let info = |instance: &Arc<Instance>| InstanceInfo {
            number: instance.number,
            key: instance.key.clone(),
            connections: instance.bound.load(Ordering::Relaxed),
            age: instance.made.elapsed(),
        };
        let mut list: Vec<_> = self.seats.lock().all().map(info).collect();
        list.sort_unstable_by_key(|instance| instance.number);
        list
    }

    /// Connections whose next event goes to it, whether they are bound to an
    /// instance or not.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Whether it was removed: its connections are to leave.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Relaxed)
    }

    /// How much longer it is given no calls, because it keeps failing.
    pub fn backed_off(&self) -> Option<Duration> {
        self.backoff.left()
    }

    /// Counts a connection, or a handshake until it is decided: the version is
    /// not removed unasked meanwhile.
    pub(crate) fn count(self: &Arc<Self>) -> Counted {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// Whether an event is refused, instead of waiting, while it keeps failing.
    pub(crate) fn refuses(&self) -> bool {
        self.program.policy.backoff == BackoffPolicy::Refuse
    }

    /// Asks an instance about a connection, and notes which one in `asked`.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: Box<UpgradeRequest>,
        wanted: Wanted<'_>,
        asked: &mut Option<Arc<Instance>>,
    ) -> Result<Answer, UpgradeError> {
        if let Some(left) = self.backoff.left() {
            return Err(UpgradeError::BackedOff(left));
        }
        let job = |seat, reply| Job::Upgrade(request, seat, reply);
        let answer = self.give(wanted, asked, job).await;
        let answer = answer.map_err(|Full| UpgradeError::Full)?;
        match answer.unwrap_or(UpgradeOutcome::Fault(Fault::Host)) {
            UpgradeOutcome::Decided(decision) => Ok(Ok(decision)),
            UpgradeOutcome::Invalid(text) => Err(UpgradeError::Invalid(text)),
            UpgradeOutcome::Fault(fault) => Err(UpgradeError::Fault(fault)),
            UpgradeOutcome::Full => Err(UpgradeError::Full),
            UpgradeOutcome::Returned(again) => Ok(Err(again)),
        }
    }

    /// Has an instance decide about a request, and notes which one in `asked`.
    /// Hands the request back if it must be asked again.
    pub(crate) async fn inspect(
        self: &Arc<Self>,
        inspection: Box<Inspection>,
        asked: &mut Option<Arc<Instance>>,
    ) -> Result<Result<Verdict, Box<Inspection>>, InspectError> {
        if !self.takes_inspections() {
            return Err(InspectError::NoHandler);
        }
        if let Some(left) = self.backoff.left() {
            return Err(InspectError::BackedOff(left));
        }
        // Whatever the function's affinity: an instance without a value.
        let wanted = Wanted {
            joins: true,
            ..Wanted::default()
        };
        let job = |seat, reply| Job::Inspect(inspection, seat, reply);
        let answer = self.give(wanted, asked, job).await;
        let answer = answer.map_err(|Full| InspectError::Full)?;
        match answer.unwrap_or(InspectOutcome::Fault(Fault::Host)) {
            InspectOutcome::Decided(verdict) => Ok(Ok(verdict)),
            InspectOutcome::Fault(fault) => Err(InspectError::Fault(fault)),
            InspectOutcome::Full => Err(InspectError::Full),
            InspectOutcome::Returned(again) => Ok(Err(again)),
        }
    }

    /// Has an instance answer a request. Hands it back if it must be asked again.
    pub(crate) async fn request(
        self: &Arc<Self>,
        request: Box<Request>,
        key: Option<&str>,
        follows: bool,
        has_waited: bool,
    ) -> Result<Result<Response<ResponseBody>, Box<Request>>, UpgradeError> {
        if !self.takes_requests() {
            return Err(UpgradeError::NoHandler);
        }
        if let Some(left) = self.backoff.left() {
            return Err(UpgradeError::BackedOff(left));
        }
        let wanted = Wanted {
            key,
            joins: true,
            follows,
            ..Wanted::default()
        };
        let seat = match key {
            Some(_) => self.seat(wanted).map(Some),
            None => self.seat_for_request(has_waited).await,
        };
        let Some(seat) = seat.map_err(|Full| UpgradeError::Full)? else {
            return Ok(Err(request));
        };
        let leaving = Leaving(Some(Arc::clone(&request.exchange)));
        let job = |seat, reply| Job::Request(request, seat, RequestReply::new(reply));
        let answer = self.give_in(seat, &mut None, job).await;
        let outcome = answer.unwrap_or(RequestOutcome::Fault(Fault::Host));
        match outcome {
            RequestOutcome::Answered(answer) => {
                leaving.stays();
                Ok(Ok(answer))
            }
            RequestOutcome::Invalid(text) => Err(UpgradeError::Invalid(text)),
            RequestOutcome::Fault(fault) => Err(UpgradeError::Fault(fault)),
            RequestOutcome::Full => Err(UpgradeError::Full),
            RequestOutcome::Returned(again) => {
                leaving.stays();
                Ok(Err(again))
            }
        }
    }

    /// Gives an instance a job, notes which one in `asked`, and waits for the
    /// answer; there is none if the driver was dropped.
    async fn give<T>(
        self: &Arc<Self>,
        wanted: Wanted<'_>,
        asked: &mut Option<Arc<Instance>>,
        job: impl FnOnce(Seat, oneshot::Sender<T>) -> Job,
    ) -> Result<Option<T>, Full> {
        let seat = self.seat(wanted)?;
        Ok(self.give_in(seat, asked, job).await)
    }

    /// The same in an instance in which it has a seat.
    async fn give_in<T>(
        self: &Arc<Self>,
        seat: Seat,
        asked: &mut Option<Arc<Instance>>,
        job: impl FnOnce(Seat, oneshot::Sender<T>) -> Job,
    ) -> Option<T> {
        let instance = Arc::clone(asked.insert(Arc::clone(&seat.instance)));
        let (reply, answer) = oneshot::channel();
        // The one that asks is there before the job runs, which may drop it.
        let asking = Asking {
            version: self,
            instance: Arc::clone(&instance),
            answer,
        };
        if let Err(job) = instance.submit(job(seat, reply)) {
            job.give_back();
        }
        asking.answer().await
    }
}

/// A request that waits for its answer: when it is dropped, its peer has left.
struct Leaving(Option<Arc<Exchange>>);

impl Leaving {
    fn stays(mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(exchange) = &self.0 {
            exchange.forsake();
        }
    }
}

// === impl Asking ===

impl<T> Asking<'_, T> {
    /// The answer; none if the driver was dropped.
    async fn answer(mut self) -> Option<T> {
        (&mut self.answer).await.ok()
    }
}

impl<T> Drop for Asking<'_, T> {
    fn drop(&mut self) {
        if !self.answer.is_terminated() {
            self.answer.close();
            self.version.forsake(&self.instance);
        }
    }
}

// === impl Counted ===

impl Counted {
    pub(crate) fn version(&self) -> &Arc<Version> {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
