//! What a component exports: its handlers by name, and their functions by type.
//!
//! Looked up by hand, because the hot call, `messages`, lowers borrowed payloads
//! that generated code would have to own.

pub use openline_core::deployment::HandlerKind;
use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, Lower, Resource, TypedFunc,
};

use super::bindings::{MessageOwned, MessageRef, types};
use super::convert::Decision;
use super::handles::Handle;

pub(crate) const PLAIN: &str = "openline:websocket/websocket-handler@0.2.0";
pub(crate) const ASYNCHRONOUS: &str = "openline:websocket/async-websocket-handler@0.2.0";
const PLAIN_ALARM: &str = "openline:alarms/alarm-handler@0.2.0";
const ASYNCHRONOUS_ALARM: &str = "openline:alarms/async-alarm-handler@0.2.0";
const HIBERNATION: &str = "openline:state/hibernation-handler@0.2.0";

/// Where the functions of a handler are in a component.
pub(crate) struct Indices {
    upgrade: ComponentExportIndex,
    open: ComponentExportIndex,
    messages: ComponentExportIndex,
    close: ComponentExportIndex,
    alarm: Option<ComponentExportIndex>,
    hibernate: Option<ComponentExportIndex>,
}

type Connection = Resource<Handle>;

/// The exports of one instance, `M` being how it takes messages.
pub(crate) struct Exports<M: 'static> {
    pub(crate) upgrade: TypedFunc<(types::UpgradeRequest,), (Decision,)>,
    pub(crate) open: TypedFunc<(Connection,), ()>,
    pub(crate) messages: TypedFunc<(Connection, M), ()>,
    pub(crate) close: TypedFunc<(Connection, types::CloseInfo, types::CloseOrigin), ()>,
    pub(crate) alarm: Option<AlarmExport>,
    pub(crate) hibernate: Option<TypedFunc<(), ()>>,
}

/// Connection, name, attempt.
type AlarmExport = TypedFunc<(Option<Connection>, String, u32), ()>;

pub(crate) type PlainExports = Exports<&'static [MessageRef<'static>]>;
pub(crate) type AsyncExports = Exports<Vec<MessageOwned>>;

/// A handler lacks a function of this name.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("`{0}` is missing")]
pub(crate) struct Missing(&'static str);

impl Indices {
    pub(crate) fn of(component: &Component, kind: HandlerKind) -> Result<Self, Missing> {
        let (interface, alarms) = match kind {
            HandlerKind::Plain => (PLAIN, PLAIN_ALARM),
            HandlerKind::Async => (ASYNCHRONOUS, ASYNCHRONOUS_ALARM),
        };
        let optional = |interface: &str, name: &str| {
            let handler = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&handler), name)
        };
        let find = |name: &'static str| optional(interface, name).ok_or(Missing(name));
        Ok(Self {
            upgrade: find("upgrade")?,
            open: find("open")?,
            messages: find("messages")?,
            close: find("close")?,
            alarm: optional(alarms, "alarm"),
            hibernate: optional(HIBERNATION, "hibernate"),
        })
    }

    /// Whether there is a handler for alarms.
    pub(crate) fn has_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    /// The functions of one instance.
    pub(crate) fn exports<T, M>(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
    ) -> wasmtime::Result<Exports<M>>
    where
        (Connection, M): ComponentNamedList + Lower,
    {
        Ok(Exports {
            upgrade: instance.get_typed_func(&mut *store, self.upgrade)?,
            open: instance.get_typed_func(&mut *store, self.open)?,
            messages: instance.get_typed_func(&mut *store, self.messages)?,
            close: instance.get_typed_func(&mut *store, self.close)?,
            alarm: match self.alarm {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            hibernate: match self.hibernate {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
        })
    }
}
