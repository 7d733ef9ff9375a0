//! How the host asks an authority: HTTP/1.1 over TLS, with a TCP connection for
//! each request.
//!
//! Bounded: [`REQUEST_TIMEOUT`] for each request, [`ANSWER_BYTES_MAX`] for the
//! body of its answer, [`HEAD_BYTES_MAX`] and [`HEADERS_MAX`] for its head.
//! Redirects are not followed: an authority names its URLs in its directory, and
//! one that redirects is not the one that was configured.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, LOCATION, RETRY_AFTER};
use http::uri::{Scheme, Uri};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use openline_core::escape::Escaped;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::schedule::RETRY_AFTER_MAX;

/// How long a request and its answer may take: an authority that validates
/// answers at once and is asked again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest body of an answer, in bytes. A certificate with its issuers has
/// less than ten KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Headers of an answer, at most.
const HEADERS_MAX: usize = 64;
/// How long an authority may have the host wait before it asks about the same
/// order again. A longer wait is for the next attempt.
const POLL_AFTER_MAX: u64 = 30;
/// How much an error repeats of an answer, in bytes.
const SHOWN_BYTES_MAX: usize = 200;

/// Asks one authority. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    /// [`REQUEST_TIMEOUT`].
    patience: Duration,
    /// How long the authority has asked the host to stay away.
    retry_after: Mutex<Option<Duration>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("`{0}` is not a URL with https")]
    Url(String),
    #[error("no connection to {0}: {1}")]
    Connect(String, io::Error),
    #[error("no TLS with {0}: {1}")]
    Tls(String, io::Error),
    #[error("{0} does not answer as an authority does: {1}")]
    Http(String, String),
    #[error("{0} has not answered within {seconds} s", seconds = .1.as_secs())]
    Late(String, Duration),
    #[error("the answer of {0} has more than {kib} KiB", kib = ANSWER_BYTES_MAX / 1024)]
    Large(String),
    #[error("{0} answers {1} without saying why")]
    Status(String, u16),
    #[error("{from} leads to `{to}`")]
    Redirect { from: String, to: String },
}

impl Client {
    /// A client that trusts these authorities.
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        Self::with(roots, REQUEST_TIMEOUT)
    }

    fn with(roots: Arc<RootCertStore>, patience: Duration) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions()?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self(Arc::new(Inner {
            tls: TlsConnector::from(Arc::new(config)),
            patience,
            retry_after: Mutex::new(None),
        })))
    }

    /// How long the authority has asked the host to stay away, if it has in its
    /// last answers.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        *self.0.retry_after.lock()
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let shown = shown(request.uri().to_string());
            let asking = tokio::time::timeout(inner.patience, inner.ask(request));
            let answered = asking
                .await
                .unwrap_or(Err(AskError::Late(shown, inner.patience)));
            match answered {
                Ok(answer) => Ok(answer.into()),
                Err(error) => Err(Error::Other(Box::new(error))),
            }
        })
    }
}

impl Inner {
    async fn ask(
        &self,
        mut request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, AskError> {
        let url = request.uri().clone();
        let name = shown(url.to_string());
        let (authority, path) = parts(&url).ok_or_else(|| AskError::Url(name.clone()))?;
        request.headers_mut().insert(HOST, authority);
        *request.uri_mut() = path;
        let stream = self.connect(&url, &name).await?;
        let broken = |error: hyper::Error| AskError::Http(name.clone(), error.to_string());
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(broken)?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => broken(*error),
                Err(_) => AskError::Large(name.clone()),
            })?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        // The exchange ends first, also when the other end closes: hyper tells it.
        let answer = tokio::select! {
            biased;
            answer = exchange => answer?,
            ended = connection => {
                let why = ended.map_or_else(|error| error.to_string(), |()| "it has closed".into());
                return Err(AskError::Http(name, why));
            }
        };
        self.judge(answer, name)
    }

    async fn connect(
        &self,
        url: &Uri,
        name: &str,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, AskError> {
        let host = url.host().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = url.port_u16().unwrap_or(443);
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| AskError::Connect(name.into(), error))?;
        let server = ServerName::try_from(host.to_owned());
        let server = server.map_err(|_| AskError::Url(name.into()))?;
        let made = self.tls.connect(server, stream).await;
        made.map_err(|error| AskError::Tls(name.into(), error))
    }

    /// Takes from an answer what `instant-acme` must not see: redirects, waits
    /// without a bound, and failures that say nothing.
    fn judge(
        &self,
        answer: Response<Bytes>,
        name: String,
    ) -> Result<Response<Full<Bytes>>, AskError> {
        let (mut parts, body) = answer.into_parts();
        let asked = parts.headers.remove(RETRY_AFTER);
        let seconds = asked.and_then(|it| it.to_str().ok()?.trim().parse::<u64>().ok());
        if let Some(seconds) = seconds.filter(|seconds| *seconds <= POLL_AFTER_MAX) {
            parts.headers.insert(RETRY_AFTER, seconds.into());
        }
        let status = parts.status;
        if status.is_redirection() {
            let to = parts.headers.get(LOCATION);
            let to = to.and_then(|to| to.to_str().ok()).unwrap_or_default();
            let to = shown(to.to_owned());
            return Err(AskError::Redirect { from: name, to });
        }
        if !status.is_success() {
            let wait = seconds.map(|it| Duration::from_secs(it).min(RETRY_AFTER_MAX));
            *self.retry_after.lock() = wait;
            let problem = serde_json::from_slice::<Value>(&body);
            if !problem.is_ok_and(|problem| problem.is_object()) {
                return Err(AskError::Status(name, status.as_u16()));
            }
        }
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

/// The `Host` and the target of a request; none if the URL is not one with
/// https.
fn parts(url: &Uri) -> Option<(HeaderValue, Uri)> {
    let authority = url
        .authority()
        .filter(|_| url.scheme() == Some(&Scheme::HTTPS))?;
    if authority.as_str().contains('@') {
        return None;
    }
    let path = url.path_and_query()?.clone();
    Some((HeaderValue::from_str(authority.as_str()).ok()?, path.into()))
}

/// Untrusted text, as people may see it.
pub(crate) fn shown(text: String) -> String {
    Escaped::new(&text, SHOWN_BYTES_MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_with_https_are_asked() {
        let found = |url: &'static str| {
            let (host, target) = parts(&Uri::from_static(url))?;
            Some((host.to_str().unwrap().to_owned(), target.to_string()))
        };
        let expected = |host: &str, target: &str| Some((host.to_owned(), target.to_owned()));
        assert_eq!(
            found("https://a.example/b?c"),
            expected("a.example", "/b?c")
        );
        assert_eq!(found("https://a.example:1"), expected("a.example:1", "/"));
        assert_eq!(found("https://[::1]:1/x"), expected("[::1]:1", "/x"));
        for url in [
            "http://a.example/",
            "/b",
            "a.example:1",
            "https://u@a.example/",
        ] {
            assert_eq!(found(url), None, "{url}");
        }
    }

    #[tokio::test]
    async fn an_authority_that_says_nothing_is_waited_for_as_long_as_a_request_may_take() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let roots = Arc::new(RootCertStore::empty());
        let client = Client::with(roots, Duration::from_secs(1)).unwrap();
        let request = Request::builder()
            .uri(format!("https://{address}/directory"))
            .body(BodyWrapper::default())
            .unwrap();
        let error = client.request(request).await.err().unwrap();
        let words = format!("https://{address}/directory has not answered within 1 s");
        assert_eq!(error.to_string(), words);
    }

    fn judged(status: u16, after: Option<&str>, body: &'static str) -> (Option<Duration>, String) {
        let client = Client::new(Arc::new(RootCertStore::empty())).unwrap();
        let mut answer = Response::builder().status(status);
        if let Some(after) = after {
            answer = answer.header(RETRY_AFTER, after);
        }
        let answer = answer.body(Bytes::from_static(body.as_bytes())).unwrap();
        let judged = match client.0.judge(answer, "it".into()) {
            Ok(answer) => {
                let after = answer.headers().get(RETRY_AFTER);
                after.map_or_else(|| "none".into(), |it| it.to_str().unwrap().to_owned())
            }
            Err(error) => error.to_string(),
        };
        (client.retry_after(), judged)
    }

    #[test]
    fn waits_are_bounded_and_failures_that_say_nothing_are_told() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (after, kept) in [
            (Some("30"), "30"),
            (Some("31"), "none"),
            (Some("18446744073709551615"), "none"),
            (Some("18446744073709551616"), "none"),
            (Some("-1"), "none"),
            (Some("Fri, 31 Dec 9999 23:59:59 GMT"), "none"),
            (None, "none"),
        ] {
            assert_eq!(judged(200, after, "{}"), (None, kept.into()), "{after:?}");
        }
        let day = RETRY_AFTER_MAX.as_secs();
        for (after, wait) in [
            (Some("3600"), seconds(3600)),
            (Some("18446744073709551615"), seconds(day)),
            (None, None),
        ] {
            let (found, _) = judged(429, after, "{\"type\":\"x\"}");
            assert_eq!(found, wait, "{after:?}");
        }
        let (_, error) = judged(500, None, "<html>");
        assert_eq!(error, "it answers 500 without saying why");
        let (_, error) = judged(301, None, "{}");
        assert_eq!(error, "it leads to ``");
    }
}
