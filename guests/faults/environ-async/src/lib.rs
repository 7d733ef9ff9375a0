//! Does what `environ` does, in an asynchronous handler.

use std::cell::Cell;

use openline_sdk::prelude::*;

#[path = "../../environ/src/tell.rs"]
mod tell;

#[derive(Default)]
struct Environ {
    /// How many messages this instance has got.
    messages: Cell<u32>,
}

impl AsyncHandler for Environ {
    async fn message(&self, connection: &Connection, message: Message) {
        self.messages.set(self.messages.get() + 1);
        let text = message.as_text().unwrap_or_default();
        connection.send(tell::answer(text, self.messages.get()));
    }
}

openline_sdk::export_async!(Environ);
