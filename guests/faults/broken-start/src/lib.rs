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

/// In a component that is made from a module, this runs at instantiation.
#[expect(unsafe_code, reason = "the linker needs this name of the symbol")]
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    panic!("this is the trap that was asked for");
}
