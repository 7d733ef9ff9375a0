//! What an API route of a serverless platform does with a service for connections
//! beside it, in one function: `POST /notify/{channel}` with JSON reaches all who are
//! connected at the same address, by WebSocket or as server-sent events.
//!
//! ```text
//! curl -d '{"order": 17}' http://127.0.0.1:8080/notify/orders
//! {"delivered":2,"message":"Order complete!"}
//! ```

use openline_sdk::http::{Body, Hold, Method, Request, RequestExt, Response, StatusCode, json};
use openline_sdk::prelude::*;
use openline_sdk::publish;
use serde_json::{Value, json};

/// Larger orders are refused.
const ORDER_BYTES_MAX: usize = 16 << 10;

#[derive(Default)]
struct Notify;

impl Handler for Notify {
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        match request.route_param("channel") {
            Some(channel) => Ok(Acceptance::new().channel(channel)),
            None => Err(Rejection::text(404, "connect to /notify/{channel}\n")),
        }
    }

    /// Peers only listen.
    fn message(&mut self, _connection: &Connection, _message: Message) {}

    fn request(&mut self, mut request: Request<Body>) -> Response<Body> {
        let Some(channel) = request.route_param("channel").map(|name| name.into_owned()) else {
            return failed(StatusCode::NOT_FOUND, "post to /notify/{channel}");
        };
        match *request.method() {
            Method::POST => match order(request.body_mut()) {
                Ok(order) => notify(&channel, &order),
                Err(response) => response,
            },
            // What `new EventSource("/notify/orders")` sends.
            Method::GET => Hold::events().channel(channel).answer(": connected\n\n"),
            _ => {
                let mut response = failed(StatusCode::METHOD_NOT_ALLOWED, "use POST or GET");
                let methods = "GET, POST".parse().expect("this is a header's value");
                response.headers_mut().insert("allow", methods);
                response
            }
        }
    }
}

/// The order, whatever its content type says: `fetch` sends `text/plain` for a body
/// that is a string.
fn order(body: &mut Body) -> Result<Value, Response<Body>> {
    let text = body
        .text(ORDER_BYTES_MAX)
        .map_err(|error| failed(StatusCode::BAD_REQUEST, &error.to_string()))?;
    serde_json::from_str(&text)
        .map_err(|error| failed(StatusCode::BAD_REQUEST, &format!("not JSON: {error}")))
}

/// Does the business, and tells all who listen.
fn notify(channel: &str, order: &Value) -> Response<Body> {
    let message = "Order complete!";
    let event = json!({ "message": message, "order": order });
    match publish(channel, event.to_string()) {
        Ok(published) => {
            let result = json!({ "message": message, "delivered": published.deliveries() });
            json(200, result.to_string())
        }
        Err(error) if error.code() == "limit" => {
            failed(StatusCode::TOO_MANY_REQUESTS, &error.to_string())
        }
        Err(error) => failed(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn failed(status: StatusCode, reason: &str) -> Response<Body> {
    json(status.as_u16(), json!({ "error": reason }).to_string())
}

openline_sdk::export!(Notify, http);

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: Request<Body>) -> (StatusCode, String) {
        let mut response = Notify.request(request);
        let text = response.body_mut().text(1024).unwrap();
        (response.status(), text)
    }

    #[test]
    fn what_is_no_order_is_refused() {
        let post = || Request::post("/notify/orders").header("openline-route-params", "channel=a");
        let (status, text) = answer(post().body("{".into()).unwrap());
        assert_eq!(status, 400);
        assert!(text.contains("not JSON"), "{text}");
        let large = " ".repeat(ORDER_BYTES_MAX) + "1";
        let (status, text) = answer(post().body(large.into()).unwrap());
        assert_eq!(status, 400);
        assert!(text.contains("16384"), "{text}");
        let without = Request::post("/notify").body("1".into()).unwrap();
        assert_eq!(answer(without).0, 404);
        let other = post().method("DELETE").body("1".into()).unwrap();
        assert_eq!(answer(other).0, 405);
    }

    #[test]
    fn a_reader_of_events_is_held() {
        let request = Request::get("/notify/orders")
            .header("openline-route-params", "channel=orders")
            .body(Body::empty())
            .unwrap();
        let response = Notify.request(request);
        assert_eq!(response.headers()["openline-hold"], "event-stream");
        assert_eq!(
            response.headers()["openline-hold-channels"],
            r#"["orders"]"#
        );
    }
}
