//! Peers that make a function misbehave: they are ended, and none hangs.

use std::time::Duration;

use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, NotOpened};
use super::message::{close_frame, message};
use super::{Peer, Wrong, patience};

/// The events of a function in which it can be made to fail, by its query.
const PLACES: [&str; 4] = ["upgrade", "open", "message", "close"];

/// Codes of a fault: its own, or that no instance had room for what came after
/// another's.
const FAULT: [u16; 2] = [1011, 1013];

/// How long a call may wait for its turn to fail: each fault gives the calls
/// behind it to a new instance, in no order.
const TURN: Duration = Duration::from_secs(90);

/// Opens a connection to a function that others make fail at the same time. It
/// may have to refuse: an upgrade can wait behind calls that never return, and
/// behind several faults in a row. None: it did.
async fn open(peer: &mut Peer, path: &str) -> Result<Option<Client>, Wrong> {
    refused_or(Client::open(peer, path).await)
}

fn refused_or(opened: Result<Client, NotOpened>) -> Result<Option<Client>, Wrong> {
    match opened {
        Ok(client) => Ok(Some(client)),
        Err(NotOpened::Refused(502..=504)) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Has a function fail in any of its events.
async fn fail(peer: &mut Peer, path: &str, text: &str) -> Result<(), Wrong> {
    let place = peer.one_of(&PLACES);
    let path = format!("{path}?at={place}");
    let Some(mut client) = open(peer, &path).await? else {
        return Ok(());
    };
    match place {
        "upgrade" => Err(Wrong("accepted by a function that failed".to_owned())),
        "open" => client.expect_end_within(TURN, &FAULT).await,
        "message" => {
            // Others of the same instance go on: so does this one until then.
            client.read_until(peer.until).await;
            let _ = client.send(Message::text(text)).await;
            client.expect_end_within(TURN, &FAULT).await
        }
        _ => {
            client.read_until(peer.until).await;
            client.send_close(None).await;
            client.read_until(patience()).await;
            Ok(())
        }
    }
}

/// Has a function fail over a message.
async fn fail_over(peer: &mut Peer, path: &str, text: &str) -> Result<(), Wrong> {
    let Some(mut client) = open(peer, path).await? else {
        return Ok(());
    };
    client.read_until(peer.until).await;
    let _ = client.send(Message::text(text)).await;
    client.expect_end_within(TURN, &FAULT).await
}

pub(super) async fn trap(peer: &mut Peer) -> Result<(), Wrong> {
    fail(peer, "/fault-trap", "trap").await
}

pub(super) async fn compute(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&["/fault-compute", "/fault-compute-metered"]);
    fail(peer, path, "compute").await
}

pub(super) async fn await_forever(peer: &mut Peer) -> Result<(), Wrong> {
    fail(peer, "/fault-await-forever", "await").await
}

pub(super) async fn recurse(peer: &mut Peer) -> Result<(), Wrong> {
    fail_over(peer, "/fault-recurse", "recurse").await
}

pub(super) async fn memory(peer: &mut Peer) -> Result<(), Wrong> {
    if peer.random.bool() {
        return fail_over(peer, "/fault-memory", "grow").await;
    }
    // Holds some, which may be too much with what others hold.
    let Some(mut client) = open(peer, "/fault-memory").await? else {
        return Ok(());
    };
    let text = format!("hold {}", peer.random.u8(1..5));
    let _ = client.send(Message::text(text)).await;
    client.read_until(peer.until).await;
    client.send_close(None).await;
    Ok(())
}

/// Has its outbox filled once or for ever, and reads it or not. Whether it is
/// closed depends on the function's policy and on how fast it reads.
pub(super) async fn flood(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&["/fault-flood", "/fault-flood-newest", "/fault-flood-oldest"]);
    let text = peer.one_of(&["flood", "flood", "flood on"]);
    let reads = peer.random.bool();
    let opened = if reads {
        Client::open(peer, path).await
    } else {
        Client::open_small(peer, path).await
    };
    let Some(mut client) = refused_or(opened)? else {
        return Ok(());
    };
    let _ = client.send(Message::text(text)).await;
    if reads {
        client.read_until(peer.until).await;
    } else {
        tokio::time::sleep_until(peer.until).await;
    }
    Ok(())
}

/// Has a call wait; now and then one of the instance's calls fails, and all in
/// flight with it.
pub(super) async fn in_flight(peer: &mut Peer) -> Result<(), Wrong> {
    let Some(mut client) = open(peer, "/fault-async").await? else {
        return Ok(());
    };
    while !peer.is_over() {
        let text = match peer.random.u8(..10) {
            0 => "trap".to_owned(),
            1 => "compute".to_owned(),
            // Some of these take longer than `handler_timeout`.
            _ => peer.random.u32(..2_200).to_string(),
        };
        if client.send(Message::text(text)).await.is_err() {
            break;
        }
        let pause = peer.pause(500..3_000);
        if client.read_until(pause).await.is_some() {
            return Ok(());
        }
    }
    client.send_close(None).await;
    Ok(())
}

/// Channels, handles and attachments at random, now and then too many.
pub(super) async fn hub(peer: &mut Peer) -> Result<(), Wrong> {
    let Some(mut client) = open(peer, "/fault-hub").await? else {
        return Ok(());
    };
    while !peer.is_over() {
        let pause = peer.pause(500..3_000);
        if client.read_until(pause).await.is_some() {
            return Ok(());
        }
        let channel = peer.random.u8(..8);
        let command = match peer.random.u8(..16) {
            0..4 => format!("subscribe c{channel}"),
            4 => format!("subscribe c{}", peer.random.u32(..)),
            5 => format!("unsubscribe c{channel}"),
            6 => format!("count c{channel}"),
            7 => format!("publish c{channel} hello"),
            8 => format!("others c{channel} hello"),
            9 => format!("fill c{channel} {}", peer.random.u32(..64 << 10)),
            10 => "broadcast hello".to_owned(),
            11 => "rest hello".to_owned(),
            12 => format!("attach {}", peer.random.u32(..20 << 10)),
            13 => "attached".to_owned(),
            14 => format!("lose {}", peer.random.u32(..3_000)),
            _ => "send nobody hello".to_owned(),
        };
        let _ = client.send(Message::text(command)).await;
    }
    // Some of what it is sent meets its end, and that may be a fault's.
    let _ = client.send(message(&mut peer.random, 100)).await;
    client.send_close(close_frame(&mut peer.random)).await;
    match client.read_until(patience()).await {
        Some(_) => Ok(()),
        None => Err(Wrong("not closed".to_owned())),
    }
}
