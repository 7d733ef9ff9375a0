//! Publishes every message to all subscribers, which are the connections at
//! `/fan-out/subscribe`. It measures the cost of delivering one message to
//! many.

use openline_sdk::prelude::*;
use openline_sdk::publish;

const CHANNEL: &str = "all";

#[derive(Default)]
struct FanOut;

impl Handler for FanOut {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(match request.route_param("role") {
            Some("subscribe") => Acceptance::new().channel(CHANNEL),
            _ => Acceptance::new(),
        })
    }

    fn message(&mut self, _connection: &Connection, message: Message) {
        if let Err(error) = publish(CHANNEL, message) {
            eprintln!("not published: {error}");
        }
    }
}

openline_sdk::export!(FanOut);
