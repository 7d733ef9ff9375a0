//! One alarm that is due: has it handled, tries again what fails, and keeps the
//! store in step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::clock::AlarmClock;
use super::kept::{forget, note};
use super::owner::{Called, OwnerNumber};
use super::table::{Durable, Firing, Moved, Setting};
use super::ticket::AlarmCall;
use super::wall::milliseconds;

/// How often an alarm whose call failed is tried again; as Durable Objects do.
const RETRIES_MAX: u32 = 6;
/// After what time the first time; each further one doubles it.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// After what time an alarm is tried again that found no room.
const NO_ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);

impl AlarmClock {
    /// Has it handled, and tries again what fails, unless it was taken back or
    /// set anew meanwhile.
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
                // One that was not called is in the store as it was: due.
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

    /// Writes when alarms are due by a wall clock that was put right.
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
/// one has begun it.
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
            // A job that was dropped because it is cancelled ends the loop.
            Some(Called::Failed) if firing.ticket.is_cancelled() => {}
            Some(called) => return called,
        }
    }
    Called::Cancelled
}

/// Gives the place of a call back, however it ends.
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

/// Which attempt is next and after what time, if it is tried again.
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
