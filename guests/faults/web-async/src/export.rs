//! The export for requests, by hand: `/no-answer` is what the SDK does not let a
//! function do.

use asynchronous_http::exports::wasi::http::handler::{ErrorCode, Guest};
use asynchronous_http::wasi::http::types;
use openline_sdk::AsyncHandler;
use openline_sdk::http::{AsyncBody, Request, Response};
use openline_sdk::raw::{AsyncHttpFunction, asynchronous_http};

use crate::Web;
use crate::orders::Order;

struct Export;

impl AsyncHttpFunction for Web {
    async fn request(request: Request<AsyncBody>) -> Response<AsyncBody> {
        // Its counts are not in the value.
        AsyncHandler::request(&Self, request).await
    }
}

impl Guest for Export {
    async fn handle(request: types::Request) -> Result<types::Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        if Order::of_path(&path).command == "no-answer" {
            return Err(ErrorCode::InternalError(None));
        }
        <Web as Guest>::handle(request).await
    }
}

asynchronous_http::export_asynchronous_http!(Export with_types_in asynchronous_http);
