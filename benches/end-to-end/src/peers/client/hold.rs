//! Connections that have each had one message echoed: what they cost in memory,
//! and what it took the server to have them.

use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use openline_load::process::resident_bytes;

use super::wire::{Place, Wire, from_server, payload, to_server};
use super::{Figures, Moment, Order, WAVE};
use crate::peers::measurement::{BYTES_PER_CONNECTION, CPU_TO_OPEN};

pub(super) async fn measure(order: &Order) -> anyhow::Result<Figures> {
    let place = order.place()?;
    // The first connection costs more than the others: it is not counted.
    let first = exchange(&place, order.is_text, 0).await?;
    tokio::time::sleep(Duration::from_secs_f64(order.warm_up_seconds)).await;
    let bytes_before = resident_bytes(order.process)?;
    let before = Moment::now(order)?;
    let wires: Vec<Wire> = stream::iter(1..=u64::from(order.connections))
        .map(|number| exchange(&place, order.is_text, number))
        .buffer_unordered(WAVE)
        .try_collect()
        .await?;
    let after = Moment::now(order)?;
    tokio::time::sleep(Duration::from_secs_f64(order.seconds)).await;
    let bytes_after = resident_bytes(order.process)?;
    drop((first, wires));
    let each = (bytes_after as f64 - bytes_before as f64) / f64::from(order.connections);
    let milliseconds = before.until(&after).server_seconds * 1e3;
    Ok(Figures::from([
        (BYTES_PER_CONNECTION.to_owned(), each),
        (CPU_TO_OPEN.to_owned(), milliseconds),
    ]))
}

async fn exchange(place: &Place, is_text: bool, number: u64) -> anyhow::Result<Wire> {
    let mut wire = Wire::open(place).await?;
    let payload = payload(number);
    wire.send(&to_server(is_text, &payload)).await?;
    wire.expect(&from_server(is_text, &payload)).await?;
    Ok(wire)
}

/// Opens one connection and has one message echoed.
pub(in crate::peers) async fn once(
    target: &openline_load::Target,
    is_text: bool,
) -> anyhow::Result<()> {
    exchange(&Place::of(target)?, is_text, 0).await?;
    Ok(())
}
