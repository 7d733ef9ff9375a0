//! The native echo server that everything else is compared with: hyper and
//! tokio-tungstenite, written as well as they allow.
//!
//! A connection is one task. It reads all that is there, then flushes once; it
//! works on the TCP stream itself, not on hyper's boxed one. Its bounds:
//! the read buffer, and a write buffer of one message more than
//! `WRITE_BUFFER_BYTES`, after which reading stops until the peer has read.
//!
//! Two paths do something else: see [`fan_out`]. [`http`] answers plain requests, and
//! [`grpc`] calls. With a certificate it speaks
//! TLS by rustls, as the host does: on the stream itself, with tickets.

mod fan_out;
pub mod grpc;
pub mod http;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::{Sink, Stream};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use fan_out::Room;

/// Largest message echoed.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// How much is gathered before it is written without a flush: as in the host.
const WRITE_BUFFER_BYTES: usize = 16 << 10;

/// How long to wait after a failed accept: most often the process has too many
/// open files, which takes a moment to pass.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(10);

/// The behaviour of the server.
#[derive(Debug, Clone, Copy)]
pub struct EchoOptions {
    /// Read buffer of a connection, in bytes; allocated at once.
    pub read_buffer_bytes: usize,
    /// Flush after each message instead of after all that were there.
    pub flush_each: bool,
}

/// Accepts and serves connections for ever; over TLS where there is an acceptor.
pub async fn serve(
    listener: TcpListener,
    options: EchoOptions,
    tls: Option<TlsAcceptor>,
) -> Infallible {
    let room = Arc::new(Room::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (tls, room) = (tls.clone(), Arc::clone(&room));
                tokio::spawn(connection(stream, options, tls, room));
            }
            Err(_) => tokio::time::sleep(ACCEPT_BACKOFF).await,
        }
    }
}

/// What accepts TLS with a certificate and its key, in PEM files.
///
/// # Errors
///
/// Where they cannot be read, or do not fit.
pub fn acceptor(certificate: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions()?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("the key does not fit the certificate")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn connection(
    stream: TcpStream,
    options: EchoOptions,
    tls: Option<TlsAcceptor>,
    room: Arc<Room>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    match tls {
        None => requests(stream, options, room).await,
        // A peer may break off a handshake: this is ignored here.
        Some(tls) => {
            if let Ok(stream) = Box::pin(tls.accept(stream)).await {
                Box::pin(requests(stream, options, room)).await;
            }
        }
    }
}

/// A stream that WebSockets travel on.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl Socket for TcpStream {}
impl Socket for TlsStream<TcpStream> {}

async fn requests<S: Socket>(stream: S, options: EchoOptions, room: Arc<Room>) {
    let service = service_fn(|request| {
        let response = upgrade::<S>(request, options, &room);
        async move { Ok::<_, Infallible>(response) }
    });
    // A peer may break off a handshake: this is ignored here.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}

/// Answers the handshake (RFC 6455, section 4.2.2), as far as a benchmark
/// needs it: the load generator's handshakes are valid.
fn upgrade<S: Socket>(
    mut request: Request<Incoming>,
    options: EchoOptions,
    room: &Arc<Room>,
) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let Some(accept) = accept.and_then(|accept| HeaderValue::from_str(&accept).ok()) else {
        *response.status_mut() = StatusCode::UPGRADE_REQUIRED;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    let upgraded = hyper::upgrade::on(&mut request);
    match request.uri().path() {
        "/fan-out/subscribe" => {
            tokio::spawn(fan_out::subscriber::<S>(
                upgraded,
                options,
                Arc::clone(room),
            ));
        }
        "/fan-out/publish" => {
            tokio::spawn(fan_out::publisher::<S>(upgraded, options, Arc::clone(room)));
        }
        _ => {
            tokio::spawn(echo::<S>(upgraded, options));
        }
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

/// The WebSocket of an upgraded connection, unless the peer has gone.
async fn socket<S: Socket>(
    upgraded: OnUpgrade,
    options: EchoOptions,
) -> Option<WebSocketStream<S>> {
    let upgraded = upgraded.await.ok()?;
    // hyper boxes the stream; taking it out saves a virtual call for each read
    // and write.
    let Parts { io, read_buf, .. } = upgraded.downcast::<TokioIo<S>>().ok()?;
    let socket = WebSocketStream::from_partially_read(
        io.into_inner(),
        read_buf.to_vec(),
        Role::Server,
        Some(config(options)),
    );
    drop(read_buf);
    Some(socket.await)
}

async fn echo<S: Socket>(upgraded: OnUpgrade, options: EchoOptions) {
    let Some(socket) = socket::<S>(upgraded, options).await else {
        return;
    };
    let mut echo = Echo {
        socket,
        flush_each: options.flush_each,
        flushed: true,
        waiting: None,
    };
    // However it ended, the connection is gone.
    let _ = poll_fn(|context| echo.poll(context)).await;
}

fn config(options: EchoOptions) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(options.read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(2 * WRITE_BUFFER_BYTES + MESSAGE_BYTES_MAX)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .accept_unmasked_frames(false)
}

struct Echo<S> {
    socket: WebSocketStream<S>,
    flush_each: bool,
    flushed: bool,
    /// Read, and not written yet.
    waiting: Option<Message>,
}

impl<S: Socket> Echo<S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if let Some(message) = self.waiting.take() {
                let mut socket = Pin::new(&mut self.socket);
                if socket.as_mut().poll_ready(context)?.is_pending() {
                    self.waiting = Some(message);
                    return Poll::Pending;
                }
                socket.start_send(message)?;
                self.flushed = false;
                if self.flush_each {
                    self.flush(context)?;
                }
            }
            match Pin::new(&mut self.socket).poll_next(context) {
                Poll::Ready(Some(Ok(message @ (Message::Text(_) | Message::Binary(_))))) => {
                    self.waiting = Some(message);
                }
                // tungstenite answers pings and the close frame by itself.
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    self.flush(context)?;
                    return Poll::Pending;
                }
            }
        }
    }

    /// Starts a flush; one that cannot be finished wakes the task.
    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        if !self.flushed
            && let Poll::Ready(outcome) = Pin::new(&mut self.socket).poll_flush(context)
        {
            outcome?;
            self.flushed = true;
        }
        Ok(())
    }
}

/// Raises the limit of open files as far as the system allows.
///
/// # Errors
///
/// Where the limit cannot be read or set.
pub fn raise_open_files() -> io::Result<u64> {
    rlimit::increase_nofile_limit(u64::MAX)
}
