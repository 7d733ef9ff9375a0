//! Answers requests as functions of wstd do: asynchronous code on a loop of its own,
//! by `wasi:http/incoming-handler`.

use std::sync::atomic::{AtomicU32, Ordering};

use futures_lite::stream::unfold;
use wstd::http::body::Bytes;
use wstd::http::{Body, Client, Error, Request, Response, StatusCode};
use wstd::time::Duration;

/// Not kept from one request to the next, as each has an instance of its own.
static REQUESTS: AtomicU32 = AtomicU32::new(0);

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    match request.uri().path() {
        "/" => {
            let count = REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
            Ok(Response::new(format!("hello {count}\n").into()))
        }
        "/echo" => Ok(Response::new(request.into_body())),
        "/pieces" => Ok(Response::new(Body::from_try_stream(unfold(0, piece)))),
        "/ask" => {
            let url = request.headers().get("x-ask").map(|url| url.to_str());
            let asked = Request::get(url.unwrap_or(Ok("/"))?).body(Body::empty())?;
            let answer = Client::new().send(asked).await?;
            Ok(Response::new(answer.into_body()))
        }
        "/error" => Err(Error::msg("on purpose")),
        "/fail" => panic!("on purpose"),
        _ => {
            let mut response = Response::new(String::from("no such path\n").into());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok(response)
        }
    }
}

/// Three pieces, with a pause between them.
async fn piece(before: u32) -> Option<(Result<Bytes, std::convert::Infallible>, u32)> {
    if before == 3 {
        return None;
    }
    if before > 0 {
        wstd::task::sleep(Duration::from_millis(20)).await;
    }
    let next = before + 1;
    Some((Ok(format!("{next};").into()), next))
}
