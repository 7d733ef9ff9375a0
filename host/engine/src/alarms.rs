//! Alarms that belong to no connection: when they are due, an instance is
//! woken for them.
//!
//! Bounded: `alarms` for each affinity value, and the host's `alarms` in all;
//! [`FIRING_MAX`] are being handled at once. Each is called at least once: what
//! fails is tried again [`RETRIES_MAX`] times. A durable one is in the store
//! until its call has returned.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use openline_core::deployment::Migration;
use openline_core::name::{AlarmName, FunctionName};
use openline_store::StoredAlarm;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::Instant;

use crate::commons::Commons;
use crate::mailbox::{AlarmOutcome, Job};
use crate::pool::Wanted;

/// How often an alarm whose call failed is tried again; as Durable Objects do.
const RETRIES_MAX: u32 = 6;
/// After what time the first time; each further one doubles it.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// After what time an alarm is tried again that found no room.
const NO_ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Alarms that are being handled at once: ten thousand that are due together
/// should not take all instances.
const FIRING_MAX: usize = 64;
/// Affinity values share this many turns: enough that writes of different
/// values rarely wait for each other.
const TURNS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct AlarmClock {
    most: u32,
    state: Mutex<State>,
    changed: Notify,
    firing: Arc<Semaphore>,
    turns: [tokio::sync::Mutex<()>; TURNS],
}

#[derive(Debug, Default)]
struct State {
    /// By time; the second number tells those of one moment apart.
    due: BTreeMap<(Instant, u64), Entry>,
    by_name: BTreeMap<FullName, (Instant, u64)>,
    serial: u64,
    running: bool,
}

/// Function, affinity value, name.
type FullName = (FunctionName, String, AlarmName);

#[derive(Clone, Debug)]
struct Entry {
    commons: Arc<Commons>,
    key: String,
    name: AlarmName,
    attempt: u32,
    durable: bool,
}

/// Why an alarm was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmError {
    /// The affinity value has as many as it may have.
    TooMany,
    /// The host has.
    HostFull,
    /// It could not be written.
    Unavailable,
}

impl Default for AlarmClock {
    fn default() -> Self {
        Self::new(u32::MAX)
    }
}

impl AlarmClock {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            state: Mutex::default(),
            changed: Notify::new(),
            firing: Arc::new(Semaphore::new(FIRING_MAX)),
            turns: std::array::from_fn(|_| tokio::sync::Mutex::new(())),
        }
    }

    /// Sets an alarm of an affinity value, or moves it; a durable one is
    /// written when this returns.
    pub(crate) async fn set(
        self: &Arc<Self>,
        commons: &Arc<Commons>,
        key: &str,
        name: AlarmName,
        after: Duration,
        durable: bool,
        per_key: u32,
    ) -> Result<(), AlarmError> {
        let full = full_name(commons, key, &name);
        let _turn = self.turn(&full).lock().await;
        self.room(&full, per_key)?;
        if durable {
            let stored = StoredAlarm {
                function: commons.name().clone(),
                key: key.into(),
                name: name.clone(),
                due_at: unix_milliseconds().saturating_add(milliseconds(after)),
                attempt: 1,
            };
            let kept = commons.store().keep_alarm(stored).await;
            kept.map_err(|_| AlarmError::Unavailable)?;
        } else if self.is_durable(&full) {
            forget(commons, key, &name).await;
        }
        let entry = Entry {
            commons: Arc::clone(commons),
            key: key.into(),
            name,
            attempt: 1,
            durable,
        };
        self.insert(entry, Instant::now() + after);
        Ok(())
    }

    /// Takes an alarm back; a durable one is forgotten when this returns.
    pub(crate) async fn clear(&self, commons: &Commons, key: &str, name: &AlarmName) {
        let full = full_name(commons, key, name);
        let _turn = self.turn(&full).lock().await;
        let taken = self.state.lock().take(&full);
        if taken.is_some_and(|entry| entry.durable) {
            forget(commons, key, name).await;
        }
    }

    /// Whose turn it is to change the alarms of an affinity value: what is
    /// written and what is due change together, or a late forgetting would
    /// take what was set after it.
    fn turn(&self, (function, key, _): &FullName) -> &tokio::sync::Mutex<()> {
        let mut hasher = DefaultHasher::new();
        (function, key).hash(&mut hasher);
        let turns = self.turns.len() as u64;
        // Less than their number.
        &self.turns[usize::try_from(hasher.finish() % turns).unwrap_or(0)]
    }

    /// Takes up what was kept. What has become due meanwhile is due now.
    pub(crate) fn restore(self: &Arc<Self>, commons: &Arc<Commons>, alarms: Vec<StoredAlarm>) {
        let now = unix_milliseconds();
        for alarm in alarms {
            let after = Duration::from_millis(alarm.due_at.saturating_sub(now));
            let entry = Entry {
                commons: Arc::clone(commons),
                key: alarm.key,
                name: alarm.name,
                attempt: alarm.attempt,
                durable: true,
            };
            self.insert(entry, Instant::now() + after);
        }
    }

    /// Forgets all alarms of a function.
    pub(crate) fn forget(&self, function: &FunctionName) {
        let mut state = self.state.lock();
        let State { due, by_name, .. } = &mut *state;
        by_name.retain(|(other, _, _), at| {
            let stays = other != function;
            if !stays {
                due.remove(at);
            }
            stays
        });
    }

    fn room(&self, full: &FullName, per_key: u32) -> Result<(), AlarmError> {
        let state = self.state.lock();
        if state.by_name.contains_key(full) {
            return Ok(());
        }
        if state.by_name.len() >= self.most as usize {
            return Err(AlarmError::HostFull);
        }
        let (function, key, _) = full;
        let first = (function.clone(), key.clone(), AlarmName::first());
        let others = state.by_name.range(first..).map(|(name, _)| name);
        let same = others.take_while(|(other, value, _)| other == function && value == key);
        if same.count() >= per_key as usize {
            return Err(AlarmError::TooMany);
        }
        Ok(())
    }

    fn is_durable(&self, full: &FullName) -> bool {
        let state = self.state.lock();
        let at = state.by_name.get(full);
        at.and_then(|at| state.due.get(at))
            .is_some_and(|entry| entry.durable)
    }

    fn insert(self: &Arc<Self>, entry: Entry, at: Instant) {
        let full = full_name(&entry.commons, &entry.key, &entry.name);
        let mut state = self.state.lock();
        state.take(&full);
        state.serial += 1;
        let at = (at, state.serial);
        state.by_name.insert(full, at);
        state.due.insert(at, entry);
        if !std::mem::replace(&mut state.running, true) {
            tokio::spawn(run(Arc::clone(self)));
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Those that are due, and when the next one is.
    fn take_due(&self) -> (Vec<Entry>, Option<Instant>) {
        let mut state = self.state.lock();
        let now = Instant::now();
        let mut due = Vec::new();
        while let Some(next) = state.due.first_entry() {
            if next.key().0 > now {
                break;
            }
            let entry = next.remove();
            let full = full_name(&entry.commons, &entry.key, &entry.name);
            state.by_name.remove(&full);
            due.push(entry);
        }
        let next = state.due.first_key_value().map(|((at, _), _)| *at);
        (due, next)
    }

    /// Has it handled, and tries again what fails, unless it was set anew
    /// meanwhile.
    async fn fire(self: Arc<Self>, mut entry: Entry) {
        let called = call(&entry).await;
        let full = full_name(&entry.commons, &entry.key, &entry.name);
        let _turn = self.turn(&full).lock().await;
        if self.state.lock().by_name.contains_key(&full) {
            return;
        }
        let again = match called {
            Called::Done => None,
            Called::NoRoom => Some(NO_ROOM_RETRY_AFTER),
            Called::Failed if entry.attempt > RETRIES_MAX => {
                tracing::error!(
                    function = %entry.commons.name(), key = entry.key, alarm = entry.name.as_str(),
                    "an alarm is given up after {} failed calls", entry.attempt
                );
                None
            }
            Called::Failed => {
                entry.attempt += 1;
                Some(RETRY_AFTER * (1 << (entry.attempt - 2).min(RETRIES_MAX)))
            }
        };
        match again {
            Some(after) => {
                if entry.durable {
                    self.note_attempt(&entry, after).await;
                }
                self.insert(entry, Instant::now() + after);
            }
            None if entry.durable => forget(&entry.commons, &entry.key, &entry.name).await,
            None => {}
        }
    }

    async fn note_attempt(&self, entry: &Entry, after: Duration) {
        let stored = StoredAlarm {
            function: entry.commons.name().clone(),
            key: entry.key.clone(),
            name: entry.name.clone(),
            due_at: unix_milliseconds().saturating_add(milliseconds(after)),
            attempt: entry.attempt,
        };
        if let Err(error) = entry.commons.store().keep_alarm(stored).await {
            tracing::warn!(%error, "the failed attempt of an alarm is not noted");
        }
    }
}

impl State {
    fn take(&mut self, full: &FullName) -> Option<Entry> {
        let at = self.by_name.remove(full)?;
        self.due.remove(&at)
    }
}

/// Wakes at the next moment at which something is due.
async fn run(clock: Arc<AlarmClock>) {
    loop {
        let (due, next) = clock.take_due();
        for entry in due {
            let firing = Arc::clone(&clock.firing).acquire_owned().await;
            let clock = Arc::clone(&clock);
            tokio::spawn(async move {
                clock.fire(entry).await;
                drop(firing);
            });
        }
        let changed = clock.changed.notified();
        match next {
            Some(at) => {
                let _ = tokio::time::timeout_at(at, changed).await;
            }
            None => changed.await,
        }
    }
}

enum Called {
    Done,
    /// The function failed.
    Failed,
    /// It was not called at all.
    NoRoom,
}

/// Gives an alarm to the instance of its affinity value, or to a new one.
async fn call(entry: &Entry) -> Called {
    loop {
        let Some(alias) = entry.commons.home() else {
            return Called::NoRoom;
        };
        let Some(version) = alias.version_for(&entry.key) else {
            return Called::NoRoom;
        };
        if version.backed_off().is_some() {
            return Called::NoRoom;
        }
        let key = version.policy().affinity.as_ref().map(|_| &*entry.key);
        let wanted = Wanted {
            key,
            joins: false,
            follows: alias.split().migration == Migration::Pin,
        };
        let Ok(seat) = version.pool.seat(wanted) else {
            return Called::NoRoom;
        };
        let instance = Arc::clone(&seat.instance);
        let (reply, outcome) = oneshot::channel();
        let job = Job::Alarm(entry.name.clone(), entry.attempt, seat, reply);
        if let Err(job) = instance.submit(job) {
            job.give_back();
        }
        match outcome.await {
            Ok(AlarmOutcome::Done) => return Called::Done,
            Ok(AlarmOutcome::Returned) => {}
            Ok(AlarmOutcome::Fault(_)) | Err(_) => return Called::Failed,
        }
    }
}

async fn forget(commons: &Commons, key: &str, name: &AlarmName) {
    let store = commons.store();
    if let Err(error) = store.forget_alarm(commons.name(), key, name).await {
        tracing::warn!(%error, "an alarm that is over is not forgotten; it may be called once more");
    }
}

fn full_name(commons: &Commons, key: &str, name: &AlarmName) -> FullName {
    (commons.name().clone(), key.to_owned(), name.clone())
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
