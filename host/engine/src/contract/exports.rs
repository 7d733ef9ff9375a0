//! The functions of the handlers that a component exports, by type.
//!
//! They are looked up by hand, because the hot call, `messages`, lowers
//! borrowed payloads that generated code would have to own.

use wasmtime::Store;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, Lower, Resource, TypedFunc,
};

use wasmtime_wasi_http::p2::bindings::http::types as http_plain;
use wasmtime_wasi_http::p3::bindings::http::types as http_async;

use super::bindings::{MessageOwned, MessageRef, common, firewall, publications, rpc_types, types};
use super::convert::Decision;
use super::handlers::{CallStyle, Handler, Handlers};
use super::handles::Handle;

/// Where the functions of the handlers are in a component.
pub(crate) struct Indices {
    websocket: Option<WebSocketIndices>,
    alarm: Option<ComponentExportIndex>,
    hibernate: Option<ComponentExportIndex>,
    inspect: Option<ComponentExportIndex>,
    published: Option<ComponentExportIndex>,
    call: Option<ComponentExportIndex>,
    http: Option<(CallStyle, ComponentExportIndex)>,
}

struct WebSocketIndices {
    upgrade: ComponentExportIndex,
    open: ComponentExportIndex,
    messages: ComponentExportIndex,
    close: ComponentExportIndex,
}

type Connection = Resource<Handle>;

/// The exports of one instance; `M` is how it takes messages.
pub(crate) struct Exports<M: 'static> {
    pub(crate) websocket: Option<WebSocketExports<M>>,
    pub(crate) alarm: Option<AlarmExport>,
    pub(crate) hibernate: Option<TypedFunc<(), ()>>,
    pub(crate) inspect: Option<TypedFunc<(firewall::Request,), (firewall::Verdict,)>>,
    pub(crate) published: Option<PublishedExport>,
    pub(crate) call: Option<CallExport>,
    pub(crate) http: Option<HttpExport>,
}

/// The functions of a WebSocket handler.
pub(crate) struct WebSocketExports<M: 'static> {
    pub(crate) upgrade: TypedFunc<(types::UpgradeRequest,), (Decision,)>,
    pub(crate) open: TypedFunc<(Connection,), ()>,
    pub(crate) messages: TypedFunc<(Connection, M), ()>,
    pub(crate) close: TypedFunc<(Connection, types::CloseInfo, types::CloseOrigin), ()>,
}

/// The arguments are connection, name and attempt.
type AlarmExport = TypedFunc<(Option<Connection>, String, u32), ()>;

/// The arguments are channel, publications and how many were lost.
pub(crate) type PublishedExport = TypedFunc<(String, Vec<publications::Publication>, u64), ()>;

/// The arguments are connection, method and data.
type CallExport = TypedFunc<(Connection, String, MessageOwned), (RpcResult,)>;

/// The function of an HTTP handler, in its call style.
#[derive(Clone, Copy)]
pub(crate) enum HttpExport {
    /// `wasi:http/incoming-handler` 0.2: it writes the answer's body and returns.
    Plain(PlainHttpExport),
    /// `wasi:http/handler` 0.3: it returns the answer, whose body may still come.
    Async(AsyncHttpExport),
}

/// The arguments are the request, and where the answer goes.
pub(crate) type PlainHttpExport = TypedFunc<
    (
        Resource<http_plain::IncomingRequest>,
        Resource<http_plain::ResponseOutparam>,
    ),
    (),
>;

/// From a request to an answer.
pub(crate) type AsyncHttpExport = TypedFunc<
    (Resource<http_async::Request>,),
    (Result<Resource<http_async::Response>, http_async::ErrorCode>,),
>;

/// The result of `call`.
pub(crate) type RpcResult = Result<common::Message, rpc_types::RpcError>;

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
        // A handler that is there has all its functions.
        let find = |handler: Handler, name: &'static str| match handlers.get(handler) {
            Some(_) => optional(handler, name).map(Some).ok_or(Missing(name)),
            None => Ok(None),
        };
        let websocket = |name| find(Handler::WebSocket, name);
        let websocket = (
            websocket("upgrade")?,
            websocket("open")?,
            websocket("messages")?,
            websocket("close")?,
        );
        Ok(Self {
            websocket: match websocket {
                (Some(upgrade), Some(open), Some(messages), Some(close)) => {
                    Some(WebSocketIndices {
                        upgrade,
                        open,
                        messages,
                        close,
                    })
                }
                _ => None,
            },
            alarm: optional(Handler::Alarm, "alarm"),
            hibernate: optional(Handler::Hibernation, "hibernate"),
            inspect: find(Handler::Firewall, "inspect")?,
            published: find(Handler::Channel, "published")?,
            call: find(Handler::Rpc, "call")?,
            http: match (handlers.get(Handler::Http), find(Handler::Http, "handle")?) {
                (Some(style), Some(handle)) => Some((style, handle)),
                _ => None,
            },
        })
    }

    /// Whether there is a WebSocket handler.
    pub(crate) fn has_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Whether there is a handler for alarms.
    pub(crate) fn has_alarm(&self) -> bool {
        self.alarm.is_some()
    }

    /// Whether there is a handler of the firewall.
    pub(crate) fn has_firewall(&self) -> bool {
        self.inspect.is_some()
    }

    /// Whether there is a handler of channels.
    pub(crate) fn has_channel(&self) -> bool {
        self.published.is_some()
    }

    /// The call style of the HTTP handler, if there is one.
    pub(crate) fn http(&self) -> Option<CallStyle> {
        self.http.as_ref().map(|(style, _)| *style)
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
            websocket: match &self.websocket {
                Some(indices) => Some(WebSocketExports {
                    upgrade: instance.get_typed_func(&mut *store, indices.upgrade)?,
                    open: instance.get_typed_func(&mut *store, indices.open)?,
                    messages: instance.get_typed_func(&mut *store, indices.messages)?,
                    close: instance.get_typed_func(&mut *store, indices.close)?,
                }),
                None => None,
            },
            alarm: match self.alarm {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            hibernate: match self.hibernate {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            inspect: match self.inspect {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            published: match self.published {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            call: match self.call {
                Some(index) => Some(instance.get_typed_func(&mut *store, index)?),
                None => None,
            },
            http: match self.http {
                Some((CallStyle::Plain, index)) => Some(HttpExport::Plain(
                    instance.get_typed_func(&mut *store, index)?,
                )),
                Some((CallStyle::Async, index)) => Some(HttpExport::Async(
                    instance.get_typed_func(&mut *store, index)?,
                )),
                None => None,
            },
        })
    }
}
