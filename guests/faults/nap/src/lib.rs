//! Alternates computing and waiting, as the message says (see `nap`), and then
//! sends it back. Others come back at once.

use openline_sdk::prelude::*;

mod nap;

#[derive(Default)]
struct Nap;

impl Handler for Nap {
    fn message(&mut self, connection: &Connection, message: Message) {
        nap::obey(message.as_text().unwrap_or_default());
        connection.send(message);
    }
}

openline_sdk::export!(Nap);
