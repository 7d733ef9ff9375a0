//! A shared count for each room: `/counter/{room}`, with `affinity = "room"`.
//!
//! Affinity puts all connections of a room on one instance, and an instance of
//! plain handlers runs one call at a time. So it is the only writer of the
//! room's count and needs no lock. The count outlives the instance: it is saved
//! when that hibernates, and loaded by the next one. Only what was added since
//! is lost when a fault ends it. (Without affinity there is one count for all
//! rooms, and several instances may overwrite it.)

use openline_sdk::prelude::*;
use openline_sdk::{Error, publish, state};

#[derive(Default)]
struct Counter {
    /// What it counts; `None` until somebody asks.
    count: Option<i64>,
}

impl Counter {
    fn count(&mut self) -> Result<&mut i64, Error> {
        let count = match self.count {
            Some(count) => count,
            None => state::load()?.map_or(0, |saved| {
                let text = String::from_utf8_lossy(&saved.bytes);
                text.parse().unwrap_or_default()
            }),
        };
        Ok(self.count.insert(count))
    }
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
        let count = match self.count() {
            Ok(count) => count,
            Err(error) => {
                connection.send(format!("not loaded: {error}"));
                return;
            }
        };
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

    fn hibernate(&mut self) {
        if let Some(Err(error)) = self.count.map(|count| state::save(count.to_string())) {
            eprintln!("the count is lost: {error}");
        }
    }
}

openline_sdk::export!(Counter);
