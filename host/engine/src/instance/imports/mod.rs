//! What the host does for functions: one file for each imported interface.
//!
//! Nothing here waits, but for `backpressure`, and for the disk what keeps
//! something on it. What a function passed was counted before it was copied
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

/// Makes the contract's imports, and WASI, available to functions with such
/// handlers.
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
    // One waits by suspending the instance, the other by its event loop: a
    // function has the one that its driver can do.
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
