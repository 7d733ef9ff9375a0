//! What all versions of a function have in common: its connections, which
//! instance serves which affinity value, its alarms, and what it keeps.
//!
//! It outlives every version: a new one finds what the one before has left. It
//! is the function's identity: whoever makes a second one for a function that
//! still has connections, instances or alarms makes a second writer.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use openline_channels::hub::Hub;
use openline_core::digest::Digest;
use openline_core::name::FunctionName;
use openline_store::{FunctionStore, StoreError};
use tokio::sync::Notify;

use crate::alarms::{AlarmClock, Owner};
use crate::front::alias::Alias;
use crate::instance::live::Instance;
use crate::pool::seating::Pool;
use crate::pool::version::Version;
use crate::sync::{AtomicBool, Mutex, Ordering, RwLock};

/// See the module.
#[derive(Debug)]
pub struct Commons {
    name: FunctionName,
    hub: Arc<Hub>,
    store: FunctionStore,
    pub(crate) clock: Arc<AlarmClock>,
    /// Names it among those that have alarms.
    owner: Owner,
    /// The live instance of each affinity value, of whichever version: there is
    /// never more than one. Locked before a pool's state, never after it.
    pub(crate) keys: Mutex<HashMap<String, Arc<Instance>>>,
    /// Whose version alarms without a connection are given to.
    home: RwLock<Weak<Alias>>,
    /// Of its versions, as long as an alias, a connection or an instance has
    /// them.
    pools: Mutex<Vec<Weak<Pool>>>,
    /// The alarms that were kept have been taken up.
    restored: AtomicBool,
    /// No instance is made any more.
    stopping: AtomicBool,
    removed: AtomicBool,
    /// Its versions have no back-offs any more.
    lifted: AtomicBool,
    /// Told when an instance has ended.
    ended: Notify,
}

impl Commons {
    pub(crate) fn new(store: FunctionStore, name: FunctionName, clock: Arc<AlarmClock>) -> Self {
        Self {
            name,
            hub: Arc::default(),
            store,
            owner: clock.join(),
            clock,
            keys: Mutex::default(),
            home: RwLock::default(),
            pools: Mutex::default(),
            restored: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            lifted: AtomicBool::new(false),
            ended: Notify::new(),
        }
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
    pub fn versions(&self) -> Vec<Version> {
        let pools = self.pools.lock();
        let pools = pools.iter().filter_map(Weak::upgrade);
        pools.map(|pool| Version { pool }).collect()
    }

    /// Live instances of all its versions.
    pub fn instances(&self) -> u32 {
        let versions = self.versions();
        versions.iter().map(Version::instances).sum()
    }

    pub(crate) fn add(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
        drop(pools);
        // Behind the list: either it is found there, or this is seen.
        if self.lifted.load(Ordering::Acquire) {
            pool.backoff.lift();
        }
    }

    /// Connections that are bound to a version or will be with their next
    /// event, whatever its limits were when it was made.
    pub fn connections_of(&self, digest: Digest) -> u32 {
        let versions = self.versions();
        let same = versions.iter().filter(|it| it.digest() == digest);
        same.map(Version::connections).sum()
    }

    /// Gives alarms that belong to no connection to this alias from now on.
    pub fn set_home(&self, alias: &Arc<Alias>) {
        *self.home.write() = Arc::downgrade(alias);
        self.clock.serve(self.owner);
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
            self.clock.restore(self, alarms);
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
        self.clock.forget(self.owner);
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
        self.versions().iter().for_each(Version::supersede);
    }

    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    pub(crate) fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn instance_ended(&self) {
        self.ended.notify_waiters();
    }

    /// Notes that a version was removed: connections that
    /// [reconsider](openline_channels::connection::Connection::reconsider) leave
    /// it, whatever brought them there.
    pub fn remove_version(&self, digest: Digest) {
        let versions = self.versions();
        for version in versions.iter().filter(|it| it.digest() == digest) {
            version.pool.removed.store(true, Ordering::Relaxed);
        }
    }

    /// Has connections that wait for the end of a back-off look whether their
    /// alias leads elsewhere.
    pub(crate) fn wake_backed_off(&self) {
        for version in self.versions() {
            version.pool.backoff.wake();
        }
    }

    /// Ends all back-offs of its versions for good, also of those that are loaded
    /// later: the host drains, and what waits is tried now or never.
    pub fn lift_backoffs(&self) {
        self.lifted.store(true, Ordering::Release);
        for version in self.versions() {
            version.pool.backoff.lift();
        }
    }

    /// Whose version alarms without a connection are given to, if any is.
    pub(crate) fn home(&self) -> Option<Arc<Alias>> {
        self.home.read().upgrade()
    }

    /// Whether alarms have a version to go to. Drops nothing: it is asked with
    /// locks held.
    pub(crate) fn has_home(&self) -> bool {
        !self.is_stopping() && self.home.read().strong_count() > 0
    }
}

impl Drop for Commons {
    fn drop(&mut self) {
        self.clock.leave();
    }
}
