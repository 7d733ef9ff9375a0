//! The bytes of messages, at their bound and past it, in both directions.

use futures_util::stream;
use prost::Message as _;
use tonic::Code;

use super::calls::spoken;
use super::raw::{Raw, message, whole};
use super::*;

const MIB: usize = 1 << 20;
/// The default of `message_bytes`.
const MOST: usize = 6 * MIB;

/// A request of so many bytes, whose reply is small.
fn request_of(bytes: usize) -> HelloRequest {
    let mut request = hello("you");
    request.padding = vec![b'x'; bytes / 2];
    request.padding = vec![b'x'; bytes + bytes / 2 - request.encoded_len()];
    assert_eq!(request.encoded_len(), bytes);
    request
}

/// A request whose reply has so many bytes.
fn request_for(bytes: usize) -> HelloRequest {
    let reply = |name: usize| HelloReply {
        text: format!("Hello, {}!", "x".repeat(name)),
    };
    let more = reply(bytes / 2).encoded_len() - bytes / 2;
    let request = hello(&"x".repeat(bytes - more));
    assert_eq!(reply(bytes - more).encoded_len(), bytes);
    request
}

#[tokio::test]
async fn a_message_of_a_request_at_its_bytes_and_past_them() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let reply = greeter.say_hello(request_of(MOST)).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello, you!");
    let failed = greeter.say_hello(request_of(MOST + 1)).await.unwrap_err();
    assert_eq!(
        (failed.code(), word(&failed)),
        (Code::ResourceExhausted, "message_bytes")
    );
    // After the head of the answer, it is the end of it.
    let (sender, requests) = spoken();
    sender.send(request_of(MOST)).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, you!");
    // The client may learn it before it has sent all.
    let _ = sender.send(request_of(MOST + 1)).await;
    let failed = next(&mut replies).await.unwrap_err();
    assert_eq!(
        (failed.code(), word(&failed)),
        (Code::ResourceExhausted, "message_bytes")
    );
    let reply = greeter.say_hello(hello("still")).await.unwrap();
    assert_eq!(reply.into_inner().text, "Hello, still!");
}

#[tokio::test]
async fn a_message_of_an_answer_at_its_bytes_and_past_them() {
    let host = greeter().start().await;
    let mut greeter = Greeter::connect(&host).await;
    let reply = greeter.say_hello(request_for(MOST)).await.unwrap();
    assert_eq!(reply.get_ref().encoded_len(), MOST);
    let failed = greeter.say_hello(request_for(MOST + 1)).await.unwrap_err();
    assert_eq!(
        (failed.code(), word(&failed)),
        (Code::ResourceExhausted, "bad_answer")
    );
    assert!(failed.message().contains("in the function's answer"));
}

#[tokio::test]
async fn the_messages_of_a_request_may_have_any_number_of_bytes_behind_the_answers_head() {
    let host = greeter().limit(|limit| {
        limit.request_body_bytes = 1000;
        limit.message_bytes = 500;
    });
    let host = host.start().await;
    let mut greeter = Greeter::connect(&host).await;
    let (sender, requests) = spoken();
    sender.send(request_of(500)).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    for _ in 0..100 {
        assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, you!");
        sender.send(request_of(500)).await.unwrap();
    }
}

/// What comes before the answer is a body like others: only the peer says that it is
/// a call.
#[tokio::test]
async fn what_comes_before_the_answer_at_its_bytes_and_past_them() {
    let host = greeter().limit(|limit| limit.request_body_bytes = 10 * (5 + 500));
    let host = host.start().await;
    let mut greeter = Greeter::connect(&host).await;
    let requests = |number: usize| stream::iter(vec![request_of(500); number]);
    let reply = greeter.greet_all(requests(10)).await.unwrap();
    assert!(reply.into_inner().text.contains("you"));
    let failed = greeter.greet_all(requests(11)).await.unwrap_err();
    assert_eq!(
        (failed.code(), word(&failed)),
        (Code::ResourceExhausted, "request_body_bytes")
    );
    assert!(failed.message().contains("5050"), "{failed:?}");
}

/// A function that does not speak gRPC has the bound of every request, whatever its
/// peer says that it sends.
#[tokio::test]
async fn a_function_without_grpc_gets_no_more_than_from_other_requests() {
    for component in BOTH {
        let host = host(component).limit(|limit| limit.request_body_bytes = 1010);
        let host = host.start().await;
        let mut raw = Raw::connect(&host).await;
        let messages = |number: usize| message(&[b'x'; 500]).repeat(number);
        let swallowed = raw.call("/swallow", &[], whole(messages(2))).await;
        assert_eq!(swallowed.body, "1010\n", "{component}");
        let refused = raw.call("/swallow", &[], whole(messages(3))).await;
        assert_eq!(refused.status(), ("8", "request_body_bytes"), "{component}");
        // It answers at first, and then reads.
        let (sender, body) = super::raw::piecewise();
        sender.send(message(&[b'x'; 500]).into()).await.unwrap();
        let answer = raw.open("/pass", &[], body).await;
        assert_eq!(answer.status(), 200);
        for _ in 0..2 {
            sender.send(message(&[b'x'; 500]).into()).await.unwrap();
        }
        drop(sender);
        let body = answer.into_body();
        let passed = within("the end", http_body_util::BodyExt::collect(body)).await;
        assert!(passed.is_err(), "{component}: all of it has passed");
    }
}
