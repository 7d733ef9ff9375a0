//! Exports `request`: the two macros of functions that have only that, and the
//! bridges from the generated interfaces of wasi:http to the traits.

use std::future::Future;
use std::marker::PhantomData;

use http::{Method, Request, Response, StatusCode};

use crate::http::wire::{wasi_0_2, wasi_0_3};
use crate::http::{AsyncBody, Body, Error};
use crate::raw::asynchronous_http::exports::wasi::http::handler;
use crate::raw::both::exports::openline::state::hibernation_handler;
use crate::raw::http_0_2::types;
use crate::raw::http_0_3::types as async_types;
use crate::raw::plain_http::exports::wasi::http::incoming_handler;

/// Exports an [`HttpHandler`](crate::http::HttpHandler): a function that answers
/// requests, and has no connections of its own.
///
/// The crate must be of type `cdylib`. It may not export the `request` of a handler as
/// well (`export!(Name, http)`). On targets other than wasm, as in unit tests, it
/// exports nothing.
///
/// ```
/// use openline_sdk::http::{Body, HttpHandler, Request, Response};
///
/// #[derive(Default)]
/// struct Hello;
///
/// impl HttpHandler for Hello {
///     fn request(&mut self, _request: Request<Body>) -> Response<Body> {
///         Response::new("hello\n".into())
///     }
/// }
///
/// openline_sdk::export_http_handler!(Hello);
/// ```
///
/// ```compile_fail,E0428
/// # use openline_sdk::http::{Body, HttpHandler, Request, Response};
/// # #[derive(Default)]
/// # struct Hello;
/// # impl HttpHandler for Hello {
/// #     fn request(&mut self, _request: Request<Body>) -> Response<Body> {
/// #         Response::new("hello\n".into())
/// #     }
/// # }
/// openline_sdk::export_http_handler!(Hello);
/// openline_sdk::export_http_handler!(Hello); // one too many
/// ```
#[macro_export]
macro_rules! export_http_handler {
    ($handler:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HTTP_HANDLER: () = {
            struct OpenlineExportedHttpHandler;

            ::std::thread_local! {
                static HANDLER: ::std::cell::RefCell<$handler> = ::core::default::Default::default();
            }

            impl $crate::raw::HttpFunction for OpenlineExportedHttpHandler {
                fn request(
                    request: $crate::http::Request<$crate::http::Body>,
                ) -> $crate::http::Response<$crate::http::Body> {
                    HANDLER.with_borrow_mut(|handler| {
                        $crate::http::HttpHandler::request(handler, request)
                    })
                }

                fn hibernate() {
                    HANDLER.with_borrow_mut($crate::http::HttpHandler::hibernate);
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::plain_http::export_plain_http!(
                OpenlineExportedHttpHandler with_types_in $crate::raw::plain_http
            );
            // By this the host also knows that an instance bears several requests.
            #[cfg(target_family = "wasm")]
            type OpenlineHibernation = $crate::raw::PlainHttp<OpenlineExportedHttpHandler>;
            #[cfg(target_family = "wasm")]
            $crate::raw::both::export_both!(OpenlineHibernation with_types_in $crate::raw::both);
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn($crate::http::Request<$crate::http::Body>) = |request| {
                _ = <OpenlineExportedHttpHandler as $crate::raw::HttpFunction>::request(request);
            };
        };
    };
}

/// Exports an [`AsyncHttpHandler`](crate::http::AsyncHttpHandler). Otherwise as
/// [`export_http_handler!`](crate::export_http_handler).
///
/// ```
/// use openline_sdk::http::{AsyncBody, AsyncHttpHandler, Request, Response};
///
/// #[derive(Default)]
/// struct Echo;
///
/// impl AsyncHttpHandler for Echo {
///     async fn request(&self, request: Request<AsyncBody>) -> Response<AsyncBody> {
///         Response::new(request.into_body())
///     }
/// }
///
/// openline_sdk::export_async_http_handler!(Echo);
/// ```
#[macro_export]
macro_rules! export_async_http_handler {
    ($handler:ty) => {
        #[doc(hidden)]
        const _THE_EXPORTED_HTTP_HANDLER: () = {
            struct OpenlineExportedHttpHandler;

            ::std::thread_local! {
                // Leaked once, for the reason given in `export_async!`.
                static HANDLER: &'static $handler =
                    ::std::boxed::Box::leak(::core::default::Default::default());
            }

            impl $crate::raw::AsyncHttpFunction for OpenlineExportedHttpHandler {
                async fn request(
                    request: $crate::http::Request<$crate::http::AsyncBody>,
                ) -> $crate::http::Response<$crate::http::AsyncBody> {
                    let handler = HANDLER.with(|handler| *handler);
                    $crate::http::AsyncHttpHandler::request(handler, request).await
                }
            }

            #[cfg(target_family = "wasm")]
            $crate::raw::asynchronous_http::export_asynchronous_http!(
                OpenlineExportedHttpHandler with_types_in $crate::raw::asynchronous_http
            );
            // On other targets nothing calls it, but it is not dead code.
            #[cfg(not(target_family = "wasm"))]
            const _: fn($crate::http::Request<$crate::http::AsyncBody>) = |request| {
                _ = <OpenlineExportedHttpHandler as $crate::raw::AsyncHttpFunction>::request(
                    request,
                );
            };
        };
    };
}

/// Answers requests with a plain handler. [`crate::export_http_handler!`] implements
/// it, and [`crate::export!`] where it is asked to.
pub trait HttpFunction {
    /// Runs one call.
    fn request(request: Request<Body>) -> Response<Body>;

    /// The instance is about to end.
    fn hibernate() {}
}

/// Stands for a plain function that only answers requests, as
/// [`Plain`](super::Plain) does for one with connections.
#[derive(Debug)]
pub struct PlainHttp<F>(PhantomData<F>);

impl<F: HttpFunction> hibernation_handler::Guest for PlainHttp<F> {
    fn hibernate() {
        F::hibernate();
    }
}

impl<F: HttpFunction> incoming_handler::Guest for F {
    fn handle(request: types::IncomingRequest, out: types::ResponseOutparam) {
        let request = match wasi_0_2::request(&request) {
            Ok(request) => request,
            Err(error) => return wasi_0_2::answer(bad_request(&error), out, false),
        };
        let bodiless = request.method() == Method::HEAD;
        wasi_0_2::answer(F::request(request), out, bodiless);
    }
}

/// Answers requests with an asynchronous handler.
/// [`crate::export_async_http_handler!`] implements it, and [`crate::export_async!`]
/// where it is asked to.
pub trait AsyncHttpFunction {
    /// Runs one call.
    fn request(request: Request<AsyncBody>) -> impl Future<Output = Response<AsyncBody>>;
}

impl<F: AsyncHttpFunction> handler::Guest for F {
    async fn handle(
        request: async_types::Request,
    ) -> Result<async_types::Response, async_types::ErrorCode> {
        let request = match wasi_0_3::request(request) {
            Ok(request) => request,
            Err(error) => return wasi_0_3::answer(bad_request(&error), false),
        };
        let bodiless = request.method() == Method::HEAD;
        wasi_0_3::answer(F::request(request).await, bodiless)
    }
}

/// What a peer gets whose request cannot be handed to the function. The host lets none
/// through.
fn bad_request<B: From<String>>(error: &Error) -> Response<B> {
    let mut response = Response::new(B::from(format!("{error}\n")));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}
