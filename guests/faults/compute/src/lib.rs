//! Computes forever in the event that the query names: `?at=upgrade`, `open` or
//! `close`; or at the message `compute`. Other messages come back.

use std::hint::black_box;

use openline_sdk::prelude::*;

#[derive(Default)]
struct Compute;

impl Handler for Compute {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let at = request.query("at").unwrap_or_default();
        compute_if(at == "upgrade");
        Ok(Acceptance::new().attachment(at.as_bytes()))
    }

    fn open(&mut self, connection: &Connection) {
        compute_if(connection.attachment() == b"open");
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        compute_if(message.as_text() == Some("compute"));
        connection.send(message);
    }

    fn close(&mut self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        compute_if(connection.attachment() == b"close");
    }
}

fn compute_if(asked: bool) {
    while black_box(asked) {}
}

openline_sdk::export!(Compute);
