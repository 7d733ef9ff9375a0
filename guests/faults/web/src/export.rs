//! The export for requests, by hand: `/no-answer` is what the SDK does not let a
//! function do.

use openline_sdk::Handler;
use openline_sdk::http::{Body, Request, Response};
use openline_sdk::raw::{HttpFunction, plain_http};
use plain_http::exports::wasi::http::incoming_handler::{Guest, IncomingRequest, ResponseOutparam};

use crate::Web;
use crate::orders::Order;

struct Export;

impl HttpFunction for Web {
    fn request(request: Request<Body>) -> Response<Body> {
        // Its counts are not in the value.
        Handler::request(&mut Self, request)
    }
}

impl Guest for Export {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        if Order::of_path(&path).command != "no-answer" {
            <Web as Guest>::handle(request, out);
        }
    }
}

plain_http::export_plain_http!(Export with_types_in plain_http);
