//! Servers that refuse, break off, keep silent or answer something else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use openline_hint::Hint;
use openline_load::{ConnectFailure, LoadError, Options};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::server::Server;
use crate::{measure, options};

#[tokio::test]
async fn a_refused_handshake_names_the_status_and_what_to_do() {
    let server = Server::http(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 21\r\n\r\nno function is\nhere\r\n",
    )
    .await;
    let error = measure(options(&server)).await.unwrap_err();

    let text = error.to_string();
    assert!(
        text.contains("refused with HTTP 404: no function is here"),
        "{text}"
    );
    assert!(text.contains("/echo"), "{text}");
    assert!(
        error
            .hint()
            .unwrap()
            .contains("no function is at this path")
    );
}

#[tokio::test]
async fn a_page_is_not_a_web_socket() {
    let server = Server::http("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let error = measure(options(&server)).await.unwrap_err();
    assert!(
        error.hint().unwrap().contains("an ordinary page"),
        "{error}"
    );

    let server = Server::http("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n").await;
    let error = measure(options(&server)).await.unwrap_err();
    assert!(
        error.to_string().contains("no WebSocket handshake"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    drop(listener);
    let error = measure(Options::new(url.parse().unwrap()))
        .await
        .unwrap_err();
    assert!(matches!(
        &error,
        LoadError::Connect {
            failure: ConnectFailure::Io(_),
            ..
        }
    ));
    assert!(error.hint().unwrap().contains("no server listens there"));
}

#[tokio::test]
async fn a_handshake_without_an_answer_times_out() {
    let server = Server::tcp(|stream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let mut options = options(&server);
    options.connect_timeout = Duration::from_millis(50);
    let error = measure(options).await.unwrap_err();
    assert!(
        error.to_string().contains("no answer within 50ms"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_full_serves_the_others() {
    // Only the first three are accepted, one of which is the probe.
    let accepted = Arc::new(AtomicUsize::new(0));
    let server = Server::tcp(move |stream| {
        let accepted = Arc::clone(&accepted);
        async move {
            if accepted.fetch_add(1, Ordering::Relaxed) >= 3 {
                return;
            }
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_binary() {
                    let _ = socket.send(message).await;
                }
            }
        }
    })
    .await;
    let report = measure(options(&server)).await.unwrap();
    assert_eq!(report.connections.opened, 2);
    assert_eq!(report.connections.failed, 2);
    assert!(report.messages.unwrap().answered > 0);
    assert_eq!(
        report.errors.values().sum::<u64>(),
        2,
        "{:?}",
        report.errors
    );
}

#[tokio::test]
async fn connections_closed_midway_are_counted_by_code() {
    const ECHOES: usize = 10;
    let server = Server::web_socket(|mut socket| async move {
        let mut echoed = 0;
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_binary() {
                continue;
            }
            let _ = socket.send(message).await;
            echoed += 1;
            if echoed == ECHOES {
                let frame = CloseFrame {
                    code: CloseCode::Error,
                    reason: "trap".into(),
                };
                let _ = socket.close(Some(frame)).await;
            }
        }
    })
    .await;
    let mut options = options(&server);
    options.warm_up = Duration::ZERO;
    // Ends when the last connection has, long before.
    options.duration = Duration::from_secs(3_600);
    let report = measure(options).await.unwrap();

    assert_eq!(report.connections.lost, 4);
    assert_eq!(
        report.close_codes.into_iter().collect::<Vec<_>>(),
        [(1011, 4)]
    );
    assert_eq!(report.errors["closed by the server: 1011 trap"], 4);
    let latency = report.latency.unwrap();
    assert_eq!(latency.count, 4 * ECHOES as u64);
}

#[tokio::test]
async fn connections_that_end_before_any_answer_are_an_error() {
    let server = Server::web_socket(|mut socket| async move {
        // The probe's close, or the first message.
        let _ = socket.next().await;
    })
    .await;
    let error = measure(options(&server)).await.unwrap_err();
    assert!(matches!(error, LoadError::Ended { .. }), "{error:?}");
}

#[tokio::test]
async fn silence_is_an_error() {
    let server = Server::answering(|_| None).await;
    let mut options = options(&server);
    options.reply_timeout = Duration::from_millis(100);
    options.duration = Duration::from_secs(3_600);
    let error = measure(options).await.unwrap_err();
    assert!(
        matches!(error, LoadError::NoReply { sent: 1..=4, .. }),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("send each message back"));
}

#[tokio::test]
async fn answers_that_are_no_echoes_are_an_error() {
    let server = Server::answering(|_| Some(Message::text("hello there"))).await;
    let mut options = options(&server);
    options.duration = Duration::from_secs(3_600);
    let error = measure(options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server does not echo: it answered the text \"hello there\""
    );
}

#[tokio::test]
async fn headers_are_checked_and_sent() {
    let server = Server::echo().await;
    for (name, value) in [("a b", "1"), ("x", "a\nb")] {
        let mut options = options(&server);
        options.headers = vec![(name.to_owned(), value.to_owned())];
        let error = measure(options).await.unwrap_err();
        assert!(matches!(error, LoadError::Setting { name: "header", .. }));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_process_that_is_not_there_is_named() {
    let server = Server::echo().await;
    let mut options = options(&server);
    // Above the kernel's highest process number.
    options.process = Some(u32::MAX);
    let error = measure(options).await.unwrap_err();
    assert!(error.to_string().contains("process 4294967295"), "{error}");
}
