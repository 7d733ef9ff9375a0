//! One alarm that is due: makes its call, repeats it after a failure, and
//! updates the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::AlarmClock;
use super::kept::{forget, note};
use super::owner::{Called, NO_ROOM_RETRY_AFTER, OwnerNumber};
use super::table::{Durable, Firing, Moved, Setting};
use super::ticket::AlarmCall;
use super::wall::milliseconds;

/// How often a failed call is repeated; the same as in Durable Objects.
const RETRIES_MAX: u32 = 6;
/// The time before the first repetition; it doubles with each further one.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl AlarmClock {
    /// Makes the call, and repeats it after a failure, unless the alarm was
    /// cleared or set again meanwhile.
    pub(super) async fn fire(self: Arc<Self>, firing: Firing) {
        let _ended = Ended {
            clock: &self,
            owner: firing.owner.number(),
        };
        let called = call(&firing).await;
        let (owner, id) = (&firing.owner, &firing.id);
        let _writing = self.write_lock(owner.number(), id).lock().await;
        if !self.table.lock().is_current(&firing) {
            return;
        }
        match retry(&firing, called) {
            Some((attempt, after)) => {
                let at = Instant::now() + after;
                let durable = firing.durable.then(|| Durable {
                    due_at: (self.wall)().saturating_add(milliseconds(after)),
                    by_wall: false,
                });
                // An alarm that was not called stays in the store as it was.
                if let Some(Durable { due_at, .. }) = durable
                    && called == Called::Failed
                {
                    note(&**owner, id, due_at, attempt).await;
                }
                let setting = Setting {
                    at,
                    attempt,
                    durable,
                };
                let _ = self.put(owner, id.clone(), setting);
            }
            None => {
                if firing.durable {
                    forget(&**owner, id).await;
                }
                self.table.lock().take(owner.number(), id);
            }
        }
    }

    /// Writes the new times of alarms after the wall clock was corrected.
    pub(super) async fn note_moved(self: Arc<Self>, moved: Vec<Moved>) {
        for moved in moved {
            let (owner, id) = (&moved.owner, &moved.id);
            let _writing = self.write_lock(owner.number(), id).lock().await;
            let to = self.table.lock().moved_to(&moved);
            if let Some((due_at, attempt)) = to {
                note(&**owner, id, due_at, attempt).await;
            }
        }
    }
}

/// Gives an alarm to the instance of its affinity value, or to a new one, until
/// one has begun the call.
async fn call(firing: &Firing) -> Called {
    let (key, name) = &firing.id;
    while !firing.ticket.is_cancelled() {
        let call = AlarmCall {
            name: name.clone(),
            attempt: firing.attempt,
            ticket: Arc::clone(&firing.ticket),
        };
        match firing.owner.call(key, call).await {
            None => {}
            // A job that was dropped because its alarm was cancelled ends the
            // loop.
            Some(Called::Failed) if firing.ticket.is_cancelled() => {}
            Some(called) => return called,
        }
    }
    Called::Cancelled
}

/// Gives back the place of a call, however the call ends.
struct Ended<'a> {
    clock: &'a AlarmClock,
    owner: OwnerNumber,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.clock.table.lock().end(self.owner);
        self.clock.changed.notify_one();
    }
}

/// The number of the next attempt and the time before it, if there is another
/// one.
fn retry(firing: &Firing, called: Called) -> Option<(u32, Duration)> {
    let attempt = firing.attempt;
    match called {
        Called::Done | Called::Cancelled => None,
        Called::NoRoom => Some((attempt, NO_ROOM_RETRY_AFTER)),
        Called::Failed if attempt > RETRIES_MAX => {
            let (key, name) = &firing.id;
            tracing::error!(
                function = %firing.owner.name(), key, alarm = name.as_str(),
                "an alarm is given up after {attempt} failed calls"
            );
            None
        }
        Called::Failed => {
            let doubled = attempt.saturating_sub(1).min(RETRIES_MAX);
            Some((attempt + 1, RETRY_AFTER * (1 << doubled)))
        }
    }
}

#[cfg(test)]
mod tests {
    use openline_core::name::AlarmName;

    use super::*;
    use crate::alarms::owner::Owner;
    use crate::alarms::stand_in::StandIn;
    use crate::alarms::table::{Reading, Table};

    /// An alarm of a function, about to be called for the attempt with this
    /// number.
    fn firing(function: &Arc<StandIn>, attempt: u32) -> Firing {
        let at = Instant::now();
        let mut table = Table::new(10, Reading { at, wall: 0 });
        let owner: Arc<dyn Owner> = Arc::<StandIn>::clone(function);
        let name = AlarmName::new("later").unwrap();
        let setting = Setting {
            at,
            attempt,
            durable: None,
        };
        table.put(&owner, ("key".into(), name), setting);
        table.ripen(at);
        table.begin().unwrap()
    }

    #[tokio::test]
    async fn one_that_is_given_back_is_given_to_another_instance() {
        let function = StandIn::of(&AlarmClock::default());
        function.expect([None, None, Some(Called::Done)]);
        assert_eq!(call(&firing(&function, 1)).await, Called::Done);
        assert_eq!(function.attempts(), [1, 1, 1]);
    }

    #[tokio::test]
    async fn one_that_is_taken_back_before_its_turn_has_not_failed() {
        let function = StandIn::of(&AlarmClock::default());
        function.expect([Some(Called::Cancelled)]);
        let cancelled = firing(&function, 1);
        assert_eq!(call(&cancelled).await, Called::Cancelled);
        assert_eq!(call(&cancelled).await, Called::Cancelled);
        assert_eq!(function.attempts(), [1], "it is not called again");
    }

    #[tokio::test]
    async fn what_fails_is_tried_again_for_so_many_times_and_what_finds_no_room_for_good() {
        let function = StandIn::of(&AlarmClock::default());
        for attempt in 1..=RETRIES_MAX {
            let again = retry(&firing(&function, attempt), Called::Failed);
            let after = RETRY_AFTER * 2_u32.pow(attempt - 1);
            assert_eq!(again, Some((attempt + 1, after)));
        }
        let last = firing(&function, RETRIES_MAX + 1);
        assert_eq!(retry(&last, Called::Failed), None);
        let same = Some((RETRIES_MAX + 1, NO_ROOM_RETRY_AFTER));
        assert_eq!(retry(&last, Called::NoRoom), same);
        assert_eq!(retry(&last, Called::Done), None);
    }
}
