//! Which alarms there are, how far each has come, and which is called next.
//! Rules without a clock: each moment is an argument.
//!
//! An alarm waits for its moment, then in its function's queue, then for its
//! call to return. It is found by its name all the time, so that it can be
//! taken back or set anew in each of these states. Functions take turns, and
//! none takes all calls: see [`FIRING_MAX`].
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

/// Alarms that are being handled at once: ten thousand that are due together
/// should not take all instances. A function has one in any case, and more only
/// as long as it leaves as many calls free as it has: alone it takes half.
pub(super) const FIRING_MAX: usize = 128;

/// A wall clock that is off by less is not corrected for: it may be slewed, and
/// nobody can rely on it to the second.
const JUMP: Duration = Duration::from_secs(1);

/// Affinity value and name.
pub(super) type AlarmId = (String, AlarmName);

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

/// A moment by both clocks.
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
    /// Those that wait for their moment.
    due: BTreeMap<Moment, (OwnerNumber, AlarmId)>,
    /// Functions with a queue, in the order of their turns.
    turns: VecDeque<OwnerNumber>,
    /// Alarms that wait, for their moment or in a queue.
    waiting: u32,
    /// Calls in flight.
    firing: usize,
    /// Durable alarms, whatever their state.
    durable: usize,
    serial: u64,
    /// How the clocks were to each other when that was last looked at.
    read: Reading,
}

/// When something is due; the second number tells those of one moment apart.
type Moment = (Instant, u64);

#[derive(Debug)]
struct Function {
    owner: Arc<dyn Owner>,
    alarms: BTreeMap<AlarmId, Alarm>,
    /// Those that are due.
    queue: BTreeMap<Moment, AlarmId>,
    /// It is in `turns`.
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
    /// For its moment.
    Waits(Instant),
    /// In its function's queue.
    Queued(Instant),
    Firing(Arc<Ticket>),
}

/// An alarm as it is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) at: Instant,
    pub(super) attempt: u32,
    pub(super) durable: Option<Durable>,
}

/// What the store has of a durable alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durable {
    /// When it is due, in milliseconds since 1970.
    pub(super) due_at: u64,
    /// The wall clock decides: an earlier process has set it. One that this
    /// process has set is due after a time, whatever that clock says meanwhile.
    pub(super) by_wall: bool,
}

/// A call that begins.
#[derive(Debug)]
pub(super) struct Firing {
    pub(super) owner: Arc<dyn Owner>,
    pub(super) id: AlarmId,
    pub(super) attempt: u32,
    pub(super) durable: bool,
    pub(super) ticket: Arc<Ticket>,
    serial: u64,
}

/// A durable alarm that the wall clock has moved: the store is to know.
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

    /// Alarms that wait or are being handled.
    pub(super) fn alarms(&self) -> usize {
        self.waiting as usize + self.firing
    }

    /// Whether one of so many `functions` may set an alarm: `per_key` is how
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

    /// Sets an alarm in the place of the one of that name, and answers what
    /// the store had of that.
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

    /// Takes an alarm back, and answers what the store has of it. Its call
    /// does not begin any more; one that has begun goes on, and is its last.
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

    /// Moves what is due into the queues, and answers when the next one is.
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

    /// Gives a function its turns, if it has anything to be called for.
    pub(super) fn line_up(&mut self, owner: OwnerNumber) {
        if let Some(function) = self.functions.get_mut(&owner)
            && !function.queue.is_empty()
            && !std::mem::replace(&mut function.in_turn, true)
        {
            self.turns.push_back(owner);
        }
    }

    /// The next call, of the function whose turn it is. A function that is not
    /// served waits until it is [lined up](Self::line_up) again.
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

    /// Whether an alarm is still the one that this call is for: it was neither
    /// taken back nor set anew.
    pub(super) fn is_current(&self, firing: &Firing) -> bool {
        self.serial_of(firing.owner.number(), &firing.id) == Some(firing.serial)
    }

    /// A call has ended.
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

    /// Looks whether the wall clock was put right or wrong since, and makes up
    /// for it: alarms of earlier processes are due when it says so, and of
    /// those that this process has set the store is to know when that is now.
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

    /// When a moved alarm is due and how often it was tried, if it still waits.
    pub(super) fn moved_to(&self, moved: &Moved) -> Option<(u64, u32)> {
        let function = self.functions.get(&moved.owner.number())?;
        let alarm = function.alarms.get(&moved.id)?;
        (alarm.serial == moved.serial).then_some((alarm.durable?.due_at, alarm.attempt))
    }

    fn serial_of(&self, owner: OwnerNumber, id: &AlarmId) -> Option<u64> {
        let alarm = self.functions.get(&owner)?.alarms.get(id)?;
        Some(alarm.serial)
    }

    /// A function without alarms is not kept: nothing should outlive the rest
    /// of it.
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

    /// Alarms that wait for an affinity value.
    fn waiting_for(&self, key: &str) -> usize {
        let first = (key.to_owned(), AlarmName::first());
        let others = self.alarms.range(first..);
        let same = others.take_while(|((other, _), _)| other == key);
        same.filter(|(_, alarm)| !matches!(alarm.stage, Stage::Firing(_)))
            .count()
    }

    /// The call of the alarm that was due first.
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
