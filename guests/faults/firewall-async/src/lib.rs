//! Does what `fault-firewall` does, asynchronously, and serves connections as
//! well: it sends their messages back.

use std::cell::RefCell;

use openline_sdk::firewall::{AsyncFirewall, Request, Verdict};
use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[path = "../../firewall/src/orders.rs"]
mod orders;

use orders::Orders;

#[derive(Default)]
struct Probe(RefCell<Orders>);

impl AsyncFirewall for Probe {
    async fn inspect(&self, request: &Request) -> Verdict {
        sleep(orders::pause(request)).await;
        self.0.borrow_mut().obey(request)
    }
}

#[derive(Default)]
struct Echo;

impl AsyncHandler for Echo {
    async fn message(&self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

openline_sdk::export_async!(Echo);
openline_sdk::export_async_firewall!(Probe);
