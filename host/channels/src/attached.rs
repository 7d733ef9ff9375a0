//! The data that a function keeps with one connection: an attachment, alarms,
//! and automatic responses of its own.
//!
//! It is boxed and made only when needed, so a connection without any of it
//! pays for one pointer. Bounded by the function's `attachment_bytes`, `alarms`
//! and `auto_responses`, and for all connections together by the host's
//! `attached_bytes`.

use std::sync::Arc;

use bytes::Bytes;
use openline_core::limits::FunctionLimits;
use openline_core::name::AlarmName;
use tokio::time::Instant;

use crate::budget::{ATTACHED_OVERHEAD_BYTES, Budget, Exhausted, Pairs};

/// Why something was not kept with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// More than the function's limit: tags, alarms or automatic responses.
    TooMany,
    /// One of them is larger than it may be.
    TooBig,
    /// All connections of the host together keep `attached_bytes`.
    HostFull,
    /// The connection is closing or closed.
    Gone,
}

/// The data kept with one connection; allocated only when there is some.
#[derive(Debug, Default)]
pub(crate) struct Attached(Option<Box<Things>>);

#[derive(Debug, Default)]
struct Things {
    attachment: Bytes,
    /// In the order in which they were first set.
    alarms: Vec<Alarm>,
    pairs: Option<Arc<Pairs>>,
}

#[derive(Debug)]
struct Alarm {
    name: AlarmName,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// For its moment.
    Waits(Instant),
    /// Its call waits to begin; until it does, it can be cleared or set again.
    Taken,
}

impl Attached {
    pub(crate) fn attachment(&self) -> Bytes {
        let things = self.0.as_ref();
        things
            .map(|things| things.attachment.clone())
            .unwrap_or_default()
    }

    /// Replaces the attachment.
    pub(crate) fn set_attachment(
        &mut self,
        bytes: Bytes,
        budget: &Budget,
    ) -> Result<(), AttachError> {
        if bytes.is_empty() && self.0.is_none() {
            return Ok(());
        }
        self.change(|things| {
            budget.change(attachment_cost(&things.attachment), attachment_cost(&bytes))?;
            things.attachment = bytes;
            Ok(())
        })
    }

    /// Sets an alarm for a moment, or moves it there.
    pub(crate) fn set_alarm(
        &mut self,
        name: AlarmName,
        due: Instant,
        limits: &FunctionLimits,
        budget: &Budget,
    ) -> Result<(), AttachError> {
        self.change(|things| {
            if let Some(alarm) = things.alarms.iter_mut().find(|alarm| alarm.name == name) {
                alarm.stage = Stage::Waits(due);
                return Ok(());
            }
            if things.alarms.len() >= limits.alarms as usize {
                return Err(AttachError::TooMany);
            }
            let stage = Stage::Waits(due);
            let alarm = Alarm { name, stage };
            budget.change(0, alarm.cost())?;
            things.alarms.push(alarm);
            Ok(())
        })
    }

    pub(crate) fn clear_alarm(&mut self, name: &AlarmName, budget: &Budget) {
        self.forget_alarms(budget, |alarm| alarm.name == *name);
    }

    pub(crate) fn clear_alarms(&mut self, budget: &Budget) {
        self.forget_alarms(budget, |_| true);
    }

    /// When the next alarm is due.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        let alarms = self.0.as_ref()?.alarms.iter();
        alarms.filter_map(Alarm::due).min()
    }

    /// Takes the alarm that is due first, if one is due. Among alarms for the
    /// same moment, it takes the one that was set first. The alarm stays in the
    /// list until its call [begins](Attached::begin_alarm).
    pub(crate) fn take_alarm(&mut self, now: Instant) -> Option<AlarmName> {
        let alarms = self.0.as_mut()?.alarms.iter_mut();
        let due = alarms.filter(|alarm| alarm.due().is_some_and(|due| due <= now));
        let alarm = due.min_by_key(|alarm| alarm.due())?;
        alarm.stage = Stage::Taken;
        Some(alarm.name.clone())
    }

    /// Begins the call of a taken alarm; `false` if the alarm was cleared or
    /// set again since it was taken.
    pub(crate) fn begin_alarm(&mut self, name: &AlarmName, budget: &Budget) -> bool {
        let mut begins = false;
        self.forget_alarms(budget, |alarm| {
            let begun = alarm.due().is_none() && alarm.name == *name;
            begins |= begun;
            begun
        });
        begins
    }

    /// The connection's own automatic responses, if it has any.
    pub(crate) fn pairs(&self) -> Option<Arc<Pairs>> {
        self.0.as_ref()?.pairs.clone()
    }

    pub(crate) fn set_pairs(&mut self, pairs: Option<Arc<Pairs>>) {
        if pairs.is_some() || self.0.is_some() {
            self.0.get_or_insert_default().pairs = pairs;
            self.prune();
        }
    }

    /// Drops everything, and returns its bytes to the budget.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        self.clear_alarms(budget);
        if let Some(things) = self.0.take() {
            budget.give_back(attachment_cost(&things.attachment));
        }
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut Things) -> Result<(), AttachError>,
    ) -> Result<(), AttachError> {
        let changed = change(self.0.get_or_insert_default());
        self.prune();
        changed
    }

    fn forget_alarms(&mut self, budget: &Budget, mut forgotten: impl FnMut(&Alarm) -> bool) {
        let Some(things) = &mut self.0 else { return };
        things.alarms.retain(|alarm| {
            let forget = forgotten(alarm);
            if forget {
                budget.give_back(alarm.cost());
            }
            !forget
        });
        self.prune();
    }

    fn prune(&mut self) {
        self.0.take_if(|things| {
            things.attachment.is_empty() && things.alarms.is_empty() && things.pairs.is_none()
        });
    }
}

impl Alarm {
    /// Its moment, as long as it waits for that.
    fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Waits(due) => Some(due),
            Stage::Taken => None,
        }
    }

    fn cost(&self) -> usize {
        self.name.as_str().len() + ATTACHED_OVERHEAD_BYTES
    }
}

fn attachment_cost(bytes: &Bytes) -> usize {
    match bytes.len() {
        0 => 0,
        some => some + ATTACHED_OVERHEAD_BYTES,
    }
}

impl From<Exhausted> for AttachError {
    fn from(_: Exhausted) -> Self {
        Self::HostFull
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn name(index: usize) -> AlarmName {
        AlarmName::new(&index.to_string()).unwrap()
    }

    #[test]
    fn alarms_are_taken_when_they_are_due_in_their_order_and_once() {
        let (mut attached, budget) = (Attached::default(), Budget::new(10_000));
        let limits = FunctionLimits::default();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        for (index, seconds) in [(0, 3), (1, 1), (2, 2), (3, 2), (4, 9)] {
            attached
                .set_alarm(name(index), at(seconds), &limits, &budget)
                .unwrap();
        }
        attached
            .set_alarm(name(0), at(4), &limits, &budget)
            .unwrap();
        attached.clear_alarm(&name(4), &budget);
        attached.clear_alarm(&name(5), &budget);
        assert_eq!(attached.next_alarm(), Some(at(1)));
        assert_eq!(attached.take_alarm(now), None);
        let taken: Vec<_> = (0..5).map(|_| attached.take_alarm(at(4))).collect();
        let expected = [Some(1), Some(2), Some(3), Some(0), None];
        assert_eq!(taken, expected.map(|index| index.map(name)));
        assert!(attached.next_alarm().is_none());
        for index in 0..4 {
            assert!(attached.begin_alarm(&name(index), &budget));
            assert!(!attached.begin_alarm(&name(index), &budget), "once");
        }
        assert!(attached.0.is_none());
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_alarm_that_is_cleared_or_set_anew_before_its_call_begins_is_not_called() {
        let (mut attached, budget) = (Attached::default(), Budget::new(10_000));
        let limits = FunctionLimits::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        for index in 0..3 {
            attached
                .set_alarm(name(index), now, &limits, &budget)
                .unwrap();
            assert_eq!(attached.take_alarm(now), Some(name(index)));
        }
        assert!(budget.used() > 0, "they are kept until they begin");
        attached.clear_alarm(&name(0), &budget);
        attached
            .set_alarm(name(1), later, &limits, &budget)
            .unwrap();
        let begun: Vec<_> = (0..3)
            .map(|index| attached.begin_alarm(&name(index), &budget))
            .collect();
        assert_eq!(begun, [false, false, true]);
        assert_eq!(attached.next_alarm(), Some(later));
        assert_eq!(attached.take_alarm(later), Some(name(1)));
        attached.clear_alarms(&budget);
        assert!(!attached.begin_alarm(&name(1), &budget));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn alarms_at_their_number_and_one_past_it() {
        let (mut attached, budget) = (Attached::default(), Budget::new(10_000));
        let limits = FunctionLimits {
            alarms: 2,
            ..FunctionLimits::default()
        };
        let now = Instant::now();
        let mut set = |index| attached.set_alarm(name(index), now, &limits, &budget);
        assert_eq!(set(0), Ok(()));
        assert_eq!(set(1), Ok(()));
        assert_eq!(set(2), Err(AttachError::TooMany));
        assert_eq!(set(1), Ok(()), "moving one is always possible");
        attached.clear(&budget);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_host_s_budget_at_its_limit_and_one_past_it() {
        let limits = FunctionLimits::default();
        let (mut attached, now) = (Attached::default(), Instant::now());
        let budget = Budget::new(100 + 1 + 2 * ATTACHED_OVERHEAD_BYTES);
        let bytes = |count: usize| Bytes::from(vec![1; count]);
        attached.set_attachment(bytes(100), &budget).unwrap();
        attached.set_alarm(name(1), now, &limits, &budget).unwrap();
        assert_eq!(
            attached.set_attachment(bytes(101), &budget),
            Err(AttachError::HostFull)
        );
        assert_eq!(attached.attachment(), bytes(100), "it stays as it was");
        assert_eq!(
            attached.set_alarm(name(2), now, &limits, &budget),
            Err(AttachError::HostFull)
        );
        attached.set_attachment(Bytes::new(), &budget).unwrap();
        attached.set_alarm(name(2), now, &limits, &budget).unwrap();
        attached.clear(&budget);
        assert_eq!(budget.used(), 0);
    }
}
