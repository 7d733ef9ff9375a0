//! The generated bindings, and the parts of them that the export macros need.
//! This is the boundary to the component model; nothing here is part of the
//! public API.
//!
//! The SDK has worlds of its own, with the interfaces of the contract's worlds:
//! a component exports exactly one of the two handler interfaces, and the parts
//! that both kinds share are generated once. Only the macro that is generated
//! with a world writes its exports into a component, so a crate gets only those
//! of the macro that it uses, [`crate::export!`] or [`crate::export_async!`];
//! the linker leaves out imports that a crate does not call. The asynchronous
//! world shares the types and imports of the plain one. The worlds that a crate
//! uses are joined when the component is made.
//!
//! Types are generated in two forms: values that a function receives own their
//! data, and values that it passes to an import borrow it. So sending copies
//! nothing.

pub use crate::export::channel_handler::{AsyncChannelFunction, ChannelFunction};
pub use crate::export::firewall::{AsyncFirewallFunction, FirewallFunction};
pub use crate::export::http::{AsyncHttpFunction, HttpFunction, PlainHttp};
pub use crate::export::{AsyncFunction, Asynchronous, Plain, PlainFunction};

/// The plain world, and the types and imports of both worlds.
pub mod plain {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world plain {
                import openline:websocket/connections@0.2.0;
                import openline:websocket/backpressure@0.2.0;
                import openline:channels/channels@0.2.0;
                import openline:channels/publications@0.2.0;
                import openline:alarms/alarms@0.2.0;
                import openline:state/state@0.2.0;
                export openline:websocket/websocket-handler@0.2.0;
                export openline:channels/rpc-handler@0.2.0;
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
                export openline:channels/async-rpc-handler@0.2.0;
                export openline:alarms/async-alarm-handler@0.2.0;
            }
        ",
        ownership: Borrowing { duplicate_if_necessary: true },
        with: {
            "openline:common/types@0.2.0": super::plain::openline::common::types,
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
            "openline:websocket/connections@0.2.0": super::plain::openline::websocket::connections,
            "openline:channels/rpc-types@0.2.0": super::plain::openline::channels::rpc_types,
        },
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_asynchronous",
        default_bindings_module: "openline_sdk::raw::asynchronous",
    });
}

/// The exports that both kinds of functions share. It is a world of its own,
/// because the generated macros of an interface can exist only once in a crate.
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

/// The world of plain firewall functions, and the types of both kinds of them. It
/// is a world of its own, because a component may export it alone or beside
/// another.
pub mod plain_firewall {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world plain-firewall {
                export openline:firewall/firewall@0.2.0;
            }
        ",
        with: {
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
        },
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        export_macro_name: "export_plain_firewall",
        default_bindings_module: "openline_sdk::raw::plain_firewall",
    });
}

/// The world of asynchronous firewall functions.
pub mod asynchronous_firewall {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world asynchronous-firewall {
                export openline:firewall/async-firewall@0.2.0;
            }
        ",
        with: {
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
            "openline:firewall/types@0.2.0": super::plain_firewall::openline::firewall::types,
        },
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        export_macro_name: "export_asynchronous_firewall",
        default_bindings_module: "openline_sdk::raw::asynchronous_firewall",
    });
}

/// The world of plain functions that channels wake. It is a world of its own,
/// because a component may export it alone or beside another.
pub mod plain_channel {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world plain-channel {
                export openline:channels/channel-handler@0.2.0;
            }
        ",
        with: {
            "openline:common/types@0.2.0": super::plain::openline::common::types,
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
            "openline:websocket/connections@0.2.0": super::plain::openline::websocket::connections,
            "openline:channels/channels@0.2.0": super::plain::openline::channels::channels,
            "openline:channels/publications@0.2.0": super::plain::openline::channels::publications,
        },
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        export_macro_name: "export_plain_channel",
        default_bindings_module: "openline_sdk::raw::plain_channel",
    });
}

/// The world of asynchronous functions that channels wake.
pub mod asynchronous_channel {
    wit_bindgen::generate!({
        path: "wit",
        inline: "
            package openline:sdk;
            world asynchronous-channel {
                export openline:channels/async-channel-handler@0.2.0;
            }
        ",
        with: {
            "openline:common/types@0.2.0": super::plain::openline::common::types,
            "openline:websocket/types@0.2.0": super::plain::openline::websocket::types,
            "openline:websocket/connections@0.2.0": super::plain::openline::websocket::connections,
            "openline:channels/channels@0.2.0": super::plain::openline::channels::channels,
            "openline:channels/publications@0.2.0": super::plain::openline::channels::publications,
        },
        generate_all,
        ownership: Borrowing { duplicate_if_necessary: true },
        pub_export_macro: true,
        export_macro_name: "export_asynchronous_channel",
        default_bindings_module: "openline_sdk::raw::asynchronous_channel",
    });
}

/// The world of plain functions that answer requests, and of their calls out:
/// wasi:http 0.2. It is a world of its own, because a component may export it
/// alone or beside another. `wit-deps/http-0.2.wit`, and `io-0.2.wit` and
/// `clocks-0.2.wit` beside it, are the interfaces as wasmtime 48 serves them,
/// without the worlds.
pub mod plain_http {
    wit_bindgen::generate!({
        path: ["wit-deps/io-0.2.wit", "wit-deps/clocks-0.2.wit", "wit-deps/http-0.2.wit"],
        inline: "
            package openline:sdk;
            world plain-http {
                import wasi:http/types@0.2.12;
                import wasi:http/outgoing-handler@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_plain_http",
        default_bindings_module: "openline_sdk::raw::plain_http",
    });
}

/// The world of asynchronous functions that answer requests, and of their calls
/// out: wasi:http 0.3. `wit-deps/http-0.3.wit` is as wasmtime 48 serves it,
/// without the worlds.
pub mod asynchronous_http {
    wit_bindgen::generate!({
        path: ["wit-deps/clocks.wit", "wit-deps/http-0.3.wit"],
        inline: "
            package openline:sdk;
            world asynchronous-http {
                import wasi:http/types@0.3.0;
                import wasi:http/client@0.3.0;
                export wasi:http/handler@0.3.0;
            }
        ",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_asynchronous_http",
        default_bindings_module: "openline_sdk::raw::asynchronous_http",
    });
}

/// The clock of WASI 0.3, because the contract has no timer of its own.
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
pub(crate) use asynchronous_http::wasi::http as http_0_3;
pub(crate) use clock::wasi::clocks::monotonic_clock;
pub(crate) use plain::openline::alarms::alarms;
pub(crate) use plain::openline::channels::{channels, publications, rpc_types};
pub(crate) use plain::openline::common::types as common;
pub(crate) use plain::openline::state::state;
pub(crate) use plain::openline::websocket::{backpressure, connections, types};
pub(crate) use plain_firewall::openline::firewall::types as firewall;
pub(crate) use plain_http::wasi::http as http_0_2;
pub(crate) use plain_http::wasi::io::streams;
