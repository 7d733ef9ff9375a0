//! The exports of a component: its handlers by name, and their functions by
//! type.
//!
//! They are looked up by hand, because the hot call, `messages`, lowers
//! borrowed payloads that generated code would have to own.

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

/// Whether an export is an interface of ours, in this version or in a
/// compatible later one (Semantic Versioning: below 1.0, one with the same
/// minor number).
pub(crate) fn is(export: &str, ours: &str) -> bool {
    let parts = |text: &str| {
        let (name, version) = text.split_once('@')?;
        let (series, patch) = version.rsplit_once('.')?;
        let is_number = !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| (name.to_owned(), series.to_owned()))
    };
    parts(export).is_some() && parts(export) == parts(ours)
}

/// Whether the host calls an export of a component with such a handler, or the
/// export does not belong to the contract.
pub(crate) fn is_called(export: &str, handler: HandlerKind) -> bool {
    let called = match handler {
        HandlerKind::Plain => [PLAIN, PLAIN_ALARM, HIBERNATION],
        HandlerKind::Async => [ASYNCHRONOUS, ASYNCHRONOUS_ALARM, HIBERNATION],
    };
    !export.starts_with("openline:") || called.iter().any(|ours| is(export, ours))
}

/// The indices of a handler's functions in a component.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_patch_is_the_same_interface_and_nothing_else_is() {
        for export in [PLAIN, "openline:websocket/websocket-handler@0.2.17"] {
            assert!(is(export, PLAIN), "{export}");
            assert!(is_called(export, HandlerKind::Plain));
            assert!(!is_called(export, HandlerKind::Async));
        }
        for export in [
            "",
            "openline:websocket/websocket-handler",
            "openline:websocket/websocket-handler@",
            "openline:websocket/websocket-handler@0.2",
            "openline:websocket/websocket-handler@0.2.",
            "openline:websocket/websocket-handler@0.1.0",
            "openline:websocket/websocket-handler@0.3.0",
            "openline:websocket/websocket-handler@1.2.0",
            "openline:websocket/websocket-handler@0.2.0-rc.1",
            "openline:websocket/websocket-handler@0.2.0-rc1",
            "openline:alarms/websocket-handler@0.2.0",
        ] {
            assert!(!is(export, PLAIN), "{export}");
        }
        assert!(is_called("wasi:cli/run@0.2.0", HandlerKind::Plain));
        assert!(!is_called(
            "openline:http/handler@0.2.0",
            HandlerKind::Plain
        ));
        assert!(!is_called(ASYNCHRONOUS_ALARM, HandlerKind::Plain));
    }
}
