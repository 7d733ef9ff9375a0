//! Closes its connection at a message that starts with a number: `4001 bye`
//! closes with that code and reason. If the host refuses, the answer is
//! `refused CODE: TEXT`; other messages come back as they are.
//!
//! A connection opened with `?watch` gets a message at every close of another
//! one: `closed CODE ORIGIN REASON`.

use openline_sdk::prelude::*;

const WATCHERS: &str = "watchers";

#[derive(Default)]
struct Close;

impl Handler for Close {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(match request.query("watch") {
            Some(_) => Acceptance::new().channel(WATCHERS),
            None => Acceptance::new(),
        })
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
        let Ok(code) = code.parse() else {
            connection.send(message);
            return;
        };
        if let Err(error) = connection.close(code, reason) {
            connection.send(format!("refused {}: {error}", error.code()));
        }
    }

    fn close(&mut self, _connection: &Connection, info: CloseInfo, origin: CloseOrigin) {
        let told = format!("closed {} {origin:?} {}", info.code, info.reason);
        // The host closes watchers whose outbox is full.
        let _ = openline_sdk::publish(WATCHERS, told);
    }
}

openline_sdk::export!(Close);
