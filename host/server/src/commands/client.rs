//! The client of a host's interfaces, for commands: each request has a TCP
//! connection of its own. Its answer is whole, or flows as long as the host
//! has something to say.
//!
//! Bounded by [`CONNECT_TIMEOUT`], by the timeout of each request, and by
//! [`ANSWER_BYTES_MAX`]; an answer that flows by [`SILENCE_MAX`]. It speaks
//! HTTP/1.1, with TLS for an address that begins with `https://`; `trust`
//! decides whether it is the right host.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use openline_hint::{Hint, Hinted};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::early::AnsweredEarly;
use super::trust;
use super::url::{HostUrl, Interface};

/// How long to wait for a TCP connection: longer than a bad network needs,
/// shorter than a person's patience.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer that is read: three times a page of 1000 connections with
/// all the tags that they may have, or a page of a history whose 4 MiB are all
/// control characters, which JSON has in six letters each.
pub(crate) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;
/// How long an answer that flows may be silent: the host says every 25 s that it
/// is there.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The size of the pieces in which a body is sent, so that progress can be
/// shown.
const PIECE_BYTES: usize = 64 * 1024;

/// The characters that need no encoding: RFC 3986 section 2.3.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The TCP connection could not be made.
    #[error("no connection to {0}: {1}")]
    Connect(HostUrl, String),
    /// The TLS handshake failed, and why; the hint is in there.
    #[error("{0} {1}")]
    Tls(HostUrl, Hinted),
    /// The stream ended without an answer.
    #[error("{0} has closed the connection without an answer")]
    Closed(HostUrl),
    /// The answer is not HTTP.
    #[error("{0} does not answer as {kind} does: {1}", kind = .0.interface())]
    Broken(HostUrl, String),
    /// No answer in time.
    #[error("no answer from {0} for {1:?}")]
    Timeout(HostUrl, Duration),
    /// A token or a key that no header can carry.
    #[error("the {} has characters that cannot be sent", credential(*.0))]
    Token(Interface),
}

/// A request.
#[derive(Clone, Debug)]
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

/// An answer as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// When to ask again, if it says so.
    pub(crate) retry_after: Option<Duration>,
    /// Its body.
    pub(crate) body: Bytes,
}

/// An answer of JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: u16,
    /// Its JSON; null if there is no body.
    pub(crate) body: Value,
}

/// An answer that flows; dropped, its connection ends.
#[derive(Debug)]
pub(crate) struct Flow {
    url: HostUrl,
    body: Incoming,
    silence_max: Duration,
    _connection: JoinSet<()>,
}

/// What a request for an answer that flows gets.
#[derive(Debug)]
pub(crate) enum Opened {
    /// The answer, whose status is 200.
    Flow(Flow),
    /// Another answer.
    Other(Answer),
}

/// A TCP connection, with TLS or without.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// Sends requests to one interface.
#[derive(Clone)]
pub(crate) struct Client {
    url: HostUrl,
    /// A token of the admin interface, or a key.
    token: Option<String>,
    /// For an address with TLS.
    tls: Option<Arc<ClientConfig>>,
}

/// Encodes a text as one segment of a path, or as a value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// What callers of an interface show.
fn credential(interface: Interface) -> &'static str {
    match interface {
        Interface::Admin => "token",
        Interface::Publishers => "key",
    }
}

impl Hint for ClientError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Connect(url, _) => {
                let (kind, option) = (url.interface(), url.interface().option());
                format!(
                    "is the host running? it says at its start where {kind} is; {option} names it here"
                )
            }
            Self::Tls(_, failure) => return failure.hint(),
            Self::Closed(url) => {
                let (kind, option) = (url.interface(), url.interface().option());
                format!(
                    "a host that stops does so, and whether it has done what was asked is not known: ask again when it has started; or name {kind}, as the host says at its start, with {option}"
                )
            }
            Self::Broken(url, _) => {
                let (kind, option) = (url.interface(), url.interface().option());
                format!(
                    "something else listens there, perhaps the port of connections or one that speaks TLS (then write `https://`): name {kind}, as the host says at its start, with {option}"
                )
            }
            Self::Timeout(..) => {
                "the host is busy, or something on the way swallows what is sent: ask `/.openline/live` of it".to_owned()
            }
            Self::Token(Interface::Admin) => {
                "a token has visible ASCII characters only: look at OPENLINE_ADMIN_TOKEN or the file that `--token-file` names".to_owned()
            }
            Self::Token(Interface::Publishers) => {
                "a key has visible ASCII characters only: look at OPENLINE_KEY, `--key`, or the file that `--key-file` names".to_owned()
            }
        };
        Some(hint.into())
    }
}

// === impl Client ===

impl Client {
    /// A client for an address, with a token or without one, and with the
    /// settings of TLS if the address has that.
    pub(crate) fn new(url: HostUrl, token: Option<String>, tls: Option<Arc<ClientConfig>>) -> Self {
        Self { url, token, tls }
    }

    /// Sends a request whose answer is JSON. `sent` is called with the number of
    /// bytes of the body that the network has taken so far.
    pub(crate) async fn ask(
        &self,
        ask: Ask,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Reply, ClientError> {
        let answer = self.answer(ask, sent).await?;
        let status = answer.status;
        if answer.body.is_empty() {
            let body = Value::Null;
            return Ok(Reply { status, body });
        }
        let body = serde_json::from_slice(&answer.body)
            .map_err(|_| self.broken(format!("status {status} without JSON")))?;
        Ok(Reply { status, body })
    }

    /// The same; the answer as it came.
    pub(crate) async fn answer(
        &self,
        ask: Ask,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> Result<Answer, ClientError> {
        let (timeout, request) = (ask.timeout, self.request(ask, Box::new(sent))?);
        let stream = self.connect().await?;
        let exchange = async {
            let (answer, mut connection) = self.head(stream, request).await?;
            let answer = self.whole(answer).await;
            connection.abort_all();
            answer
        };
        self.within(timeout, exchange).await
    }

    /// Sends a request whose answer flows, with a further header.
    pub(crate) async fn open(
        &self,
        ask: Ask,
        header: Option<(HeaderName, HeaderValue)>,
    ) -> Result<Opened, ClientError> {
        let (timeout, mut request) = (ask.timeout, self.request(ask, Box::new(|_| {}))?);
        request.headers_mut().extend(header);
        let stream = self.connect().await?;
        let exchange = async {
            let (answer, connection) = self.head(stream, request).await?;
            if answer.status() != 200 {
                return Ok(Opened::Other(self.whole(answer).await?));
            }
            Ok(Opened::Flow(Flow {
                url: self.url.clone(),
                body: answer.into_body(),
                silence_max: SILENCE_MAX,
                _connection: connection,
            }))
        };
        self.within(timeout, exchange).await
    }

    async fn within<T>(
        &self,
        timeout: Duration,
        exchange: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let answered = tokio::time::timeout(timeout, Box::pin(exchange)).await;
        answered.map_err(|_| ClientError::Timeout(self.url.clone(), timeout))?
    }

    async fn connect(&self) -> Result<TcpStream, ClientError> {
        let failed = |cause: String| ClientError::Connect(self.url.clone(), cause);
        let connecting = TcpStream::connect(self.url.place());
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer for {CONNECT_TIMEOUT:?}"))),
        }
    }

    /// Makes the TLS handshake, if the address has TLS.
    async fn secure(&self, stream: TcpStream) -> Result<Box<dyn Duplex>, ClientError> {
        let Some(config) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let (host, _) = self.url.place();
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let hint = "name it by a host name or an address";
            let what = format!("cannot be verified: `{host}` is no name for a certificate");
            ClientError::Tls(self.url.clone(), Hinted::new(what, hint))
        })?;
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        match connecting.await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(match trust::failure(&error, host) {
                Some(failure) => ClientError::Tls(self.url.clone(), failure),
                None => ClientError::Closed(self.url.clone()),
            }),
        }
    }

    /// Sends a request: the head of its answer, and the connection, which has to
    /// live as long as the body is read.
    async fn head(
        &self,
        stream: TcpStream,
        request: Request<Pieces>,
    ) -> Result<(Response<Incoming>, JoinSet<()>), ClientError> {
        let stream = self.secure(stream).await?;
        let opened = http1::handshake(TokioIo::new(AnsweredEarly::new(stream))).await;
        let (mut sender, connection) = opened.map_err(|error| self.broken(error.to_string()))?;
        let mut driving = JoinSet::new();
        driving.spawn(async {
            // What fails, fails for the request as well.
            let _ = connection.await;
        });
        let answer = sender.send_request(request).await;
        Ok((answer.map_err(|error| self.failed(&error))?, driving))
    }

    async fn whole(&self, answer: Response<Incoming>) -> Result<Answer, ClientError> {
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.downcast_ref() {
            Some(error) => self.failed(error),
            None => self.broken(error.to_string()),
        })?;
        Ok(Answer {
            status: parts.status.as_u16(),
            retry_after: retry_after(&parts.headers),
            body: body.to_bytes(),
        })
    }

    fn broken(&self, cause: String) -> ClientError {
        ClientError::Broken(self.url.clone(), cause)
    }

    fn failed(&self, error: &hyper::Error) -> ClientError {
        failed(&self.url, error)
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
        let form = |error: http::Error| self.broken(error.to_string());
        let mut request = Request::builder()
            .method(ask.method)
            .uri(format!("{}{}", self.url.prefix(), ask.path))
            .header(HOST, self.url.authority())
            .body(pieces)
            .map_err(form)?;
        let headers = request.headers_mut();
        if !kind.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ClientError::Token(self.url.interface()))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

/// When to ask again, in seconds (RFC 9110 section 10.2.3). A host never says it
/// as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    text.parse().ok().map(Duration::from_secs)
}

/// Why an exchange has failed: the stream ended early, or the answer was
/// invalid.
fn failed(url: &HostUrl, error: &hyper::Error) -> ClientError {
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
        return ClientError::Closed(url.clone());
    }
    ClientError::Broken(url.clone(), error.to_string())
}

impl fmt::Debug for Client {
    /// Does not show the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.url)
    }
}

impl Flow {
    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout(self.silence_max, self.body.frame()).await;
            let frame =
                frame.map_err(|_| ClientError::Timeout(self.url.clone(), self.silence_max))?;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| failed(&self.url, &error))?;
            // Trailers have no meaning here.
            if let Ok(piece) = frame.into_data() {
                return Ok(Some(piece));
            }
        }
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

    /// A client of a listener.
    fn client_of(listener: &tokio::net::TcpListener) -> Client {
        let url = format!("http://{}", listener.local_addr().unwrap());
        Client::new(
            HostUrl::parse(&url, Interface::Publishers).unwrap(),
            None,
            None,
        )
    }

    fn get() -> Ask {
        Ask {
            method: "GET",
            path: "/".into(),
            body: None,
            timeout: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn a_host_that_ends_is_told_from_what_is_no_host() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&listener);
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
            let (answered, ()) = tokio::join!(client.ask(get(), |_| {}), serving(said));
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
        let (answered, ()) = tokio::join!(client.ask(get(), |_| {}), resetting);
        let error = answered.unwrap_err();
        assert!(matches!(error, ClientError::Closed(_)), "{error:?}");
    }

    #[tokio::test]
    async fn an_answer_at_its_bytes_and_past_them() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&listener);
        for (bytes, fits) in [(ANSWER_BYTES_MAX, true), (ANSWER_BYTES_MAX + 1, false)] {
            let serving = async {
                let (mut socket, _) = listener.accept().await.unwrap();
                let _ = socket.read(&mut [0; 1024]).await.unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n");
                socket.write_all(head.as_bytes()).await.unwrap();
                // A client that has enough goes.
                let _ = socket.write_all(&vec![b'x'; bytes]).await;
            };
            let (answered, ()) = tokio::join!(client.answer(get(), |_| {}), serving);
            match answered {
                Ok(answer) => assert!(fits && answer.body.len() == bytes, "{bytes}"),
                Err(error) => assert!(!fits, "{bytes}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn an_answer_that_flows_is_given_up_when_it_is_silent() {
        // The host says every 25 s that it is there.
        assert_eq!(SILENCE_MAX, Duration::from_secs(60));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client_of(&listener);
        let serving = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 1024]).await.unwrap();
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n:\n\r\n";
            socket.write_all(head).await.unwrap();
            socket
        };
        let (opened, mut socket) = tokio::join!(client.open(get(), None), serving);
        let Ok(Opened::Flow(mut flow)) = opened else {
            panic!("{opened:?}");
        };
        assert_eq!(flow.silence_max, SILENCE_MAX);
        assert_eq!(flow.next().await.unwrap().unwrap(), ":\n");
        flow.silence_max = Duration::from_millis(1);
        let error = flow.next().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Timeout(_, silence) if silence == flow.silence_max),
            "{error}"
        );
        // What comes in time ends the silence.
        flow.silence_max = SILENCE_MAX;
        socket.write_all(b"2\r\n:\n\r\n").await.unwrap();
        assert_eq!(flow.next().await.unwrap().unwrap(), ":\n");
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
