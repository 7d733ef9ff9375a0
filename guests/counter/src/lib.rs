//! A shared count for each room: `/counter/{room}`, with `affinity = "room"`.
//!
//! Affinity puts all connections of a room on one instance, and an instance of
//! plain handlers runs one call at a time. So it is the only writer of the
//! room's count and needs no lock. The count lives as long as the instance.

use std::collections::HashMap;

use openline_sdk::prelude::*;
use openline_sdk::publish;

#[derive(Default)]
struct Counter {
    counts: HashMap<String, i64>,
}

impl Handler for Counter {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        let room = request.route_param("room").unwrap_or("lobby");
        if room.len() > 256 {
            let text = "the room's name is longer than 256 bytes\n";
            return Err(Rejection::text(400, text));
        }
        Ok(Acceptance::new().channel(room))
    }

    fn message(&mut self, connection: &Connection, message: Message) {
        let room = connection.route_param("room").unwrap_or("lobby".into());
        let count = self.counts.entry(room.clone()).or_default();
        let text = message.as_text().unwrap_or_default().trim();
        if text == "get" {
            connection.send(count.to_string());
        } else if let Some(step) = text.strip_prefix("add ").and_then(|step| step.parse().ok()) {
            *count = count.saturating_add(step);
            if let Err(error) = publish(&room, count.to_string()) {
                connection.send(format!("not published: {error}"));
            }
        } else {
            connection.send("say `add N`, N a whole number, or `get`");
        }
    }
}

openline_sdk::export!(Counter);
