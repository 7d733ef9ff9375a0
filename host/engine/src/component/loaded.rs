//! A component that is compiled and linked, from which instances can be made.

use std::sync::Arc;

use openline_core::limits::{MEMORIES_MAX, TABLES_MAX};
use wasmtime::component::{Component, ComponentNamedList, Instance, InstancePre, Lower, Resource};
use wasmtime::{Engine, Store};

use super::error::LoadError;
use super::inspect::Contract;
use super::places;
use super::ticker::Ticker;
use crate::contract::exports::{Exports, Indices};
use crate::contract::handlers::CallStyle;
use crate::contract::handles::Handle;

/// A compiled and linked component. `T` is the data of its stores.
pub(crate) struct Loaded<T: 'static> {
    pub(crate) engine: Engine,
    /// How its instances make calls.
    pub(crate) style: CallStyle,
    pub(crate) metered: bool,
    /// Whether it uses an interface of the contract. One that does not was made for
    /// other hosts, most of which make an instance for each request.
    pub(crate) is_ours: bool,
    /// How many of the host's `instances` one instance takes.
    pub(crate) places: u32,
    pre: InstancePre<T>,
    indices: Indices,
    /// Kept as long as the function exists, because without it nothing stops a
    /// guest. Its instances tell it when they run.
    pub(crate) ticker: Arc<Ticker>,
}

impl<T: Send + 'static> Loaded<T> {
    pub(crate) fn new(
        component: &Component,
        pre: InstancePre<T>,
        contract: &Contract,
        metered: bool,
        ticker: Arc<Ticker>,
    ) -> Result<Self, LoadError> {
        let indices = Indices::of(component, &contract.handlers)
            .map_err(|missing| LoadError::WrongTypes(missing.to_string()))?;
        Ok(Self {
            engine: component.engine().clone(),
            style: contract.handlers.call_style(),
            metered,
            is_ours: contract.is_ours(),
            places: places(component, contract),
            pre,
            indices,
            ticker,
        })
    }

    /// Whether it has a WebSocket handler.
    pub(crate) fn takes_connections(&self) -> bool {
        self.indices.has_websocket()
    }

    /// Whether it has a handler of the firewall.
    pub(crate) fn takes_inspections(&self) -> bool {
        self.indices.has_firewall()
    }

    /// Whether it has a handler of channels.
    pub(crate) fn takes_publications(&self) -> bool {
        self.indices.has_channel()
    }

    /// The call style of its HTTP handler, if it has one.
    pub(crate) fn http(&self) -> Option<CallStyle> {
        self.indices.http()
    }

    /// Whether it has a handler for alarms.
    pub(crate) fn takes_alarms(&self) -> bool {
        self.indices.has_alarm()
    }

    pub(crate) async fn instantiate(&self, store: &mut Store<T>) -> wasmtime::Result<Instance> {
        self.pre.instantiate_async(store).await
    }

    pub(crate) fn exports<M>(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports<M>>
    where
        (Resource<Handle>, M): ComponentNamedList + Lower,
    {
        self.indices.exports(store, instance)
    }
}

/// How many places an instance takes.
fn places(component: &Component, contract: &Contract) -> u32 {
    let (memories, tables) = match component.resources_required() {
        Some(resources) => (resources.num_memories, resources.num_tables),
        // Only for components with modules from outside, which `inspect`
        // refuses.
        None => {
            let most = |most: u64| u32::try_from(most).unwrap_or(u32::MAX);
            (most(MEMORIES_MAX), most(TABLES_MAX))
        }
    };
    let stacks = match contract.handlers.call_style() {
        CallStyle::Plain => 1,
        // One for each call that waits, and one for code that runs meanwhile.
        CallStyle::Async => contract.lifting.saturating_add(1),
    };
    places::places(memories, tables, stacks)
}

impl<T: 'static> std::fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}
