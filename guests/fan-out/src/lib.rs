//! Publishes every message to all who are subscribed: those at
//! `/fan-out/subscribe`, and nobody else. What delivering one message to many
//! costs is measured with it.

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
