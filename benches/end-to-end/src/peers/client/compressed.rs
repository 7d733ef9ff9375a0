//! Compressed echoes: a JSON message of 1 KiB in each direction, without context
//! takeover. The client compresses it once and does not decompress what comes
//! back, so that what is measured is the server; it counts the bytes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::ensure;
use openline_kit::bytes::frame;
use openline_load::process::resident_bytes;
use openline_websocket::deflate::{Deflater, WINDOW_BITS_MAX};
use tokio::task::{JoinSet, LocalSet};

use super::wire::Wire;
use super::{Figures, Moment, Order, open};
use crate::peers::measurement::{
    BYTES_PER_CONNECTION, BYTES_PER_MESSAGE, CPU_PER_MESSAGE, MESSAGES_PER_SECOND,
};

/// The message, in bytes.
const MESSAGE_BYTES: usize = 1024;

/// zlib's level, which the client of most servers has.
const LEVEL: u8 = 6;

/// The offer: a server that meets it keeps nothing between messages.
const OFFER: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/// A whole text, compressed.
const TEXT: u8 = 0xc1;

/// What has come back.
#[derive(Debug, Default)]
struct Counts {
    messages: Cell<u64>,
    bytes: Cell<u64>,
}

/// Echoes one after the other on each connection.
pub(super) async fn measure(order: &Order) -> anyhow::Result<Figures> {
    let place = order.place()?.offering(OFFER);
    let wires = open(&place, order.connections).await?;
    let (counts, message) = (Rc::<Counts>::default(), Rc::new(message()));
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for wire in wires {
        let (counts, message) = (Rc::clone(&counts), Rc::clone(&message));
        tasks.spawn_local_on(echo(wire, message, counts), &local);
    }
    let measuring = async {
        tokio::time::sleep(Duration::from_secs_f64(order.warm_up_seconds)).await;
        let (messages, bytes) = (counts.messages.get(), counts.bytes.get());
        let first = Moment::now(order)?;
        tokio::time::sleep(Duration::from_secs_f64(order.seconds)).await;
        let last = Moment::now(order)?;
        let messages = counts.messages.get() - messages;
        let bytes = counts.bytes.get() - bytes;
        let used = first.until(&last);
        let mut figures = used.of(messages, CPU_PER_MESSAGE, MESSAGES_PER_SECOND);
        let each = bytes as f64 / messages.max(1) as f64;
        figures.insert(BYTES_PER_MESSAGE.to_owned(), each);
        anyhow::Ok(figures)
    };
    let figures = local.run_until(measuring).await?;
    // One that has failed says so; the others go on until now.
    while let Some(ended) = tasks.try_join_next() {
        ended??;
    }
    Ok(figures)
}

/// Connections that have each had one compressed message echoed, and are idle.
pub(super) async fn hold(order: &Order) -> anyhow::Result<Figures> {
    let place = order.place()?.offering(OFFER);
    let message = message();
    let counts = Counts::default();
    // The first connection costs more than the others: it is not counted.
    let mut first = open(&place, 1).await?;
    for wire in &mut first {
        exchange(wire, &message, &counts).await?;
    }
    tokio::time::sleep(Duration::from_secs_f64(order.warm_up_seconds)).await;
    let before = resident_bytes(order.process)?;
    let mut wires = open(&place, order.connections).await?;
    for wire in &mut wires {
        exchange(wire, &message, &counts).await?;
    }
    tokio::time::sleep(Duration::from_secs_f64(order.seconds)).await;
    let after = resident_bytes(order.process)?;
    drop((first, wires));
    let each = (after as f64 - before as f64) / f64::from(order.connections);
    Ok(Figures::from([(BYTES_PER_CONNECTION.to_owned(), each)]))
}

async fn echo(mut wire: Wire, message: Rc<Vec<u8>>, counts: Rc<Counts>) -> anyhow::Result<()> {
    loop {
        exchange(&mut wire, &message, &counts).await?;
    }
}

async fn exchange(wire: &mut Wire, message: &[u8], counts: &Counts) -> anyhow::Result<()> {
    wire.send(message).await?;
    let (first, bytes) = wire.read_any().await?;
    ensure!(first == TEXT, "no compressed text came back: {first:#x}");
    counts.messages.set(counts.messages.get() + 1);
    counts.bytes.set(counts.bytes.get() + bytes);
    Ok(())
}

/// The frame that is sent.
fn message() -> Vec<u8> {
    let mut deflated = Vec::new();
    Deflater::new(LEVEL, WINDOW_BITS_MAX, false).deflate(json().as_bytes(), &mut deflated);
    frame(TEXT, &deflated)
}

/// Orders as a service might have them: names that repeat, values that do not.
fn json() -> String {
    let mut text = String::from("{\"type\":\"orders\",\"items\":[");
    let mut state = 7_u64;
    let mut item = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let (id, price, is_open) = (state >> 44, state >> 50, state >> 63 == 0);
        format!("{{\"id\":{id},\"name\":\"item-{price}\",\"price\":{price}.5,\"open\":{is_open}}}")
    };
    text += &item();
    while text.len() < MESSAGE_BYTES - 100 {
        text += ",";
        text += &item();
    }
    text += "],\"note\":\"";
    text.extend(('a'..='z').cycle().take(MESSAGE_BYTES - text.len() - 2));
    text + "\"}"
}

#[cfg(test)]
mod tests {
    use super::{MESSAGE_BYTES, json, message};

    #[test]
    fn the_message_is_json_of_its_size_and_becomes_less_than_half() {
        let json = json();
        assert_eq!(json.len(), MESSAGE_BYTES);
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        assert!(message().len() < MESSAGE_BYTES / 2);
    }
}
