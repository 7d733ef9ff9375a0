//! `openline:websocket/backpressure` and `async-backpressure`: waiting for a
//! peer that reads slowly.
//!
//! These are the only imports that wait for a peer. The driver's poll ends when
//! a guest begins to wait, so the connections that it wrote to are woken, and
//! the time does not count as computing; `handler_timeout` bounds it. A plain
//! instance has one wait at a time, an asynchronous one as many as its table of
//! handles has room for.

use openline_channels::connection::Gone;
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use crate::contract::bindings::common::Error;
use crate::contract::bindings::{async_backpressure, backpressure};
use crate::contract::handles::Handle;
use crate::instance::store::StoreData;

impl backpressure::Host for StoreData {
    async fn writable(&mut self, handle: Resource<Handle>) -> Result<Result<(), Error>> {
        let writable = self.handles.get(&handle)?.writable();
        Ok(writable.await.map_err(Error::from))
    }
}

impl async_backpressure::Host for StoreData {}

impl<T> async_backpressure::HostWithStore<T> for HasSelf<StoreData> {
    async fn writable(
        accessor: &Accessor<T, Self>,
        handle: Resource<Handle>,
    ) -> Result<Result<(), Error>> {
        let writable = accessor.with(|mut access| {
            let data = access.get();
            data.handles
                .get(&handle)
                .map(|connection| connection.writable())
        })?;
        Ok(writable.await.map_err(Error::from))
    }
}

impl From<Gone> for Error {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}
