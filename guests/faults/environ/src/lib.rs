//! Tells what it reads of its environment, as the message says (see `tell`).

use std::cell::Cell;

use openline_sdk::prelude::*;

mod tell;

#[derive(Default)]
struct Environ {
    /// How many messages this instance has got.
    messages: Cell<u32>,
}

impl Handler for Environ {
    fn message(&mut self, connection: &Connection, message: Message) {
        self.messages.set(self.messages.get() + 1);
        let text = message.as_text().unwrap_or_default();
        connection.send(tell::answer(text, self.messages.get()));
    }
}

openline_sdk::export!(Environ);
