//! Releases messages when they are due.
//!
//! The runtime's timers tick once a millisecond, too coarse for latencies of
//! microseconds. So the pacer sleeps only until shortly before the next due
//! time and spends the rest looking at the clock, serving the network at each
//! turn. Above some 700 messages a second its thread is therefore always busy;
//! what it costs is the load generator's CPU, never the server's figures.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::schedule::Schedule;
use super::slot::Slot;

/// How long before a due time the pacer stops sleeping: a timer may fire a
/// whole tick late, and waking takes time.
const SPIN: Duration = Duration::from_micros(1_500);

/// Messages released between two looks at the network, so that a rate beyond
/// what the machine can send does not keep answers from being read.
const BATCH_MAX: usize = 256;

/// Releases every message due before `end`, then returns, at `end`.
pub(crate) async fn pace(slots: &[Rc<Slot>], schedule: Schedule, end: Instant) {
    let mut number = 0;
    let mut due = schedule.due(number);
    while due < end {
        let now = Instant::now();
        for _ in 0..BATCH_MAX {
            if due > now || due >= end {
                break;
            }
            slots[schedule.connection(number)].release();
            number += 1;
            due = schedule.due(number);
        }
        if due.saturating_duration_since(now) > SPIN {
            tokio::time::sleep_until(due - SPIN).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep_until(end).await;
}
