//! The live instance of each affinity value of a function, of whichever version:
//! there is never more than one.
//!
//! An instance is forgotten only when its guest code has stopped for good, and
//! an event for another version waits for its end. Bounded by the instances of
//! all versions. The lock is taken before a pool's, never after it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::instance::live::Instance;
use crate::sync::{Mutex, MutexGuard};

/// The live instances of a function by affinity value. `V` is a version.
#[derive(Debug)]
pub(crate) struct Keys<V> {
    live: Mutex<HashMap<String, Holder<V>>>,
}

/// What serves an affinity value.
#[derive(Debug)]
struct Holder<V> {
    version: Weak<V>,
    instance: Arc<Instance>,
}

/// The values, locked.
pub(super) struct Locked<'a, V>(MutexGuard<'a, HashMap<String, Holder<V>>>);

impl<V> Default for Keys<V> {
    fn default() -> Self {
        Self {
            live: Mutex::default(),
        }
    }
}

impl<V> Keys<V> {
    pub(super) fn lock(&self) -> Locked<'_, V> {
        Locked(self.live.lock())
    }

    /// Whether no value has an instance.
    #[allow(dead_code, reason = "for tests and models, which are no tests of this")]
    pub(crate) fn is_empty(&self) -> bool {
        self.live.lock().is_empty()
    }
}

impl<V> Locked<'_, V> {
    /// The instance that serves a value, and its version, which is there as long
    /// as its instance has not been forgotten.
    pub(super) fn get(&self, key: &str) -> Option<(Option<Arc<V>>, &Arc<Instance>)> {
        let holder = self.0.get(key)?;
        Some((holder.version.upgrade(), &holder.instance))
    }

    /// An instance is made for a value that has none.
    pub(super) fn insert(&mut self, key: &str, version: &Arc<V>, instance: &Arc<Instance>) {
        let holder = Holder {
            version: Arc::downgrade(version),
            instance: Arc::clone(instance),
        };
        self.0.insert(key.into(), holder);
    }

    /// The instance of a value has ended.
    pub(super) fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_leads_to_its_instance_and_version_until_that_has_ended() {
        let keys = Keys::default();
        let (first, second) = (Arc::new("first"), Arc::new("second"));
        let instance = |number| Arc::new(Instance::new(number, Some("room".into())));
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
        keys.lock().remove("room");
        assert!(keys.is_empty());
        keys.lock().insert("room", &second, &other);
        assert_eq!(served_by(&keys), Some((Some("second"), 2)));
        // It does not keep its version.
        drop(second);
        assert_eq!(served_by(&keys), Some((None, 2)));
    }
}
