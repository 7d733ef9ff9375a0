//! The deployments, as far as a plan can know them, and the invariants that
//! follow: which version answers, which connections a drain may end, what a
//! removed function leaves to the next of its name, and which events wait for
//! the end of a back-off.
//!
//! A move with an uncertain effect (weights, a reload without a wait, a new
//! start) ends the knowledge about its function: then nothing is judged.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::judge::Judge;
use super::line::Line;
use super::plan::{Act, Component, LONG_BACKOFF_MS, OVERLONG_MS, Plan, REMOVABLE};

/// A connection that is asked to leave must have left after this time, if
/// nothing is in flight.
const LEAVES_WITHIN: Duration = Duration::from_secs(4);
/// A pause in which the host pings: longer than `ping_interval` and
/// `pong_timeout` together, so that an answer that is not read delays no ping.
const PINGED_PAUSE: Duration = Duration::from_secs(4);

/// The deployments, as far as a plan can know them.
#[derive(Default)]
pub struct Deployed {
    functions: HashMap<usize, Led>,
    /// The number of the function that has the removable name now, if that is
    /// certain.
    removable: Option<u32>,
    /// When each of these functions was removed.
    removals: Vec<Instant>,
}

/// The alias of a function.
struct Led {
    /// The version to which all connections go, and since when.
    serves: Option<(char, Instant)>,
    /// Whether open connections have followed.
    migrated: bool,
    /// The version to which a rollback leads.
    before: Vec<char>,
    /// Whether a deploy has set the migration; otherwise the configuration
    /// does.
    told: Option<String>,
    /// When it last moved.
    moved: Option<Instant>,
    unknown: bool,
}

impl Judge {
    fn led(&mut self, function: usize) -> &mut Led {
        let plan = Rc::clone(&self.plan);
        let began = self.began;
        let functions = &mut self.deployed.functions;
        functions.entry(function).or_insert_with(|| {
            let configured = plan.functions.get(function);
            Led {
                serves: configured.map(|it| (it.component.version, began)),
                migrated: true,
                before: Vec::new(),
                told: None,
                moved: None,
                unknown: configured.is_none(),
            }
        })
    }

    /// A function is about to be moved.
    pub fn moves(&mut self, function: usize) {
        let led = self.led(function);
        led.migrated = false;
    }

    /// A deploy of all weight has moved the alias, or a reload to another
    /// component.
    pub fn moved(&mut self, function: usize, component: Component, told: Option<&str>) {
        let configured = self.migration_of(function);
        let led = self.led(function);
        if let Some(told) = told {
            led.told = Some(told.into());
        }
        let migration = led.told.clone().or(configured);
        if let Some((version, _)) = led.serves {
            led.before.push(version);
        }
        let now = Instant::now();
        led.moved = Some(now);
        if !led.unknown {
            led.serves = Some((component.version, now));
            led.migrated = migration.as_deref() == Some("migrate");
        }
    }

    pub fn rolled_back(&mut self, function: usize) {
        let migration = self.migration_of(function);
        let led = self.led(function);
        let now = Instant::now();
        led.moved = Some(now);
        match led.before.pop() {
            Some(version) if !led.unknown => {
                led.serves = Some((version, now));
                led.migrated = led.told.clone().or(migration).as_deref() == Some("migrate");
            }
            _ => led.unknown = true,
        }
        if led.unknown {
            led.serves = None;
        }
    }

    /// It was moved to an unknown version.
    pub fn lost_sight_of(&mut self, function: usize) {
        let led = self.led(function);
        led.unknown = true;
        led.serves = None;
        led.moved = Some(Instant::now());
    }

    pub fn lost_sight_of_all(&mut self) {
        for function in 0..self.plan.functions.len() {
            self.lost_sight_of(function);
            self.led(function).moved = None;
        }
        self.deployed.removable = None;
    }

    fn migration_of(&self, function: usize) -> Option<String> {
        let now = self.configured.get(function)?;
        Some(now.migration.clone())
    }

    /// An answer to a message that was sent at a moment.
    pub fn check_answer(&mut self, line: &mut Line, version: &str, script: &str, sent: Instant) {
        let version = version.chars().next();
        line.version = version;
        let led = self.deployed.functions.get(&line.function);
        if let Some(led) = led.filter(|led| led.migrated && line.start == self.start)
            && let Some((serves, since)) = led.serves
            && sent > since
            && version != Some(serves)
        {
            let ms = since.elapsed().as_millis();
            let text = format!(
                "answered by version {version:?}; `migrate` to `{serves}` was done {ms} ms ago"
            );
            self.blame("versions", &text, line);
        }
        if script.contains(OVERLONG_MS) {
            let text = format!("`{script}` was answered, past `handler_timeout`");
            self.blame("limits", &text, line);
        }
    }

    /// The answer to `evade`. An asynchronous instance has a share of
    /// `cpu_timeout` for each call that begins, so it is not judged.
    pub fn check_evasion(&mut self, line: &Line, result: &str) {
        let function = self.plan.functions.get(line.function);
        let plain = function.is_some_and(|it| !it.component.asynchronous && !it.mixed);
        if plain && result == "evaded" {
            let text = "a call computed twice its `cpu_timeout` without rest";
            self.blame("limits", text, line);
        }
    }

    /// A connection was closed with 1012.
    pub fn check_drained(&mut self, line: &Line) {
        let led = self.deployed.functions.get(&line.function);
        let Some((serves, since)) = led.and_then(|led| led.serves) else {
            return;
        };
        let served = line.version == Some(serves) && line.pending.is_empty();
        if served && line.start == self.start && since.elapsed() > LEAVES_WITHIN {
            let ms = since.elapsed().as_millis();
            let text = format!("drained, although its version `{serves}` is served since {ms} ms");
            self.blame("drain", &text, line);
        }
    }

    // === the removable function ===

    pub fn removing(&mut self) {
        self.deployed.removable = None;
        self.deployed.removals.push(Instant::now());
    }

    /// The removable function was deployed; `made` says that it did not exist
    /// before.
    pub fn added(&mut self, made: bool) {
        if made {
            let number = u32::try_from(self.deployed.removals.len()).unwrap_or(u32::MAX);
            self.deployed.removable = Some(number);
        }
    }

    /// The function that a handshake gets that begins now.
    pub fn removable_now(&self) -> Option<u32> {
        self.deployed.removable
    }

    /// The count of `save` belongs to one function: the next one of its name
    /// must not have counted requests to earlier ones.
    pub fn check_inheritance(&mut self, line: &Line, result: &str) {
        let Some(number) = line.incarnation.filter(|number| *number > 0) else {
            return;
        };
        let Some(removed) = self.deployed.removals.get(number as usize - 1).copied() else {
            return;
        };
        let counts = |other: &Rc<RefCell<Line>>| {
            // The answered connection is borrowed, and counts itself.
            let other = other.try_borrow().ok()?;
            let same = other.function == line.function && other.opened > removed;
            same.then_some(other.saves)
        };
        let asked = line.saves + self.lines.iter().filter_map(counts).sum::<u64>();
        let sum = result.split(' ').next().and_then(|sum| sum.parse().ok());
        if sum.is_some_and(|sum: u64| sum > asked) {
            let text = format!("`save` answers {result} after a removal; {asked} were asked for");
            self.blame("removed", &text, line);
        }
    }

    /// A function by its number.
    pub fn name(&self, function: usize) -> String {
        let name = self.plan.function_name(function);
        debug_assert!(name != REMOVABLE || function >= self.plan.functions.len());
        name
    }

    // === back-offs and pauses ===

    /// From when on an answer is owed, if it is: an event in a long back-off
    /// waits for a move of its alias.
    pub fn is_owed_since(&self, line: &Line) -> Option<Instant> {
        let function = self.plan.functions.get(line.function);
        let long = function.is_some_and(|it| it.settings.backoff_ms >= LONG_BACKOFF_MS);
        if !long {
            return Some(self.began);
        }
        self.deployed.functions.get(&line.function)?.moved
    }

    pub fn paused(&self, line: &mut Line, ms: &str) {
        let time = Duration::from_millis(ms.parse().unwrap_or_default());
        let pings = self.plan.functions.get(line.function);
        let pinged = time >= PINGED_PAUSE && pings.is_some_and(|function| function.pings);
        line.pings_at_pause = pinged.then_some(line.pings);
    }

    /// Pings go on while a connection is paused.
    pub fn resumed(&mut self, line: &mut Line) {
        if line.pings_at_pause.take() == Some(line.pings) {
            let text = format!("no ping came in a pause of {PINGED_PAUSE:?}");
            self.blame("pings", &text, line);
        }
    }
}

impl Plan {
    /// Whether a function leaves the configuration for a while.
    pub fn leaves(&self, function: usize) -> bool {
        self.has(|act| matches!(act, Act::Away(other, _) if *other == function))
    }
}
