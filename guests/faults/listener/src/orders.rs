//! What publications and peers have the two functions do.
//!
//! A call of the channel handler first says on the channel `log` what it got:
//! `NUMBER CHANNEL: TEXT TEXT; N lost`, where NUMBER counts the calls of this
//! instance. Then it obeys each publication:
//!
//! - `hold`: waits until the channel `gate` has a subscriber
//! - `panic`: panics
//! - `again`: publishes `again` on the same channel
//! - `say C TEXT`: publishes the text on another channel
//! - `save`: counts in the state of the function, and says the count on `log`
//! - `alarm`: has itself called in a moment, which it says on `log`
//! - `connections`: says on `log` how many the function has

use std::time::Duration;

use openline_sdk::channel::{Batch, Channel};
use openline_sdk::prelude::*;
use openline_sdk::{RpcError, alarms, connections, publish, state, subscribers};

/// How long to wait before the gate is looked at again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The calls of one instance.
#[derive(Default)]
pub(crate) struct Heard(u64);

impl Heard {
    /// Says what has come; whether the call is to wait for the gate.
    pub(crate) fn say(&mut self, batch: &Batch) -> bool {
        self.0 += 1;
        let texts: Vec<_> = texts(batch).collect();
        let (calls, texts) = (self.0, texts.join(" "));
        log(&format!(
            "{calls} {}: {texts}; {} lost",
            batch.channel, batch.lost
        ));
        texts.contains("hold")
    }

    /// Does what the publications say.
    pub(crate) fn obey(&mut self, batch: &Batch) {
        for text in texts(batch) {
            let (order, rest) = text.split_once(' ').unwrap_or((text, ""));
            match order {
                "panic" => panic!("as it was told"),
                "again" => {
                    let published = Channel::new(&batch.channel).publish("again").send();
                    published.expect("there is room");
                }
                "say" => {
                    let (channel, said) = rest.split_once(' ').unwrap_or((rest, ""));
                    publish(channel, said).expect("there is room");
                }
                "save" => {
                    let before = state::load().expect("there is a store");
                    let count = before.map_or(0, |it| it.bytes.len()) + 1;
                    state::save(vec![0; count]).expect("there is room");
                    log(&format!("saved {count}"));
                }
                "alarm" => alarms::set("told", Duration::ZERO).expect("it may"),
                "connections" => log(&format!("{} connections", connections().count())),
                _ => {}
            }
        }
    }
}

/// Whether the gate is open.
pub(crate) fn is_open() -> bool {
    subscribers("gate") > 0
}

/// Peers get what is said on `log`, or on another channel that the query names.
pub(crate) fn accept(request: &UpgradeRequest) -> Acceptance {
    let channel = request.query("channel");
    Acceptance::new().channel(channel.as_deref().unwrap_or("log"))
}

/// A peer publishes: the channel, a space, and the text.
pub(crate) fn told(connection: &Connection, message: &Message) {
    let text = message.as_text().unwrap_or_default();
    let (channel, text) = text.split_once(' ').unwrap_or((text, ""));
    if let Err(error) = publish(channel, text) {
        connection.send(error.to_string());
    }
}

/// What a peer calls: `echo` returns the data, `trap` panics, `code` fails with the
/// code that the data is, `large` returns as many bytes as the data says, `bytes`
/// three of them, and `send` sends its data as a message first.
pub(crate) fn call(
    connection: &Connection,
    method: &str,
    data: Message,
) -> Result<Message, RpcError> {
    let number = || {
        data.as_text()
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    match method {
        "echo" => Ok(data),
        "trap" => panic!("as it was told"),
        "code" => Err(RpcError::new(number(), "as it was told")),
        "busy" => Err(RpcError::new(number(), "later").temporary()),
        "large" => Ok(Message::from("x".repeat(number() as usize))),
        "bytes" => Ok(Message::from(vec![1, 2, 3])),
        "nothing" => Ok(Message::from("")),
        "send" => {
            connection.send(data);
            Ok(Message::from("sent"))
        }
        _ => Err(RpcError::NoSuchMethod),
    }
}

/// Says that an alarm went off.
pub(crate) fn rings(name: &str) {
    log(&format!("alarm {name}"));
}

fn texts(batch: &Batch) -> impl Iterator<Item = &str> {
    let publications = batch.publications.iter();
    publications.map(|it| it.message.as_text().unwrap_or("(not text)"))
}

fn log(text: &str) {
    publish("log", text).expect("there is room");
}
