//! Does what `fault-listener` does, asynchronously.

use std::cell::RefCell;

use openline_sdk::RpcError;
use openline_sdk::channel::{AsyncChannelHandler, Batch};
use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[path = "../../listener/src/orders.rs"]
mod orders;

#[derive(Default)]
struct Listener(RefCell<orders::Heard>);

impl AsyncChannelHandler for Listener {
    async fn published(&self, batch: Batch) {
        let holds = self.0.borrow_mut().say(&batch);
        while holds && !orders::is_open() {
            sleep(orders::LOOK_AGAIN).await;
        }
        self.0.borrow_mut().obey(&batch);
    }
}

#[derive(Default)]
struct Peers;

impl AsyncHandler for Peers {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(orders::accept(request))
    }

    async fn message(&self, connection: &Connection, message: Message) {
        orders::told(connection, &message);
    }

    async fn rpc(
        &self,
        connection: &Connection,
        method: &str,
        data: Message,
    ) -> Result<Message, RpcError> {
        // Others have their turn: the answer still comes before what follows.
        sleep(orders::LOOK_AGAIN).await;
        orders::call(connection, method, data)
    }

    async fn alarm(&self, _connection: Option<&Connection>, alarm: Alarm) {
        orders::rings(&alarm.name);
    }
}

openline_sdk::export_async!(Peers);
openline_sdk::export_async_channel_handler!(Listener);
