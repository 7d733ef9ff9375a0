//! What the host does for functions, with one file for each imported interface.
//!
//! Only `backpressure` waits, and calls that store something wait for the disk.
//! wasmtime counts what a function passes before it copies it
//! (`set_hostcall_fuel`).

mod alarms;
mod backpressure;
mod channels;
mod connections;
mod state;

use wasmtime::component::{HasSelf, Linker};

use crate::contract::bindings::{self, common, types};
use crate::contract::exports::HandlerKind;
use crate::instance::store::StoreData;

/// Adds the contract's imports and WASI for functions with such handlers to a
/// linker.
pub(crate) fn add_to_linker(
    linker: &mut Linker<StoreData>,
    kind: HandlerKind,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    if kind == HandlerKind::Async {
        wasmtime_wasi::p3::add_to_linker(linker)?;
    }
    bindings::common::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::types::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::connections::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::channels::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::alarms::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::state::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    // One waits by suspending the instance, the other in its event loop. A
    // function has the one that fits its driver.
    match kind {
        HandlerKind::Plain => {
            bindings::backpressure::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)
        }
        HandlerKind::Async => {
            bindings::async_backpressure::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| {
                data
            })
        }
    }
}

impl common::Host for StoreData {}

impl types::Host for StoreData {}
