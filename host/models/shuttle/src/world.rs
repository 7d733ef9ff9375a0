//! Facts that a model knows and the host does not: which guests exist, and
//! whether anything forbidden has happened. There is one world for each
//! schedule; a thread tries schedules one after the other.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic;
use std::sync::Once;
use std::task::Waker;

use shuttle::thread::JoinHandle;

/// The guests of a model, and their calls.
#[derive(Default)]
struct World {
    /// Affinity values of live guests.
    keys: BTreeSet<String>,
    guests: u32,
    guests_max: u32,
    made: u32,
    tasks: Vec<JoinHandle<()>>,
    /// Waits for the long time, which is over at the end.
    sleepers: Vec<Waker>,
    is_over: bool,
    /// Forbidden things that have happened. They are not panics, because the
    /// host would catch those.
    broken: Vec<String>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Begins a schedule of a host with places for this many guests.
pub(crate) fn begin(guests_max: u32) {
    count_panics();
    PANICS.set(0);
    let new = World {
        guests_max,
        ..World::default()
    };
    drop(WORLD.replace(new));
}

/// Counts panics, because the host catches those of an instance, and a deadlock
/// of one thread with itself is a panic in shuttle.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

pub(crate) fn add_task(task: JoinHandle<()>) {
    WORLD.with_borrow_mut(|world| world.tasks.push(task));
}

pub(crate) fn add_sleeper(waker: &Waker) {
    WORLD.with_borrow_mut(|world| world.sleepers.push(waker.clone()));
}

/// Whether all times are over.
pub(crate) fn is_over() -> bool {
    WORLD.with_borrow(|world| world.is_over)
}

/// How many guests there have been.
pub(crate) fn made() -> u32 {
    WORLD.with_borrow(|world| world.made)
}

/// How many guests there are.
pub(crate) fn guests() -> u32 {
    WORLD.with_borrow(|world| world.guests)
}

/// Ends all waits, waits for all tasks, and fails if anything forbidden has
/// happened.
pub(crate) fn end() {
    let sleepers = WORLD.with_borrow_mut(|world| {
        world.is_over = true;
        std::mem::take(&mut world.sleepers)
    });
    sleepers.iter().for_each(Waker::wake_by_ref);
    while let Some(task) = WORLD.with_borrow_mut(|world| world.tasks.pop()) {
        task.join().expect("the host catches panics of instances");
    }
    WORLD.with_borrow(|world| {
        assert!(world.broken.is_empty(), "{:?}", world.broken);
        assert_eq!(world.guests, 0, "guests are left");
    });
    assert_eq!(PANICS.get(), 0, "the host has panicked");
}

/// A guest with its memory.
#[derive(Debug)]
pub(crate) struct Guest {
    key: Option<String>,
    /// Whether it has done a job, or cannot get one.
    pub(crate) used: bool,
}

impl Guest {
    pub(crate) fn new(key: Option<String>) -> Self {
        WORLD.with_borrow_mut(|world| {
            world.made += 1;
            world.guests += 1;
            if world.guests > world.guests_max {
                world.broken.push("more guests than places".into());
            }
            if let Some(key) = &key
                && !world.keys.insert(key.clone())
            {
                world.broken.push(format!("two live guests of `{key}`"));
            }
        });
        Self { key, used: false }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        WORLD.with_borrow_mut(|world| {
            world.guests -= 1;
            if !self.used {
                let rule = "a guest ends before it was given what it was made for";
                world.broken.push(rule.into());
            }
            if let Some(key) = &self.key {
                world.keys.remove(key);
            }
        });
    }
}
