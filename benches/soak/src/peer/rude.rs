//! Peers that leave without a word, do not read, or send far too much.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::client::Client;
use super::message::{close_frame, message, usual_bytes};
use super::{Peer, Wrong, patience};

/// Messages of a peer that never reads, in bytes: a few dozen fill what waits
/// for it.
const UNREAD_BYTES: usize = 64 << 10;
const UNREAD_MAX: usize = 100;
/// After this long without room for more, the host has stopped reading.
const STALLED: Duration = Duration::from_secs(2);

/// Pings at once, and how often: a peer alone keeps the host busy for some
/// hundredths of its time.
const PINGS: usize = 50;
const PING_INTERVAL: Duration = Duration::from_millis(100);
/// Pings of a peer that does not read the pongs, in all.
const PINGS_UNREAD: usize = 5_000;

/// Sends a message now and then until its end, and reads.
async fn live(peer: &mut Peer, client: &mut Client) -> Option<u16> {
    while !peer.is_over() {
        let pause = peer.pause(1_000..15_000);
        let ended = client.read_until(pause).await;
        if ended.is_some() {
            return ended;
        }
        let bytes = usual_bytes(&mut peer.random);
        let message = message(&mut peer.random, bytes);
        // A failure to send shows at the next read.
        let _ = client.send(message).await;
    }
    None
}

pub(super) async fn vanish(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    live(peer, &mut client).await;
    Ok(())
}

pub(super) async fn reset(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    live(peer, &mut client).await;
    // Where it cannot be set, the peer vanishes.
    let _ = client.socket().set_zero_linger();
    Ok(())
}

/// Says that it will not send any more, and reads on: the host ends it.
pub(super) async fn half_close(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    if live(peer, &mut client).await.is_some() {
        return Ok(());
    }
    let _ = client.socket().shutdown().await;
    match client.read_until(patience()).await {
        Some(_) => Ok(()),
        None => Err(Wrong("a half-closed stream was not ended".to_owned())),
    }
}

pub(super) async fn close_and_go(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.any_path();
    let mut client = peer.open(&path).await?;
    if live(peer, &mut client).await.is_some() {
        return Ok(());
    }
    // An answer may be on its way when the close is.
    let _ = client.feed(message(&mut peer.random, 100)).await;
    let frame = close_frame(&mut peer.random);
    client.send_close(frame).await;
    if peer.random.bool() {
        // Data after the close: a masked text of one byte.
        client.send_bytes(&[0x81, 0x81, 0, 0, 0, 0, b'x']).await;
    }
    if peer.random.bool() {
        let _ = client.socket().set_zero_linger();
    }
    Ok(())
}

/// Sends until the host takes no more, then waits to be cut off.
pub(super) async fn never_read(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&["/echo", "/echo-async"]);
    let mut client = Client::open_small(peer, path).await?;
    for _ in 0..UNREAD_MAX {
        let message = message(&mut peer.random, UNREAD_BYTES);
        let sending = async {
            client.feed(message).await?;
            client.flush().await
        };
        if !matches!(tokio::time::timeout(STALLED, sending).await, Ok(Ok(()))) {
            break;
        }
    }
    tokio::time::sleep_until(peer.until).await;
    Ok(())
}

pub(super) async fn ping_flood(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&["/echo", "/echo-async"]);
    let mut client = peer.open(path).await?;
    let reads = peer.random.bool();
    let mut sent = 0;
    while !peer.is_over() {
        let pinged = ping(&mut client, peer.random.usize(..=125)).await;
        sent += PINGS;
        if pinged.is_err() || (!reads && sent > PINGS_UNREAD) {
            break;
        }
        let next = Instant::now() + PING_INTERVAL;
        if !reads {
            tokio::time::sleep_until(next).await;
        } else if client.read_until(next).await.is_some() {
            return Ok(());
        }
    }
    if !reads {
        tokio::time::sleep_until(peer.until).await;
    }
    Ok(())
}

async fn ping(client: &mut Client, bytes: usize) -> Result<(), Wrong> {
    for _ in 0..PINGS {
        client.feed(Message::Ping(vec![0; bytes].into())).await?;
    }
    client.flush().await
}
