//! How much work an evaluation may be, and how much it has been.
//!
//! Work is counted in units, and never in time, so that a busy machine refuses no
//! request that an idle one lets pass. A unit is one step of the slower way to
//! search for an [expression](crate::pattern), or four bytes that are read: about
//! 5 ns on a server of today. Bounded by [`STEP_WORK_MAX`], [`SEARCH_WORK_MAX`],
//! [`WARM_UP_WORK_MAX`] and [`REQUEST_WORK_MAX`].

use crate::limits::{REQUEST_WORK_MAX, SEARCH_WORK_MAX, STEP_WORK_MAX, WARM_UP_WORK_MAX};

/// What every criterion costs, whatever it compares.
const CRITERION: usize = 8;

/// Bytes that are read for one unit.
const BYTES: usize = 4;

/// Counts the work for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Meter {
    /// What the request has left.
    request: usize,
    /// What the step has left.
    step: usize,
    /// What the criterion has left.
    criterion: usize,
    /// What the request may still add to the memory of expressions.
    warm_up: usize,
}

/// The work that was left is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exceeded;

impl Meter {
    /// For a request.
    pub(crate) fn new() -> Self {
        Self {
            request: REQUEST_WORK_MAX,
            step: STEP_WORK_MAX,
            criterion: SEARCH_WORK_MAX,
            warm_up: WARM_UP_WORK_MAX,
        }
    }

    /// Begins a step, after others had their turn.
    pub(crate) fn begin_step(&mut self) {
        self.step = STEP_WORK_MAX;
    }

    /// Whether others are to have their turn before the next criterion.
    pub(crate) fn is_step_over(&self) -> bool {
        self.step == 0
    }

    /// Begins a criterion.
    pub(crate) fn begin_criterion(&mut self) -> Result<(), Exceeded> {
        self.criterion = SEARCH_WORK_MAX;
        self.take(CRITERION)
    }

    /// Counts bytes that are read once.
    pub(crate) fn read(&mut self, bytes: usize) -> Result<(), Exceeded> {
        self.take(bytes.div_ceil(BYTES))
    }

    /// Counts units.
    pub(crate) fn take(&mut self, units: usize) -> Result<(), Exceeded> {
        let request = self.request.checked_sub(units).ok_or(Exceeded)?;
        let criterion = self.criterion.checked_sub(units).ok_or(Exceeded)?;
        self.request = request;
        self.criterion = criterion;
        self.step = self.step.saturating_sub(units);
        Ok(())
    }

    /// Counts units for something that an expression will remember. `None` if the
    /// request may not add more.
    pub(crate) fn warm_up(&mut self, units: usize) -> Option<Result<(), Exceeded>> {
        self.warm_up = self.warm_up.checked_sub(units)?;
        Some(self.take(units))
    }

    /// The units that were counted.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        REQUEST_WORK_MAX - self.request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_at_it_and_one_past_it() {
        let mut meter = Meter::new();
        meter.begin_criterion().unwrap();
        let left = SEARCH_WORK_MAX - CRITERION;
        assert_eq!(meter.take(left + 1), Err(Exceeded));
        assert_eq!(meter.take(left), Ok(()));
        assert_eq!(meter.take(1), Err(Exceeded));
        // Another criterion may do as much, until the request may not.
        let mut criteria = 1;
        while meter.begin_criterion().is_ok() && meter.take(left).is_ok() {
            criteria += 1;
        }
        assert_eq!(criteria, REQUEST_WORK_MAX / SEARCH_WORK_MAX);

        let mut meter = Meter::new();
        meter.take(STEP_WORK_MAX - 1).unwrap();
        assert!(!meter.is_step_over());
        meter.take(1).unwrap();
        assert!(meter.is_step_over());
        meter.begin_step();
        assert!(!meter.is_step_over());

        let mut meter = Meter::new();
        assert_eq!(meter.warm_up(WARM_UP_WORK_MAX + 1), None);
        assert_eq!(meter.warm_up(WARM_UP_WORK_MAX), Some(Ok(())));
        assert_eq!(meter.warm_up(1), None);
        meter.read(BYTES + 1).unwrap();
        assert_eq!(meter.taken(), WARM_UP_WORK_MAX + 2);
    }
}
