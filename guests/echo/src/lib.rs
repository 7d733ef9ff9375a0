//! Sends every message back, text as text and binary as binary. It accepts the
//! first of the subprotocols that a peer offers.
//!
//! It is the smallest useful function, and the one for measurements.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Echo;

impl Handler for Echo {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(match request.subprotocols().first() {
            Some(preferred) => Acceptance::new().subprotocol(preferred),
            None => Acceptance::new(),
        })
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

openline_sdk::export!(Echo);
