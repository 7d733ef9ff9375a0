//! How each call is begun in the event loop, and what its result is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use openline_channels::channel_queue::Batch;
use openline_core::call::{Call as Asked, CallError};
use openline_core::event::{Event, UpgradeRequest};
use openline_core::inspection::Inspection;
use openline_core::name::{AlarmName, FunctionName};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Resource};

use crate::contract::bindings::{MessageOwned, firewall};
use crate::contract::convert::{Decision, called, close_arguments, inspected, owned, request};
use crate::contract::exports::{AsyncExports, HttpExport, WebSocketExports};
use crate::contract::handles::Handle;
use crate::instance::exchange::{Exchange, Request, WrittenBody};
use crate::instance::http::{async_answer, async_argument, refused};
use crate::instance::imports::published;
use crate::instance::store::StoreData;

/// A call that was begun, until it returns.
pub(super) type Call<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<Returned>> + Send + 'a>>;

/// The result of a call.
pub(super) enum Returned {
    Nothing,
    /// Messages or an alarm were handled.
    Work,
    Decision(Decision),
    Verdict(firewall::Verdict),
    /// The answer to a request, whose body may still come.
    Answer(Box<http::Response<WrittenBody>>, Arc<Exchange>),
    /// There is no answer, for this reason.
    Unanswered(String),
}

/// Begins calls of the exports of one instance, within its event loop.
pub(super) struct Starter<'a> {
    pub(super) function: &'a FunctionName,
    pub(super) exports: &'a AsyncExports,
    pub(super) accessor: &'a Accessor<StoreData>,
}

impl<'a> Starter<'a> {
    /// The WebSocket handler, which is there: see [`crate::instance::served`].
    fn websocket(&self) -> wasmtime::Result<&'a WebSocketExports<Vec<MessageOwned>>> {
        let exports = self.exports.websocket.as_ref();
        exports.ok_or_else(|| wasmtime::Error::msg("no WebSocket handler"))
    }

    pub(super) fn inspect(&self, inspection: Inspection) -> wasmtime::Result<Call<'a>> {
        let accessor = self.accessor;
        let inspect = self.exports.inspect;
        let inspect = inspect.ok_or_else(|| wasmtime::Error::msg("no firewall handler"))?;
        let inspection = (inspected(inspection),);
        let call = accessor.with(|access| inspect.start_call_concurrent(access, inspection))?;
        Ok(Box::pin(async move {
            let (verdict,) = inspect.finish_call_concurrent(accessor, call).await?;
            Ok(Returned::Verdict(verdict))
        }))
    }

    pub(super) fn request(&self, request: Request, is_alone: bool) -> wasmtime::Result<Call<'a>> {
        let Some(HttpExport::Async(export)) = self.exports.http else {
            return Err(wasmtime::Error::msg("no HTTP handler"));
        };
        let exchange = Arc::clone(&request.exchange);
        let accessor = self.accessor;
        let (call, transfer) = accessor.with(|mut access| {
            let mut store = access.as_context_mut();
            let (request, transfer) = async_argument(store.data_mut(), request, is_alone)?;
            let call = export.start_call_concurrent(store, (request,))?;
            Ok::<_, wasmtime::Error>((call, transfer))
        })?;
        Ok(Box::pin(async move {
            match export.finish_call_concurrent(accessor, call).await? {
                (Ok(response),) => {
                    let answer =
                        accessor.with(|access| async_answer(access, response, transfer))?;
                    Ok(Returned::Answer(Box::new(answer), exchange))
                }
                (Err(code),) => Ok(Returned::Unanswered(refused(&code))),
            }
        }))
    }

    pub(super) fn published(&self, batch: Batch) -> wasmtime::Result<Call<'a>> {
        let accessor = self.accessor;
        let export = self.exports.published;
        let export = export.ok_or_else(|| wasmtime::Error::msg("no channel handler"))?;
        let call =
            accessor.with(|access| export.start_call_concurrent(access, published(batch)))?;
        Ok(Box::pin(async move {
            export.finish_call_concurrent(accessor, call).await?;
            Ok(Returned::Work)
        }))
    }

    pub(super) fn upgrade(&self, asked: UpgradeRequest) -> wasmtime::Result<Call<'a>> {
        let accessor = self.accessor;
        let upgrade = self.websocket()?.upgrade;
        let asked = (request(asked),);
        let call = accessor.with(|access| upgrade.start_call_concurrent(access, asked))?;
        Ok(Box::pin(async move {
            let (decision,) = upgrade.finish_call_concurrent(accessor, call).await?;
            Ok(Returned::Decision(decision))
        }))
    }

    /// An alarm of the connection, or of none.
    pub(super) fn alarm(
        &self,
        connection: Option<Resource<Handle>>,
        name: &AlarmName,
        attempt: u32,
    ) -> wasmtime::Result<Call<'a>> {
        let Some(alarm) = self.exports.alarm else {
            // An earlier version had a handler.
            tracing::warn!(function = %self.function, alarm = name.as_str(), "no handler for an alarm");
            return Ok(Box::pin(async { Ok(Returned::Nothing) }));
        };
        let accessor = self.accessor;
        let arguments = (connection, name.as_str().to_owned(), attempt);
        let call = accessor.with(|access| alarm.start_call_concurrent(access, arguments))?;
        Ok(Box::pin(async move {
            alarm.finish_call_concurrent(accessor, call).await?;
            Ok(Returned::Work)
        }))
    }

    /// A call of the connection's peer, which gets the result.
    fn answer(&self, connection: Resource<Handle>, asked: Asked) -> wasmtime::Result<Call<'a>> {
        let Some(export) = self.exports.call else {
            asked.answer.give(Err(CallError::NoSuchMethod));
            return Ok(Box::pin(async { Ok(Returned::Nothing) }));
        };
        let accessor = self.accessor;
        let arguments = (connection, String::from(&*asked.method), owned(asked.data));
        let answer = asked.answer;
        let call = accessor.with(|access| export.start_call_concurrent(access, arguments))?;
        Ok(Box::pin(async move {
            let (result,) = export.finish_call_concurrent(accessor, call).await?;
            answer.give(called(result));
            Ok(Returned::Work)
        }))
    }

    /// An event of the connection that the guest is lent as this handle.
    pub(super) fn event(&self, handle: u32, event: Event) -> wasmtime::Result<Call<'a>> {
        let connection = Resource::<Handle>::new_borrow(handle);
        let accessor = self.accessor;
        Ok(match event {
            Event::Open => {
                let open = self.websocket()?.open;
                let call =
                    accessor.with(|access| open.start_call_concurrent(access, (connection,)))?;
                Box::pin(async move {
                    open.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Nothing)
                })
            }
            Event::Messages(batch) => {
                let messages = self.websocket()?.messages;
                let batch: Vec<_> = batch.into_iter().map(owned).collect();
                let call = accessor
                    .with(|access| messages.start_call_concurrent(access, (connection, batch)))?;
                Box::pin(async move {
                    messages.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Work)
                })
            }
            Event::Alarm(name) => self.alarm(Some(connection), &name, 1)?,
            Event::Call(asked) => self.answer(connection, *asked)?,
            Event::Close(reason) => {
                let close = self.websocket()?.close;
                let (info, origin) = close_arguments(&reason);
                let call = accessor.with(|access| {
                    close.start_call_concurrent(access, (connection, info, origin))
                })?;
                Box::pin(async move {
                    close.finish_call_concurrent(accessor, call).await?;
                    Ok(Returned::Nothing)
                })
            }
        })
    }
}
