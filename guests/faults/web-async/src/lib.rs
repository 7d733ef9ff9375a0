//! Answers requests in all the ways that an asynchronous function can, as the path
//! says, and echoes WebSocket messages beside it.

#[cfg(target_family = "wasm")]
mod export;
#[path = "../../web/src/orders.rs"]
mod orders;

use std::time::Duration;

use openline_sdk::http::{
    AsyncBody, AsyncWriter, Bytes, Error, Frame, Method, Request, RequestExt, Response, send_async,
    text,
};
use openline_sdk::prelude::*;
use openline_sdk::time::sleep;

use orders::{
    LEFT, MESSAGES, Order, REQUESTS, count, event, framed, passed_on, pause, swallowed, trailers,
    whole,
};

/// What a body is written with at once.
static PIECE: [u8; 4096] = [b'x'; 4096];

#[derive(Default)]
struct Web;

impl AsyncHandler for Web {
    async fn message(&self, connection: &Connection, message: Message) {
        count(&MESSAGES);
        connection.send(message);
    }

    async fn request(&self, mut request: Request<AsyncBody>) -> Response<AsyncBody> {
        count(&REQUESTS);
        let order = Order::of(&request);
        if let Some(response) = whole(&order, &request) {
            return response;
        }
        match order.command.as_str() {
            "echo" => echo(request),
            // Without reading it here.
            "pass" => Response::new(request.into_body()),
            "swallow" => swallow(request.body_mut()).await,
            "sleep" => {
                sleep(Duration::from_millis(order.number(0))).await;
                text(200, "slept\n")
            }
            "spin" => loop {
                std::hint::black_box(());
            },
            "trap" => panic!("as the path said"),
            "out" => out(request).await,
            _ => streamed(&order, &request),
        }
    }
}

async fn lines(
    writer: &mut AsyncWriter,
    pause: Duration,
    last: u64,
    line: impl Fn(u64) -> String,
) -> Result<(), Error> {
    for number in 1..=last {
        writer.send(line(number)).await?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}

fn number_line(number: u64) -> String {
    format!("{number}\n")
}

/// The answers that are written while they are made.
fn streamed(order: &Order, request: &Request<AsyncBody>) -> Response<AsyncBody> {
    let (first, second, pause) = (order.number(0), order.number(1), pause(request));
    let mut headers = Vec::new();
    let body = match order.command.as_str() {
        "count" => {
            AsyncBody::streaming(async move |writer| lines(writer, pause, first, number_line).await)
        }
        "sse" => {
            headers.push(("content-type", "text/event-stream".to_owned()));
            AsyncBody::streaming(async move |writer| lines(writer, pause, first, event).await)
        }
        "forever" => AsyncBody::streaming(async move |writer| {
            let left = lines(writer, pause, u64::MAX, number_line).await;
            count(&LEFT);
            eprintln!("left: {left:?}");
            left
        }),
        "trailers" => {
            headers.push(("trailer", "x-checksum, grpc-status".to_owned()));
            AsyncBody::streaming(async |writer| {
                let text = format!("with {} trailers\n", trailers().len());
                writer.send(text).await?;
                writer.trailers(trailers());
                Ok(())
            })
        }
        "length" => {
            headers.push(("content-length", first.to_string()));
            AsyncBody::streaming(async move |writer| fill(writer, second).await)
        }
        "trap-after" => AsyncBody::streaming(async move |writer| {
            fill(writer, first).await?;
            panic!("as the path said")
        }),
        "break-off" => AsyncBody::streaming(async move |writer| {
            fill(writer, first).await?;
            Err(Error::other("as the path said"))
        }),
        "framed" => {
            headers = framed(request);
            let (bytes, end) = (order.bytes(0), order.text(1).to_owned());
            AsyncBody::streaming(async move |writer| {
                writer.send(bytes).await?;
                match end.as_str() {
                    "status" => writer.trailers(trailers()),
                    "trap" => panic!("as the path said"),
                    "break-off" => return Err(Error::other("as the path said")),
                    "forever" => loop {
                        sleep(Duration::from_millis(10)).await;
                        if let Err(left) = writer.send(vec![0; 5]).await {
                            count(&LEFT);
                            return Err(left);
                        }
                    },
                    _ => {}
                }
                Ok(())
            })
        }
        _ => return text(404, "no such order\n"),
    };
    let mut response = Response::new(body);
    for (name, value) in headers {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

async fn fill(writer: &mut AsyncWriter, bytes: u64) -> Result<(), Error> {
    let mut left = bytes;
    while left > 0 {
        let piece = &PIECE[..left.min(PIECE.len() as u64) as usize];
        writer.send(Bytes::from_static(piece)).await?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// Reads the body piece by piece, and writes each at once.
fn echo(request: Request<AsyncBody>) -> Response<AsyncBody> {
    let (head, mut body) = request.into_parts();
    let mut response = Response::new(AsyncBody::streaming(async move |writer| {
        while let Some(frame) = body.frame().await? {
            match frame {
                Frame::Data(chunk) => writer.send(chunk).await?,
                Frame::Trailers(trailers) => writer.trailers(trailers),
            }
        }
        Ok(())
    }));
    for name in ["content-type", "content-encoding"] {
        if let Some(value) = head.headers.get(name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

async fn swallow(body: &mut AsyncBody) -> Response<AsyncBody> {
    let mut bytes = 0;
    loop {
        match body.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => {
                let trailers = body.trailers().await.ok().flatten();
                return text(200, swallowed(bytes, trailers.as_ref()));
            }
            Err(error) => return text(400, format!("{bytes}, then {error:?}\n")),
        }
    }
}

/// Calls `?url=`, with the same method and body.
async fn out(request: Request<AsyncBody>) -> Response<AsyncBody> {
    let url = request.query("url").unwrap_or_default().into_owned();
    let (head, body) = request.into_parts();
    let body = match head.method {
        Method::GET | Method::HEAD => AsyncBody::empty(),
        _ => body,
    };
    let call = Request::builder().method(head.method).uri(url).body(body);
    let call = match call {
        Ok(call) => call,
        Err(error) => return text(400, format!("{error}\n")),
    };
    match send_async(call).await {
        Ok(response) => passed_on(response),
        Err(error) => text(500, format!("{error:?}\n")),
    }
}

openline_sdk::export_async!(Web);
