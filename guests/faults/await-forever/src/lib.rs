//! Awaits forever in the event that the query names: `?at=upgrade`, `open` or
//! `close`; or at the message `await`. Other messages come back, even those of
//! other connections meanwhile.

use std::future::pending;

use openline_sdk::prelude::*;

#[derive(Default)]
struct AwaitForever;

impl AsyncHandler for AwaitForever {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let at = request.query("at").unwrap_or_default();
        await_if(at == "upgrade").await;
        Ok(Acceptance::new().attachment(at.as_bytes()))
    }

    async fn open(&self, connection: &Connection) {
        await_if(connection.attachment() == b"open").await;
    }

    async fn message(&self, connection: &Connection, message: Message) {
        await_if(message.as_text() == Some("await")).await;
        connection.send(message);
    }

    async fn close(&self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        await_if(connection.attachment() == b"close").await;
    }
}

async fn await_if(asked: bool) {
    if asked {
        pending::<()>().await;
    }
}

openline_sdk::export_async!(AwaitForever);
