//! Does what `keeper` does, in an asynchronous handler. `later MS` answers
//! `later` after this many milliseconds. An alarm named `long...` takes a minute.

use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[path = "../../keeper/src/probe.rs"]
mod probe;

use probe::Probe;

#[derive(Default)]
struct Keeper(Probe);

impl AsyncHandler for Keeper {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        Ok(probe::accept(request))
    }

    async fn message(&self, here: &Connection, message: Message) {
        let text = message.as_text().unwrap_or_default();
        let later = text.strip_prefix("later ");
        if let Some(time) = later.and_then(|time| time.parse().ok()) {
            sleep(Duration::from_millis(time)).await;
            here.send("later");
        } else {
            self.0.obey(here, text);
        }
    }

    async fn alarm(&self, connection: Option<&Connection>, alarm: Alarm) {
        if alarm.name.starts_with("long") {
            sleep(Duration::from_secs(60)).await;
        }
        probe::ring(connection, &alarm);
    }

    fn hibernate(&self) {
        self.0.hibernate();
    }
}

openline_sdk::export_async!(Keeper);
