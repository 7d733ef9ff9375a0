//! Functions that only answer requests.

use std::future::Future;

use http::{Request, Response};

use super::{AsyncBody, Body};

/// A plain function that answers requests, and has no connections of its own. Export
/// it with [`export_http_handler!`](crate::export_http_handler).
///
/// One value of the type serves all requests of an instance, one after the other. A
/// function that also has alarms is a [`Handler`](crate::Handler), even if no
/// connection is made to it.
pub trait HttpHandler: Default + 'static {
    /// A request has come. The body of the answer is written when this has returned.
    fn request(&mut self, request: Request<Body>) -> Response<Body>;

    /// The host is about to drop the idle instance; see
    /// [`Handler::hibernate`](crate::Handler::hibernate).
    fn hibernate(&mut self) {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AsyncHandler, Connection, Handler, Message};

    #[derive(Default)]
    struct Silent;

    impl Handler for Silent {
        fn message(&mut self, _: &Connection, _: Message) {}
    }

    impl AsyncHandler for Silent {
        async fn message(&self, _: &Connection, _: Message) {}
    }

    #[test]
    fn a_handler_without_request_finds_nothing() {
        let request = Request::get("/").body(Body::empty()).unwrap();
        let response = Handler::request(&mut Silent, request);
        assert_eq!(response.status(), 404);
        let request = Request::get("/").body(AsyncBody::empty()).unwrap();
        let mut answer = std::pin::pin!(AsyncHandler::request(&Silent, request));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let std::task::Poll::Ready(response) = answer.as_mut().poll(&mut context) else {
            panic!("it waits");
        };
        assert_eq!(response.status(), 404);
        assert_eq!(response.body().length(), Some(10));
    }
}
