//! The functions of the handlers that a component exports, by type.
//!
//! They are looked up by hand, because the hot call, `messages`, lowers
//! borrowed payloads that generated code would have to own.

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, Lower, Resource, TypedFunc,
};

use super::bindings::{MessageOwned, MessageRef, types};
use super::convert::Decision;
use super::handlers::{Handler, Handlers};
use super::handles::Handle;

/// Where the functions of the handlers are in a component.
pub(crate) struct Indices {
    upgrade: ComponentExportIndex,
    open: ComponentExportIndex,
    messages: ComponentExportIndex,
    close: ComponentExportIndex,
    alarm: Option<ComponentExportIndex>,
    hibernate: Option<ComponentExportIndex>,
}

type Connection = Resource<Handle>;

/// The exports of one instance; `M` is how it takes messages.
pub(crate) struct Exports<M: 'static> {
    pub(crate) upgrade: TypedFunc<(types::UpgradeRequest,), (Decision,)>,
    pub(crate) open: TypedFunc<(Connection,), ()>,
    pub(crate) messages: TypedFunc<(Connection, M), ()>,
    pub(crate) close: TypedFunc<(Connection, types::CloseInfo, types::CloseOrigin), ()>,
    pub(crate) alarm: Option<AlarmExport>,
    pub(crate) hibernate: Option<TypedFunc<(), ()>>,
}

/// The arguments are connection, name and attempt.
type AlarmExport = TypedFunc<(Option<Connection>, String, u32), ()>;

pub(crate) type PlainExports = Exports<&'static [MessageRef<'static>]>;
pub(crate) type AsyncExports = Exports<Vec<MessageOwned>>;

/// A handler lacks a function of this name.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("`{0}` is missing")]
pub(crate) struct Missing(&'static str);

impl Indices {
    pub(crate) fn of(component: &Component, handlers: &Handlers) -> Result<Self, Missing> {
        let optional = |handler: Handler, name: &str| {
            let interface = component.get_export_index(None, handlers.interface(handler)?)?;
            component.get_export_index(Some(&interface), name)
        };
        let find = |name: &'static str| optional(Handler::WebSocket, name).ok_or(Missing(name));
        Ok(Self {
            upgrade: find("upgrade")?,
            open: find("open")?,
            messages: find("messages")?,
            close: find("close")?,
            alarm: optional(Handler::Alarm, "alarm"),
            hibernate: optional(Handler::Hibernation, "hibernate"),
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
