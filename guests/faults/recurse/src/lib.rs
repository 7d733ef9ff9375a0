//! Recurses without end upon the message `recurse`. Other messages come back.

use std::hint::black_box;

use openline_sdk::prelude::*;

#[derive(Default)]
struct Recurse;

impl Handler for Recurse {
    fn message(&mut self, connection: &Connection, message: Message) {
        if message.as_text() == Some("recurse") {
            black_box(depth(0));
        }
        connection.send(message);
    }
}

/// Adds after the call returns, which it never does: no compiler makes a loop
/// of this.
#[expect(unconditional_recursion, reason = "that is the fault")]
fn depth(above: u64) -> u64 {
    black_box(depth(black_box(above + 1))) + 1
}

openline_sdk::export!(Recurse);
