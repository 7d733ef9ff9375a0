//! A WebSocket server in the test's own process, and what it may do with a
//! message.

use std::future::Future;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// Listens on a port of its own; ends with the test.
pub(crate) struct Server {
    address: std::net::SocketAddr,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Serves each TCP connection with `serve`.
    pub(crate) async fn tcp<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream));
            }
        });
        Self {
            address,
            _tasks: tasks,
        }
    }

    /// Serves each WebSocket connection with `serve`.
    pub(crate) async fn web_socket<F>(
        serve: impl Fn(WebSocketStream<TcpStream>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let serve = Arc::new(serve);
        Self::tcp(move |stream| {
            let serve = Arc::clone(&serve);
            async move {
                if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                    serve(socket).await;
                }
            }
        })
        .await
    }

    /// Sends each message back.
    pub(crate) async fn echo() -> Self {
        Self::answering(Some).await
    }

    /// Answers each message with what `answer` makes of it.
    pub(crate) async fn answering(
        answer: impl Fn(Message) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::web_socket(move |mut socket| {
            let answer = Arc::clone(&answer);
            async move {
                while let Some(Ok(message)) = socket.next().await {
                    let is_data = message.is_text() || message.is_binary();
                    if let Some(reply) = is_data.then(|| answer(message)).flatten() {
                        let _ = socket.send(reply).await;
                    }
                }
            }
        })
        .await
    }

    /// Answers each handshake with these bytes.
    pub(crate) async fn http(response: &'static str) -> Self {
        Self::tcp(move |mut stream| async move {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => request.push(byte),
                    Err(_) => return,
                }
            }
            let _ = stream.write_all(response.as_bytes()).await;
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }
}
