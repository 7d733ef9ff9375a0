//! One version of a function; `version-b` is another, with the same source,
//! `numbered.rs`.

use openline_sdk::prelude::*;

mod numbered;

/// The beginning of every answer.
const VERSION: &str = "a";

#[derive(Default)]
struct Numbered;

impl Handler for Numbered {
    fn message(&mut self, connection: &Connection, message: Message) {
        numbered::answer(VERSION, connection, &message);
    }
}

openline_sdk::export!(Numbered);
