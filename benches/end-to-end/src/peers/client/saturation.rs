//! More messages than the server can answer: a connection has one in flight at
//! any moment and sends the next as soon as it is answered, so most of them
//! wait at the server. How long, and for how many others, shows whether the
//! server serves connections in turn.
//!
//! A wait is counted in turns, too: how many other answers came meanwhile,
//! divided by the number of connections. A server that serves all in turn makes
//! each wait for one turn. Unlike time, turns do not depend on the speed of the
//! machine.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use super::wire::{Wire, from_server, payload, to_server};
use super::{Figures, Moment, Order, open};
use crate::peers::measurement::{
    CPU_PER_MESSAGE, LONGEST, LONGEST_IN_TURNS, MESSAGES_PER_SECOND, P50, P99,
};

/// What all connections share.
#[derive(Default)]
struct Shared {
    /// Answers to all connections, since the beginning.
    answered: Cell<u64>,
    /// The waits that have ended, while they are recorded.
    waits: RefCell<Option<Vec<Wait>>>,
    /// How a connection ended, if one did.
    failure: RefCell<Option<String>>,
}

/// A message in flight.
#[derive(Clone, Copy)]
struct Flight {
    sent: Instant,
    /// Answers to all connections until then.
    answered: u64,
}

/// How long a message has waited for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    time: Duration,
    /// Answers to other connections meanwhile.
    others: u64,
}

/// A connection's message, if it has one in flight.
type Slot = Rc<Cell<Option<Flight>>>;

pub(super) async fn measure(order: &Order) -> anyhow::Result<Figures> {
    let wires = open(&order.place()?, order.connections).await?;
    let shared = Rc::<Shared>::default();
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    let mut slots = Vec::<Slot>::new();
    for (number, wire) in (0..).zip(wires) {
        let slot = Slot::default();
        slots.push(Rc::clone(&slot));
        let shared = Rc::clone(&shared);
        let is_text = order.is_text;
        let conversing = async move {
            if let Err(error) = converse(wire, number, is_text, &slot, &shared).await {
                *shared.failure.borrow_mut() = Some(error.to_string());
            }
        };
        tasks.spawn_local_on(conversing, &local);
    }
    let measuring = async {
        sleep(Duration::from_secs_f64(order.warm_up_seconds)).await;
        *shared.waits.borrow_mut() = Some(Vec::new());
        let (first, before) = (Moment::now(order)?, shared.answered.get());
        sleep(Duration::from_secs_f64(order.seconds)).await;
        let (last, count) = (Moment::now(order)?, shared.answered.get() - before);
        let failure = shared.failure.borrow().clone().unwrap_or_default();
        ensure!(failure.is_empty(), "a connection has ended: {failure}");
        let mut waits = shared.waits.take().unwrap_or_default();
        // A message that is not answered yet has waited, too: without it, one
        // that is never served would not show.
        let unanswered = slots.iter().filter_map(|slot| slot.get());
        waits.extend(unanswered.map(|flight| flight.until_now(&shared)));
        let used = first.until(&last);
        let mut figures = used.of(count, CPU_PER_MESSAGE, MESSAGES_PER_SECOND);
        figures.extend(figures_of(waits, slots.len()).context("nothing was answered")?);
        Ok(figures)
    };
    local.run_until(measuring).await
}

/// Sends a message and waits for its answer, again and again.
async fn converse(
    mut wire: Wire,
    number: u64,
    is_text: bool,
    slot: &Slot,
    shared: &Shared,
) -> anyhow::Result<()> {
    let payload = payload(number);
    let (ours, theirs) = (to_server(is_text, &payload), from_server(is_text, &payload));
    loop {
        slot.set(Some(Flight {
            sent: Instant::now(),
            answered: shared.answered.get(),
        }));
        wire.send(&ours).await?;
        wire.expect(&theirs).await?;
        let wait = slot.take().map(|flight| flight.until_now(shared));
        shared.answered.set(shared.answered.get() + 1);
        if let Some(waits) = &mut *shared.waits.borrow_mut() {
            waits.extend(wait);
        }
    }
}

impl Flight {
    fn until_now(self, shared: &Shared) -> Wait {
        Wait {
            time: self.sent.elapsed(),
            others: shared.answered.get() - self.answered,
        }
    }
}

/// `None` without any wait.
fn figures_of(mut waits: Vec<Wait>, connections: usize) -> Option<Figures> {
    let others = waits.iter().map(|wait| wait.others).max()?;
    waits.sort_unstable_by_key(|wait| wait.time);
    // The least time that so many in a hundred do not exceed.
    let percentile = |percent: usize| {
        let rank = (waits.len() * percent).div_ceil(100);
        waits[rank.max(1) - 1].time.as_secs_f64() * 1e6
    };
    Some(Figures::from([
        (P50.to_owned(), percentile(50)),
        (P99.to_owned(), percentile(99)),
        (LONGEST.to_owned(), percentile(100)),
        (
            LONGEST_IN_TURNS.to_owned(),
            others as f64 / connections as f64,
        ),
    ]))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LONGEST, LONGEST_IN_TURNS, P50, P99, Wait, figures_of};

    #[test]
    fn percentiles_are_of_time_and_turns_of_answers() {
        assert!(figures_of(Vec::new(), 4).is_none());
        let waits = (1..=200).rev().map(|number| Wait {
            time: Duration::from_micros(number),
            others: if number == 7 { 10 } else { 3 },
        });
        let figures = figures_of(waits.collect(), 4).unwrap();
        for (key, value) in [
            (P50, 100.0),
            (P99, 198.0),
            (LONGEST, 200.0),
            (LONGEST_IN_TURNS, 2.5),
        ] {
            assert!((figures[key] - value).abs() < 1e-9, "{key}: {figures:?}");
        }
        let one = Wait {
            time: Duration::from_micros(5),
            others: 0,
        };
        let figures = figures_of(vec![one], 1).unwrap();
        assert!((figures[P50] - 5.0).abs() < 1e-9 && (figures[P99] - 5.0).abs() < 1e-9);
    }
}
