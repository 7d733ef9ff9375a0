//! What all versions of a function have in common: its connections, which
//! instance serves which affinity value, its alarms, and what it keeps.
//!
//! It outlives every version: a new one finds what the one before has left.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use openline_cluster::hub::Hub;
use openline_core::name::FunctionName;
use openline_store::Store;
use parking_lot::{Mutex, RwLock};

use crate::alarms::AlarmClock;
use crate::alias::Alias;
use crate::instance::Instance;
use crate::pool::Pool;
use crate::version::Version;

/// See the module.
#[derive(Debug)]
pub struct Commons {
    name: FunctionName,
    hub: Arc<Hub>,
    store: Store,
    pub(crate) clock: Arc<AlarmClock>,
    /// The live instance of each affinity value, of whichever version: there is
    /// never more than one. Locked before a pool's state, never after it.
    pub(crate) keys: Mutex<HashMap<String, Arc<Instance>>>,
    /// Whose version alarms without a connection are given to.
    home: RwLock<Weak<Alias>>,
    /// Of its versions, as long as an alias, a connection or an instance has
    /// them.
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl Commons {
    pub(crate) fn new(name: FunctionName, store: Store, clock: Arc<AlarmClock>) -> Self {
        Self {
            name,
            hub: Arc::default(),
            store,
            clock,
            keys: Mutex::default(),
            home: RwLock::default(),
            pools: Mutex::default(),
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
    pub fn store(&self) -> &Store {
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
    }

    /// Gives alarms that belong to no connection to this alias from now on.
    pub fn set_home(&self, alias: &Arc<Alias>) {
        *self.home.write() = Arc::downgrade(alias);
    }

    /// Forgets its alarms that belong to no connection.
    pub fn forget_alarms(&self) {
        self.clock.forget(&self.name);
    }

    /// Whose version alarms without a connection are given to, if any is.
    pub(crate) fn home(&self) -> Option<Arc<Alias>> {
        self.home.read().upgrade()
    }
}
