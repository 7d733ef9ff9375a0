//! The native server of HTTP gives the answers that functions are compared by, and
//! its events reach all who listen.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use openline_end_to_end::native::http::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Starts a server that ends with the test; its address.
async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener));
    address
}

/// A request on a connection of its own.
async fn send(address: SocketAddr, request: &str, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!(
        "{request} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    stream
}

/// The whole answer to a request.
async fn ask(address: SocketAddr, request: &str, body: &str) -> String {
    let mut stream = send(address, request, body).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    answer
}

/// Reads until something has come.
async fn until(stream: &mut TcpStream, text: &str) {
    let mut got = Vec::new();
    while !String::from_utf8_lossy(&got).contains(text) {
        assert!(stream.read_buf(&mut got).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn all_answers_are_given() {
    let address = server().await;
    assert!(
        ask(address, "GET /hello", "")
            .await
            .ends_with("\r\n\r\nhello\n")
    );
    let answer = ask(address, "GET /download", "").await;
    assert_eq!(answer.matches('x').count(), 1 << 20);
    assert!(
        ask(address, "POST /upload", "12345")
            .await
            .ends_with("\n5\n")
    );
    assert!(
        ask(address, "POST /echo", "12345")
            .await
            .ends_with("\r\n\r\n12345")
    );
    let other = server().await;
    let answer = ask(address, &format!("GET /call?{other}"), "").await;
    assert!(answer.ends_with("\r\n\r\nhello\n"), "{answer}");
}

#[tokio::test]
async fn an_event_reaches_all_who_listen() {
    let address = server().await;
    let mut listening = Vec::new();
    for _ in 0..3 {
        let mut stream = send(address, "GET /notify/all", "").await;
        until(&mut stream, ": connected\n\n").await;
        listening.push(stream);
    }
    assert!(
        ask(address, "POST /notify/all", "17")
            .await
            .ends_with("\n3\n")
    );
    for stream in &mut listening {
        until(stream, r#"data: {"message":"Order complete!","order":17}"#).await;
    }
}
