//! The client of the admin interface, for commands: each request has a TCP
//! connection of its own, and its answer is JSON.
//!
//! Bounded by [`CONNECT_TIMEOUT`], by the timeout of each request, and by
//! [`ANSWER_BYTES_MAX`]. It speaks HTTP/1.1, with TLS for an address that
//! begins with `https://`; `trust` decides whether it is the right host.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openline_hint::{Hint, Hinted};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::early::AnsweredEarly;
use super::trust;

/// How long to wait for a TCP connection: longer than a bad network needs,
/// shorter than a person's patience.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: three times a page of 1000 connections with
/// all the tags that they may have.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The size of the pieces in which a body is sent, so that progress can be
/// shown.
const PIECE_BYTES: usize = 64 * 1024;

/// The characters that need no encoding: RFC 3986 section 2.3.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where an admin interface is: `http://127.0.0.1:18080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AdminUrl {
    has_tls: bool,
    host: String,
    port: u16,
    /// Comes before all paths; does not end in a slash.
    prefix: String,
}

/// Why a text is not the address of an admin interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AdminUrlError {
    /// A scheme other than http and https.
    #[error("`{0}://` is not spoken: the admin interface is asked over HTTP")]
    Scheme(String),
    /// Not an address, or an address with more than host, port and path.
    #[error("`{0}` is not the address of an admin interface")]
    Form(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The TCP connection could not be made.
    #[error("no connection to {0}: {1}")]
    Connect(AdminUrl, String),
    /// The TLS handshake failed, and why; the hint is in there.
    #[error("{0} {1}")]
    Tls(AdminUrl, Hinted),
    /// The stream ended without an answer.
    #[error("{0} has closed the connection without an answer")]
    Closed(AdminUrl),
    /// The answer is not HTTP.
    #[error("{0} does not answer as an admin interface does: {1}")]
    Broken(AdminUrl, String),
    /// No answer in time.
    #[error("no answer from {0} for {1:?}")]
    Timeout(AdminUrl, Duration),
    /// A token that no header can carry.
    #[error("the token has characters that cannot be sent")]
    Token,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The method, in upper case.
    pub(crate) method: &'static str,
    /// Path and query, percent-encoded, as in `/v1/functions`.
    pub(crate) path: String,
    /// A body and its type.
    pub(crate) body: Option<(&'static str, Bytes)>,
    /// How long the whole exchange may take.
    pub(crate) timeout: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// Its JSON; null if there is no body.
    pub(crate) body: Value,
}

/// Sends requests to one admin interface.
#[derive(Clone)]
pub(crate) struct Client {
    url: AdminUrl,
    token: Option<String>,
    /// For an address with TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// Encodes a text as one segment of a path, or as a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

// === impl AdminUrl ===

impl Hint for AdminUrlError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Scheme(_) => {
                "write it as in http://127.0.0.1:18080, or with TLS as in https://host.example:18080"
            }
            Self::Form(_) => "write it as in http://127.0.0.1:18080 or https://host.example:18080",
        };
        Some(hint.into())
    }
}

impl Hint for ClientError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Connect(..) => {
                "is the host running? it says at its start where its admin interface is; `--admin URL` or OPENLINE_ADMIN names it here"
            }
            Self::Tls(_, failure) => return failure.hint(),
            Self::Closed(_) => {
                "a host that stops does so, and whether it has done what was asked is not known: ask again when it has started; or name the admin interface, as the host says at its start, with `--admin URL` or OPENLINE_ADMIN"
            }
            Self::Broken(..) => {
                "something else listens there, perhaps the port of connections or one that speaks TLS (then write `https://`): name the admin interface, as the host says at its start, with `--admin URL` or OPENLINE_ADMIN"
            }
            Self::Timeout(..) => {
                "the host is busy, or something on the way swallows what is sent: ask `/.openline/live` of it"
            }
            Self::Token => {
                "a token has visible ASCII characters only: look at OPENLINE_ADMIN_TOKEN or the file that `--token-file` names"
            }
        };
        Some(hint.into())
    }
}

impl AdminUrl {
    /// Whether TLS is spoken there.
    pub(crate) fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// The host without the brackets of an IPv6 address.
    fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

impl FromStr for AdminUrl {
    type Err = AdminUrlError;

    fn from_str(text: &str) -> Result<Self, AdminUrlError> {
        let form = || AdminUrlError::Form(text.chars().take(80).collect());
        let uri: Uri = text.parse().map_err(|_| form())?;
        let scheme = uri.scheme_str().ok_or_else(form)?;
        let has_tls = match scheme {
            "http" => false,
            "https" => true,
            other => return Err(AdminUrlError::Scheme(other.into())),
        };
        let authority = uri.authority().ok_or_else(form)?;
        // Otherwise a port that is not a number would be taken for 80.
        let port = authority.as_str().strip_prefix(authority.host());
        let odd = port.is_none_or(|port| !port.is_empty() && authority.port_u16().is_none())
            || uri.query().is_some();
        if odd || authority.host().is_empty() {
            return Err(form());
        }
        Ok(Self {
            has_tls,
            host: authority.host().into(),
            port: authority
                .port_u16()
                .unwrap_or(if has_tls { 443 } else { 80 }),
            prefix: uri.path().trim_end_matches('/').into(),
        })
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            has_tls,
            host,
            port,
            prefix,
        } = self;
        let scheme = if *has_tls { "https" } else { "http" };
        write!(f, "{scheme}://{host}:{port}{prefix}")
    }
}

// === impl Client ===

impl Client {
    /// A client for an address, with a token or without one, and with the
    /// settings of TLS if the address has that.
    pub(crate) fn new(
        url: AdminUrl,
        token: Option<String>,
        tls: Option<Arc<ClientConfig>>,
    ) -> Self {
        Self { url, token, tls }
    }

    /// Sends a request. `sent` is called with the number of bytes of the body
    /// that the network has taken so far.
    pub(crate) async fn ask(
        &self,
        ask: Ask,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply, ClientError> {
        let timeout = ask.timeout;
        let stream = self.connect().await?;
        let answering = Box::pin(async {
            match &self.tls {
                None => self.exchange(stream, ask, sent).await,
                Some(config) => {
                    let stream = self.secure(config, stream).await?;
                    self.exchange(stream, ask, sent).await
                }
            }
        });
        let answered = tokio::time::timeout(timeout, answering).await;
        answered.map_err(|_| ClientError::Timeout(self.url.clone(), timeout))?
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let failed = |cause: String| ClientError::Connect(self.url.clone(), cause);
        let connecting = TcpStream::connect((self.url.host(), self.url.port));
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer for {CONNECT_TIMEOUT:?}"))),
        }
    }

    /// Makes the TLS handshake.
    async fn secure(
        &self,
        config: &Arc<ClientConfig>,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ClientError> {
        let host = self.url.host();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let hint = "name it by a host name or an address";
            let what = format!("cannot be verified: `{host}` is no name for a certificate");
            ClientError::Tls(self.url.clone(), Hinted::new(what, hint))
        })?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        connecting
            .await
            .map_err(|error| match trust::failure(&error, host) {
                Some(failure) => ClientError::Tls(self.url.clone(), failure),
                None => ClientError::Closed(self.url.clone()),
            })
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        ask: Ask,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply, ClientError> {
        let broken = |cause: String| ClientError::Broken(self.url.clone(), cause);
        let request = self.request(ask, Box::new(sent))?;
        let opened = http1::handshake(TokioIo::new(AnsweredEarly::new(stream))).await;
        let (mut sender, connection) = opened.map_err(|error| broken(error.to_string()))?;
        let asking = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| self.failed(&error))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.downcast_ref() {
                Some(error) => self.failed(error),
                None => broken(error.to_string()),
            })?;
            Ok::<_, ClientError>((parts.status.as_u16(), body.to_bytes()))
        };
        let mut asking = std::pin::pin!(asking);
        let answer = tokio::select! {
            answer = asking.as_mut() => answer,
            // The connection ends first if the host closes it after its answer.
            _ = connection => asking.await,
        };
        let (status, body) = answer?;
        if body.is_empty() {
            let body = Value::Null;
            return Ok(Reply { status, body });
        }
        let body = serde_json::from_slice(&body)
            .map_err(|_| broken(format!("status {status} without JSON")))?;
        Ok(Reply { status, body })
    }

    /// Why an exchange has failed: the stream ended early, or the answer was
    /// invalid.
    fn failed(&self, error: &hyper::Error) -> ClientError {
        let cause = error.source().and_then(|cause| cause.downcast_ref());
        let is_cut = cause.is_some_and(|cause: &io::Error| {
            matches!(
                cause.kind(),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
            )
        });
        // Canceled means that the connection had ended before the request was
        // sent.
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() || is_cut {
            return ClientError::Closed(self.url.clone());
        }
        ClientError::Broken(self.url.clone(), error.to_string())
    }

    fn request(
        &self,
        ask: Ask,
        sent: Box<dyn FnMut(u64) + Send>,
    ) -> Result<Request<Pieces>, ClientError> {
        let (kind, bytes) = ask.body.unwrap_or_default();
        let pieces = Pieces {
            left: bytes,
            handed: 0,
            sent,
        };
        let form = |error: http::Error| ClientError::Broken(self.url.clone(), error.to_string());
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.url.prefix, ask.path))
            .header(HOST, format!("{}:{}", self.url.host, self.url.port))
            .body(pieces)
            .map_err(form)?;
        let headers = request.headers_mut();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

impl fmt::Debug for Client {
    /// Does not show the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.url)
    }
}

// === Pieces ===

/// A body that reports how much of it was taken.
struct Pieces {
    left: Bytes,
    handed: u64,
    sent: Box<dyn FnMut(u64) + Send>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = this.left.split_to(this.left.len().min(PIECE_BYTES));
        this.handed += piece.len() as u64;
        (this.sent)(this.handed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        for (text, shown) in [
            ("http://127.0.0.1:18080", "http://127.0.0.1:18080"),
            ("http://localhost:8081/", "http://localhost:8081"),
            ("http://host.example", "http://host.example:80"),
            ("http://[::1]:9/admin/", "http://[::1]:9/admin"),
            ("https://host.example", "https://host.example:443"),
            ("https://[::1]:9", "https://[::1]:9"),
        ] {
            assert_eq!(text.parse::<AdminUrl>().unwrap().to_string(), shown);
        }
        for text in ["wss://127.0.0.1:18080", "ws://127.0.0.1:18080"] {
            let error = text.parse::<AdminUrl>().unwrap_err();
            assert!(matches!(error, AdminUrlError::Scheme(_)), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:18080",
            "localhost",
            "/v1",
            "http://",
            "http://:8081",
            "http://a@b:1",
            "http://host:99999",
            "http://host:",
            "http://host:1/?x=1",
        ] {
            let error = text.parse::<AdminUrl>();
            assert!(matches!(error, Err(AdminUrlError::Form(_))), "{text}");
        }
    }

    #[tokio::test]
    async fn a_host_that_ends_is_told_from_what_is_no_host() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let client = Client::new(url.parse().unwrap(), None, None);
        let ask = || Ask {
            method: "GET",
            path: "/v1/functions".into(),
            body: None,
            timeout: Duration::from_secs(60),
        };
        let serving = |said: &'static [u8]| async {
            let (mut socket, _) = listener.accept().await.unwrap();
            // Read, because unread bytes would reset the stream.
            let _ = socket.read(&mut [0; 1024]).await.unwrap();
            socket.write_all(said).await.unwrap();
        };
        for (said, is_closed) in [
            (&b""[..], true),
            (b"HTTP/1.1 200 OK\r\ncontent-le", true),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{", true),
            (b"SSH-2.0-OpenSSH_9.6\r\n", false),
        ] {
            let (answered, ()) = tokio::join!(client.ask(ask(), |_| {}), serving(said));
            let error = answered.unwrap_err();
            let matches = match &error {
                ClientError::Closed(_) => is_closed,
                ClientError::Broken(..) => !is_closed,
                _ => false,
            };
            assert!(matches, "{error:?} of {}", String::from_utf8_lossy(said));
        }
        // Without reading, so the stream is reset.
        let resetting = async { drop(listener.accept().await.unwrap()) };
        let (answered, ()) = tokio::join!(client.ask(ask(), |_| {}), resetting);
        let error = answered.unwrap_err();
        assert!(matches!(error, ClientError::Closed(_)), "{error:?}");
    }

    #[tokio::test]
    async fn a_body_is_handed_over_in_pieces_that_are_told() {
        let (tell, told) = std::sync::mpsc::sync_channel(10);
        let pieces = Pieces {
            left: vec![7; PIECE_BYTES + 1].into(),
            handed: 0,
            sent: Box::new(move |bytes| tell.send(bytes).unwrap()),
        };
        assert_eq!(pieces.size_hint().exact(), Some(PIECE_BYTES as u64 + 1));
        let whole = pieces.collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), PIECE_BYTES + 1);
        let told: Vec<_> = told.iter().collect();
        assert_eq!(told, [PIECE_BYTES as u64, PIECE_BYTES as u64 + 1]);
    }
}
