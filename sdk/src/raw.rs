//! The generated bindings, and what the export macros need of them. Owns the
//! boundary to the component model; nothing here is part of the public API.
//!
//! Worlds of the SDK's own, with the interfaces of the contract's: a component
//! exports exactly one of the two handler interfaces, and the parts that both
//! kinds share are generated once. What a world exports is written into a component only by the
//! macro generated with it, so only by the one of [`crate::export!`] and
//! [`crate::export_async!`] that a crate uses; imports that a crate does not
//! call are left out by the linker. The asynchronous world shares the types
//! and imports of the plain one. Where a component is made, the worlds that a
//! crate uses are joined.
//!
//! Types are generated in two forms: what a function is given owns its data,
//! what it gives to an import borrows. So nothing is copied to be sent.

pub use crate::export::{AsyncFunction, Asynchronous, Plain, PlainFunction};

/// The plain world, and the types and imports of both.
pub mod plain {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world plain {
                import openline:websocket/connections@0.2.0;
                import openline:websocket/backpressure@0.2.0;
                import openline:channels/channels@0.2.0;
                import openline:alarms/alarms@0.2.0;
                import openline:state/state@0.2.0;
                export openline:websocket/websocket-handler@0.2.0;
                export openline:alarms/alarm-handler@0.2.0;
            }
        ",
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        export_macro_name: "export_plain",
        default_bindings_module: "openline_sdk::raw::plain",
    });
}

/// The asynchronous world.
pub mod asynchronous {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world asynchronous {
                import openline:websocket/connections@0.2.0;
                import openline:websocket/async-backpressure@0.2.0;
                export openline:websocket/async-websocket-handler@0.2.0;
                export openline:alarms/async-alarm-handler@0.2.0;
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "openline:common/types@0.2.0": super::plain::openline::common::types,
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
            "openline:websocket/connections@0.2.0": super::plain::openline::websocket::connections,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_asynchronous",
        default_bindings_module: "openline_sdk::raw::asynchronous",
    });
}

/// What both kinds of functions export alike. A world of its own: the
/// generated macros of an interface exist once in a crate.
pub mod both {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world both {
                export openline:state/hibernation-handler@0.2.0;
            }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_both",
        default_bindings_module: "openline_sdk::raw::both",
    });
}

/// The clock of WASI 0.3: the contract has no timer of its own.
/// `wit-deps/clocks.wit` is the interface as wasmtime 48 serves it.
pub(crate) mod clock {
    wit_bindgen::generate!({
        path: "wit-deps/clocks.wit",
        inline: "
            package openline:sdk;
            world clock {
                import wasi:clocks/monotonic-clock@0.3.0;
            }
        ",
        generate_all,
    });
}

pub(crate) use asynchronous::openline::websocket::async_backpressure;
pub(crate) use clock::wasi::clocks::monotonic_clock;
pub(crate) use plain::openline::alarms::alarms;
pub(crate) use plain::openline::channels::channels;
pub(crate) use plain::openline::common::types as common;
pub(crate) use plain::openline::state::state;
pub(crate) use plain::openline::websocket::{backpressure, connections, types};
