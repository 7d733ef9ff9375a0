//! What the plain and the asynchronous function have in common: the orders in paths,
//! the counts in memory, and the answers that need no body of a kind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openline_sdk::http::{
    Bytes, HeaderMap, HeaderName, HeaderValue, Hold, Method, Request, RequestExt, Response,
    StatusCode, text,
};
use serde_json::{Value, json};

/// Of this instance.
pub(crate) static REQUESTS: AtomicU64 = AtomicU64::new(0);
pub(crate) static MESSAGES: AtomicU64 = AtomicU64::new(0);
/// Streams that their peers have left.
pub(crate) static LEFT: AtomicU64 = AtomicU64::new(0);

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What a request asks for: the last parts of its path, `/count/3` or
/// `/anything/count/3`.
pub(crate) struct Order {
    pub(crate) command: String,
    pub(crate) arguments: Vec<String>,
}

const COMMANDS: &[&str] = &[
    "hello",
    "echo",
    "pass",
    "count",
    "sse",
    "trailers",
    "headers",
    "header",
    "status",
    "many-headers",
    "length",
    "trap",
    "trap-after",
    "spin",
    "sleep",
    "forever",
    "swallow",
    "ignore",
    "no-answer",
    "publish",
    "send",
    "state",
    "hold",
    "env",
    "out",
    "log",
    "break-off",
    "framed",
];

impl Order {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        Self::of_path(request.uri().path())
    }

    pub(crate) fn of_path(path: &str) -> Self {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let command = parts.find(|part| COMMANDS.contains(part));
        Self {
            command: command.unwrap_or_default().to_owned(),
            arguments: parts.map(str::to_owned).collect(),
        }
    }

    pub(crate) fn text(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// `/framed/HEX/END`: the bytes of a body of gRPC as they are, well or badly made.
    pub(crate) fn bytes(&self, index: usize) -> Vec<u8> {
        let digits = self.text(index).as_bytes().chunks(2);
        let bytes = digits.filter_map(|pair| {
            let pair = std::str::from_utf8(pair).ok()?;
            u8::from_str_radix(pair, 16).ok()
        });
        bytes.collect()
    }

    pub(crate) fn number(&self, index: usize) -> u64 {
        self.text(index).parse().unwrap_or(0)
    }
}

/// The `pause=MS` of the query.
pub(crate) fn pause<B>(request: &Request<B>) -> Duration {
    let pause = request.query("pause").and_then(|text| text.parse().ok());
    Duration::from_millis(pause.unwrap_or(0))
}

pub(crate) fn event(number: u64) -> String {
    format!("id: {number}\ndata: event {number}\n\n")
}

pub(crate) fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", HeaderValue::from_static("abc"));
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    // What the host removes.
    trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
    trailers
}

/// How many bytes have come, and behind them the names of the trailers.
pub(crate) fn swallowed(bytes: usize, trailers: Option<&HeaderMap>) -> String {
    let mut names: Vec<_> = trailers.into_iter().flat_map(HeaderMap::keys).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    let names: String = names.iter().map(|name| format!(" {name}")).collect();
    format!("{bytes}{names}\n")
}

/// The head of an answer that is gRPC's, with what `?status=` puts into it.
pub(crate) fn framed<B>(request: &Request<B>) -> Vec<(&'static str, String)> {
    let mut headers = vec![("content-type", "application/grpc".to_owned())];
    let status = request.query("status");
    headers.extend(status.map(|status| ("grpc-status", status.into_owned())));
    headers
}

/// The answers that are whole; none if the order is not one of these.
pub(crate) fn whole<B: From<Bytes>>(order: &Order, request: &Request<B>) -> Option<Response<B>> {
    Some(match order.command.as_str() {
        "hello" => text(200, "hello\n"),
        "headers" => openline_sdk::http::json(200, describe(request).to_string()),
        "header" => header(request),
        "status" => match u16::try_from(order.number(0)).map(StatusCode::from_u16) {
            Ok(Ok(status)) => {
                let body = Bytes::from(order.text(1).to_owned());
                let mut response = Response::new(B::from(body));
                *response.status_mut() = status;
                response
            }
            _ => text(400, "not a status\n"),
        },
        "many-headers" => many_headers(order.number(0)),
        "ignore" => text(200, "ignored\n"),
        "publish" => {
            let said = request.query("text").unwrap_or_default().into_owned();
            match openline_sdk::publish(order.text(0), said) {
                Ok(published) => text(200, format!("{}\n", published.deliveries())),
                Err(error) => text(400, format!("{error}\n")),
            }
        }
        "send" => match openline_sdk::connection(order.text(0)) {
            Some(connection) => {
                let said = request.query("text").unwrap_or_default();
                text(200, format!("{:?}\n", connection.send(&*said)))
            }
            None => text(404, "nobody\n"),
        },
        "state" => openline_sdk::http::json(200, state().to_string()),
        "hold" => hold(order, request),
        "env" => match std::env::var(order.text(0)) {
            Ok(value) => text(200, value),
            Err(_) => text(404, "not set\n"),
        },
        "log" => {
            let said = request.query("text").unwrap_or_default();
            println!("out: {said}");
            eprintln!("error: {said}");
            text(200, "logged\n")
        }
        "swallow" | "echo" | "pass" if request.method() == Method::GET => {
            text(405, "post something\n")
        }
        _ => return None,
    })
}

fn state() -> Value {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    json!({
        "requests": read(&REQUESTS),
        "messages": read(&MESSAGES),
        "left": read(&LEFT),
    })
}

/// All that the function sees of a request, apart from its body.
fn describe<B>(request: &Request<B>) -> Value {
    let headers = request.headers().iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        json!([name.as_str(), value])
    });
    let params = request
        .route_params()
        .map(|(name, value)| json!([name, value]));
    let tls = request.tls().map(|tls| {
        json!({
            "version": tls.version,
            "server_name": tls.server_name,
            "subject": tls.certificate.map(|certificate| certificate.subject),
        })
    });
    json!({
        "method": request.method().as_str(),
        "uri": request.uri().to_string(),
        "scheme": request.uri().scheme_str(),
        "authority": request.uri().authority().map(|authority| authority.as_str()),
        "path": request.uri().path(),
        "query": request.uri().query(),
        "headers": headers.collect::<Vec<_>>(),
        "peer": request.peer(),
        "request_id": request.request_id(),
        "route_params": params.collect::<Vec<_>>(),
        "claims": request.claims(),
        "tls": tls,
    })
}

/// A header of the caller's choice, `?name=…&value=…`.
fn header<B: From<Bytes>>(request: &Request<B>) -> Response<B> {
    let name = request.query("name").unwrap_or_default();
    let value = request.query("value").unwrap_or_default();
    let name = HeaderName::from_bytes(name.as_bytes());
    let value = HeaderValue::from_bytes(value.as_bytes());
    let (Ok(name), Ok(value)) = (name, value) else {
        return text(400, "not a header\n");
    };
    let mut response = text(200, "with a header\n");
    response.headers_mut().insert(name, value);
    response
}

fn many_headers<B: From<Bytes>>(number: u64) -> Response<B> {
    let mut response = text(200, "many\n");
    for index in 0..number {
        if let Ok(name) = HeaderName::try_from(format!("x-header-{index}")) {
            let value = HeaderValue::from(index);
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// `/hold/events?tag=a&tag=b&channel=c&attachment=d&first=e`, `/hold/stream`, and
/// `/hold/poll?timeout=MS`.
fn hold<B: From<Bytes>>(order: &Order, request: &Request<B>) -> Response<B> {
    let timeout = request.query("timeout").and_then(|text| text.parse().ok());
    let mut hold = match order.text(0) {
        "events" => Hold::events(),
        "stream" => Hold::stream(),
        "poll" => Hold::poll(Duration::from_millis(timeout.unwrap_or(10_000))),
        _ => return text(404, "events, stream or poll\n"),
    };
    let mut first = String::new();
    for (key, value) in request.query_pairs() {
        hold = match &*key {
            "tag" => hold.tag(value),
            "channel" => hold.channel(value),
            "attachment" => hold.attachment(value.as_bytes()),
            "first" => {
                first = value.into_owned();
                hold
            }
            "first-bytes" => {
                first = "x".repeat(value.parse().unwrap_or(0));
                hold
            }
            _ => hold,
        };
    }
    hold.answer(first)
}

/// What is left of the answer to a call out.
pub(crate) fn passed_on<B>(response: Response<B>) -> Response<B> {
    let (head, body) = response.into_parts();
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    for (name, value) in &head.headers {
        if name == "content-type" || name == "location" || name.as_str().starts_with("x-") {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}
