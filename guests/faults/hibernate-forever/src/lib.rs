//! Sends every message back, and computes forever in `hibernate`.

use std::hint::black_box;

use openline_sdk::prelude::*;

#[derive(Default)]
struct Restless;

impl Handler for Restless {
    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }

    fn hibernate(&mut self) {
        while black_box(true) {}
    }
}

openline_sdk::export!(Restless);
