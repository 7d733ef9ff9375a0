//! Faults in a row of all instances of a version. Handled messages or a handled
//! alarm reset the count.
//!
//! Other calls do not: a function that traps at each message usually accepts the
//! peer that comes back.

use crate::sync::{AtomicU32, Ordering};

/// A count of faults without messages handled between them.
#[derive(Debug, Default)]
pub(crate) struct FaultsInARow(AtomicU32);

impl FaultsInARow {
    /// Notes that messages or an alarm were handled.
    pub(crate) fn succeed(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a fault has ended an instance. Returns the number of faults
    /// in a row.
    pub(crate) fn fail(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_begins_the_count_anew() {
        let faults = FaultsInARow::default();
        assert_eq!([faults.fail(), faults.fail()], [1, 2]);
        faults.succeed();
        faults.succeed();
        assert_eq!(faults.fail(), 1);
    }
}
