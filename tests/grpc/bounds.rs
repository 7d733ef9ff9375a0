//! The bytes of messages, at their bound and past it, in both directions.

use futures_util::stream;
use prost::Message as _;
use tonic::Code;

use super::calls::spoken;
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
async fn the_messages_of_a_request_may_have_any_number_of_bytes_together() {
    let host = greeter().limit(|limit| {
        limit.request_body_bytes = 1000;
        limit.message_bytes = 500;
    });
    let host = host.start().await;
    let mut greeter = Greeter::connect(&host).await;
    let requests = (0..100).map(|_| request_of(500));
    let requests: Vec<_> = requests.collect();
    let reply = greeter.greet_all(stream::iter(requests)).await.unwrap_err();
    // One reply with all names is too large; all requests have come.
    assert_eq!(
        (reply.code(), word(&reply)),
        (Code::ResourceExhausted, "bad_answer")
    );
    let (sender, requests) = spoken();
    sender.send(request_of(500)).await.unwrap();
    let mut replies = greeter.chat(requests).await.unwrap();
    for _ in 0..100 {
        assert_eq!(next(&mut replies).await.unwrap().unwrap(), "Hello, you!");
        sender.send(request_of(500)).await.unwrap();
    }
}
