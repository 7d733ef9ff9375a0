//! Closes its connection upon a message that starts with a number: `4001 bye`
//! closes with that code and reason. What the host refuses comes back as
//! `refused CODE: TEXT`, other messages as they are.
//!
//! A connection opened with `?watch` is told of every close of another one:
//! `closed CODE ORIGIN REASON`.

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
        // Watchers that cannot be told are closed by the host; there is no
        // one else to tell.
        let _ = openline_sdk::publish(WATCHERS, told);
    }
}

openline_sdk::export!(Close);
