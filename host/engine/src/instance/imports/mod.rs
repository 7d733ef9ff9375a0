//! The host's side of the imports, with one file for each imported interface.
//!
//! Only `backpressure` waits, and calls that store something wait for the disk.
//! wasmtime counts what a function passes before it copies it
//! (`set_hostcall_fuel`).

mod alarms;
mod backpressure;
mod channels;
mod connections;
mod logging;
mod publications;
mod state;

pub(crate) use publications::published;

use wasmtime::component::{HasSelf, Linker};

use crate::contract::bindings::{self, common, types};
use crate::contract::handlers::CallStyle;
use crate::instance::store::StoreData;

/// Makes the contract's imports, and WASI with its `config` and `logging`, available to
/// functions of a call style.
pub(crate) fn add_to_linker(
    linker: &mut Linker<StoreData>,
    style: CallStyle,
) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    if style == CallStyle::Async {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
    }
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    wasmtime_wasi_config::add_to_linker(linker, |data| data.program.config.view())?;
    logging::add_to_linker(linker)?;
    bindings::common::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::types::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::connections::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::channels::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::publications::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::alarms::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    bindings::state::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)?;
    // One waits by suspending the instance, the other by its event loop: a
    // function has the one that its driver can do.
    match style {
        CallStyle::Plain => {
            bindings::backpressure::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| data)
        }
        CallStyle::Async => {
            bindings::async_backpressure::add_to_linker::<_, HasSelf<StoreData>>(linker, |data| {
                data
            })
        }
    }
}

impl common::Host for StoreData {}

impl types::Host for StoreData {}
