//! Like `version-a`, but another version: `b` instead of `a`.

use openline_sdk::prelude::*;

#[path = "../../version-a/src/numbered.rs"]
mod numbered;

/// The beginning of every answer.
const VERSION: &str = "b";

#[derive(Default)]
struct Numbered;

impl Handler for Numbered {
    fn message(&mut self, connection: &Connection, message: Message) {
        numbered::answer(VERSION, connection, &message);
    }
}

openline_sdk::export!(Numbered);
