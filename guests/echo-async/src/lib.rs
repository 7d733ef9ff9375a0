//! Sends every message back, as `echo` does, but with an asynchronous handler,
//! to compare and measure the two kinds.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Echo;

impl AsyncHandler for Echo {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(match request.subprotocols().first() {
            Some(preferred) => Acceptance::new().subprotocol(preferred),
            None => Acceptance::new(),
        })
    }

    async fn message(&self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

openline_sdk::export_async!(Echo);
