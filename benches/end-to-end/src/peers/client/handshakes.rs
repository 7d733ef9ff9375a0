//! Connections that are opened and closed, each with the whole handshake at
//! both ends.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::wire::{Place, Wire};
use super::{Figures, Moment, Order, PATIENCE};
use crate::peers::measurement::{CONNECTIONS_PER_SECOND, CPU_PER_CONNECTION, FAILED};

struct Shared {
    place: Place,
    end: Instant,
    done: Cell<u64>,
    failed: Cell<u64>,
    /// How the first that failed did.
    failure: RefCell<Option<String>>,
}

pub(super) async fn measure(order: &Order) -> anyhow::Result<Figures> {
    let begin = Instant::now() + Duration::from_secs_f64(order.warm_up_seconds);
    let end = begin + Duration::from_secs_f64(order.seconds);
    let shared = Rc::new(Shared {
        place: order.place()?,
        end,
        done: Cell::new(0),
        failed: Cell::new(0),
        failure: RefCell::new(None),
    });
    let local = tokio::task::LocalSet::new();
    let mut all = JoinSet::new();
    for _ in 0..order.connections {
        all.spawn_local_on(again_and_again(Rc::clone(&shared)), &local);
    }
    let figures = local.run_until(async {
        sleep_until(begin).await;
        let first = Moment::now(order)?;
        let before = shared.done.get();
        sleep_until(end).await;
        let last = Moment::now(order)?;
        let count = shared.done.get() - before;
        let failure = shared.failure.borrow().clone().unwrap_or_default();
        ensure!(count > 0, "no connection was opened and closed: {failure}");
        let mut figures = first
            .until(&last)
            .of(count, CPU_PER_CONNECTION, CONNECTIONS_PER_SECOND);
        figures.insert(FAILED.to_owned(), shared.failed.get() as f64);
        while all.join_next().await.is_some() {}
        Ok(figures)
    });
    figures.await
}

async fn again_and_again(shared: Rc<Shared>) {
    while Instant::now() < shared.end {
        let once = async { Wire::open(&shared.place).await?.close().await };
        let failure = match timeout(PATIENCE, once).await {
            Ok(Ok(())) => {
                shared.done.set(shared.done.get() + 1);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        shared.failed.set(shared.failed.get() + 1);
        shared.failure.borrow_mut().get_or_insert(failure);
        // A server that refuses is not to be asked without end.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
