//! Idle connections, whose peers do nothing but answer the host's pings: what
//! they cost the host in CPU time.
//!
//! They are opened evenly over one interval of pings, so that pings do not come
//! all at once, which would be cheaper: then the host waits for each of them.
//! The measurement lasts one more interval, in which each connection is pinged
//! once.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::Wire;
use super::{Figures, Moment, Order};
use crate::peers::measurement::{CLIENT_BUSY, CPU_PER_IDLE, CPU_WITHOUT};

/// The host's default `ping_interval`.
const INTERVAL: Duration = Duration::from_secs(30);

/// From the last opening until the measurement: what opening has left to do is
/// done by then.
const SETTLE: Duration = Duration::from_secs(5);

/// Pings that may come in the interval before or after theirs, as a part of
/// all: a machine that stops for a moment delays some.
const ASTRAY_MAX: f64 = 0.05;

pub(super) async fn measure(order: &Order) -> anyhow::Result<Figures> {
    let place = order.place()?;
    let pings = Rc::<Cell<u64>>::default();
    let failure = Rc::<RefCell<Option<String>>>::default();
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    let measuring = async {
        // One that has come and gone: the host has used everything once.
        Wire::open(&place).await?.close().await?;
        sleep(SETTLE).await;
        let first = Moment::now(order)?;
        sleep(Duration::from_secs_f64(order.seconds)).await;
        let without = first.until(&Moment::now(order)?);
        let begin = Instant::now();
        for number in 0..order.connections {
            sleep_until(begin + INTERVAL * number / order.connections).await;
            let mut wire = Wire::open(&place).await?;
            let (pings, failure) = (Rc::clone(&pings), Rc::clone(&failure));
            tasks.spawn_local_on(
                async move {
                    loop {
                        if let Err(error) = wire.answer_ping().await {
                            *failure.borrow_mut() = Some(error.to_string());
                            return;
                        }
                        pings.set(pings.get() + 1);
                    }
                },
                &local,
            );
        }
        sleep(SETTLE).await;
        let (first, before) = (Moment::now(order)?, pings.get());
        sleep(INTERVAL).await;
        let (last, count) = (Moment::now(order)?, pings.get() - before);
        let failure = failure.borrow().clone().unwrap_or_default();
        ensure!(failure.is_empty(), "a connection has ended: {failure}");
        let connections = f64::from(order.connections);
        let astray = (count as f64 - connections).abs() / connections;
        ensure!(
            astray <= ASTRAY_MAX,
            "{count} pings on {connections} connections in {INTERVAL:?}"
        );
        let used = first.until(&last);
        let each = used.server_seconds * 1e6 / (connections * used.seconds);
        Ok(Figures::from([
            (CPU_PER_IDLE.to_owned(), each),
            (
                CPU_WITHOUT.to_owned(),
                without.server_seconds * 1e6 / without.seconds,
            ),
            (CLIENT_BUSY.to_owned(), used.busy),
        ]))
    };
    local.run_until(measuring).await
}
