//! Peers that send what a function sends back: every answer is checked, and
//! the close handshake.

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::client::{Client, Event};
use super::message::{close_frame, message, usual_bytes};
use super::{Peer, Wrong, patience};
use crate::configuration::{MESSAGE_BYTES, MESSAGES_PER_SECOND};

const ECHOES: [&str; 2] = ["/echo", "/echo-async"];

/// Most fragments of a message.
const FRAGMENTS_MAX: usize = 100;

pub(super) async fn idle(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&ECHOES);
    let mut client = peer.open(path).await?;
    peer.rest(&mut client, peer.until).await?;
    peer.exchange(&mut client, 100).await?;
    peer.close(client).await
}

pub(super) async fn echo(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&ECHOES);
    let mut client = peer.open(path).await?;
    while !peer.is_over() {
        let pause = peer.pause(1_000..10_000);
        peer.rest(&mut client, pause).await?;
        let bytes = usual_bytes(&mut peer.random);
        peer.exchange(&mut client, bytes).await?;
    }
    peer.close(client).await
}

pub(super) async fn metered(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-metered").await?;
    while !peer.is_over() {
        let pause = peer.pause(500..5_000);
        peer.rest(&mut client, pause).await?;
        let bytes = usual_bytes(&mut peer.random);
        peer.exchange(&mut client, bytes).await?;
    }
    peer.close(client).await
}

pub(super) async fn burst(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&ECHOES);
    let mut client = peer.open(path).await?;
    while !peer.is_over() {
        let pause = peer.pause(2_000..10_000);
        peer.rest(&mut client, pause).await?;
        let mut sent = Vec::new();
        for _ in 0..peer.random.usize(2..=64) {
            let bytes = peer.random.usize(..2_000);
            sent.push(message(&mut peer.random, bytes));
        }
        peer.exchange_all(&mut client, sent, Some(Instant::now()))
            .await?;
    }
    peer.close(client).await
}

pub(super) async fn big(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&ECHOES);
    let mut client = peer.open(path).await?;
    while !peer.is_over() {
        let pause = peer.pause(1_000..5_000);
        peer.rest(&mut client, pause).await?;
        // The largest one now and then: the bound itself must work.
        let bytes = match peer.random.u8(..4) {
            0 => MESSAGE_BYTES,
            _ => peer.random.usize(64 << 10..=MESSAGE_BYTES),
        };
        peer.exchange(&mut client, bytes).await?;
    }
    peer.close(client).await
}

pub(super) async fn fragments(peer: &mut Peer) -> Result<(), Wrong> {
    let path = peer.one_of(&ECHOES);
    let mut client = peer.open(path).await?;
    while !peer.is_over() {
        let pause = peer.pause(1_000..5_000);
        peer.rest(&mut client, pause).await?;
        let bytes = peer.random.usize(1..20_000);
        let sent = message(&mut peer.random, bytes);
        let begun = Instant::now();
        peer.feed_in_fragments(&mut client, &sent).await?;
        client.flush().await?;
        peer.expect(&mut client, &sent, Some(begun)).await?;
    }
    peer.close(client).await
}

/// The function waits as many milliseconds as a message says, then sends it
/// back; the next one waits for that.
pub(super) async fn sleep(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/fault-sleep").await?;
    while !peer.is_over() {
        let pause = peer.pause(500..4_000);
        peer.rest(&mut client, pause).await?;
        let mut sent = Vec::new();
        for _ in 0..peer.random.u8(1..=3) {
            sent.push(Message::text(peer.random.u32(..800).to_string()));
        }
        sent.push(Message::text("no number"));
        peer.exchange_all(&mut client, sent, None).await?;
    }
    peer.close(client).await
}

/// Three seconds' worth of messages at once: the host stops reading for a
/// while, and all are answered.
pub(super) async fn paused(peer: &mut Peer) -> Result<(), Wrong> {
    let mut client = peer.open("/echo-paused").await?;
    while !peer.is_over() {
        let mut sent = Vec::new();
        for _ in 0..3 * MESSAGES_PER_SECOND {
            sent.push(message(&mut peer.random, 50));
        }
        peer.exchange_all(&mut client, sent, None).await?;
        let pause = peer.pause(2_000..5_000);
        peer.rest(&mut client, pause).await?;
    }
    peer.close(client).await
}

impl Peer {
    /// Does nothing for a while, in which nothing may come.
    pub(super) async fn rest(&self, client: &mut Client, until: Instant) -> Result<(), Wrong> {
        match client.event(until).await {
            Event::Quiet => Ok(()),
            Event::Message(_) => Err(Wrong("a message that answers none".to_owned())),
            Event::Closed(code) => Err(Wrong(format!("closed with {code} while at rest"))),
        }
    }

    /// Sends a random message and awaits it back.
    pub(super) async fn exchange(
        &mut self,
        client: &mut Client,
        bytes: usize,
    ) -> Result<(), Wrong> {
        let sent = message(&mut self.random, bytes);
        let begun = Instant::now();
        client.send(sent.clone()).await?;
        self.expect(client, &sent, Some(begun)).await
    }

    /// Sends messages at once and awaits all of them back, in order.
    async fn exchange_all(
        &self,
        client: &mut Client,
        sent: Vec<Message>,
        begun: Option<Instant>,
    ) -> Result<(), Wrong> {
        for message in &sent {
            client.feed(message.clone()).await?;
        }
        client.flush().await?;
        for message in &sent {
            self.expect(client, message, begun).await?;
        }
        Ok(())
    }

    /// The next message must be this one. `begun` is when it was sent, where
    /// the function should answer at once.
    pub(super) async fn expect(
        &self,
        client: &mut Client,
        sent: &Message,
        begun: Option<Instant>,
    ) -> Result<(), Wrong> {
        match client.event(patience()).await {
            Event::Message(answer) if answer == *sent => {
                self.site.tally.answer(begun.map(|begun| begun.elapsed()));
                Ok(())
            }
            Event::Message(_) => Err(Wrong("a wrong answer".to_owned())),
            Event::Closed(code) => Err(Wrong(format!("closed with {code} and not answered"))),
            Event::Quiet => Err(Wrong("no answer".to_owned())),
        }
    }

    /// Ends the connection in good order, with a random code.
    pub(super) async fn close(&mut self, client: Client) -> Result<(), Wrong> {
        let frame = close_frame(&mut self.random);
        client.close(frame).await
    }

    /// Cuts a message anywhere, also within a character; a ping may come
    /// between two fragments (RFC 6455 section 5.4).
    async fn feed_in_fragments(
        &mut self,
        client: &mut Client,
        sent: &Message,
    ) -> Result<(), Wrong> {
        let mut kind = match sent {
            Message::Text(_) => Data::Text,
            _ => Data::Binary,
        };
        let mut payload = sent.clone().into_data();
        let count = self.random.usize(2..=FRAGMENTS_MAX);
        for left in (0..count).rev() {
            let bytes = match left {
                0 => payload.len(),
                left => self
                    .random
                    .usize(..=(2 * payload.len() / left).min(payload.len())),
            };
            let fragment = payload.split_to(bytes);
            let frame = Frame::message(fragment, OpCode::Data(kind), left == 0);
            client.feed(Message::Frame(frame)).await?;
            kind = Data::Continue;
            if self.random.u8(..10) == 0 {
                client.feed(Message::Ping("between".into())).await?;
            }
        }
        Ok(())
    }
}
