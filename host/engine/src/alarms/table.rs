//! The table of alarms: the state of each, and which is called next. These
//! rules have no clock: each moment is an argument.
//!
//! An alarm waits for its moment, then in its function's queue, then for its
//! call to return. In each of these states it can be found by its name, and
//! cleared or set again. Functions take turns, and none takes all calls: see
//! [`FIRING_MAX`].
//!
//! Bounded: alarms that wait by the host's `alarms`, calls by [`FIRING_MAX`]
//! and one for each function.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use openline_core::name::AlarmName;
use tokio::time::Instant;

use super::owner::{Owner, OwnerNumber};
use super::ticket::Ticket;
use super::wall::{milliseconds, until};

/// The most calls in flight at once: ten thousand alarms that are due together
/// must not take all instances. A function always has one call, and more only
/// while it leaves as many free as it has: alone it takes half.
pub(super) const FIRING_MAX: usize = 128;

/// Smaller jumps of the wall clock are ignored: the clock may be slewed, and is
/// not reliable to the second.
const JUMP: Duration = Duration::from_secs(1);

/// Affinity value and name.
pub(super) type AlarmId = (String, AlarmName);

/// Why an alarm was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AlarmError {
    /// The affinity value has as many alarms as it may have.
    TooMany,
    /// The host has as many alarms as it may have.
    HostFull,
    /// The function has as many alarms as it leaves free for others.
    Share,
    /// It could not be written, or the function has been removed.
    Unavailable,
}

/// A reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    /// Milliseconds since 1970.
    pub(super) wall: u64,
}

#[derive(Debug)]
pub(super) struct Table {
    most: u32,
    functions: HashMap<OwnerNumber, Function>,
    /// Alarms that wait for their moment.
    due: BTreeMap<Moment, (OwnerNumber, AlarmId)>,
    /// Functions with a queue, in the order of their turns.
    turns: VecDeque<OwnerNumber>,
    /// How many alarms wait, for their moment or in a queue.
    waiting: u32,
    /// How many calls are in flight.
    firing: usize,
    /// How many durable alarms there are, in any state.
    durable: usize,
    serial: u64,
    /// The last reading of the clocks.
    read: Reading,
}

/// When an alarm is due; the number distinguishes alarms of the same moment.
type Moment = (Instant, u64);

#[derive(Debug)]
struct Function {
    owner: Arc<dyn Owner>,
    alarms: BTreeMap<AlarmId, Alarm>,
    /// Alarms that are due.
    queue: BTreeMap<Moment, AlarmId>,
    /// Whether it is in `turns`.
    in_turn: bool,
    waiting: u32,
    firing: usize,
}

#[derive(Debug)]
struct Alarm {
    serial: u64,
    attempt: u32,
    durable: Option<Durable>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// It waits for its moment.
    Waits(Instant),
    /// It waits in its function's queue.
    Queued(Instant),
    Firing(Arc<Ticket>),
}

/// The setting of an alarm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) at: Instant,
    pub(super) attempt: u32,
    pub(super) durable: Option<Durable>,
}

/// A durable alarm's entry in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    /// When it is due, in milliseconds since 1970.
    pub(super) due_at: u64,
    /// Whether the wall clock decides, because an earlier process has set the
    /// alarm. An alarm of this process is due after its time, whatever that
    /// clock shows meanwhile.
    pub(super) by_wall: bool,
}

/// A call that is about to begin.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) owner: Arc<dyn Owner>,
    pub(super) id: AlarmId,
    pub(super) attempt: u32,
    pub(super) durable: bool,
    pub(super) ticket: Arc<Ticket>,
    serial: u64,
}

/// A durable alarm whose time in the store must change, because the wall clock
/// jumped.
#[derive(Debug)]
pub(super) struct Moved {
    pub(super) owner: Arc<dyn Owner>,
    pub(super) id: AlarmId,
    serial: u64,
}

impl Table {
    pub(super) fn new(most: u32, read: Reading) -> Self {
        Self {
            most,
            functions: HashMap::new(),
            due: BTreeMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            firing: 0,
            durable: 0,
            serial: 0,
            read,
        }
    }

    /// How many alarms wait or are being handled.
    pub(super) fn alarms(&self) -> usize {
        self.waiting as usize + self.firing
    }

    /// Whether one of this many `functions` may set an alarm; `per_key` is how
    /// many may wait for an affinity value.
    pub(super) fn has_room(
        &self,
        owner: OwnerNumber,
        id: &AlarmId,
        per_key: u32,
        functions: usize,
    ) -> Result<(), AlarmError> {
        let function = self.functions.get(&owner);
        let waits = |alarm: &Alarm| !matches!(alarm.stage, Stage::Firing(_));
        let same = function.and_then(|function| function.alarms.get(id));
        if same.is_some_and(waits) {
            return Ok(());
        }
        let own = function.map_or(0, |function| function.waiting) + 1;
        let Some(free) = self.most.checked_sub(self.waiting + 1) else {
            return Err(AlarmError::HostFull);
        };
        if functions > 1 && own > free {
            return Err(AlarmError::Share);
        }
        let of_key = function.map_or(0, |function| function.waiting_for(&id.0));
        if of_key >= per_key as usize {
            return Err(AlarmError::TooMany);
        }
        Ok(())
    }

    /// Sets an alarm, and returns the store's entry of the alarm that it
    /// replaces.
    pub(super) fn put(
        &mut self,
        owner: &Arc<dyn Owner>,
        id: AlarmId,
        setting: Setting,
    ) -> Option<Durable> {
        let number = owner.number();
        let before = self.take(number, &id);
        self.serial += 1;
        let serial = self.serial;
        let Setting {
            at,
            attempt,
            durable,
        } = setting;
        self.due.insert((at, serial), (number, id.clone()));
        self.waiting += 1;
        self.durable += usize::from(durable.is_some());
        let function = self.functions.entry(number);
        let function = function.or_insert_with(|| Function::new(owner));
        function.waiting += 1;
        let alarm = Alarm {
            serial,
            attempt,
            durable,
            stage: Stage::Waits(at),
        };
        function.alarms.insert(id, alarm);
        before
    }

    /// Clears an alarm, and returns its entry in the store. Its call will not
    /// begin; a call that has begun goes on, and is the last.
    pub(super) fn take(&mut self, owner: OwnerNumber, id: &AlarmId) -> Option<Durable> {
        let function = self.functions.get_mut(&owner)?;
        let alarm = function.alarms.remove(id)?;
        match &alarm.stage {
            Stage::Waits(at) => drop(self.due.remove(&(*at, alarm.serial))),
            Stage::Queued(at) => drop(function.queue.remove(&(*at, alarm.serial))),
            Stage::Firing(ticket) => _ = ticket.cancel(),
        }
        if !matches!(alarm.stage, Stage::Firing(_)) {
            function.waiting -= 1;
            self.waiting -= 1;
        }
        self.durable -= usize::from(alarm.durable.is_some());
        self.prune(owner);
        alarm.durable
    }

    /// Moves alarms that are due into the queues, and returns when the next one
    /// is due.
    pub(super) fn ripen(&mut self, now: Instant) -> Option<Instant> {
        while let Some(next) = self.due.first_entry() {
            let (at, serial) = *next.key();
            if at > now {
                return Some(at);
            }
            let (owner, id) = next.remove();
            let Some(function) = self.functions.get_mut(&owner) else {
                continue;
            };
            if let Some(alarm) = function.alarms.get_mut(&id) {
                alarm.stage = Stage::Queued(at);
                function.queue.insert((at, serial), id);
            }
            self.line_up(owner);
        }
        None
    }

    /// Gives a function its turns, if it has alarms that are due.
    pub(super) fn line_up(&mut self, owner: OwnerNumber) {
        if let Some(function) = self.functions.get_mut(&owner)
            && !function.queue.is_empty()
            && !std::mem::replace(&mut function.in_turn, true)
        {
            self.turns.push_back(owner);
        }
    }

    /// Begins the next call, of the function whose turn it is. A function that
    /// is not served waits until it is [lined up](Self::line_up) again.
    pub(super) fn begin(&mut self) -> Option<Firing> {
        for _ in 0..self.turns.len() {
            let owner = self.turns.pop_front()?;
            let Some(function) = self.functions.get_mut(&owner) else {
                continue;
            };
            let free = FIRING_MAX.saturating_sub(self.firing);
            if !function.owner.is_served() || function.queue.is_empty() {
                function.in_turn = false;
                continue;
            }
            if function.firing > 0 && function.firing >= free {
                self.turns.push_back(owner);
                continue;
            }
            let firing = function.begin();
            if function.queue.is_empty() {
                function.in_turn = false;
            } else {
                self.turns.push_back(owner);
            }
            if firing.is_some() {
                self.waiting -= 1;
                self.firing += 1;
                return firing;
            }
        }
        None
    }

    /// Whether an alarm is still the one that this call is for, neither cleared
    /// nor set again.
    pub(super) fn is_current(&self, firing: &Firing) -> bool {
        self.serial_of(firing.owner.number(), &firing.id) == Some(firing.serial)
    }

    /// Notes that a call has ended.
    pub(super) fn end(&mut self, owner: OwnerNumber) {
        self.firing -= 1;
        if let Some(function) = self.functions.get_mut(&owner) {
            function.firing -= 1;
        }
        self.prune(owner);
    }

    /// Forgets all alarms of a function. Its calls in flight end as others do.
    pub(super) fn forget(&mut self, owner: OwnerNumber) {
        let Some(function) = self.functions.get(&owner) else {
            return;
        };
        let ids: Vec<_> = function.alarms.keys().cloned().collect();
        for id in ids {
            self.take(owner, &id);
        }
    }

    /// Whether any alarm depends on the wall clock.
    pub(super) fn has_durable(&self) -> bool {
        self.durable > 0
    }

    /// Checks whether the wall clock has jumped, and corrects for it: alarms of
    /// earlier processes become due by the new time, and for alarms of this
    /// process it returns the new times for the store.
    pub(super) fn compare_clocks(&mut self, now: Reading) -> Vec<Moved> {
        let passed = now.at.saturating_duration_since(self.read.at);
        let expected = self.read.wall.saturating_add(milliseconds(passed));
        if u128::from(now.wall.abs_diff(expected)) < JUMP.as_millis() {
            return Vec::new();
        }
        self.read = now;
        let Self { functions, due, .. } = self;
        let mut moved = Vec::new();
        for (owner, function) in functions {
            for (id, alarm) in &mut function.alarms {
                let Alarm {
                    serial,
                    durable: Some(durable),
                    stage: Stage::Waits(at),
                    ..
                } = alarm
                else {
                    continue;
                };
                if durable.by_wall {
                    due.remove(&(*at, *serial));
                    *at = now.at + until(durable.due_at, now.wall);
                    due.insert((*at, *serial), (*owner, id.clone()));
                } else {
                    let left = at.saturating_duration_since(now.at);
                    durable.due_at = now.wall.saturating_add(milliseconds(left));
                    moved.push(Moved {
                        owner: Arc::clone(&function.owner),
                        id: id.clone(),
                        serial: *serial,
                    });
                }
            }
        }
        moved
    }

    /// When a moved alarm is due, and its attempt, if it still waits.
    pub(super) fn moved_to(&self, moved: &Moved) -> Option<(u64, u32)> {
        let function = self.functions.get(&moved.owner.number())?;
        let alarm = function.alarms.get(&moved.id)?;
        (alarm.serial == moved.serial).then_some((alarm.durable?.due_at, alarm.attempt))
    }

    fn serial_of(&self, owner: OwnerNumber, id: &AlarmId) -> Option<u64> {
        let alarm = self.functions.get(&owner)?.alarms.get(id)?;
        Some(alarm.serial)
    }

    /// Forgets a function without alarms, so that the table keeps no function
    /// alive.
    fn prune(&mut self, owner: OwnerNumber) {
        let is_done = |function: &Function| function.alarms.is_empty() && function.firing == 0;
        if self.functions.get(&owner).is_some_and(is_done) {
            self.functions.remove(&owner);
        }
    }
}

impl Function {
    fn new(owner: &Arc<dyn Owner>) -> Self {
        Self {
            owner: Arc::clone(owner),
            alarms: BTreeMap::new(),
            queue: BTreeMap::new(),
            in_turn: false,
            waiting: 0,
            firing: 0,
        }
    }

    /// How many alarms of an affinity value wait.
    fn waiting_for(&self, key: &str) -> usize {
        let first = (key.to_owned(), AlarmName::first());
        let others = self.alarms.range(first..);
        let same = others.take_while(|((other, _), _)| other == key);
        same.filter(|(_, alarm)| !matches!(alarm.stage, Stage::Firing(_)))
            .count()
    }

    /// Begins the call of the alarm that was due first.
    fn begin(&mut self) -> Option<Firing> {
        let (_, id) = self.queue.pop_first()?;
        let alarm = self.alarms.get_mut(&id)?;
        let ticket = Arc::<Ticket>::default();
        alarm.stage = Stage::Firing(Arc::clone(&ticket));
        self.waiting -= 1;
        self.firing += 1;
        Some(Firing {
            owner: Arc::clone(&self.owner),
            id,
            attempt: alarm.attempt,
            durable: alarm.durable.is_some(),
            ticket,
            serial: alarm.serial,
        })
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
