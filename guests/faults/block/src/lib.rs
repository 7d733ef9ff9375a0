//! Waits for a day in an import that is not asynchronous, and so blocks its
//! whole instance: in the event that the query names, `?at=upgrade`, `open`,
//! `close` or `hibernate`; at the message `block`; and in the alarm that `alarm
//! MILLISECONDS` sets. `nap` and `rest ROUNDS` are those of the function `nap`.
//! Messages come back.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use openline_sdk::alarms;
use openline_sdk::prelude::*;

#[path = "../../nap/src/nap.rs"]
mod nap;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Default)]
struct Block {
    on_hibernate: Cell<bool>,
}

impl AsyncHandler for Block {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let at = request.query("at").unwrap_or_default();
        block_if(at == "upgrade");
        if at == "hibernate" {
            self.on_hibernate.set(true);
        }
        Ok(Acceptance::new().attachment(at.as_bytes()))
    }

    async fn open(&self, connection: &Connection) {
        block_if(connection.attachment() == b"open");
    }

    async fn message(&self, connection: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        block_if(text == "block");
        let after = text.strip_prefix("alarm ");
        if let Some(milliseconds) = after.and_then(|after| after.parse().ok()) {
            let set = alarms::set("block", Duration::from_millis(milliseconds));
            set.expect("there is one alarm, and 16 are allowed");
        }
        nap::obey(text);
        connection.send(message);
    }

    async fn close(&self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        block_if(connection.attachment() == b"close");
    }

    async fn alarm(&self, _connection: Option<&Connection>, _alarm: Alarm) {
        block_if(true);
    }

    fn hibernate(&self) {
        block_if(self.on_hibernate.get());
    }
}

fn block_if(asked: bool) {
    if asked {
        thread::sleep(DAY);
    }
}

openline_sdk::export_async!(Block);
