//! Traps when it is instantiated, before any call.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Broken;

impl Handler for Broken {
    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

openline_sdk::export!(Broken);

/// Where a component is made of a module, this is what runs when it is
/// instantiated.
#[expect(unsafe_code, reason = "the name of the symbol is what it is for")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    panic!("this is the trap that was asked for");
}
