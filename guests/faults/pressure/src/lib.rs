//! Tests back-pressure as the message says, on its own connection or on a named
//! one: `flood N` sends N messages, `stream N` sends N and waits for room
//! before each, and `wait` waits for room. Answers with the result: a number,
//! or the code of an error.

use openline_sdk::connection;
use openline_sdk::prelude::*;

/// A usual size for a piece of something large.
const MESSAGE_BYTES: usize = 16 * 1024;

#[derive(Default)]
struct Pressure;

impl Handler for Pressure {
    fn message(&mut self, here: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let (command, argument) = text.split_once(' ').unwrap_or((text, ""));
        let named = connection(argument);
        let there = named.as_ref().unwrap_or(here);
        let number = || argument.parse().unwrap_or(0);
        let answer = match command {
            "id" => here.id(),
            "flood" => said((0..number()).try_for_each(|_| {
                here.send([0; MESSAGE_BYTES]);
                Ok(())
            })),
            "stream" => said((0..number()).try_for_each(|_| {
                here.block_until_writable()?;
                here.send([0; MESSAGE_BYTES]);
                Ok(())
            })),
            "wait" => said(there.block_until_writable()),
            "buffered" => there.buffered_bytes().to_string(),
            "ping" => said(there.ping(vec![b'p'; number()])),
            "round-trip" => match there.round_trip() {
                Some(time) => time.as_nanos().to_string(),
                None => "none".to_owned(),
            },
            "pause" => {
                there.pause();
                "paused".to_owned()
            }
            "resume" => {
                there.resume();
                "resumed".to_owned()
            }
            _ => text.to_owned(),
        };
        here.send(answer);
    }
}

fn said(result: Result<(), openline_sdk::Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned())
}

openline_sdk::export!(Pressure);
