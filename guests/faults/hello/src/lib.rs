//! The smallest answers that a plain function can give, for benchmarks: a greeting,
//! a body of 1 MiB in either direction or in both, and a call to another server. It
//! uses no interface of Openline's, so that other hosts of `wasi:http` run it, too.

use openline_sdk::http::{Body, Error, HttpHandler, Request, Response, send, text};

/// What a large body is made of: so many pieces of this.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const PIECES: usize = 16;

/// The answer of another server is a greeting.
const GREETING_BYTES_MAX: usize = 64;

#[derive(Default)]
struct Hello;

impl HttpHandler for Hello {
    fn request(&mut self, request: Request<Body>) -> Response<Body> {
        let answer = match request.uri().path() {
            "/hello" => Ok(text(200, "hello\n")),
            "/download" => Ok(Response::new(Body::streaming(|writer| {
                (0..PIECES).try_for_each(|_| writer.send(&PIECE[..]))
            }))),
            "/upload" => count(request.into_body()),
            "/echo" => {
                let mut body = request.into_body();
                Ok(Response::new(Body::streaming(move |writer| {
                    while let Some(chunk) = body.chunk()? {
                        writer.send(chunk)?;
                    }
                    Ok(())
                })))
            }
            "/call" => call(&request),
            _ => Ok(text(404, "no such answer\n")),
        };
        answer.unwrap_or_else(|error| text(500, format!("{error}\n")))
    }
}

fn count(mut body: Body) -> Result<Response<Body>, Error> {
    let mut bytes = 0;
    while let Some(chunk) = body.chunk()? {
        bytes += chunk.len();
    }
    Ok(text(200, format!("{bytes}\n")))
}

/// Has the server greet that the query names.
fn call(request: &Request<Body>) -> Result<Response<Body>, Error> {
    let server = request.uri().query().unwrap_or_default();
    let call = Request::get(format!("http://{server}/hello")).body(Body::empty());
    let call = call.map_err(|error| Error::Invalid(error.to_string()))?;
    let greeting = send(call)?.into_body().text(GREETING_BYTES_MAX)?;
    Ok(text(200, greeting))
}

openline_sdk::export_http_handler!(Hello);
