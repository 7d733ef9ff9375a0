//! Calls that go well: the four kinds, over TLS and without it, with metadata, many at
//! once, and across a deploy.

use futures_util::stream;
use tokio::sync::mpsc;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request};

use super::*;
use crate::harness::{deploy_options, variant};

/// Requests that come as a test sends them.
pub(super) fn spoken() -> (
    mpsc::Sender<HelloRequest>,
    impl stream::Stream<Item = HelloRequest> + Send + 'static,
) {
    let (sender, mut requests) = mpsc::channel(1);
    (sender, stream::poll_fn(move |cx| requests.poll_recv(cx)))
}

async fn all_four_kinds(greeter: &mut Greeter) {
    let reply = greeter.say_hello(hello("you")).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello, you!");

    let names = ["one", "two", "three"].map(hello);
    let reply = greeter.greet_all(stream::iter(names)).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello, one, two, three!");

    let request = RepeatRequest {
        name: "again".into(),
        times: 1000,
        pause_ms: 0,
    };
    let mut replies = greeter.repeat(request).await.unwrap();
    for _ in 0..1000 {
        assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, again!");
    }
    assert_eq!(next(&mut replies).await.unwrap(), None);

    // Each request waits for the reply to the one before it.
    let (sender, requests) = spoken();
    sender.send(hello("0")).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    for number in 0..20 {
        let reply = next(&mut replies).await.unwrap().unwrap();
        assert_eq!(reply, format!("Hello, {number}!"));
        sender.send(hello(&(number + 1).to_string())).await.unwrap();
    }
    drop(sender);
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, 20!");
    assert_eq!(next(&mut replies).await.unwrap(), None);
}

#[tokio::test]
async fn the_four_kinds_of_calls_without_tls() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    all_four_kinds(&mut greeter).await;
    drop(greeter);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn the_four_kinds_of_calls_over_tls() {
    let authority = Authority::new();
    let host = greeter()
        .server(|server| {
            server.certificate = vec![authority.certificate("host", &["localhost"], true)];
        })
        .start()
        .await;
    let mut greeter = Greeter::connect_by_tls(&host, &authority).await;
    all_four_kinds(&mut greeter).await;
}

#[tokio::test]
async fn metadata_goes_both_ways_as_text_and_as_bytes() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let mut request = Request::new(hello("you"));
    let sent: &mut MetadataMap = request.metadata_mut();
    sent.append("x-echo-text", "one".parse().unwrap());
    sent.append("x-echo-text", "two".parse().unwrap());
    let bytes = [0, 0xff, b',', 10];
    sent.append_bin("x-echo-bytes-bin", MetadataValue::from_bytes(&bytes));
    sent.append("x-other", "no".parse().unwrap());
    let reply = greeter.say_hello(request).await.unwrap();
    let metadata = reply.metadata();
    let texts: Vec<_> = metadata.get_all("x-echo-text").iter().collect();
    assert_eq!(texts, ["one", "two"]);
    let echoed = metadata.get_bin("x-echo-bytes-bin").unwrap();
    assert_eq!(echoed.to_bytes().unwrap(), &bytes[..]);
    assert!(!metadata.contains_key("x-other"));
    assert!(metadata.contains_key("openline-request-id"));
}

#[tokio::test]
async fn an_error_of_a_function_has_its_details() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let failed = greeter.say_hello(hello("")).await.unwrap_err();
    assert_eq!(failed.code(), Code::InvalidArgument);
    assert_eq!(failed.message(), "`name` is empty");
    assert_eq!(failed.details(), b"field: name");
    // In the middle of an answer, too.
    let (sender, requests) = spoken();
    sender.send(hello("you")).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, you!");
    sender.send(hello("")).await.unwrap();
    let failed = next(&mut replies).await.unwrap_err();
    assert_eq!(failed.code(), Code::InvalidArgument);
    assert_eq!(failed.details(), b"field: name");
    // The service has no such method.
    greeter.ready().await;
    let called = greeter
        .0
        .unary(Request::new(hello("you")), of("Nothing"), codec());
    let failed = within("an answer", called).await.unwrap_err();
    assert_eq!((failed.code(), word(&failed)), (Code::Unimplemented, ""));
}

#[tokio::test]
async fn a_hundred_calls_at_once_on_one_tcp_connection() {
    let host = greeter().start().await;
    let greeter = Greeter::connect(&host).await;
    let calls = (0..100).map(|number| {
        let mut greeter = greeter.clone();
        async move {
            let (sender, requests) = spoken();
            let name = number.to_string();
            sender.send(hello(&name)).await.unwrap();
            let mut replies = greeter.chat(requests).await.unwrap();
            let first = next(&mut replies).await.unwrap().unwrap();
            (sender, replies, name, first)
        }
    });
    // All are open before the first one ends.
    let open = futures_util::future::join_all(calls).await;
    assert_eq!(host.state().await["sockets"], 2);
    for (sender, mut replies, name, first) in open {
        assert_eq!(first, format!("Hello, {name}!"));
        sender.send(hello("again")).await.unwrap();
        drop(sender);
        assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, again!");
        assert_eq!(next(&mut replies).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_deploy_lets_a_call_end_where_it_began() {
    let host = greeter().start().await;
    let name = host.deployer.triggers()[0].1.function().clone();
    let mut greeter = Greeter::connect(&host).await;
    let (sender, requests) = spoken();
    sender.send(hello("before")).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, before!");
    let next_version = variant(&std::fs::read(openline_guests::GRPC).unwrap(), 1);
    let deployed = host
        .deployer
        .deploy(&name, next_version.into(), deploy_options())
        .await;
    assert!(deployed.unwrap().version_is_new);
    // On the same TCP connection.
    let reply = greeter.say_hello(hello("new")).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello, new!");
    sender.send(hello("after")).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, after!");
    drop(sender);
    assert_eq!(next(&mut replies).await.unwrap(), None);
}

/// Between messages a client may be silent for longer than a peer may be that sends an
/// ordinary body.
#[tokio::test]
async fn a_client_may_be_silent_between_its_messages() {
    let host = greeter()
        .server(|server| server.request_timeout = Duration::from_millis(200))
        .limit(|limit| limit.handler_timeout = Duration::from_millis(500));
    let host = host.start().await;
    let mut greeter = Greeter::connect(&host).await;
    let (sender, requests) = spoken();
    sender.send(hello("first")).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, first!");
    // The silence is what is tested.
    tokio::time::sleep(Duration::from_millis(900)).await;
    sender.send(hello("second")).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, second!");
    drop(sender);
    assert_eq!(next(&mut replies).await.unwrap(), None);
}
