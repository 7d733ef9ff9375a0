//! Alarms that belong to no connection: when they are due, an instance is
//! woken for them.
//!
//! Bounded: `alarms` for each affinity value, and the host's `alarms` in all;
//! `FIRING_MAX` in `table` are being handled at once, and no function takes all
//! of either. Each is called at least once: what fails is tried again
//! [`RETRIES_MAX`] times. A durable one is in the store until its call has
//! returned. One that is taken back is not called any more, unless its call had
//! begun: that one is the last.

mod call;
mod table;
mod ticket;

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

use crate::pool::commons::Commons;
use call::{Called, call};
pub(crate) use table::Owner;
use table::{Durable, Firing, Moved, Place, Reading, Setting, Table, until};
pub(crate) use ticket::Ticket;

/// How often an alarm whose call failed is tried again; as Durable Objects do.
const RETRIES_MAX: u32 = 6;
/// After what time the first time; each further one doubles it.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// After what time an alarm is tried again that found no room.
const NO_ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often the wall clock is looked at while a durable alarm waits: it is so
/// much late at most when the clock is put right.
const CLOCK_INTERVAL: Duration = Duration::from_secs(5);
/// Affinity values share this many turns: enough that writes of different
/// values rarely wait for each other.
const TURNS: usize = 64;

/// See the module.
pub(crate) struct AlarmClock {
    table: Mutex<Table>,
    changed: Notify,
    /// Its task has been started.
    running: Mutex<bool>,
    turns: [tokio::sync::Mutex<()>; TURNS],
    /// Functions that have been there, and those that are.
    owners: (AtomicU64, AtomicUsize),
    wall: WallClock,
}

/// Milliseconds since 1970, as whoever sets the clock sees them.
type WallClock = Box<dyn Fn() -> u64 + Send + Sync>;

/// Why an alarm was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmError {
    /// The affinity value has as many as it may have.
    TooMany,
    /// The host has.
    HostFull,
    /// The function has as many as it leaves free for others.
    Share,
    /// It could not be written, or the function has been removed.
    Unavailable,
}

/// What is to be done with an alarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) after: Duration,
    pub(crate) durable: bool,
    /// How many an affinity value may have.
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
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
            owners: Default::default(),
            wall,
        }
    }

    /// One more function has alarms here.
    pub(crate) fn join(&self) -> Owner {
        self.owners.1.fetch_add(1, Ordering::Relaxed);
        self.owners.0.fetch_add(1, Ordering::Relaxed)
    }

    /// One less.
    pub(crate) fn leave(&self) {
        self.owners.1.fetch_sub(1, Ordering::Relaxed);
    }

    /// Functions that there are.
    pub(crate) fn functions(&self) -> usize {
        self.owners.1.load(Ordering::Relaxed)
    }

    /// Alarms that wait or are being handled.
    pub(crate) fn alarms(&self) -> usize {
        self.table.lock().alarms()
    }

    /// Sets an alarm of an affinity value, or moves it; a durable one is
    /// written when this returns.
    pub(crate) async fn set(
        self: &Arc<Self>,
        commons: &Arc<Commons>,
        key: &str,
        name: AlarmName,
        wish: Wish,
    ) -> Result<(), AlarmError> {
        let place = (key.to_owned(), name);
        let _turn = self.turn(commons.owner(), &place).lock().await;
        let functions = self.owners.1.load(Ordering::Relaxed);
        let room = |table: &Table| table.has_room(commons.owner(), &place, wish.per_key, functions);
        room(&self.table.lock())?;
        let at = Instant::now() + wish.after;
        let durable = wish.durable.then(|| Durable {
            due_at: (self.wall)().saturating_add(milliseconds(wish.after)),
            by_wall: false,
        });
        if let Some(Durable { due_at, .. }) = durable {
            let (key, name) = &place;
            let kept = commons.store().keep_alarm(key, name, due_at, 1).await;
            kept.map_err(|_| AlarmError::Unavailable)?;
        }
        let setting = Setting {
            at,
            attempt: 1,
            durable,
        };
        let before = self.put(commons, place.clone(), setting)?;
        if before.is_some() && !wish.durable {
            forget(commons, &place).await;
        }
        Ok(())
    }

    /// Takes an alarm back; a durable one is forgotten when this returns.
    pub(crate) async fn clear(&self, commons: &Commons, key: &str, name: &AlarmName) {
        let place = (key.to_owned(), name.clone());
        let _turn = self.turn(commons.owner(), &place).lock().await;
        let taken = self.table.lock().take(commons.owner(), &place);
        if taken.is_some() {
            forget(commons, &place).await;
        }
    }

    /// Whose turn it is to change the alarms of an affinity value: what is
    /// written and what is due change together, or a late forgetting would
    /// take what was set after it.
    fn turn(&self, owner: Owner, (key, _): &Place) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (owner, key).hash(&mut hasher);
        let turns = self.turns.len() as u64;
        // Less than their number.
        &self.turns[usize::try_from(hasher.finish() % turns).unwrap_or(0)]
    }

    /// Takes up what was kept. What has become due meanwhile is due now.
    pub(crate) fn restore(self: &Arc<Self>, commons: &Arc<Commons>, alarms: Vec<StoredAlarm>) {
        for alarm in alarms {
            let setting = Setting {
                at: Instant::now() + until(alarm.due_at, (self.wall)()),
                attempt: alarm.attempt,
                durable: Some(Durable {
                    due_at: alarm.due_at,
                    by_wall: true,
                }),
            };
            // Of a function that is being removed none is wanted.
            let _ = self.put(commons, (alarm.key, alarm.name), setting);
        }
    }

    /// Forgets all alarms of a function, which sets no more.
    pub(crate) fn forget(&self, owner: Owner) {
        self.table.lock().forget(owner);
    }

    /// A function is served: what became due before is called now.
    pub(crate) fn serve(&self, owner: Owner) {
        self.table.lock().line_up(owner);
        self.changed.notify_one();
    }

    fn put(
        self: &Arc<Self>,
        commons: &Arc<Commons>,
        place: Place,
        setting: Setting,
    ) -> Result<Option<Durable>, AlarmError> {
        let mut table = self.table.lock();
        // With the lock held: what is put before is forgotten after.
        if commons.is_removed() {
            return Err(AlarmError::Unavailable);
        }
        let before = table.put(commons, place, setting);
        drop(table);
        if !std::mem::replace(&mut *self.running.lock(), true) {
            tokio::spawn(run(Arc::clone(self)));
        }
        self.changed.notify_one();
        Ok(before)
    }

    /// Begins what is due, as far as there is room, and answers when to look
    /// again.
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

    /// Has it handled, and tries again what fails, unless it was taken back or
    /// set anew meanwhile.
    async fn fire(self: Arc<Self>, firing: Firing) {
        let _ended = Ended {
            clock: &self,
            owner: firing.commons.owner(),
        };
        let called = call(&firing).await;
        let (commons, place) = (&firing.commons, &firing.place);
        let _turn = self.turn(commons.owner(), place).lock().await;
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
                    note(commons, place, due_at, attempt).await;
                }
                let setting = Setting {
                    at,
                    attempt,
                    durable,
                };
                let _ = self.put(commons, place.clone(), setting);
            }
            None => {
                if firing.durable {
                    forget(commons, place).await;
                }
                self.table.lock().take(commons.owner(), place);
            }
        }
    }

    /// Writes when alarms are due by a wall clock that was put right.
    async fn note_moved(self: Arc<Self>, moved: Vec<Moved>) {
        for moved in moved {
            let (commons, place) = (&moved.commons, &moved.place);
            let _turn = self.turn(commons.owner(), place).lock().await;
            let to = self.table.lock().moved_to(&moved);
            if let Some((due_at, attempt)) = to {
                note(commons, place, due_at, attempt).await;
            }
        }
    }
}

impl fmt::Debug for AlarmClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlarmClock").finish_non_exhaustive()
    }
}

/// Gives the place of a call back, however it ends.
struct Ended<'a> {
    clock: &'a AlarmClock,
    owner: Owner,
}

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.clock.table.lock().end(self.owner);
        self.clock.changed.notify_one();
    }
}

/// Wakes at the next moment at which something is due, or has come free.
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

/// Which attempt is next and after what time, if it is tried again.
fn retry(firing: &Firing, called: Called) -> Option<(u32, Duration)> {
    let attempt = firing.attempt;
    match called {
        Called::Done | Called::Cancelled => None,
        Called::NoRoom => Some((attempt, NO_ROOM_RETRY_AFTER)),
        Called::Failed if attempt > RETRIES_MAX => {
            let (key, name) = &firing.place;
            tracing::error!(
                function = %firing.commons.name(), key, alarm = name.as_str(),
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

async fn note(commons: &Commons, (key, name): &Place, due_at: u64, attempt: u32) {
    let kept = commons.store().keep_alarm(key, name, due_at, attempt).await;
    if let Err(error) = kept {
        tracing::warn!(%error, "when an alarm is due now is not noted; it is called all the same");
    }
}

async fn forget(commons: &Commons, (key, name): &Place) {
    if let Err(error) = commons.store().forget_alarm(key, name).await {
        tracing::warn!(%error, "an alarm that is over is not forgotten; it may be called once more");
    }
}

/// The clock on the wall. An alarm that outlives the process is due by it.
#[expect(
    clippy::disallowed_methods,
    reason = "what survives a restart cannot be due by a clock that does not"
)]
fn unix_milliseconds() -> u64 {
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    milliseconds(since)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use openline_core::name::FunctionName;
    use openline_store::Store;

    use super::*;

    #[tokio::test]
    async fn the_wall_clock_is_looked_at_as_long_as_a_durable_alarm_waits() {
        const DAY: u64 = 24 * 60 * 60 * 1000;
        let wall = Arc::new(AtomicU64::new(0));
        let read = Arc::clone(&wall);
        let clock = AlarmClock::with_wall(10, Box::new(move || read.load(Ordering::Relaxed)));
        let clock = Arc::new(clock);
        // Its task looks when this does.
        *clock.running.lock() = true;
        let name = FunctionName::new("function").unwrap();
        let store = Store::memory(1000).function(&name);
        let commons = Arc::new(Commons::new(store, name.clone(), Arc::clone(&clock)));
        let alarm = |due_at| StoredAlarm {
            function: name.clone(),
            key: String::new(),
            name: AlarmName::new("later").unwrap(),
            due_at,
            attempt: 1,
        };
        assert_eq!(clock.begin_due(), None);
        clock.restore(&commons, vec![alarm(DAY + 1)]);
        let began = Instant::now();
        let look = clock.begin_due().unwrap();
        assert!(look >= began + CLOCK_INTERVAL);
        assert!(look <= Instant::now() + CLOCK_INTERVAL);
        // The clock is put right, and the alarm is due in a millisecond.
        wall.store(DAY, Ordering::Relaxed);
        let look = clock.begin_due().unwrap();
        assert!(look < Instant::now() + CLOCK_INTERVAL);
        clock.clear(&commons, "", &alarm(0).name).await;
        assert_eq!(clock.begin_due(), None);
    }
}
