//! A service of gRPC (`greeter.proto`), with all four kinds of calls: what `tonic`
//! generates, without tonic's own server. HTTP/2 is the host's, and a call is a
//! request whose bodies stream both ways.
//!
//! Clients reach it where its trigger is at the root of a host name: gRPC's paths are
//! `/openline.greeter.v1.Greeter/SayHello`.

mod deadline;
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    unreachable_pub,
    reason = "generated code"
)]
mod generated;
mod metadata;
mod thread;

use std::time::Duration;

use openline_sdk::http::{AsyncBody, AsyncHttpHandler, Bytes, Request, Response};
use openline_sdk::time::sleep;
use send_wrapper::SendWrapper;
use tonic::codegen::Service as _;
use tonic::{Code, Status, Streaming};

use generated::greeter_server::{Greeter, GreeterServer};
use generated::{HelloReply, HelloRequest, RepeatRequest};
use thread::{Incoming, Replies};

/// The longest message of a client.
const MESSAGE_BYTES_MAX: usize = 6 << 20;
/// The most replies of one call.
const TIMES_MAX: u32 = 1_000_000;

/// tonic says `OUT_OF_RANGE` of a message that is too long, and every other library
/// `RESOURCE_EXHAUSTED`.
fn exhausted(status: Status) -> Status {
    match status.code() {
        Code::OutOfRange => Status::resource_exhausted(status.message()),
        _ => status,
    }
}

#[derive(Clone, Copy)]
struct Greetings;

fn greeting(name: &str) -> Result<HelloReply, Status> {
    if name.is_empty() {
        // What a client reads beside the sentence: rich errors are messages here.
        return Err(Status::with_details(
            Code::InvalidArgument,
            "`name` is empty",
            Bytes::from_static(b"field: name"),
        ));
    }
    Ok(HelloReply {
        text: format!("Hello, {name}!"),
    })
}

#[tonic::async_trait]
impl Greeter for Greetings {
    async fn say_hello(
        &self,
        request: tonic::Request<HelloRequest>,
    ) -> Result<tonic::Response<HelloReply>, Status> {
        let mut reply = tonic::Response::new(greeting(&request.get_ref().name)?);
        metadata::echo(request.metadata(), reply.metadata_mut());
        Ok(reply)
    }

    async fn greet_all(
        &self,
        request: tonic::Request<Streaming<HelloRequest>>,
    ) -> Result<tonic::Response<HelloReply>, Status> {
        let mut names = Vec::new();
        let mut requests = request.into_inner();
        while let Some(request) = requests.message().await.map_err(exhausted)? {
            names.push(request.name);
        }
        greeting(&names.join(", ")).map(tonic::Response::new)
    }

    type RepeatStream = Replies;

    async fn repeat(
        &self,
        request: tonic::Request<RepeatRequest>,
    ) -> Result<tonic::Response<Replies>, Status> {
        let RepeatRequest {
            name,
            times,
            pause_ms,
        } = request.into_inner();
        if times > TIMES_MAX {
            return Err(Status::invalid_argument("`times` is over 1,000,000"));
        }
        let reply = greeting(&name)?;
        let pause = Duration::from_millis(pause_ms.into());
        Ok(tonic::Response::new(Replies::new(async move |replies| {
            for _ in 0..times {
                replies.send(reply.clone()).await;
                if !pause.is_zero() {
                    sleep(pause).await;
                }
            }
            Ok(())
        })))
    }

    type ChatStream = Replies;

    async fn chat(
        &self,
        request: tonic::Request<Streaming<HelloRequest>>,
    ) -> Result<tonic::Response<Replies>, Status> {
        let mut requests = request.into_inner();
        Ok(tonic::Response::new(Replies::new(async move |replies| {
            while let Some(request) = requests.message().await.map_err(exhausted)? {
                replies.send(greeting(&request.name)?).await;
            }
            Ok(())
        })))
    }
}

#[derive(Default)]
struct Grpc;

impl AsyncHttpHandler for Grpc {
    async fn request(&self, request: Request<AsyncBody>) -> Response<AsyncBody> {
        let timeout = deadline::of(request.headers());
        let request = request.map(|body| Incoming(SendWrapper::new(body)));
        let mut service =
            GreeterServer::new(Greetings).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answer = async move {
            match service.call(request).await {
                // tonic leaves the status of a call that has failed there.
                Ok(response) => match response.extensions().get::<Status>() {
                    Some(status) => exhausted(status.clone()).into_http(),
                    None => response,
                }
                .map(AsyncBody::from_body),
                Err(never) => match never {},
            }
        };
        match timeout {
            Some(timeout) => deadline::within(timeout, answer).await,
            None => answer.await,
        }
    }
}

openline_sdk::export_async_http_handler!(Grpc);
