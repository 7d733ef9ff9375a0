//! A shared count for each room: `/counter/{room}`, with `affinity = "room"`.
//!
//! Affinity puts all connections of a room on one instance, and an instance of
//! plain handlers runs one call at a time. So it is the only writer of the
//! room's count and needs no lock. (Without affinity there is one count for all
//! rooms, and several instances may overwrite it.)
//!
//! A new count is saved before any peer sees it: an instance may end at any
//! moment, by a fault or with the host, and the next instance must know every
//! count that a peer has seen. The instance keeps a copy in its memory, so that
//! it loads the count only once.

use std::error::Error;

use openline_sdk::prelude::*;
use openline_sdk::{publish, state};

#[derive(Default)]
struct Counter {
    /// The saved count; `None` until it is needed.
    count: Option<i64>,
}

impl Counter {
    fn get(&mut self) -> Result<i64, openline_sdk::Error> {
        if let Some(count) = self.count {
            return Ok(count);
        }
        let count = state::load()?.map_or(0, |saved| {
            let text = String::from_utf8_lossy(&saved.bytes);
            text.parse().unwrap_or_default()
        });
        Ok(*self.count.insert(count))
    }

    fn add(&mut self, step: i64) -> Result<i64, Box<dyn Error>> {
        let count = self.get()?.saturating_add(step);
        // If this fails nothing is added, neither here nor to the saved count.
        state::save(count.to_string())?;
        Ok(*self.count.insert(count))
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
        let text = message.as_text().unwrap_or_default().trim();
        if text == "get" {
            match self.get() {
                Ok(count) => connection.send(count.to_string()),
                Err(error) => connection.send(format!("not loaded: {error}")),
            };
        } else if let Some(step) = text.strip_prefix("add ").and_then(|step| step.parse().ok()) {
            let room = connection.route_param("room").unwrap_or("lobby".into());
            match self.add(step) {
                Ok(count) => {
                    if let Err(error) = publish(&room, count.to_string()) {
                        connection.send(format!("added, but not published: {error}"));
                    }
                }
                Err(error) => _ = connection.send(format!("not added: {error}")),
            }
        } else {
            connection.send("say `add N`, N a whole number, or `get`");
        }
    }
}

openline_sdk::export!(Counter);
