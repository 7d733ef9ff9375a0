//! The service of `guests/grpc`, by tonic's own server.

use std::pin::Pin;

use futures_util::{Stream, StreamExt};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

#[expect(
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    unreachable_pub,
    reason = "generated code"
)]
#[path = "../../../../guests/grpc/src/generated.rs"]
mod generated;

use generated::greeter_server::{Greeter, GreeterServer};
use generated::{HelloReply, HelloRequest, RepeatRequest};

type Replies = Pin<Box<dyn Stream<Item = Result<HelloReply, Status>> + Send>>;

struct Greetings;

/// Serves calls over HTTP/2 without TLS, for ever.
///
/// # Errors
///
/// Where the server ends.
pub async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().add_service(GreeterServer::new(Greetings));
    Ok(server.serve_with_incoming(incoming).await?)
}

fn greeting(name: &str) -> HelloReply {
    HelloReply {
        text: format!("Hello, {name}!"),
    }
}

#[tonic::async_trait]
impl Greeter for Greetings {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        Ok(Response::new(greeting(&request.get_ref().name)))
    }

    async fn greet_all(
        &self,
        _: Request<Streaming<HelloRequest>>,
    ) -> Result<Response<HelloReply>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type RepeatStream = Replies;

    async fn repeat(&self, _: Request<RepeatRequest>) -> Result<Response<Replies>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    type ChatStream = Replies;

    async fn chat(
        &self,
        request: Request<Streaming<HelloRequest>>,
    ) -> Result<Response<Replies>, Status> {
        let replies = request.into_inner();
        let replies = replies.map(|request| request.map(|request| greeting(&request.name)));
        Ok(Response::new(Box::pin(replies)))
    }
}
