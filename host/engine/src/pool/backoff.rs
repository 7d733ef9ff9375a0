//! A version that keeps failing is given nothing for a while, then one call,
//! and recovers by itself.
//!
//! Past `faults_in_a_row` each further fault doubles the time. A host that
//! drains lifts all back-offs: what waits is tried while it still can be.
//! Bounded by the connections: each that waits is listed once, and taken off
//! the list when it goes elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openline_channels::connection::Connection;
use openline_core::limits::InstancePolicy;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::sync::{AtomicBool, Mutex, Ordering, sleep, spawn};

/// The back-off of one version, and the connections that wait for its end.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    active: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts the back-offs.
    number: u64,
    until: Option<Instant>,
    /// Ends the task of this back-off when it is dropped: one that is lifted,
    /// or whose version has gone, has nothing to wait for.
    ending: Option<oneshot::Sender<()>>,
    /// Whether back-offs have ended for good.
    lifted: bool,
    /// In the order in which they came; they are woken in that order.
    waiting: BTreeMap<u64, Arc<Connection>>,
    /// The place of the last one that came.
    last: u64,
}

/// A place among those that wait for the end of a back-off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    number: u64,
    place: u64,
}

impl Backoff {
    /// Whether nothing is given.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    /// How much longer nothing is given.
    pub(crate) fn left(&self) -> Option<Duration> {
        if !self.is_active() {
            return None;
        }
        let until = self.state.lock().until?;
        Some(until.saturating_duration_since(Instant::now()))
    }

    /// A fault has ended an instance, the last of so many in a row. Answers for
    /// how long nothing is given, if that begins now.
    pub(crate) fn fail(self: &Arc<Self>, faults: u32, policy: &InstancePolicy) -> Option<Duration> {
        let time = time_of(faults, policy)?;
        let mut state = self.state.lock();
        // Calls that were begun before fail during a back-off, too.
        if self.is_active() || state.lifted {
            return None;
        }
        state.number += 1;
        state.until = Some(Instant::now() + time);
        let (ending, ended) = oneshot::channel();
        state.ending = Some(ending);
        self.active.store(true, Ordering::Release);
        drop(state);
        let backoff = Arc::downgrade(self);
        spawn(async move {
            tokio::select! {
                // Not by chance: a model is the same each time it is run.
                biased;
                () = sleep(time) => {
                    if let Some(backoff) = backoff.upgrade() {
                        backoff.end();
                    }
                }
                _ = ended => {}
            }
        });
        Some(time)
    }

    /// Has a connection woken at the end of this back-off. If it has just
    /// ended, it is woken at once.
    pub(crate) fn wait(&self, connection: &Arc<Connection>) -> Wait {
        let mut state = self.state.lock();
        state.last += 1;
        let place = state.last;
        if self.is_active() {
            state.waiting.insert(place, Arc::clone(connection));
        } else {
            connection.wake();
        }
        Wait {
            number: state.number,
            place,
        }
    }

    /// Whether a connection that [waits](Self::wait) will still be woken.
    pub(crate) fn is_waited_for(&self, wait: Wait) -> bool {
        let state = self.state.lock();
        self.is_active() && state.number == wait.number
    }

    /// A connection does not wait any more.
    pub(crate) fn forget(&self, wait: Wait) {
        let forgotten = self.state.lock().waiting.remove(&wait.place);
        drop(forgotten);
    }

    /// Has all that wait check whether they still should: their alias may lead
    /// elsewhere.
    pub(crate) fn wake(&self) {
        let state = self.state.lock();
        state.waiting.values().for_each(|waiting| waiting.wake());
    }

    /// Ends this back-off, and lets no other begin.
    pub(crate) fn lift(&self) {
        self.state.lock().lifted = true;
        self.end();
    }

    fn end(&self) {
        let mut state = self.state.lock();
        self.active.store(false, Ordering::Release);
        state.until = None;
        let ending = state.ending.take();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(ending);
        waiting.values().for_each(|connection| connection.wake());
    }
}

/// How long nothing is given after so many faults in a row, if it is too many.
fn time_of(faults: u32, policy: &InstancePolicy) -> Option<Duration> {
    let past = match policy.faults_in_a_row {
        0 => return None,
        most => faults.checked_sub(most)?,
    };
    let doubled = policy.backoff_time.saturating_mul(1 << past.min(20));
    Some(doubled.min(policy.backoff_time_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_doubles_from_the_limit_on() {
        let policy = InstancePolicy {
            faults_in_a_row: 3,
            backoff_time: Duration::from_millis(100),
            backoff_time_max: Duration::from_secs(1),
            ..InstancePolicy::default()
        };
        let times: Vec<_> = (1..9).map(|faults| time_of(faults, &policy)).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(
            times,
            [
                None,
                None,
                ms(100),
                ms(200),
                ms(400),
                ms(800),
                ms(1000),
                ms(1000)
            ]
        );
        let never = InstancePolicy {
            faults_in_a_row: 0,
            ..policy
        };
        assert_eq!(time_of(u32::MAX, &never), None);
    }

    #[tokio::test]
    async fn the_end_comes_by_itself_and_none_begins_during_another() {
        let policy = InstancePolicy {
            faults_in_a_row: 2,
            backoff_time: Duration::from_millis(20),
            ..InstancePolicy::default()
        };
        let backoff = Arc::new(Backoff::default());
        assert_eq!(backoff.fail(1, &policy), None);
        assert!(!backoff.is_active());
        assert_eq!(backoff.fail(2, &policy), Some(policy.backoff_time));
        assert!(backoff.is_active() && backoff.left().is_some());
        // A call that was begun before fails, too: that is no new back-off.
        assert_eq!(backoff.fail(3, &policy), None);
        while backoff.is_active() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(backoff.fail(4, &policy), Some(4 * policy.backoff_time));
        backoff.lift();
        assert!(!backoff.is_active());
        assert_eq!(backoff.fail(5, &policy), None, "none begins after that");
    }

    #[tokio::test]
    async fn its_task_ends_with_its_version_and_when_it_is_lifted() {
        let policy = InstancePolicy {
            faults_in_a_row: 1,
            backoff_time: Duration::from_secs(3600),
            backoff_time_max: Duration::from_secs(3600),
            ..InstancePolicy::default()
        };
        let tasks = || {
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks()
        };
        for is_lifted in [false, true] {
            let backoff = Arc::new(Backoff::default());
            assert_eq!(backoff.fail(1, &policy), Some(policy.backoff_time));
            assert_eq!(tasks(), 1);
            if is_lifted {
                backoff.lift();
            } else {
                let gone = Arc::downgrade(&backoff);
                drop(backoff);
                assert!(gone.upgrade().is_none(), "the task holds it");
            }
            while tasks() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }
}
