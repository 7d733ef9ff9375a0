//! The state that all versions of a function share: its connections, which
//! instance serves which affinity value, its alarms, and what it keeps.
//!
//! It outlives every version: a new one finds what the one before has left. It
//! is the function's identity: a second one for a function that still has
//! connections, instances or alarms would be a second writer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use openline_channels::channel_queue::Batch;
use openline_channels::hub::Hub;
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_store::{FunctionStore, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::keys::Keys;
use super::version::Version;
use crate::alarms::clock::AlarmClock;
use crate::alarms::owner::{Called, Calling, Owner, OwnerNumber};
use crate::alarms::ticket::AlarmCall;
use crate::instance::program::Reach;
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};

/// Where alarms that belong to no connection are given: an alias.
pub(crate) trait Home: std::fmt::Debug + Send + Sync {
    /// Gives an alarm of an affinity value to the version that it leads to.
    fn call(self: Arc<Self>, key: String, call: AlarmCall) -> Calling;

    /// Gives publications to the one instance of the channel handler.
    fn hear(self: Arc<Self>, batch: Batch) -> Calling;
}

/// The log has at most one line in so long about codes of errors.
const CODE_TOLD_EVERY: Duration = Duration::from_secs(10);

/// A function's identity.
#[derive(Debug)]
pub struct Commons {
    name: FunctionName,
    hub: Arc<Hub>,
    store: FunctionStore,
    clock: Arc<AlarmClock>,
    /// Its number among the owners of alarms.
    number: OwnerNumber,
    /// The live instance of each affinity value.
    pub(crate) keys: Keys<Version>,
    /// The alias whose version is given alarms without a connection.
    home: RwLock<Option<Weak<dyn Home>>>,
    /// As long as an alias, a connection or an instance has them.
    versions: Mutex<Vec<Weak<Version>>>,
    /// Whether the kept alarms have been taken up.
    restored: AtomicBool,
    /// Whether no more instances are made.
    stopping: AtomicBool,
    removed: AtomicBool,
    /// Its versions have no back-offs any more.
    lifted: AtomicBool,
    /// When the log was last told of an error with a wrong code.
    code_told_at: Mutex<Option<Instant>>,
    /// Told when an instance has ended.
    ended: Notify,
}

impl Commons {
    pub(crate) fn new(
        store: FunctionStore,
        name: FunctionName,
        clock: Arc<AlarmClock>,
        hub: Arc<Hub>,
    ) -> Self {
        Self {
            name,
            hub,
            store,
            number: clock.join(),
            clock,
            keys: Keys::default(),
            home: RwLock::default(),
            versions: Mutex::default(),
            restored: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            lifted: AtomicBool::new(false),
            code_told_at: Mutex::default(),
            ended: Notify::new(),
        }
    }

    /// Whether to tell the log that the function answers a call with an error whose
    /// code no client gets: at most once in ten seconds, because any peer can cause
    /// it.
    pub fn tells_of_code(&self) -> bool {
        let mut told_at = self.code_told_at.lock();
        let is_due = |at: Instant| at.elapsed() >= CODE_TOLD_EVERY;
        let tells = told_at.is_none_or(is_due);
        if tells {
            *told_at = Some(Instant::now());
        }
        tells
    }

    /// The function's name.
    pub fn name(&self) -> &FunctionName {
        &self.name
    }

    /// Its connections.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Where it keeps states and durable alarms.
    pub fn store(&self) -> &FunctionStore {
        &self.store
    }

    /// All versions that an alias, a connection or an instance has, the oldest
    /// first.
    pub fn versions(&self) -> Vec<Arc<Version>> {
        let versions = self.versions.lock();
        versions.iter().filter_map(Weak::upgrade).collect()
    }

    /// Live instances of all its versions.
    pub fn instances(&self) -> u32 {
        let versions = self.versions();
        versions.iter().map(|version| version.instances()).sum()
    }

    pub(super) fn add(&self, version: &Arc<Version>) {
        let mut versions = self.versions.lock();
        versions.retain(|version| version.strong_count() > 0);
        versions.push(Arc::downgrade(version));
        drop(versions);
        // Asked after the push: either the list shows it, or this is seen.
        if self.lifted.load(Ordering::Acquire) {
            version.backoff.lift();
        }
    }

    /// Connections that are bound to a version or will be with their next
    /// event, whatever its limits were when it was made.
    pub fn connections_of(&self, digest: Digest) -> u32 {
        let versions = self.versions();
        let same = versions.iter().filter(|it| it.digest() == digest);
        same.map(|version| version.connections()).sum()
    }

    /// Gives alarms that belong to no connection there from now on.
    pub(crate) fn set_home(&self, home: &Arc<dyn Home>) {
        *self.home.write() = Some(Arc::downgrade(home));
        self.clock.serve(self.number);
    }

    /// Takes up the alarms that were kept, once.
    ///
    /// # Errors
    ///
    /// When they cannot be read; then they are not taken up.
    pub async fn restore_alarms(self: &Arc<Self>) -> Result<(), StoreError> {
        if self.restored.load(Ordering::Acquire) {
            return Ok(());
        }
        let alarms = self.store.alarms().await?;
        if !self.restored.swap(true, Ordering::AcqRel) {
            let owner: Arc<dyn Owner> = Arc::<Self>::clone(self);
            self.clock.restore(&owner, alarms);
        }
        Ok(())
    }

    /// The function is removed: it has no more alarms, and its instances end
    /// when their calls have returned. What it has kept is forgotten before
    /// that, and what it writes from then on is refused.
    ///
    /// # Errors
    ///
    /// When that cannot be written: then nothing has changed.
    pub async fn remove(&self) -> Result<(), StoreError> {
        self.store.forget().await?;
        self.removed.store(true, Ordering::Release);
        self.clock.forget(self.number);
        self.end_instances();
        Ok(())
    }

    /// Has all instances end, each when its calls have returned and it has
    /// hibernated, and makes no more: the process is about to end. Alarms wait
    /// for the next one.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.end_instances();
    }

    /// Waits until there is no instance.
    pub async fn ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.instances() == 0 {
                return;
            }
            ended.await;
        }
    }

    fn end_instances(&self) {
        let versions = self.versions();
        versions.iter().for_each(|version| version.supersede());
    }

    /// Whether it has been [removed](Self::remove).
    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn instance_ended(&self) {
        self.ended.notify_waiters();
    }

    /// Notes that a version was removed: connections that
    /// [reconsider](openline_channels::connection::Connection::reconsider) leave
    /// it, whatever brought them there.
    pub fn remove_version(&self, digest: Digest) {
        let versions = self.versions();
        for version in versions.iter().filter(|it| it.digest() == digest) {
            version.removed.store(true, Ordering::Relaxed);
        }
    }

    /// Has connections that wait for the end of a back-off look whether their
    /// alias leads elsewhere.
    pub(crate) fn wake_backed_off(&self) {
        for version in self.versions() {
            version.backoff.wake();
        }
    }

    /// Ends all back-offs of its versions for good, also of those that are loaded
    /// later: the host drains, and what waits is tried now or never.
    pub fn lift_backoffs(&self) {
        self.lifted.store(true, Ordering::Release);
        for version in self.versions() {
            version.backoff.lift();
        }
    }

    /// Gives publications to the function; `None` as for an alarm.
    pub(super) async fn hear(&self, batch: Batch) -> Option<Called> {
        let home = self.home.read().as_ref().and_then(Weak::upgrade);
        match home {
            Some(home) => home.hear(batch).await,
            None => Some(Called::NoRoom),
        }
    }

    /// What a guest of any of its versions can reach.
    pub(crate) fn reach(self: &Arc<Self>) -> Reach {
        Reach {
            hub: Arc::clone(&self.hub),
            clock: Arc::clone(&self.clock),
            owner: Arc::<Self>::clone(self),
        }
    }
}

impl Owner for Commons {
    fn number(&self) -> OwnerNumber {
        self.number
    }

    fn name(&self) -> &FunctionName {
        &self.name
    }

    fn store(&self) -> &FunctionStore {
        &self.store
    }

    fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    fn is_served(&self) -> bool {
        let has = |home: &Weak<dyn Home>| home.strong_count() > 0;
        !self.is_stopping() && self.home.read().as_ref().is_some_and(has)
    }

    fn call(&self, key: &str, call: AlarmCall) -> Calling {
        let home = self.home.read().as_ref().and_then(Weak::upgrade);
        match home {
            Some(home) => home.call(key.to_owned(), call),
            None => Box::pin(async { Some(Called::NoRoom) }),
        }
    }
}

impl Drop for Commons {
    fn drop(&mut self) {
        self.clock.leave();
    }
}

#[cfg(test)]
mod tests {
    use openline_core::name::AlarmName;
    use openline_store::Store;

    use super::*;

    fn hub() -> Arc<Hub> {
        Arc::new(Hub::alone())
    }

    fn commons() -> Arc<Commons> {
        let name = FunctionName::new("function").unwrap();
        let store = Store::memory(0).function(&name);
        Arc::new(Commons::new(store, name, Arc::default(), hub()))
    }

    fn alarm() -> AlarmCall {
        AlarmCall {
            name: AlarmName::new("later").unwrap(),
            attempt: 1,
            ticket: Arc::default(),
        }
    }

    /// Handles all alarms of one affinity value.
    #[derive(Debug)]
    struct Handler(&'static str);

    impl Home for Handler {
        fn call(self: Arc<Self>, key: String, _call: AlarmCall) -> Calling {
            Box::pin(async move { (key == self.0).then_some(Called::Done) })
        }

        fn hear(self: Arc<Self>, _batch: Batch) -> Calling {
            Box::pin(async { Some(Called::Done) })
        }
    }

    #[tokio::test]
    async fn codes_of_errors_are_told_once_in_a_while() {
        let commons = commons();
        assert!(commons.tells_of_code());
        assert!(!commons.tells_of_code());
    }

    #[tokio::test]
    async fn alarms_go_to_the_home_that_was_set_last_as_long_as_it_is_there() {
        let commons = commons();
        assert!(!commons.is_served());
        assert_eq!(commons.call("key", alarm()).await, Some(Called::NoRoom));
        let first: Arc<dyn Home> = Arc::new(Handler("other key"));
        let second: Arc<dyn Home> = Arc::new(Handler("key"));
        commons.set_home(&first);
        assert_eq!(commons.call("key", alarm()).await, None);
        commons.set_home(&second);
        assert!(commons.is_served());
        assert_eq!(commons.call("key", alarm()).await, Some(Called::Done));
        drop(second);
        assert!(!commons.is_served());
        assert_eq!(commons.call("key", alarm()).await, Some(Called::NoRoom));
    }

    #[test]
    fn a_function_that_stops_is_given_no_alarms() {
        let commons = commons();
        let home: Arc<dyn Home> = Arc::new(Handler("key"));
        commons.set_home(&home);
        commons.stop();
        assert!(!commons.is_served());
    }

    #[test]
    fn a_function_is_counted_as_long_as_anything_holds_it() {
        let clock = Arc::new(AlarmClock::default());
        let name = FunctionName::new("function").unwrap();
        let store = Store::memory(0).function(&name);
        let commons = Arc::new(Commons::new(store, name, Arc::clone(&clock), hub()));
        let reach = commons.reach();
        drop(commons);
        assert_eq!(clock.functions(), 1, "a guest may still set an alarm");
        drop(reach);
        assert_eq!(clock.functions(), 0);
    }
}
