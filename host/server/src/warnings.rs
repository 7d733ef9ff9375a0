//! Warnings of a host to its operator, told when they come up and not again as
//! long as they stay: a reload repeats none of them.
//!
//! Bounded by the configuration that they are about.

use std::collections::BTreeMap;

use openline_hint::{Hint, Hinted};
use parking_lot::Mutex;

use crate::telemetry::tell;

/// What warnings are about: each topic is looked at as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Certificates that clients will not accept.
    Certificates,
    /// What the configuration and the triggers allow.
    Configuration,
}

/// The warnings that were told.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Mutex<BTreeMap<Topic, Vec<Hinted>>>);

impl Warnings {
    /// Takes all warnings about a topic, and tells those that are new.
    pub(crate) fn tell(&self, topic: Topic, warnings: Vec<Hinted>) {
        for warning in self.take(topic, warnings) {
            tell(&format!("warning: {}", warning.explained()));
        }
    }

    /// Keeps the warnings about a topic, and returns those that are new.
    fn take(&self, topic: Topic, warnings: Vec<Hinted>) -> Vec<Hinted> {
        let before = self.0.lock().insert(topic, warnings.clone());
        let before = before.unwrap_or_default();
        let new = warnings.into_iter().filter(|it| !before.contains(it));
        new.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_told_when_it_comes_up() {
        let warnings = Warnings::default();
        let warning = |what: &str| Hinted::new(what, "mend it");
        let (one, other) = (warning("one"), warning("other"));
        let all = vec![one.clone(), other.clone()];
        let take = |topic, list: &[Hinted]| warnings.take(topic, list.to_vec());
        assert_eq!(take(Topic::Configuration, &all), all);
        assert_eq!(take(Topic::Certificates, &[]), []);
        assert_eq!(take(Topic::Configuration, &all), []);
        assert_eq!(take(Topic::Configuration, &all[..1]), []);
        // It was gone for a while.
        assert_eq!(take(Topic::Configuration, &all), [other]);
        assert_eq!(take(Topic::Certificates, &all[..1]), [one]);
    }
}
