//! One version of a function; `version-b` is another, of the same source. What
//! it does is in `numbered.rs`.

use openline_sdk::prelude::*;

mod numbered;

/// What every answer begins with.
const VERSION: &str = "a";

#[derive(Default)]
struct Numbered;

impl Handler for Numbered {
    fn message(&mut self, connection: &Connection, message: Message) {
        numbered::answer(VERSION, connection, &message);
    }
}

openline_sdk::export!(Numbered);
