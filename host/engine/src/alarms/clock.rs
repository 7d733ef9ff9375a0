//! The alarms of all functions, and the task that calls for them when they are
//! due.

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use openline_core::name::AlarmName;
use openline_store::StoredAlarm;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kept::forget;
use super::owner::{Owner, OwnerNumber};
use super::table::{AlarmError, AlarmId, Durable, Reading, Setting, Table};
use super::wall::{WallClock, milliseconds, unix_milliseconds, until};

/// How often to check the wall clock while a durable alarm waits. When the
/// clock is corrected, an alarm is at most this much late.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// How many locks affinity values share: enough that writes of different values
/// rarely wait for each other.
const WRITE_LOCKS: usize = 64;

/// The alarms of all functions and the task that calls them.
pub(crate) struct AlarmClock {
    pub(super) table: Mutex<Table>,
    pub(super) changed: Notify,
    /// Whether its task has been started.
    running: Mutex<bool>,
    writes: [tokio::sync::Mutex<()>; WRITE_LOCKS],
    /// How many functions there have been, and how many there are.
    owners: (AtomicU64, AtomicUsize),
    pub(super) wall: WallClock,
}

/// An alarm to set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) after: Duration,
    pub(crate) durable: bool,
    /// How many alarms an affinity value may have.
    pub(crate) per_key: u32,
}

impl Default for AlarmClock {
    fn default() -> Self {
        Self::new(u32::MAX)
    }
}

impl AlarmClock {
    pub(crate) fn new(most: u32) -> Self {
        Self::with_wall(most, Box::new(unix_milliseconds))
    }

    fn with_wall(most: u32, wall: WallClock) -> Self {
        let read = Reading {
            at: Instant::now(),
            wall: wall(),
        };
        Self {
            table: Mutex::new(Table::new(most, read)),
            changed: Notify::new(),
            running: Mutex::new(false),
            writes: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            owners: Default::default(),
            wall,
        }
    }

    /// Adds a function, which may have alarms here.
    pub(crate) fn join(&self) -> OwnerNumber {
        self.owners.1.fetch_add(1, Ordering::Relaxed);
        self.owners.0.fetch_add(1, Ordering::Relaxed)
    }

    /// Removes a function.
    pub(crate) fn leave(&self) {
        self.owners.1.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many functions there are.
    pub(crate) fn functions(&self) -> usize {
        self.owners.1.load(Ordering::Relaxed)
    }

    /// How many alarms wait or are being handled.
    pub(crate) fn alarms(&self) -> usize {
        self.table.lock().alarms()
    }

    /// Sets an alarm of an affinity value, or moves it. A durable alarm is
    /// written when this returns.
    pub(crate) async fn set(
        self: &Arc<Self>,
        owner: &Arc<dyn Owner>,
        key: &str,
        name: AlarmName,
        wish: Wish,
    ) -> Result<(), AlarmError> {
        let id = (key.to_owned(), name);
        let _writing = self.write_lock(owner.number(), &id).lock().await;
        let functions = self.owners.1.load(Ordering::Relaxed);
        let room = |table: &Table| table.has_room(owner.number(), &id, wish.per_key, functions);
        room(&self.table.lock())?;
        let at = Instant::now() + wish.after;
        let durable = wish.durable.then(|| Durable {
            due_at: (self.wall)().saturating_add(milliseconds(wish.after)),
            by_wall: false,
        });
        if let Some(Durable { due_at, .. }) = durable {
            let (key, name) = &id;
            let kept = owner.store().keep_alarm(key, name, due_at, 1).await;
            kept.map_err(|_| AlarmError::Unavailable)?;
        }
        let setting = Setting {
            at,
            attempt: 1,
            durable,
        };
        let before = self.put(owner, id.clone(), setting)?;
        if before.is_some() && !wish.durable {
            forget(&**owner, &id).await;
        }
        Ok(())
    }

    /// Clears an alarm. A durable alarm is removed from the store when this
    /// returns.
    pub(crate) async fn clear(&self, owner: &dyn Owner, key: &str, name: &AlarmName) {
        let id = (key.to_owned(), name.clone());
        let _writing = self.write_lock(owner.number(), &id).lock().await;
        let taken = self.table.lock().take(owner.number(), &id);
        if taken.is_some() {
            forget(owner, &id).await;
        }
    }

    /// Held while the alarms of an affinity value change, so that the store and
    /// the table change together. Otherwise a late removal could remove an
    /// alarm that was set after it.
    pub(super) fn write_lock(
        &self,
        owner: OwnerNumber,
        (key, _): &AlarmId,
    ) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (owner, key).hash(&mut hasher);
        let locks = self.writes.len() as u64;
        // The remainder is less than the number of locks.
        &self.writes[usize::try_from(hasher.finish() % locks).unwrap_or(0)]
    }

    /// Restores stored alarms. Those that have become due meanwhile are due
    /// now.
    pub(crate) fn restore(self: &Arc<Self>, owner: &Arc<dyn Owner>, alarms: Vec<StoredAlarm>) {
        for alarm in alarms {
            let setting = Setting {
                at: Instant::now() + until(alarm.due_at, (self.wall)()),
                attempt: alarm.attempt,
                durable: Some(Durable {
                    due_at: alarm.due_at,
                    by_wall: true,
                }),
            };
            // If the function is being removed, no alarm is set.
            let _ = self.put(owner, (alarm.key, alarm.name), setting);
        }
    }

    /// Forgets all alarms of a function that sets no more.
    pub(crate) fn forget(&self, owner: OwnerNumber) {
        self.table.lock().forget(owner);
    }

    /// Notes that a function is served: alarms that became due before are
    /// called now.
    pub(crate) fn serve(&self, owner: OwnerNumber) {
        self.table.lock().line_up(owner);
        self.changed.notify_one();
    }

    pub(super) fn put(
        self: &Arc<Self>,
        owner: &Arc<dyn Owner>,
        id: AlarmId,
        setting: Setting,
    ) -> Result<Option<Durable>, AlarmError> {
        let mut table = self.table.lock();
        // Check with the lock held: an alarm that is set before the removal is
        // forgotten after it.
        if owner.is_removed() {
            return Err(AlarmError::Unavailable);
        }
        let before = table.put(owner, id, setting);
        drop(table);
        if !std::mem::replace(&mut *self.running.lock(), true) {
            tokio::spawn(run(Arc::clone(self)));
        }
        self.changed.notify_one();
        Ok(before)
    }

    /// Begins the calls that are due, as far as there is room, and returns when
    /// to check again.
    fn begin_due(self: &Arc<Self>) -> Option<Instant> {
        let now = Reading {
            at: Instant::now(),
            wall: (self.wall)(),
        };
        let mut table = self.table.lock();
        let moved = table.compare_clocks(now);
        let next = table.ripen(now.at);
        let begun: Vec<_> = std::iter::from_fn(|| table.begin()).collect();
        let clocks = table.has_durable().then(|| now.at + CLOCK_INTERVAL);
        drop(table);
        for firing in begun {
            tokio::spawn(Arc::clone(self).fire(firing));
        }
        if !moved.is_empty() {
            tokio::spawn(Arc::clone(self).note_moved(moved));
        }
        next.into_iter().chain(clocks).min()
    }
}

impl fmt::Debug for AlarmClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlarmClock").finish_non_exhaustive()
    }
}

/// Runs whenever an alarm becomes due or a call has ended.
async fn run(clock: Arc<AlarmClock>) {
    loop {
        let changed = clock.changed.notified();
        match clock.begin_due() {
            Some(at) => {
                let _ = tokio::time::timeout_at(at, changed).await;
            }
            None => changed.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::stand_in::StandIn;

    #[tokio::test]
    async fn the_wall_clock_is_looked_at_as_long_as_a_durable_alarm_waits() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let wall = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&wall);
        let clock = AlarmClock::with_wall(10, Box::new(move || read.load(Ordering::Relaxed)));
        let clock = Arc::new(clock);
        // The test does the work of the task.
        *clock.running.lock() = true;
        let function = StandIn::of(&clock);
        let owner: Arc<dyn Owner> = Arc::<StandIn>::clone(&function);
        let alarm = |due_at| StoredAlarm {
            function: function.name().clone(),
            key: String::new(),
            name: AlarmName::new("later").unwrap(),
            due_at,
            attempt: 1,
        };
        assert_eq!(clock.begin_due(), None);
        clock.restore(&owner, vec![alarm(DAY + 1)]);
        let began = Instant::now();
        let look = clock.begin_due().unwrap();
        assert!(look >= began + CLOCK_INTERVAL);
        assert!(look <= Instant::now() + CLOCK_INTERVAL);
        // The clock is corrected, and the alarm is due in a millisecond.
        wall.store(DAY, Ordering::Relaxed);
        let look = clock.begin_due().unwrap();
        assert!(look < Instant::now() + CLOCK_INTERVAL);
        clock.clear(&*owner, "", &alarm(0).name).await;
        assert_eq!(clock.begin_due(), None);
    }
}
