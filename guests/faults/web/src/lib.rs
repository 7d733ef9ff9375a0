//! Answers requests in all the ways that a plain function can, as the path says, and
//! echoes WebSocket messages beside it.

#[cfg(target_family = "wasm")]
mod export;
mod orders;

use std::io::Write as _;
use std::thread;

use openline_sdk::http::{Body, Error, Method, Request, RequestExt, Response, Writer, send, text};
use openline_sdk::prelude::*;

use orders::{
    LEFT, MESSAGES, Order, REQUESTS, count, event, framed, passed_on, pause, swallowed, trailers,
    whole,
};

/// What a body is written with at once.
const PIECE: [u8; 4096] = [b'x'; 4096];

#[derive(Default)]
struct Web;

impl Handler for Web {
    fn message(&mut self, connection: &Connection, message: Message) {
        count(&MESSAGES);
        connection.send(message);
    }

    fn request(&mut self, mut request: Request<Body>) -> Response<Body> {
        count(&REQUESTS);
        let order = Order::of(&request);
        if let Some(response) = whole(&order, &request) {
            return response;
        }
        match order.command.as_str() {
            "echo" => echo(request),
            // Without reading it here.
            "pass" => Response::new(request.into_body()),
            "swallow" => swallow(request.body_mut()),
            "sleep" => {
                thread::sleep(std::time::Duration::from_millis(order.number(0)));
                text(200, "slept\n")
            }
            "spin" => loop {
                std::hint::black_box(());
            },
            "trap" => panic!("as the path said"),
            "out" => out(request),
            _ => streamed(&order, &request),
        }
    }
}

/// The answers that are written while they are made.
fn streamed(order: &Order, request: &Request<Body>) -> Response<Body> {
    let (first, second, pause) = (order.number(0), order.number(1), pause(request));
    let lines = move |writer: &mut Writer, line: &dyn Fn(u64) -> String, last: u64| {
        for number in 1..=last {
            writer.send(line(number))?;
            thread::sleep(pause);
        }
        Ok(())
    };
    let mut headers = Vec::new();
    let body = match order.command.as_str() {
        "count" => {
            Body::streaming(move |writer| lines(writer, &|number| format!("{number}\n"), first))
        }
        "sse" => {
            headers.push(("content-type", "text/event-stream".to_owned()));
            Body::streaming(move |writer| lines(writer, &event, first))
        }
        "forever" => Body::streaming(move |writer| {
            let left = lines(writer, &|number| format!("{number}\n"), u64::MAX);
            count(&LEFT);
            eprintln!("left: {left:?}");
            left
        }),
        "trailers" => {
            headers.push(("trailer", "x-checksum, grpc-status".to_owned()));
            Body::streaming(|writer| {
                // Small pieces, which are gathered.
                writeln!(writer, "with {} trailers", trailers().len())?;
                writer.trailers(trailers());
                Ok(())
            })
        }
        "length" => {
            headers.push(("content-length", first.to_string()));
            Body::streaming(move |writer| fill(writer, second))
        }
        "trap-after" => Body::streaming(move |writer| {
            fill(writer, first)?;
            panic!("as the path said")
        }),
        "break-off" => Body::streaming(move |writer| {
            fill(writer, first)?;
            Err(Error::other("as the path said"))
        }),
        "framed" => {
            headers = framed(request);
            let (bytes, end) = (order.bytes(0), order.text(1).to_owned());
            Body::streaming(move |writer| {
                writer.send(bytes)?;
                match end.as_str() {
                    "status" => writer.trailers(trailers()),
                    "trap" => panic!("as the path said"),
                    "break-off" => return Err(Error::other("as the path said")),
                    "forever" => loop {
                        thread::sleep(std::time::Duration::from_millis(10));
                        if let Err(left) = writer.send([0; 5]) {
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

fn fill(writer: &mut Writer, bytes: u64) -> Result<(), Error> {
    let mut left = bytes;
    while left > 0 {
        let piece = &PIECE[..left.min(PIECE.len() as u64) as usize];
        writer.send(piece)?;
        left -= piece.len() as u64;
    }
    Ok(())
}

/// Reads the body piece by piece, and writes each at once.
fn echo(request: Request<Body>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let mut response = Response::new(Body::streaming(move |writer| {
        while let Some(chunk) = body.chunk()? {
            writer.send(&chunk)?;
        }
        if let Some(trailers) = body.trailers()? {
            writer.trailers(trailers);
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

fn swallow(body: &mut Body) -> Response<Body> {
    let mut bytes = 0;
    loop {
        match body.chunk() {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => {
                let trailers = body.trailers().ok().flatten();
                return text(200, swallowed(bytes, trailers.as_ref()));
            }
            Err(error) => return text(400, format!("{bytes}, then {error:?}\n")),
        }
    }
}

/// Calls `?url=`, with the same method and body.
fn out(request: Request<Body>) -> Response<Body> {
    let url = request.query("url").unwrap_or_default().into_owned();
    let (head, body) = request.into_parts();
    let body = match head.method {
        Method::GET | Method::HEAD => Body::empty(),
        _ => body,
    };
    let call = Request::builder().method(head.method).uri(url).body(body);
    let call = match call {
        Ok(call) => call,
        Err(error) => return text(400, format!("{error}\n")),
    };
    match send(call) {
        Ok(response) => passed_on(response),
        Err(error) => text(500, format!("{error:?}\n")),
    }
}

openline_sdk::export!(Web);
