//! The smallest answers that an asynchronous function can give, for benchmarks: a
//! greeting, a body of 1 MiB in either direction or in both, and a call to another
//! server. It uses no interface of Openline's, so that other hosts of `wasi:http` run
//! it, too.

use openline_sdk::http::{
    AsyncBody, AsyncHttpHandler, Bytes, Error, Request, Response, send_async, text,
};

/// What a large body is made of: so many pieces of this.
static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];
const PIECES: usize = 16;

/// The answer of another server is a greeting.
const GREETING_BYTES_MAX: usize = 64;

#[derive(Default)]
struct Hello;

impl AsyncHttpHandler for Hello {
    async fn request(&self, request: Request<AsyncBody>) -> Response<AsyncBody> {
        let answer = match request.uri().path() {
            "/hello" => Ok(text(200, "hello\n")),
            "/download" => Ok(Response::new(AsyncBody::streaming(async |writer| {
                for _ in 0..PIECES {
                    writer.send(Bytes::from_static(&PIECE)).await?;
                }
                Ok(())
            }))),
            "/upload" => count(request.into_body()).await,
            "/echo" => {
                let mut body = request.into_body();
                Ok(Response::new(AsyncBody::streaming(async move |writer| {
                    while let Some(chunk) = body.chunk().await? {
                        writer.send(chunk).await?;
                    }
                    Ok(())
                })))
            }
            "/call" => call(&request).await,
            _ => Ok(text(404, "no such answer\n")),
        };
        answer.unwrap_or_else(|error| text(500, format!("{error}\n")))
    }
}

async fn count(mut body: AsyncBody) -> Result<Response<AsyncBody>, Error> {
    let mut bytes = 0;
    while let Some(chunk) = body.chunk().await? {
        bytes += chunk.len();
    }
    Ok(text(200, format!("{bytes}\n")))
}

/// Has the server greet that the query names.
async fn call(request: &Request<AsyncBody>) -> Result<Response<AsyncBody>, Error> {
    let server = request.uri().query().unwrap_or_default();
    let call = Request::get(format!("http://{server}/hello")).body(AsyncBody::empty());
    let call = call.map_err(|error| Error::Invalid(error.to_string()))?;
    let mut body = send_async(call).await?.into_body();
    Ok(text(200, body.text(GREETING_BYTES_MAX).await?))
}

openline_sdk::export_async_http_handler!(Hello);
