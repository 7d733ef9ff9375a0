//! Channels wake it, and it does what the publications say. It also serves
//! connections and answers their calls. `orders.rs` has what it can do.

use std::thread;

use openline_sdk::RpcError;
use openline_sdk::channel::{Batch, ChannelHandler};
use openline_sdk::prelude::*;

mod orders;

#[derive(Default)]
struct Listener(orders::Heard);

impl ChannelHandler for Listener {
    fn published(&mut self, batch: Batch) {
        if self.0.say(&batch) {
            while !orders::is_open() {
                thread::sleep(orders::LOOK_AGAIN);
            }
        }
        self.0.obey(&batch);
    }
}

#[derive(Default)]
struct Peers;

impl Handler for Peers {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(orders::accept(request))
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        orders::told(connection, &message);
    }

    fn rpc(
        &mut self,
        connection: &Connection,
        method: &str,
        data: Message,
    ) -> Result<Message, RpcError> {
        orders::call(connection, method, data)
    }

    fn alarm(&mut self, _connection: Option<&Connection>, alarm: Alarm) {
        orders::rings(&alarm.name);
    }
}

openline_sdk::export!(Peers);
openline_sdk::export_channel_handler!(Listener);
