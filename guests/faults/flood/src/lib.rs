//! Fills the outbox of its connection upon the message `flood`: sends until a
//! message is not accepted. Upon `flood on` it never stops. Other messages
//! come back.

use openline_sdk::prelude::*;

/// Small beside an outbox, so that the last one accepted nearly fills it.
const MESSAGE_BYTES: usize = 16 * 1024;

#[derive(Default)]
struct Flood;

impl Handler for Flood {
    fn message(&mut self, connection: &Connection, message: Message) {
        let payload = [0; MESSAGE_BYTES];
        match message.as_text() {
            Some("flood") => while connection.send(payload).is_accepted() {},
            Some("flood on") => loop {
                connection.send(payload);
            },
            _ => {
                connection.send(message);
            }
        }
    }
}

openline_sdk::export!(Flood);
