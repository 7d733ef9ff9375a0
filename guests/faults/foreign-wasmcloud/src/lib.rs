//! Answers requests as components of wasmCloud do, and writes to the log by
//! `wasi:logging`.

use wasmcloud_component::http::{self, ErrorCode};
use wasmcloud_component::wasi::logging::logging::{Level, log};

struct Component;

http::export!(Component);

impl http::Server for Component {
    fn handle(
        request: http::IncomingRequest,
    ) -> http::Result<http::Response<impl http::OutgoingBody>> {
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/echo" => Ok(http::Response::new(body)),
            "/log" => {
                log(
                    Level::Warn,
                    "foreign",
                    "a line\nand one that is \u{1b}[1mbold",
                );
                log(Level::Critical, &"c".repeat(5000), &"m".repeat(5000));
                Ok(http::Response::new(body))
            }
            "/error" => Err(ErrorCode::InternalError(Some("on purpose".into()))),
            _ => panic!("on purpose"),
        }
    }
}
