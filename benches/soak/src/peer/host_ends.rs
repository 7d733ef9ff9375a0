//! Peers whose connection is ended by its function or by the host, rightly:
//! when and with which code is checked.

use std::time::Duration;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Event, LOST};
use super::message::message;
use super::{Peer, Wrong, patience};
use crate::configuration::{BRIEF_TIME, MESSAGES_PER_SECOND, TIME_WARNING};

/// How much earlier than told a timer may end a connection: none does, but
/// the peer's clock starts when it has read the answer to its handshake.
const TOO_EARLY: Duration = Duration::from_millis(1500);

/// Close codes that a function may use, and some that it may not.
const ALLOWED: [u16; 5] = [1000, 1008, 1011, 3000, 4999];
const FORBIDDEN: [u16; 6] = [0, 999, 1005, 1006, 1015, 5000];

/// Has the function close with a code that it may not use, which it is told,
/// then with one that it may.
pub(super) async fn closed(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/fault-close").await?;
    peer.rest(&mut client, peer.until).await?;
    let forbidden = peer.one_of(&FORBIDDEN);
    let begun = Instant::now();
    client
        .send(Message::text(format!("{forbidden} no")))
        .await?;
    match client.event(patience()).await {
        Event::Message(Message::Text(told)) if told.starts_with("refused ") => {
            peer.site.tally.answer(Some(begun.elapsed()));
        }
        _ => return Err(Wrong("a forbidden code was not refused".to_owned())),
    }
    let code = peer.one_of(&ALLOWED);
    client.send(Message::text(format!("{code} bye"))).await?;
    client.expect_end(&[code]).await
}

/// Stays until `connection_time` is up, and is told a second before.
pub(super) async fn brief(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-brief").await?;
    let opened = Instant::now();
    if peer.until < opened + 2 * BRIEF_TIME {
        // The round ends before.
        return peer.close(client).await;
    }
    peer.exchange(&mut client, 50).await?;
    match client.event(patience()).await {
        Event::Message(Message::Text(text)) if text.as_str() == TIME_WARNING => {}
        Event::Closed(code) => return Err(Wrong(format!("closed with {code} and not warned"))),
        _ => return Err(Wrong("not warned before its time was up".to_owned())),
    }
    client.expect_end(&[1001]).await?;
    not_too_early(opened)
}

/// Stays until `connection_time` is up, and is cut off.
pub(super) async fn abort(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-abort").await?;
    let opened = Instant::now();
    if peer.until < opened + 2 * BRIEF_TIME {
        return peer.close(client).await;
    }
    peer.exchange(&mut client, 50).await?;
    client.expect_end(&[LOST]).await?;
    not_too_early(opened)
}

fn not_too_early(opened: Instant) -> Result<(), Wrong> {
    if opened.elapsed() + TOO_EARLY < BRIEF_TIME {
        return Err(Wrong("ended before its time was up".to_owned()));
    }
    Ok(())
}

/// Sends nothing until `idle_timeout`.
pub(super) async fn quiet(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-quiet").await?;
    client.expect_end(&[1001]).await
}

/// Sends several seconds' worth of messages at once, and is closed for it.
pub(super) async fn rated(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-rated").await?;
    for _ in 0..6 * MESSAGES_PER_SECOND {
        let message = message(&mut peer.random, 20);
        // The host may have closed already.
        if client.feed(message).await.is_err() {
            break;
        }
    }
    let _ = client.flush().await;
    // A message that meets a closed socket resets it, and the close frame may
    // be lost with that.
    client.expect_end(&[1008, LOST]).await
}
