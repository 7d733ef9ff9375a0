//! Runs the script in a message. The steps are in `script.rs`.

use std::time::Duration;

use openline_sdk::prelude::*;

mod carried;
mod script;

use script::{Call, Script, Step};

#[derive(Default)]
struct Adversary(Script);

impl Handler for Adversary {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        if let Some(wait) = script::upgrade_wait(request) {
            std::thread::sleep(Duration::from_millis(wait));
        }
        script::decide(request)
    }

    fn open(&mut self, connection: &Connection) {
        self.0.open(connection);
    }

    fn message(&mut self, here: &Connection, message: Message) {
        let Some(mut call) = Call::begin(here, &message) else {
            return;
        };
        for step in call.steps() {
            match self.0.step(here, step) {
                Step::Said(result) => call.results.push(result),
                Step::Sleep(wait) => {
                    std::thread::sleep(Duration::from_millis(wait));
                    call.results.push("ok".into());
                }
                Step::Stream(pieces) => {
                    let mut sent = Ok(());
                    for index in 0..pieces {
                        sent = here.block_until_writable();
                        if sent.is_err() {
                            break;
                        }
                        here.send(carried::piece('S', call.number, index));
                    }
                    call.results.push(carried::said(sent));
                }
                Step::Burst(pieces) => {
                    let sent = carried::burst(here, call.number, pieces);
                    let _ = here.block_until_writable();
                    call.results.push(sent);
                }
                Step::Silent => return,
            }
        }
        self.0.reply(here, &call);
    }

    fn close(&mut self, connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {
        Script::close(connection);
    }

    fn alarm(&mut self, connection: Option<&Connection>, alarm: Alarm) {
        self.0.alarm(connection, &alarm, true);
    }

    fn hibernate(&mut self) {
        self.0.hibernate();
    }
}

openline_sdk::export!(Adversary);
