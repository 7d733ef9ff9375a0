//! The waits of `pressure` in an asynchronous handler: `stream N` sends N
//! messages and waits for room before each, `wait ID` waits for room in that
//! connection's outbox, `id` answers with its own id. Others come back.

use openline_sdk::connection;
use openline_sdk::prelude::*;

/// A usual size for a piece of something large.
const MESSAGE_BYTES: usize = 16 * 1024;

#[derive(Default)]
struct Pressure;

impl AsyncHandler for Pressure {
    async fn message(&self, here: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let (command, argument) = text.split_once(' ').unwrap_or((text, ""));
        let answer = match command {
            "id" => here.id(),
            "stream" => said(stream(here, argument.parse().unwrap_or(0)).await),
            "wait" => match connection(argument) {
                Some(there) => said(there.writable().await),
                None => "nobody".to_owned(),
            },
            _ => text.to_owned(),
        };
        here.send(answer);
    }
}

async fn stream(here: &Connection, messages: u64) -> Result<(), openline_sdk::Error> {
    for _ in 0..messages {
        here.writable().await?;
        here.send([0; MESSAGE_BYTES]);
    }
    Ok(())
}

fn said(result: Result<(), openline_sdk::Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |()| "ok".to_owned())
}

openline_sdk::export_async!(Pressure);
