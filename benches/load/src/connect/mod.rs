//! Opens one connection: TCP, TLS for a `wss://` target, then the handshake, all
//! under one deadline.

mod failure;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use tokio_util::either::Either;

use crate::error::LoadError;
use crate::options::{MESSAGE_BYTES_MAX, Options};
pub use failure::ConnectFailure;

/// Longest header of a client's frame: two bytes, eight of length, four of
/// mask (RFC 6455, section 5.2).
const FRAME_HEADER_BYTES: usize = 14;

/// Smallest and largest read buffer. tungstenite clears the free part of it
/// before each read, so a large one costs time; a small one costs system calls.
const READ_BUFFER_BYTES_MIN: usize = 4 << 10;
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Read buffer of a connection that is only held.
const READ_BUFFER_BYTES_IDLE: usize = 1 << 10;

/// How much is gathered before it is written without a flush. Everything that
/// is due at one time is flushed at once; this only bounds the memory.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// A stream with TLS is boxed, so that one without is no larger for it.
pub(crate) type Socket = WebSocketStream<Either<TcpStream, Box<TlsStream<TcpStream>>>>;

/// Opens connections for one run.
#[derive(Debug, Clone)]
pub(crate) struct Connector {
    request: Request,
    addresses: Vec<SocketAddr>,
    /// For a target with TLS, with the name that its certificate must have.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    config: WebSocketConfig,
    timeout: Duration,
}

impl Connector {
    /// Resolves the target's host and prepares the handshake.
    pub(crate) async fn new(options: &Options) -> Result<Self, LoadError> {
        let target = &options.target;
        let unresolved = |error| LoadError::Resolve {
            host: target.host().to_owned(),
            error,
        };
        let addresses: Vec<_> = tokio::net::lookup_host((target.host(), target.port()))
            .await
            .map_err(unresolved)?
            .collect();
        if addresses.is_empty() {
            return Err(unresolved(io::Error::from(io::ErrorKind::NotFound)));
        }
        Ok(Self {
            request: request(options)?,
            addresses,
            tls: tls(options)?,
            config: config(options),
            timeout: options.connect_timeout,
        })
    }

    /// Opens one connection, and says how long that took.
    pub(crate) async fn open(&self) -> Result<(Socket, Duration), ConnectFailure> {
        let start = Instant::now();
        let socket = tokio::time::timeout(self.timeout, self.handshake())
            .await
            .map_err(|_| ConnectFailure::TimedOut(self.timeout))??;
        Ok((socket, start.elapsed()))
    }

    async fn handshake(&self) -> Result<Socket, ConnectFailure> {
        // Tries the addresses in turn.
        let stream = TcpStream::connect(&self.addresses[..]).await?;
        // A message must leave when it is due, not when more has gathered.
        stream.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Either::Left(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let secured = connector.connect(name.clone(), stream).await;
                Either::Right(Box::new(secured.map_err(ConnectFailure::of_tls)?))
            }
        };
        let request = self.fresh_request()?;
        let (socket, _) = client_async_with_config(request, stream, Some(self.config)).await?;
        Ok(socket)
    }

    /// The request with a key of its own (RFC 6455, section 4.1).
    fn fresh_request(&self) -> Result<Request, ConnectFailure> {
        let mut request = self.request.uri().clone().into_client_request()?;
        for (name, value) in self.request.headers() {
            request.headers_mut().append(name, value.clone());
        }
        Ok(request)
    }
}

/// The settings of TLS, if the target has it.
fn tls(options: &Options) -> Result<Option<(Arc<ClientConfig>, ServerName<'static>)>, LoadError> {
    let Some(settings) = options.tls.as_ref().filter(|_| options.target.has_tls()) else {
        return Ok(None);
    };
    let host = options.target.host().to_owned();
    let name = ServerName::try_from(host).map_err(|error| LoadError::Setting {
        name: "host",
        problem: error.to_string(),
    })?;
    Ok(Some((Arc::clone(&settings.0), name)))
}

/// The target and the headers that the user added.
fn request(options: &Options) -> Result<Request, LoadError> {
    let mut request = Request::new(());
    *request.uri_mut() = options.target.uri().clone();
    for (name, value) in &options.headers {
        let invalid = |problem: String| LoadError::Setting {
            name: "header",
            problem,
        };
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| invalid(format!("`{name}` is not a header name")))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("the value of `{name}` has a forbidden character")))?;
        if request.headers_mut().insert(&name, value).is_some() {
            return Err(invalid(format!("`{name}` is given twice")));
        }
    }
    Ok(request)
}

fn config(options: &Options) -> WebSocketConfig {
    let frame_bytes = options.message_bytes + FRAME_HEADER_BYTES;
    let depth = usize::try_from(options.depth).unwrap_or(usize::MAX);
    let in_flight_bytes = frame_bytes.saturating_mul(depth);
    let read_buffer_bytes = if options.idle {
        READ_BUFFER_BYTES_IDLE
    } else {
        in_flight_bytes.clamp(READ_BUFFER_BYTES_MIN, READ_BUFFER_BYTES_MAX)
    };
    WebSocketConfig::default()
        .read_buffer_size(read_buffer_bytes)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        // All that may be in flight, and control frames: never in the way.
        .max_write_buffer_size(in_flight_bytes.saturating_add(2 * WRITE_BUFFER_BYTES))
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
        .accept_unmasked_frames(false)
}
