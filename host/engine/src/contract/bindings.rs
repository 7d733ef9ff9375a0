//! The contract as Rust types: the one `bindgen!`, and the names that the rest
//! of the package uses for its types.
//!
//! Imports are generated. Exports are looked up by hand
//! ([`super::exports`]), because the hot call, `messages`, lowers
//! borrowed payloads that generated code would have to own.

mod generated {
    wasmtime::component::bindgen!({
        inline: "
            package openline:host;
            world host {
                import openline:websocket/connections@0.2.0;
                import openline:websocket/backpressure@0.2.0;
                import openline:websocket/async-backpressure@0.2.0;
                import openline:channels/channels@0.2.0;
                import openline:channels/publications@0.2.0;
                import openline:channels/rpc-types@0.2.0;
                import openline:alarms/alarms@0.2.0;
                import openline:state/state@0.2.0;
                import openline:firewall/types@0.2.0;
            }
        ",
        path: "../../wit",
        world: "openline:host/host",
        imports: {
            // Suspends the fiber that the plain call runs on.
            "openline:websocket/backpressure.writable": async | trappable,
            // A task of the instance's event loop.
            "openline:websocket/async-backpressure.writable": async | store | trappable,
            // These wait for the disk, usually for milliseconds.
            "openline:alarms/alarms.set": async | trappable,
            "openline:alarms/alarms.clear": async | trappable,
            "openline:state/state.load": async | trappable,
            "openline:state/state.save": async | trappable,
            "openline:state/state.clear": async | trappable,
            "openline:channels/publications.publish": async | trappable,
            "openline:channels/publications.remove": async | trappable,
            default: trappable,
        },
        with: {
            "openline:websocket/connections.connection": crate::contract::handles::Handle,
        },
    });
}

pub(crate) use generated::openline::alarms::alarms;
pub(crate) use generated::openline::channels::{channels, publications, rpc_types};
pub(crate) use generated::openline::common::types as common;
pub(crate) use generated::openline::firewall::types as firewall;
pub(crate) use generated::openline::state::state;
pub(crate) use generated::openline::websocket::{
    async_backpressure, backpressure, connections, types,
};

use wasmtime::component::{ComponentType, Lower};

/// A message on its way into a plain call. It is borrowed, so that the only
/// copy is the one into the guest's memory.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(variant)]
pub(crate) enum MessageRef<'a> {
    #[component(name = "text")]
    Text(&'a str),
    #[component(name = "binary")]
    Binary(&'a [u8]),
}

/// A message on its way into an asynchronous call, which outlives the caller's
/// frame. Binary payloads are shared; text is copied once more.
#[derive(ComponentType, Lower, Clone)]
#[component(variant)]
pub(crate) enum MessageOwned {
    #[component(name = "text")]
    Text(String),
    #[component(name = "binary")]
    Binary(bytes::Bytes),
}
