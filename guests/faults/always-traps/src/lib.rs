//! Traps at every message, except that it answers `ok` with `ok`. It answers
//! `heal` with `healed` and saves this: from then on every message comes back,
//! in every instance of this function, or of this affinity value.

use openline_sdk::prelude::*;
use openline_sdk::state;

#[derive(Default)]
struct AlwaysTraps;

impl Handler for AlwaysTraps {
    fn message(&mut self, connection: &Connection, message: Message) {
        match message.as_text() {
            Some("ok") => _ = connection.send("ok"),
            Some("heal") => {
                let healed = state::save("healed").is_ok();
                connection.send(if healed { "healed" } else { "not saved" });
            }
            _ => {
                let saved = state::load().ok().flatten();
                let is_healed = saved.is_some_and(|saved| saved.bytes == b"healed");
                assert!(is_healed, "this is the trap that was asked for");
                connection.send(message);
            }
        }
    }
}

openline_sdk::export!(AlwaysTraps);
