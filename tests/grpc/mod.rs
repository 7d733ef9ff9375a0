//! Functions that answer calls of gRPC: with the clients that programs in Rust
//! (`tonic`) and in Python (`grpcio`) have, unmodified, and with calls by hand, which
//! break the rules.

mod bounds;
mod calls;
mod ending;
mod python;
mod raw;
mod refusals;
mod web;

use std::time::Duration;

use http::uri::PathAndQuery;
use openline_core::trigger::{METHODS, Methods};
use tonic::client::Grpc;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{IntoRequest, IntoStreamingRequest, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::harness::tls::Authority;
use crate::harness::{Host, HostBuilder, within};

const ROUTE: &str = "/{*path}";
/// The guests that answer as a path says, in both call styles.
const BOTH: [&str; 2] = [openline_guests::FAULT_WEB, openline_guests::FAULT_WEB_ASYNC];
/// Longer than anything takes here that is not late.
const LONG: Duration = Duration::from_secs(600);

/// What `guests/grpc/greeter.proto` has; and a field that the guest does not know, for
/// requests of any size whose reply is small.
#[derive(Clone, PartialEq, prost::Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "15")]
    padding: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RepeatRequest {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint32, tag = "2")]
    times: u32,
    #[prost(uint32, tag = "3")]
    pause_ms: u32,
}

fn hello(name: &str) -> HelloRequest {
    HelloRequest {
        name: name.into(),
        padding: Vec::new(),
    }
}

/// A host with one of the guests, which takes all methods.
fn host(component: &str) -> HostBuilder {
    Host::with(component, ROUTE).function(|function| {
        function.triggers[0].methods = Methods::new(&METHODS).unwrap();
    })
}

fn greeter() -> HostBuilder {
    host(openline_guests::GRPC)
}

/// The service, as a client has it.
#[derive(Clone)]
struct Greeter(Grpc<Channel>);

impl Greeter {
    /// Over HTTP/2 without TLS, by prior knowledge.
    async fn connect(host: &Host) -> Self {
        Self::over(Endpoint::from_shared(format!("http://{}", host.address)).unwrap()).await
    }

    /// Over TLS, in which both agree on HTTP/2.
    async fn connect_by_tls(host: &Host, authority: &Authority) -> Self {
        let certificate = std::fs::read(authority.path("authority.pem")).unwrap();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(certificate));
        let uri = format!("https://localhost:{}", host.address.port());
        let endpoint = Endpoint::from_shared(uri).unwrap();
        Self::over(endpoint.tls_config(tls).unwrap()).await
    }

    async fn over(endpoint: Endpoint) -> Self {
        let channel = within("a connection", endpoint.connect()).await.unwrap();
        // The host is what bounds messages here.
        Self(Grpc::new(channel).max_decoding_message_size(usize::MAX))
    }

    async fn ready(&mut self) {
        within("room for a call", self.0.ready()).await.unwrap();
    }

    async fn say_hello(
        &mut self,
        request: impl IntoRequest<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        self.ready().await;
        let called = self
            .0
            .unary(request.into_request(), of("SayHello"), codec());
        within("a reply", called).await
    }

    async fn greet_all(
        &mut self,
        requests: impl IntoStreamingRequest<Message = HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        self.ready().await;
        let requests = requests.into_streaming_request();
        let called = self.0.client_streaming(requests, of("GreetAll"), codec());
        within("a reply", called).await
    }

    async fn repeat(
        &mut self,
        request: impl IntoRequest<RepeatRequest>,
    ) -> Result<Streaming<HelloReply>, Status> {
        self.ready().await;
        let codec = ProstCodec::<RepeatRequest, HelloReply>::default();
        let called = self
            .0
            .server_streaming(request.into_request(), of("Repeat"), codec);
        within("an answer", called).await.map(Response::into_inner)
    }

    async fn chat(
        &mut self,
        requests: impl IntoStreamingRequest<Message = HelloRequest>,
    ) -> Result<Streaming<HelloReply>, Status> {
        self.ready().await;
        let requests = requests.into_streaming_request();
        let called = self.0.streaming(requests, of("Chat"), codec());
        within("an answer", called).await.map(Response::into_inner)
    }
}

fn codec() -> ProstCodec<HelloRequest, HelloReply> {
    ProstCodec::default()
}

fn of(method: &str) -> PathAndQuery {
    let path = format!("/openline.greeter.v1.Greeter/{method}");
    path.parse().unwrap()
}

/// The next reply of a call; none at its end.
async fn next(replies: &mut Streaming<HelloReply>) -> Result<Option<String>, Status> {
    let next = within("a reply", replies.message()).await?;
    Ok(next.map(|reply| reply.text))
}

/// The word of what the host itself says.
fn word(status: &Status) -> &str {
    let word = status.metadata().get("openline-error-type");
    word.map_or("", |word| word.to_str().unwrap())
}
