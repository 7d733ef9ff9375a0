//! The identity of a function: what its name stands for as long as a
//! connection, an instance, an alarm or the configuration holds it.
//!
//! A function may leave the configuration and come back while its connections
//! stay. It must then find its old hub and its old table of affinity values:
//! with new ones a value could have two writers, and the subscribers of one
//! channel would be split. The references here are weak, so that listing an
//! identity does not keep it alive. Only a removal ends an identity early:
//! whatever still runs of a removed function shares nothing with the next
//! function of that name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use openline_core::digest::Digest;
use openline_core::name::{AliasName, FunctionName};
use openline_engine::alias::Alias;
use openline_engine::commons::Commons;
use openline_engine::version::Version;
use parking_lot::Mutex;

use crate::managed::{Inherited, Managed};

/// The identities of all functions by name: one entry for each function,
/// present or past, that something still holds.
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
    /// The surviving parts of a function, if anything holds them.
    pub(crate) fn find(&self, name: &FunctionName) -> Option<Inherited> {
        let by_name = self.by_name.lock();
        by_name.get(name).and_then(Identity::upgrade)
    }

    /// The state that all versions of a function share; made if it does not
    /// exist.
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

    /// Remembers the function that serves now, in addition to what is still
    /// held from before.
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

    /// Forgets an identity, so that the next function of this name is another
    /// one.
    pub(crate) fn forget(&self, name: &FunctionName) {
        self.by_name.lock().remove(name);
    }

    /// The state that the versions of each function share.
    pub(crate) fn all(&self) -> Vec<Arc<Commons>> {
        let by_name = self.by_name.lock();
        let all = by_name.values();
        all.filter_map(|identity| identity.commons.upgrade())
            .collect()
    }
}

impl Identity {
    fn upgrade(&self) -> Option<Inherited> {
        // Everything that belongs to a function also holds its `Commons`.
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
