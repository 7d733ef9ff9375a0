//! Decides about a request as the request says, validly or not. The commands are
//! in `orders.rs`.

use std::thread;

use openline_sdk::firewall::{Firewall, Request, Verdict};

mod orders;

use orders::Orders;

#[derive(Default)]
struct Probe(Orders);

impl Firewall for Probe {
    fn inspect(&mut self, request: &Request) -> Verdict {
        thread::sleep(orders::pause(request));
        self.0.obey(request)
    }
}

openline_sdk::export_firewall!(Probe);
