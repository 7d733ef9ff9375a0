//! What belongs to a function's name as long as anything holds it: a
//! connection, an instance, an alarm, or its place in the configuration.
//!
//! A function may leave the configuration and come back while its connections
//! stay. It must find what it left: with a second hub and a second table of
//! affinity values there would be two writers for a value, and channels that do
//! not meet. Held weakly, so that nothing lives longer for being listed here.
//! Only a removal ends an identity early: what is still running of a removed
//! function shares nothing with the next one of its name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_engine::version::Version;
use parking_lot::Mutex;

use crate::managed::{Inherited, Managed};

/// The identities of all functions by name. One entry for each function that there is or was and that
/// something still holds.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    by_name: Mutex<BTreeMap<FunctionName, Identity>>,
}

#[derive(Debug, Default)]
struct Identity {
    commons: Weak<Commons>,
    aliases: BTreeMap<AliasName, Weak<Alias>>,
    fixed: BTreeMap<String, Weak<Alias>>,
    versions: HashMap<Digest, Weak<Version>>,
}

impl Identities {
    /// What there is of a function, if anything holds it.
    pub(crate) fn find(&self, name: &FunctionName) -> Option<Inherited> {
        let by_name = self.by_name.lock();
        by_name.get(name).and_then(Identity::upgrade)
    }

    /// What all versions of a function have in common; made if there is none.
    pub(crate) fn commons(
        &self,
        name: &FunctionName,
        make: impl FnOnce() -> Arc<Commons>,
    ) -> Arc<Commons> {
        let mut by_name = self.by_name.lock();
        by_name.retain(|_, identity| identity.commons.strong_count() > 0);
        let entry = by_name.entry(name.clone()).or_default();
        entry.commons.upgrade().unwrap_or_else(|| {
            let made = make();
            *entry = Identity {
                commons: Arc::downgrade(&made),
                ..Identity::default()
            };
            made
        })
    }

    /// Remembers what serves now, beside what is still held of before.
    pub(crate) fn note(&self, managed: &Managed) {
        let mut by_name = self.by_name.lock();
        let entry = by_name.entry(managed.config.name.clone()).or_default();
        entry.commons = Arc::downgrade(&managed.commons);
        note(&mut entry.aliases, &managed.aliases);
        note(&mut entry.fixed, &managed.fixed);
        entry.versions.retain(|_, known| known.strong_count() > 0);
        let versions = managed.versions.iter();
        entry
            .versions
            .extend(versions.map(|(digest, version)| (*digest, Arc::downgrade(version))));
    }

    /// The next function of this name is another one.
    pub(crate) fn forget(&self, name: &FunctionName) {
        self.by_name.lock().remove(name);
    }

    /// What the versions of each function have in common.
    pub(crate) fn all(&self) -> Vec<Arc<Commons>> {
        let by_name = self.by_name.lock();
        let all = by_name.values();
        all.filter_map(|identity| identity.commons.upgrade())
            .collect()
    }
}

impl Identity {
    fn upgrade(&self) -> Option<Inherited> {
        // What is held of a function holds this as well.
        if self.commons.strong_count() == 0 {
            return None;
        }
        let versions = self.versions.iter();
        Some(Inherited {
            aliases: upgrade(&self.aliases),
            fixed: upgrade(&self.fixed),
            versions: versions
                .filter_map(|(digest, version)| Some((*digest, version.upgrade()?)))
                .collect(),
        })
    }
}

fn note<K: Clone + Ord, V>(known: &mut BTreeMap<K, Weak<V>>, now: &BTreeMap<K, Arc<V>>) {
    known.retain(|_, known| known.strong_count() > 0);
    let now = now.iter();
    known.extend(now.map(|(key, value)| (key.clone(), Arc::downgrade(value))));
}

fn upgrade<K: Clone + Ord, V>(known: &BTreeMap<K, Weak<V>>) -> BTreeMap<K, Arc<V>> {
    let known = known.iter();
    known
        .filter_map(|(key, value)| Some((key.clone(), value.upgrade()?)))
        .collect()
}
