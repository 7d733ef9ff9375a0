//! The scripts of `adversary` and `adversary-async`. A message is a number and
//! steps that are separated by `;`; its answer is
//! `R NUMBER HANDLED VERSION INSTANCE RESULT|RESULT…`. HANDLED counts the
//! messages of the connection, from its attachment.
//!
//! - `echo TEXT`, `compute MS`, `block MS` (a blocking wait), `sleep MS` (an
//!   await in the asynchronous handler), `allocate KIB`, `recurse`, `trap`,
//!   `forever`, `print LINES`. `trap-in LETTER` traps in that version only.
//!   `evade MS` computes for this long with naps of a nanosecond, and answers
//!   `evaded` if that was far more than its rest has made up for.
//! - `remember N` adds to a number in memory that `hibernate` saves, and
//!   answers the sum. `save` adds one to a number in the state, with `save_if`,
//!   and answers the sum and the number of conflicts.
//! - `subscribe CHANNEL`, `unsubscribe CHANNEL`, `publish CHANNEL ID`,
//!   `broadcast ID`, `send CONNECTION TEXT`, `flood MESSAGES` of 16 KiB.
//! - `alarm NAME MS`, `clear NAME`; `key-alarm NAME MS`, `key-durable NAME MS`,
//!   `key-clear NAME`. An alarm that begins with `trap` traps at its first
//!   attempt, with `always` at each.
//! - `hold CONNECTION` keeps a handle, `let-go` drops all.
//! - `pause MS NAME` pauses reading until an alarm of that name.
//! - `close`, `close-other CONNECTION`, `terminate` (no answer),
//!   `terminate-other CONNECTION`.
//! - The steps of `carried.rs`.
//!
//! A message that begins with `auto` is not a script. It comes here if no
//! automatic response matches it, and is answered with `U MESSAGE`.
//!
//! The log has a line for each `open`, `close`, `alarm` and `hibernate`, and for
//! an alarm that is called after this instance has cleared it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, Instant};

use openline_sdk::prelude::*;
use openline_sdk::state::{self, SaveError};
use openline_sdk::{Error, Published, alarms, broadcast, connection, publish};

use crate::carried::{self, said};

/// The tests make other versions of this component by changing its last
/// letter.
static VERSION: &str = "adversary-version-a";

/// The size of one message of a flood.
const FLOOD_BYTES: usize = 16 * 1024;

pub(crate) struct Script {
    instance: u64,
    remembered: RefCell<Option<i64>>,
    held: RefCell<Vec<Connection>>,
    /// Names of alarms without a connection that this instance has cleared.
    cleared: RefCell<HashSet<String>>,
    /// Whether `hibernate` will trap.
    doomed: Cell<bool>,
}

/// The result of a step.
pub(crate) enum Step {
    Said(String),
    /// Wait for this many milliseconds, then answer `ok`.
    Sleep(u64),
    /// Send this many pieces, and wait for room before each.
    Stream(u64),
    /// Send this many pieces, and wait for room after them.
    Burst(u64),
    /// The message gets no answer.
    Silent,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            instance: RandomState::new().hash_one(()) & 0xff_ffff,
            remembered: RefCell::default(),
            held: RefCell::default(),
            cleared: RefCell::default(),
            doomed: Cell::default(),
        }
    }
}

pub(crate) fn decide(request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
    assert!(request.query("trap").is_none(), "asked for");
    if request.query("reject").is_some() {
        return Err(Rejection::text(403, "no\n"));
    }
    Ok(carried::accept(request).channel("alarms"))
}

/// How long `upgrade` has to wait, in milliseconds.
pub(crate) fn upgrade_wait(request: &UpgradeRequest) -> Option<u64> {
    request.query("wait")?.parse().ok()
}

fn version() -> char {
    black_box(VERSION).chars().last().unwrap_or('?')
}

/// A message that is a script, and what came of its steps.
pub(crate) struct Call<'a> {
    pub(crate) number: &'a str,
    handled: u64,
    steps: &'a str,
    pub(crate) results: Vec<String>,
}

impl<'a> Call<'a> {
    /// `None` for a message that the host could have answered by itself: it is
    /// answered here.
    pub(crate) fn begin(here: &Connection, message: &'a Message) -> Option<Self> {
        let text = message.as_text().unwrap_or_default();
        if text.starts_with("auto") {
            here.send(format!("U {text}"));
            return None;
        }
        let handled = carried::count(here);
        let (number, steps) = text.split_once(' ').unwrap_or((text, ""));
        Some(Self {
            number,
            handled,
            steps,
            results: Vec::new(),
        })
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.steps.split(';')
    }
}

impl Script {
    pub(crate) fn open(&self, here: &Connection) {
        eprintln!("@open {}", here.id());
        carried::meet_doom(here, true);
        here.send(format!("O {} {:x}", here.id(), self.instance));
    }

    pub(crate) fn close(here: &Connection) {
        eprintln!("@close {}", here.id());
        carried::meet_doom(here, false);
    }

    /// `alone` says that calls of an instance never overlap, so that an alarm
    /// that is called after its clear cannot have begun before.
    pub(crate) fn alarm(&self, connection: Option<&Connection>, alarm: &Alarm, alone: bool) {
        let Alarm { name, attempt } = alarm;
        if alone && connection.is_none() && self.cleared.borrow().contains(name) {
            eprintln!("@alarm-after-clear {name}");
        }
        eprintln!("@alarm {name} {attempt}");
        let traps = name.starts_with("always") || name.starts_with("trap") && *attempt < 2;
        assert!(!traps, "asked for");
        match connection {
            Some(here) => {
                if name.starts_with("resume") {
                    here.resume();
                }
                here.send(format!("A {name} {attempt}"));
            }
            None => _ = publish("alarms", format!("K {name} {attempt}")),
        }
    }

    pub(crate) fn hibernate(&self) {
        assert!(!self.doomed.get(), "asked for");
        if let Some(remembered) = *self.remembered.borrow() {
            match change(|_, saved| (remembered, saved)) {
                Ok(_) => eprintln!("@hibernate {remembered}"),
                Err(error) => eprintln!("@not-hibernated {remembered} {error}"),
            }
        }
    }

    pub(crate) fn reply(&self, here: &Connection, call: &Call<'_>) {
        let Call {
            number, handled, ..
        } = call;
        let (version, instance) = (version(), self.instance);
        let results = call.results.join("|");
        here.send(format!(
            "R {number} {handled} {version} {instance:x} {results}"
        ));
    }

    pub(crate) fn step(&self, here: &Connection, text: &str) -> Step {
        let words: Vec<&str> = text.split(' ').collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let number = |index: usize| word(index).parse::<u64>().unwrap_or_default();
        let time = Duration::from_millis(number(2));
        Step::Said(match word(0) {
            "sleep" => return Step::Sleep(number(1)),
            "stream" => return Step::Stream(number(1)),
            "burst" => return Step::Burst(number(1)),
            "doom-hibernate" => {
                self.doomed.set(true);
                "ok".into()
            }
            "terminate" => {
                here.terminate();
                return Step::Silent;
            }
            "echo" => word(1).to_owned(),
            "remember" => self.remember(word(1).parse().unwrap_or_default()),
            "save" => change(|remembered, saved| (remembered, saved + 1)).map_or_else(
                |error| format!("error {error}"),
                |(_, saved, conflicts)| format!("{saved} {conflicts}"),
            ),
            "subscribe" => said(here.subscribe(word(1))),
            "unsubscribe" => {
                here.unsubscribe(word(1));
                "ok".into()
            }
            "publish" => told(publish(word(1), format!("P {} {}", word(1), word(2)))),
            "broadcast" => told(broadcast(format!("B {}", word(1)))),
            "send" => other(word(1), |other| {
                format!("{:?}", other.send(format!("T {}", word(2))))
            }),
            "flood" => {
                for _ in 0..number(1) {
                    here.send(vec![b'F'; FLOOD_BYTES]);
                }
                "ok".into()
            }
            "alarm" => said(here.set_alarm(word(1), time)),
            "clear" => {
                here.clear_alarm(word(1));
                "ok".into()
            }
            "key-alarm" => {
                self.cleared.borrow_mut().remove(word(1));
                said(alarms::set(word(1), time))
            }
            "key-durable" => {
                self.cleared.borrow_mut().remove(word(1));
                said(alarms::set_durable(word(1), time))
            }
            "key-clear" => {
                alarms::clear(word(1));
                self.cleared.borrow_mut().insert(word(1).to_owned());
                "ok".into()
            }
            "hold" => match connection(word(1)) {
                Some(held) => {
                    self.held.borrow_mut().push(held);
                    "ok".into()
                }
                None => "nobody".into(),
            },
            "let-go" => {
                self.held.borrow_mut().clear();
                "ok".into()
            }
            "pause" => {
                let set = here.set_alarm(word(2), Duration::from_millis(number(1)));
                here.pause();
                said(set)
            }
            "close" => said(here.close(1000, "bye")),
            "close-other" => other(word(1), |other| said(other.close(1000, "bye"))),
            "terminate-other" => other(word(1), |other| {
                other.terminate();
                "ok".into()
            }),
            "evade" => evade(Duration::from_millis(number(1))),
            "trap-in" => {
                assert!(!word(1).starts_with(version()), "asked for");
                "ok".into()
            }
            _ => match carried::step(here, &self.held.borrow(), &words) {
                Some(result) => result,
                None => {
                    misbehave(word(0), number(1));
                    "ok".into()
                }
            },
        })
    }

    fn remember(&self, more: i64) -> String {
        let mut remembered = self.remembered.borrow_mut();
        let before = match *remembered {
            Some(before) => before,
            None => match saved() {
                Ok((_, before, _)) => before,
                Err(error) => return format!("error {error}"),
            },
        };
        *remembered = Some(before + more);
        (before + more).to_string()
    }
}

fn misbehave(how: &str, number: u64) {
    match how {
        "compute" => {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(number) {
                black_box(());
            }
        }
        "block" => std::thread::sleep(Duration::from_millis(number)),
        "forever" => loop {
            black_box(());
        },
        "allocate" => {
            let kib = usize::try_from(number).unwrap_or_default();
            drop(black_box(vec![1u8; kib * 1024]));
        }
        "recurse" => _ = deeper(number),
        "print" => (0..number).for_each(|line| eprintln!("line {line}")),
        "trap" => panic!("asked for"),
        _ => {}
    }
}

/// Computes with hardly any rest. A busy machine makes rests longer and
/// computing slower, so both are measured: computing is counted in units, each
/// of which counts as long as the fastest took.
fn evade(time: Duration) -> String {
    const RUN: Duration = Duration::from_millis(40);
    // Takes long compared with reading the clock.
    const UNIT: u64 = 100_000;
    // Twice `cpu_timeout` in the plans.
    const FAR: Duration = Duration::from_millis(200);
    let began = Instant::now();
    let (mut units, mut rested, mut fastest) = (0u32, Duration::ZERO, Duration::MAX);
    while began.elapsed() < time {
        let run = Instant::now();
        while run.elapsed() < RUN {
            let unit = Instant::now();
            let mut sum = 0u64;
            for next in 0..UNIT {
                sum = black_box(sum.wrapping_mul(31).wrapping_add(next));
            }
            fastest = fastest.min(unit.elapsed());
            units += 1;
        }
        let nap = Instant::now();
        std::thread::sleep(Duration::from_nanos(1));
        rested += nap.elapsed();
        let computed = fastest.saturating_mul(units);
        if computed.saturating_sub(rested) > FAR {
            return "evaded".into();
        }
    }
    "ok".into()
}

#[expect(unconditional_recursion, reason = "it is to overflow the stack")]
fn deeper(depth: u64) -> u64 {
    black_box([depth; 64])[0] + deeper(depth + 1) + 1
}

/// The version of the state, and its two numbers.
fn saved() -> Result<(u64, i64, i64), String> {
    let loaded = state::load().map_err(|error| error.code().to_owned())?;
    let Some(loaded) = loaded else {
        return Ok((0, 0, 0));
    };
    let text = String::from_utf8_lossy(&loaded.bytes).into_owned();
    let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(-1));
    let mut next = || numbers.next().unwrap_or(-1);
    Ok((loaded.version, next(), next()))
}

fn change(change: impl Fn(i64, i64) -> (i64, i64)) -> Result<(i64, i64, u32), String> {
    for conflicts in 0..100 {
        let (version, remembered, counted) = saved()?;
        let (remembered, counted) = change(remembered, counted);
        match state::save_if(format!("{remembered} {counted}"), version) {
            Ok(_) => return Ok((remembered, counted, conflicts)),
            Err(SaveError::Conflict(_)) => {}
            Err(error) => return Err(error.code().to_owned()),
        }
    }
    Err("conflicts".into())
}

fn other(id: &str, then: impl FnOnce(Connection) -> String) -> String {
    connection(id).map_or_else(|| "nobody".into(), then)
}

fn told(result: Result<Published, Error>) -> String {
    result.map_or_else(
        |error| format!("error {}", error.code()),
        |published| published.deliveries().to_string(),
    )
}
