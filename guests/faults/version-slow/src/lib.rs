//! A slow version, with an asynchronous handler: answers a text `N` with `slow
//! N`, 50 ms later.

use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[derive(Default)]
struct Slow;

impl AsyncHandler for Slow {
    async fn message(&self, connection: &Connection, message: Message) {
        sleep(Duration::from_millis(50)).await;
        let text = message.as_text().unwrap_or("(not text)");
        connection.send(format!("slow {text}"));
    }
}

openline_sdk::export_async!(Slow);
