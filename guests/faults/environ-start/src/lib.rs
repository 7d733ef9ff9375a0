//! Traps when it is instantiated, before any call, unless its environment has
//! `MAY_START`. Then it echoes.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Starting;

impl Handler for Starting {
    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }
}

openline_sdk::export!(Starting);

/// In a component that is made from a module, this runs at instantiation.
#[expect(unsafe_code, reason = "the linker needs this name of the symbol")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    assert!(std::env::var_os("MAY_START").is_some(), "it may not start");
}
