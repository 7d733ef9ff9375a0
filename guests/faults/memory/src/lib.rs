//! Takes memory forever at the message `grow`, or in `upgrade` with
//! `?at=upgrade`; at `hold N` it takes N MiB and keeps them. Other messages
//! come back.

use openline_sdk::prelude::*;

const MEBIBYTE: usize = 1024 * 1024;

#[derive(Default)]
struct Memory {
    held: Vec<Vec<u8>>,
}

impl Handler for Memory {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if request.query("at").as_deref() == Some("upgrade") {
            self.hold(usize::MAX);
        }
        Ok(Acceptance::new())
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let mebibytes = match text.strip_prefix("hold ") {
            Some(number) => number.parse().unwrap_or(0),
            None if text == "grow" => usize::MAX,
            None => 0,
        };
        self.hold(mebibytes);
        connection.send(message);
    }
}

impl Memory {
    fn hold(&mut self, mebibytes: usize) {
        for _ in 0..mebibytes {
            // Filled with ones: zeroed pages would not become resident.
            self.held.push(vec![1; MEBIBYTE]);
        }
    }
}

openline_sdk::export!(Memory);
