//! Does what `adversary` does, in an asynchronous handler.

use std::time::Duration;

use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

#[path = "../../adversary/src/carried.rs"]
mod carried;
#[path = "../../adversary/src/script.rs"]
mod script;

use script::{Call, Script, Step};

#[derive(Default)]
struct Adversary(Script);

impl AsyncHandler for Adversary {
    async fn upgrade(&self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if let Some(wait) = script::upgrade_wait(request) {
            sleep(Duration::from_millis(wait)).await;
        }
        script::decide(request)
    }

    async fn open(&self, connection: &Connection) {
        self.0.open(connection);
    }

    async fn message(&self, here: &Connection, message: Message) {
        let Some(mut call) = Call::begin(here, &message) else {
            return;
        };
        for step in call.steps() {
            match self.0.step(here, step) {
                Step::Said(result) => call.results.push(result),
                Step::Sleep(wait) => {
                    sleep(Duration::from_millis(wait)).await;
                    call.results.push("ok".into());
                }
                Step::Stream(pieces) => {
                    let mut sent = Ok(());
                    for index in 0..pieces {
                        sent = here.writable().await;
                        if sent.is_err() {
                            break;
                        }
                        here.send(carried::piece('S', call.number, index));
                    }
                    call.results.push(carried::said(sent));
                }
                Step::Burst(pieces) => {
                    let sent = carried::burst(here, call.number, pieces);
                    let _ = here.writable().await;
                    call.results.push(sent);
                }
                Step::Silent => return,
            }
        }
        self.0.reply(here, &call);
    }

    async fn close(&self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        Script::close(connection);
    }

    async fn alarm(&self, connection: Option<&Connection>, alarm: Alarm) {
        self.0.alarm(connection, &alarm, false);
    }

    fn hibernate(&self) {
        self.0.hibernate();
    }
}

openline_sdk::export_async!(Adversary);
