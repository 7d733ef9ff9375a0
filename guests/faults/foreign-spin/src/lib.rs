//! Answers requests as functions of Spin 4 do: asynchronous code, by
//! `wasi:http/handler` 0.3.

use bytes::Bytes;
use futures_util::SinkExt;
use spin_sdk::http::body::{self, IncomingBodyExt};
use spin_sdk::http::{EmptyBody, IntoResponse, Request, Response, send};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> spin_sdk::http::Result<impl IntoResponse> {
    match request.uri().path() {
        "/" => Ok("hello\n".into_response()?),
        "/echo" => {
            let mut pieces = request.into_body().stream();
            let (mut sender, body) = body::stream::<Bytes>();
            spin_sdk::wasip3::spawn(async move {
                while let Some(Ok(piece)) = next(&mut pieces).await {
                    if sender.send(piece).await.is_err() {
                        return;
                    }
                }
            });
            Ok(http::Response::new(body).into_response()?)
        }
        "/ask" => {
            let url = request.headers().get("x-ask").map(|url| url.to_str());
            let asked = Request::get(url.unwrap_or(Ok("/")).unwrap_or("/"));
            let answer: Response = send(asked.body(EmptyBody::new())?).await?;
            Ok(answer.into_response()?)
        }
        "/fail" => panic!("on purpose"),
        _ => Ok((http::StatusCode::NOT_FOUND, String::from("no such path\n")).into_response()?),
    }
}

async fn next<S: futures_util::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|cx| std::pin::Pin::new(&mut *stream).poll_next(cx)).await
}
