//! Takes memory without end upon the message `grow`; upon `hold N` takes N MiB
//! and keeps them. Other messages come back.

use openline_sdk::prelude::*;

const MEBIBYTE: usize = 1024 * 1024;

#[derive(Default)]
struct Memory {
    held: Vec<Vec<u8>>,
}

impl Handler for Memory {
    fn message(&mut self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let mebibytes = match text.strip_prefix("hold ") {
            Some(number) => number.parse().unwrap_or(0),
            None if text == "grow" => usize::MAX,
            None => 0,
        };
        for _ in 0..mebibytes {
            // Filled with ones: zeroed pages would not become resident.
            self.held.push(vec![1; MEBIBYTE]);
        }
        connection.send(message);
    }
}

openline_sdk::export!(Memory);
