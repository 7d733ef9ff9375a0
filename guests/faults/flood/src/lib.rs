//! Fills the outbox of its connection at the message `flood`: sends until a
//! message is not accepted. At `flood on` it never stops, and at `print on` it
//! prints forever. Other messages come back, and are printed.

use openline_sdk::prelude::*;

/// Small compared with an outbox, so that the last accepted message nearly
/// fills it.
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
            Some("print on") => loop {
                println!("and on");
            },
            _ => {
                println!("{}", message.as_text().unwrap_or_default());
                connection.send(message);
            }
        }
    }
}

openline_sdk::export!(Flood);
