//! Recurses forever at the message `recurse`, or in `upgrade` with
//! `?at=upgrade`. Other messages come back.

use std::hint::black_box;

use openline_sdk::prelude::*;

#[derive(Default)]
struct Recurse;

impl Handler for Recurse {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if request.query("at").as_deref() == Some("upgrade") {
            black_box(depth(0));
        }
        Ok(Acceptance::new())
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        if message.as_text() == Some("recurse") {
            black_box(depth(0));
        }
        connection.send(message);
    }
}

/// Adds after the recursive call, which never returns, so that no compiler can
/// turn this into a loop.
#[expect(unconditional_recursion, reason = "that is the fault")]
fn depth(above: u64) -> u64 {
    black_box(depth(black_box(above + 1))) + 1
}

openline_sdk::export!(Recurse);
