//! Peers that meet in rooms: chat and counter. All of them read what one says,
//! in the order in which it was said.

use std::collections::HashMap;

use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::client::{Client, Event};
use super::{Peer, Wrong, patience};
use crate::configuration::COUNTER_ROOMS;

/// Rooms of the chat: about ten in each at the default number of connections.
const CHAT_ROOMS: u32 = 64;

pub(super) fn chat_path(peer: &mut Peer) -> String {
    format!("/chat/room-{}", peer.random.u32(..CHAT_ROOMS))
}

pub(super) fn counter_path(peer: &mut Peer) -> String {
    format!("/counter/room-{}", peer.random.u32(..COUNTER_ROOMS))
}

/// The lines that a peer has heard in its room.
#[derive(Debug)]
struct Heard {
    nick: String,
    /// The last line of each of the others, and of its own.
    lines: HashMap<String, u64>,
}

impl Heard {
    /// Takes a line of the form `NICK: NUMBER`. The numbers of one nick have
    /// no gap: a connection's messages are handled one after the other, and
    /// a peer that reads misses none.
    fn take(&mut self, line: &str) -> Result<(), Wrong> {
        let Some((nick, number)) = line.split_once(": ") else {
            // A peer came or left.
            return Ok(());
        };
        // Others may not speak in numbers; none of the peers does.
        let Ok(number) = number.parse() else {
            return Ok(());
        };
        match self.lines.insert(nick.to_owned(), number) {
            Some(last) if number != last + 1 => Err(Wrong("a line is out of order".to_owned())),
            _ => Ok(()),
        }
    }

    fn own(&self) -> u64 {
        self.lines.get(&self.nick).copied().unwrap_or_default()
    }
}

pub(super) async fn chat(peer: &mut Peer) -> Result<(), Wrong> {
    let nick = format!("{:016x}", peer.random.u64(..));
    let path = format!("{}?nick={nick}", chat_path(peer));
    let mut client = peer.open(&path).await?;
    let lines = HashMap::from([(nick.clone(), 0)]);
    let mut heard = Heard { nick, lines };
    while !peer.is_over() {
        let pause = peer.pause(2_000..10_000);
        listen(&mut client, &mut heard, pause).await?;
        let begun = Instant::now();
        let next = heard.own() + 1;
        client.send(Message::text(next.to_string())).await?;
        let due = patience();
        while heard.own() < next {
            match client.event(due).await {
                Event::Message(message) => heard.take(text(&message))?,
                Event::Closed(code) => {
                    return Err(Wrong(format!(
                        "closed with {code} before its line came back"
                    )));
                }
                Event::Quiet => return Err(Wrong("its line did not come back".to_owned())),
            }
        }
        peer.site.tally.answer(Some(begun.elapsed()));
    }
    peer.close(client).await
}

async fn listen(client: &mut Client, heard: &mut Heard, until: Instant) -> Result<(), Wrong> {
    loop {
        match client.event(until).await {
            Event::Message(message) => heard.take(text(&message))?,
            Event::Closed(code) => return Err(Wrong(format!("closed with {code} in a room"))),
            Event::Quiet => return Ok(()),
        }
    }
}

/// A peer's view of its room's count. Peers add one at a time and all of them
/// are told, so each count is the previous one plus one.
#[derive(Debug, Default)]
struct Count {
    last: Option<i64>,
    /// A `get` is on its way: its answer repeats the last count.
    asked: bool,
}

impl Count {
    fn take(&mut self, text: &str) -> Result<(), Wrong> {
        let count: i64 = text
            .parse()
            .map_err(|_| Wrong("what came is no count".to_owned()))?;
        match self.last {
            Some(last) if count == last + 1 => {}
            Some(last) if count == last && self.asked => self.asked = false,
            // The first count it hears is another peer's, or its answer.
            None => self.asked = false,
            Some(_) => return Err(Wrong("a count is out of order".to_owned())),
        }
        self.last = Some(count);
        Ok(())
    }
}

pub(super) async fn counter(peer: &mut Peer) -> Result<(), Wrong> {
    let path = counter_path(peer);
    let mut client = peer.open(&path).await?;
    let mut count = Count::default();
    while !peer.is_over() {
        let pause = peer.pause(2_000..10_000);
        count_until(&mut client, &mut count, pause, |_| false).await?;
        let begun = Instant::now();
        let answered = if peer.random.bool() {
            let before = count.last;
            client.send(Message::text("add 1")).await?;
            count_until(&mut client, &mut count, patience(), |now| now.last > before).await?
        } else if count.last.is_some() {
            count.asked = true;
            client.send(Message::text("get")).await?;
            count_until(&mut client, &mut count, patience(), |now| !now.asked).await?
        } else {
            // Its answer would look the same as another peer's count.
            true
        };
        if !answered {
            return Err(Wrong("no count came back".to_owned()));
        }
        peer.site.tally.answer(Some(begun.elapsed()));
    }
    peer.close(client).await
}

/// Reads counts until one is what is awaited; whether it came in time.
async fn count_until(
    client: &mut Client,
    count: &mut Count,
    until: Instant,
    awaited: impl Fn(&Count) -> bool,
) -> Result<bool, Wrong> {
    while !awaited(count) {
        match client.event(until).await {
            Event::Message(message) => count.take(text(&message))?,
            Event::Closed(code) => return Err(Wrong(format!("closed with {code} in a room"))),
            Event::Quiet => return Ok(false),
        }
    }
    Ok(true)
}

fn text(message: &Message) -> &str {
    message.to_text().unwrap_or("not text")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Count, Heard};

    #[test]
    fn lines_of_one_nick_have_no_gap() {
        let mut heard = Heard {
            nick: "me".to_owned(),
            lines: HashMap::from([("me".to_owned(), 0)]),
        };
        for line in ["* you joined", "you: 7", "me: 1", "you: 8", "me: 2"] {
            heard.take(line).unwrap();
        }
        assert_eq!(heard.own(), 2);
        for line in ["you: 8", "you: 11", "me: 9"] {
            heard.take(line).unwrap_err();
        }
    }

    #[test]
    fn counts_go_up_by_one_and_an_answer_repeats_the_last() {
        let mut count = Count::default();
        for text in ["5", "6"] {
            count.take(text).unwrap();
        }
        count.asked = true;
        for text in ["7", "7", "8"] {
            count.take(text).unwrap();
        }
        assert!(!count.asked);
        for text in ["8", "3", "no"] {
            count.take(text).unwrap_err();
        }
    }
}
