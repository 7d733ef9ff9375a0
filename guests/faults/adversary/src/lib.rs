//! Runs the script in a message. The steps are in `script.rs`.

use std::time::Duration;

use openline_sdk::prelude::*;

mod carried;
mod script;

use script::{Script, Step};

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
        let text = message.as_text().unwrap_or_default();
        if script::is_left_to_host(here, text) {
            return;
        }
        let handled = carried::count(here);
        let (number, steps) = text.split_once(' ').unwrap_or((text, ""));
        let mut results = Vec::new();
        for step in steps.split(';') {
            match self.0.step(here, step) {
                Step::Said(result) => results.push(result),
                Step::Sleep(wait) => {
                    std::thread::sleep(Duration::from_millis(wait));
                    results.push("ok".into());
                }
                Step::Stream(pieces) => {
                    let mut sent = Ok(());
                    for index in 0..pieces {
                        sent = here.block_until_writable();
                        if sent.is_err() {
                            break;
                        }
                        here.send(carried::piece('S', number, index));
                    }
                    results.push(carried::said(sent));
                }
                Step::Burst(pieces) => {
                    let sent = carried::burst(here, number, pieces);
                    let _ = here.block_until_writable();
                    results.push(sent);
                }
                Step::Silent => return,
            }
        }
        self.0.reply(here, number, handled, &results);
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
