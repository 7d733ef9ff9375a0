//! Functions that only answer requests.

use std::future::Future;

use http::{Request, Response};

use super::{AsyncBody, Body};

/// A plain function that answers requests, and has no connections of its own. Export
/// it with [`export_http_handler!`](crate::export_http_handler).
///
/// One value of the type serves all requests of an instance, one after the other.
pub trait HttpHandler: Default + 'static {
    /// A request has come. The body of the answer is written when this has returned.
    fn request(&mut self, request: Request<Body>) -> Response<Body>;
}

/// The same for asynchronous functions. Export it with
/// [`export_async_http_handler!`](crate::export_async_http_handler).
///
/// While one request awaits, the instance serves others, and while a body is
/// written.
pub trait AsyncHttpHandler: Default + 'static {
    /// A request has come. The body of the answer is written when this has returned.
    fn request(&self, request: Request<AsyncBody>) -> impl Future<Output = Response<AsyncBody>>;
}

/// What handlers answer that have no `request`.
pub(crate) fn not_found<B: From<&'static str>>() -> Response<B> {
    let mut response = Response::new(B::from("not found\n"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}
