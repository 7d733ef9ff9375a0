//! The live instance of each affinity value of a function, of whichever version:
//! there is never more than one.
//!
//! An instance is forgotten only when its guest code has stopped for good; the
//! next one of its value may be queued before that, and is then what serves the
//! value. Bounded by the instances of all versions, live and queued. The lock is
//! taken before a pool's, never after it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::instance::live::Instance;
use crate::sync::{Mutex, MutexGuard, Ordering};

/// The instances of a function by affinity value, the last one made last: the
/// ones before it end, and it begins behind them. `V` is a version.
#[derive(Debug)]
pub(crate) struct Keys<V> {
    holders: Mutex<HashMap<String, Vec<Holder<V>>>>,
}

/// The instance that serves an affinity value, with its version.
#[derive(Debug)]
struct Holder<V> {
    version: Weak<V>,
    instance: Arc<Instance>,
}

/// The values, locked.
pub(super) struct Locked<'a, V>(MutexGuard<'a, HashMap<String, Vec<Holder<V>>>>);

impl<V> Default for Keys<V> {
    fn default() -> Self {
        Self {
            holders: Mutex::default(),
        }
    }
}

impl<V> Keys<V> {
    pub(super) fn lock(&self) -> Locked<'_, V> {
        Locked(self.holders.lock())
    }

    /// Whether no value has an instance.
    #[allow(dead_code, reason = "for tests and models, which are no tests of this")]
    pub(crate) fn is_empty(&self) -> bool {
        self.holders.lock().is_empty()
    }
}

impl<V> Locked<'_, V> {
    /// The instance that serves a value, or will, and its version, which is there
    /// as long as its instance was not removed.
    pub(super) fn get(&self, key: &str) -> Option<(Option<Arc<V>>, &Arc<Instance>)> {
        let holder = self.0.get(key)?.last()?;
        Some((holder.version.upgrade(), &holder.instance))
    }

    /// An instance is made for a value that has none, or whose instance ends.
    pub(super) fn insert(&mut self, key: &str, version: &Arc<V>, instance: &Arc<Instance>) {
        let holder = Holder {
            version: Arc::downgrade(version),
            instance: Arc::clone(instance),
        };
        let holders = self.0.entry(key.into()).or_default();
        let is_first = holders.is_empty();
        instance.is_unblocked.store(is_first, Ordering::Relaxed);
        holders.push(holder);
    }

    /// An instance has ended, or will not begin. Its value may have the next one
    /// already, or still have the one before.
    pub(super) fn remove(&mut self, instance: &Arc<Instance>) {
        let Some(key) = &instance.key else { return };
        if let Some(holders) = self.0.get_mut(key) {
            holders.retain(|holder| !Arc::ptr_eq(&holder.instance, instance));
            match holders.first() {
                Some(next) => next.instance.is_unblocked.store(true, Ordering::Relaxed),
                None => drop(self.0.remove(key)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::live::Lane;

    #[test]
    fn a_value_leads_to_its_instance_and_version_until_that_has_ended() {
        let keys = Keys::default();
        let (first, second) = (Arc::new("first"), Arc::new("second"));
        let instance =
            |number| Arc::new(Instance::new(number, Some("room".into()), Lane::default()));
        let (one, other) = (instance(1), instance(2));
        let served_by = |keys: &Keys<&'static str>| {
            let keys = keys.lock();
            let (version, instance) = keys.get("room")?;
            Some((version.map(|version| *version), instance.number))
        };
        assert_eq!(served_by(&keys), None);
        keys.lock().insert("room", &first, &one);
        assert_eq!(served_by(&keys), Some((Some("first"), 1)));
        assert!(keys.lock().get("other room").is_none());
        // The next one waits for the end of the first, which changes nothing
        // for it.
        keys.lock().insert("room", &second, &other);
        let is_unblocked = |instance: &Instance| instance.is_unblocked.load(Ordering::Relaxed);
        assert!(is_unblocked(&one) && !is_unblocked(&other));
        keys.lock().remove(&one);
        assert!(is_unblocked(&other));
        assert_eq!(served_by(&keys), Some((Some("second"), 2)));
        // A third will not begin: the second still serves.
        let third = instance(3);
        keys.lock().insert("room", &first, &third);
        assert_eq!(served_by(&keys), Some((Some("first"), 3)));
        keys.lock().remove(&third);
        assert_eq!(served_by(&keys), Some((Some("second"), 2)));
        // It does not keep its version.
        drop(second);
        assert_eq!(served_by(&keys), Some((None, 2)));
        keys.lock().remove(&other);
        assert!(keys.is_empty());
    }
}
