//! Exports a handler: the two macros, and the bridges from the generated
//! interfaces to the two traits. The bridges split a batch into single
//! messages; payloads are moved, never copied.
//!
//! Optional exports of the contract are always exported, because a macro cannot
//! see whether a type has its own method or the default. They make the smallest
//! component 2 KB (4 %) larger.

pub(crate) mod channel_handler;
pub(crate) mod firewall;
pub(crate) mod http;

use std::marker::PhantomData;

use crate::alarms::Alarm;
use crate::close::{CloseInfo, CloseOrigin};
use crate::connection::Connection;
use crate::handler::{AsyncHandler, Handler};
use crate::message::Message;
use crate::raw::asynchronous::exports::openline as asynchronous;
use crate::raw::both::exports::openline::state::hibernation_handler;
use crate::raw::plain::exports::openline as plain;
use crate::raw::{common, connections, rpc_types, types};
use crate::upgrade::UpgradeRequest;

/// Exports a [`Handler`](crate::Handler): the one line that makes a crate a
/// function.
///
/// The crate must be of type `cdylib`. It exports one handler, here or with
/// [`export_async!`](crate::export_async); a second one does not compile. On
/// targets other than wasm, as in unit tests, it exports nothing.
///
/// ```
/// use openline_sdk::prelude::*;
///
/// #[derive(Default)]
/// struct Echo;
///
/// impl Handler for Echo {
///     fn message(&mut self, connection: &Connection, message: Message) {
///         connection.send(message);
///     }
/// }
///
/// openline_sdk::export!(Echo);
/// ```
///
/// With `export!(Echo, http)` the function also answers requests, with
/// [`Handler::request`](crate::Handler::request).
///
/// ```compile_fail,E0428
/// # use openline_sdk::prelude::*;
/// # #[derive(Default)]
/// # struct Echo;
/// # impl Handler for Echo {
/// #     fn message(&mut self, connection: &Connection, message: Message) {}
/// # }
/// # impl AsyncHandler for Echo {
/// #     async fn message(&self, connection: &Connection, message: Message) {}
/// # }
/// openline_sdk::export!(Echo);
/// openline_sdk::export_async!(Echo); // one too many
/// ```
#[macro_export]
macro_rules! export {
    ($handler:ty) => {
        $crate::export!(@ $handler, {});
    };
    ($handler:ty, http) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HTTP_HANDLER: () = ();
        $crate::export!(@ $handler, {
            impl $crate::raw::HttpFunction for OpenlineExportedFunction {
                fn request(
                    request: $crate::http::Request<$crate::http::Body>,
                ) -> $crate::http::Response<$crate::http::Body> {
                    <Self as $crate::raw::PlainFunction>::with(|handler| {
                        $crate::Handler::request(handler, request)
                    })
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::plain_http::export_plain_http!(
                OpenlineExportedFunction with_types_in $crate::raw::plain_http
            );
        });
    };
    (@ $handler:ty, { $($http:tt)* }) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HANDLER: () = {
            struct OpenlineExportedFunction;

            ::std::thread_local! {
                static HANDLER: ::std::cell::RefCell<$handler> = ::core::default::Default::default();
            }

            impl $crate::raw::PlainFunction for OpenlineExportedFunction {
                type Handler = $handler;

                fn with<R>(call: impl ::core::ops::FnOnce(&mut $handler) -> R) -> R {
                    HANDLER.with_borrow_mut(call)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::plain::export_plain!(OpenlineExportedFunction with_types_in $crate::raw::plain);
            #[cfg(target_family = "wasm")]
            type OpenlineHibernation = $crate::raw::Plain<OpenlineExportedFunction>;
            #[cfg(target_family = "wasm")]
            $crate::raw::both::export_both!(OpenlineHibernation with_types_in $crate::raw::both);
            $($http)*
            // On other targets nothing calls the handler, but it is not dead
            // code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() = || <OpenlineExportedFunction as $crate::raw::PlainFunction>::with(|_| ());
        };
    };
}

/// Exports an [`AsyncHandler`](crate::AsyncHandler): the one line that makes a
/// crate a function. Otherwise as [`export!`](crate::export).
///
/// ```
/// use openline_sdk::prelude::*;
///
/// #[derive(Default)]
/// struct Echo;
///
/// impl AsyncHandler for Echo {
///     async fn message(&self, connection: &Connection, message: Message) {
///         connection.send(message);
///     }
/// }
///
/// openline_sdk::export_async!(Echo);
/// ```
#[macro_export]
macro_rules! export_async {
    ($handler:ty) => {
        $crate::export_async!(@ $handler, {});
    };
    ($handler:ty, http) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HTTP_HANDLER: () = ();
        $crate::export_async!(@ $handler, {
            impl $crate::raw::AsyncHttpFunction for OpenlineExportedFunction {
                async fn request(
                    request: $crate::http::Request<$crate::http::AsyncBody>,
                ) -> $crate::http::Response<$crate::http::AsyncBody> {
                    let handler = <Self as $crate::raw::AsyncFunction>::handler();
                    $crate::AsyncHandler::request(handler, request).await
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::asynchronous_http::export_asynchronous_http!(
                OpenlineExportedFunction with_types_in $crate::raw::asynchronous_http
            );
        });
    };
    (@ $handler:ty, { $($http:tt)* }) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HANDLER: () = {
            struct OpenlineExportedFunction;

            ::std::thread_local! {
                // Leaked once, because it lives as long as the instance, and
                // calls that await can hold it without reference counts.
                static HANDLER: &'static $handler =
                    ::std::boxed::Box::leak(::core::default::Default::default());
            }

            impl $crate::raw::AsyncFunction for OpenlineExportedFunction {
                type Handler = $handler;

                fn handler() -> &'static $handler {
                    HANDLER.with(|handler| *handler)
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::asynchronous::export_asynchronous!(
                OpenlineExportedFunction with_types_in $crate::freeing::asynchronous
            );
            #[cfg(target_family = "wasm")]
            type OpenlineHibernation = $crate::raw::Asynchronous<OpenlineExportedFunction>;
            #[cfg(target_family = "wasm")]
    $crate::raw::both::export_both!(OpenlineHibernation with_types_in $crate::raw::both);
            $($http)*
            // On other targets nothing calls the handler, but it is not dead
            // code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() =
                || _ = <OpenlineExportedFunction as $crate::raw::AsyncFunction>::handler();
        };
    };
}

/// Holds the one value of a plain handler. [`crate::export!`] implements it.
pub trait PlainFunction {
    /// The author's type.
    type Handler: Handler;

    /// Runs one call with the handler.
    fn with<R>(call: impl FnOnce(&mut Self::Handler) -> R) -> R;
}

impl<F: PlainFunction> plain::websocket::websocket_handler::Guest for F {
    fn upgrade(request: types::UpgradeRequest) -> Result<types::Acceptance, types::Rejection> {
        let request = UpgradeRequest::from(request);
        let answer = F::with(|handler| handler.upgrade(&request));
        answer.map(Into::into).map_err(Into::into)
    }

    fn open(connection: &connections::Connection) {
        F::with(|handler| handler.open(Connection::lent(connection)));
    }

    fn messages(connection: &connections::Connection, batch: Vec<common::MessageResult>) {
        let connection = Connection::lent(connection);
        F::with(|handler| {
            for message in batch {
                handler.message(connection, Message::from(message));
            }
        });
    }

    fn close(
        connection: &connections::Connection,
        info: types::CloseInfoResult,
        origin: types::CloseOrigin,
    ) {
        let (info, origin) = (CloseInfo::from(info), CloseOrigin::from(origin));
        F::with(|handler| handler.close(Connection::lent(connection), info, origin));
    }
}

impl<F: PlainFunction> plain::channels::rpc_handler::Guest for F {
    fn call(
        connection: &connections::Connection,
        method: String,
        data: common::MessageResult,
    ) -> Result<common::MessageResult, rpc_types::RpcError> {
        let (connection, data) = (Connection::lent(connection), Message::from(data));
        let result = F::with(|handler| handler.rpc(connection, &method, data));
        result.map(Into::into).map_err(Into::into)
    }
}

impl<F: PlainFunction> plain::alarms::alarm_handler::Guest for F {
    fn alarm(connection: Option<&connections::Connection>, name: String, attempt: u32) {
        let connection = connection.map(Connection::lent);
        F::with(|handler| handler.alarm(connection, Alarm { name, attempt }));
    }
}

/// Stands for a plain function in the interfaces that both kinds export: an
/// interface can be implemented for all functions of one kind, or for this
/// type.
#[derive(Debug)]
pub struct Plain<F>(PhantomData<F>);

impl<F: PlainFunction> hibernation_handler::Guest for Plain<F> {
    fn hibernate() {
        F::with(Handler::hibernate);
    }
}

/// Holds the one value of an asynchronous handler. [`crate::export_async!`]
/// implements it.
pub trait AsyncFunction {
    /// The author's type.
    type Handler: AsyncHandler;

    /// The handler, for any number of calls at the same time.
    fn handler() -> &'static Self::Handler;
}

impl<F: AsyncFunction> asynchronous::websocket::async_websocket_handler::Guest for F {
    async fn upgrade(
        request: types::UpgradeRequest,
    ) -> Result<types::Acceptance, types::Rejection> {
        let request = UpgradeRequest::from(request);
        let answer = F::handler().upgrade(&request).await;
        answer.map(Into::into).map_err(Into::into)
    }

    async fn open(connection: &connections::Connection) {
        F::handler().open(Connection::lent(connection)).await;
    }

    async fn messages(connection: &connections::Connection, batch: Vec<common::MessageResult>) {
        let connection = Connection::lent(connection);
        let handler = F::handler();
        for message in batch {
            handler.message(connection, Message::from(message)).await;
        }
    }

    async fn close(
        connection: &connections::Connection,
        info: types::CloseInfoResult,
        origin: types::CloseOrigin,
    ) {
        let (info, origin) = (CloseInfo::from(info), CloseOrigin::from(origin));
        let connection = Connection::lent(connection);
        F::handler().close(connection, info, origin).await;
    }
}

impl<F: AsyncFunction> asynchronous::channels::async_rpc_handler::Guest for F {
    async fn call(
        connection: &connections::Connection,
        method: String,
        data: common::MessageResult,
    ) -> Result<common::MessageResult, rpc_types::RpcError> {
        let (connection, data) = (Connection::lent(connection), Message::from(data));
        let result = F::handler().rpc(connection, &method, data).await;
        result.map(Into::into).map_err(Into::into)
    }
}

impl<F: AsyncFunction> asynchronous::alarms::async_alarm_handler::Guest for F {
    async fn alarm(connection: Option<&connections::Connection>, name: String, attempt: u32) {
        let connection = connection.map(Connection::lent);
        let alarm = Alarm { name, attempt };
        F::handler().alarm(connection, alarm).await;
    }
}

/// Stands for an asynchronous function, as [`Plain`] does for a plain one.
#[derive(Debug)]
pub struct Asynchronous<F>(PhantomData<F>);

impl<F: AsyncFunction> hibernation_handler::Guest for Asynchronous<F> {
    fn hibernate() {
        F::handler().hibernate();
    }
}
