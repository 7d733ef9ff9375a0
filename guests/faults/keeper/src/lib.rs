//! Uses everything that outlives an instance, as the message says: tags,
//! alarms, state, automatic responses, attachments. The commands are in
//! `probe.rs`.

use openline_sdk::prelude::*;

mod probe;

use probe::Probe;

#[derive(Default)]
struct Keeper(Probe);

impl Handler for Keeper {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(probe::accept(request))
    }

    fn message(&mut self, here: &Connection, message: Message) {
        self.0.obey(here, message.as_text().unwrap_or_default());
    }

    fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
        probe::ring(connection, &alarm);
    }

    fn hibernate(&mut self) {
        self.0.hibernate();
    }
}

openline_sdk::export!(Keeper);
