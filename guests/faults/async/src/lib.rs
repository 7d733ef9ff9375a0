//! Does what `trap`, `compute` and `sleep` do, in one asynchronous handler, so
//! that it happens while calls of other connections are in flight. The messages
//! `trap` and `compute` do so, and a number waits for as many milliseconds.
//! Messages come back, at once or after the wait.

use std::hint::black_box;
use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[derive(Default)]
struct Faults;

impl AsyncHandler for Faults {
    async fn message(&self, connection: &Connection, message: Message) {
        match message.as_text() {
            Some("trap") => panic!("this is the trap that was asked for"),
            Some("compute") => while black_box(true) {},
            Some(text) => {
                if let Ok(milliseconds) = text.parse() {
                    sleep(Duration::from_millis(milliseconds)).await;
                }
            }
            None => {}
        }
        connection.send(message);
    }
}

openline_sdk::export_async!(Faults);
