//! The native server echoes what it is compared by: whole, in order, of both
//! types, and it ends connections properly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openline_end_to_end::native::{EchoOptions, serve};
use openline_load::{MessageKind, Options, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// Starts a server that ends with the test; its address.
async fn server(flush_each: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let options = EchoOptions {
        read_buffer_bytes: 4 << 10,
        flush_each,
    };
    tokio::spawn(serve(listener, options, None));
    address
}

#[tokio::test]
async fn everything_comes_back_under_load() {
    for (flush_each, kind, bytes) in [
        (false, MessageKind::Binary, 125),
        (false, MessageKind::Text, 100_000),
        (true, MessageKind::Text, 125),
    ] {
        let address = server(flush_each).await;
        let mut options = Options::new(format!("ws://{address}/").parse().unwrap());
        options.connections = 8;
        options.depth = 16;
        options.kind = kind;
        options.message_bytes = bytes;
        options.warm_up = Duration::ZERO;
        options.duration = Duration::from_millis(200);
        let report = run(options, |_| {}).await.unwrap();
        assert!(report.errors.is_empty(), "{:?}", report.errors);
        assert_eq!(report.messages.unwrap().unanswered, 0);
        let codes: Vec<_> = report.close_codes.into_iter().collect();
        assert_eq!(codes, [(1000, 8)]);
    }
}

#[tokio::test]
async fn pings_and_closes_are_answered() {
    let address = server(false).await;
    let stream = TcpStream::connect(&address).await.unwrap();
    let (mut socket, _) = client_async(format!("ws://{address}/"), stream)
        .await
        .unwrap();

    socket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    let pong = socket.next().await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("are you there".into()));

    let frame = CloseFrame {
        code: CloseCode::Away,
        reason: "enough".into(),
    };
    socket.close(Some(frame.clone())).await.unwrap();
    let answer = socket.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::Close(Some(frame)));
    assert!(socket.next().await.is_none());
}

#[tokio::test]
async fn an_ordinary_request_is_told_to_upgrade() {
    let address = server(false).await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 426 "), "{response}");
}

#[tokio::test]
async fn what_is_published_reaches_all_subscribers_and_nobody_else() {
    let address = server(false).await;
    let mut sockets = Vec::new();
    for path in ["subscribe", "subscribe", "publish"] {
        let stream = TcpStream::connect(&address).await.unwrap();
        let url = format!("ws://{address}/fan-out/{path}");
        sockets.push(client_async(url, stream).await.unwrap().0);
    }
    let mut publisher = sockets.pop().unwrap();
    // Once a pong is back, the server has it among the subscribers.
    for subscriber in &mut sockets {
        subscriber.send(Message::Ping("".into())).await.unwrap();
        let pong = subscriber.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("".into()));
    }
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3])] {
        publisher.send(message.clone()).await.unwrap();
        for subscriber in &mut sockets {
            assert_eq!(subscriber.next().await.unwrap().unwrap(), message);
        }
    }
    publisher.close(None).await.unwrap();
    let answer = publisher.next().await.unwrap().unwrap();
    assert!(matches!(answer, Message::Close(_)), "{answer:?}");
}
