//! Traps in the event that the query names: `?at=upgrade`, `open` or `close`;
//! or at the message `trap`. Other messages come back.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Trap;

impl Handler for Trap {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let at = request.query("at").unwrap_or_default();
        trap_if(at == "upgrade");
        Ok(Acceptance::new().attachment(at.as_bytes()))
    }

    fn open(&mut self, connection: &Connection) {
        trap_if(connection.attachment() == b"open");
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        trap_if(message.as_text() == Some("trap"));
        connection.send(message);
    }

    fn close(&mut self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        trap_if(connection.attachment() == b"close");
    }
}

fn trap_if(asked: bool) {
    assert!(!asked, "this is the trap that was asked for");
}

openline_sdk::export!(Trap);
