//! Calls over TLS: certificates, HTTP/2, and what is not TLS at all.

use std::convert::Infallible;
use std::fs;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig as TlsServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;

use super::*;

/// An authority with the file of its certificate.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// The settings of a server with these names.
    fn server(&self, names: &[&str], protocols: &[&str]) -> TlsAcceptor {
        let names: Vec<_> = names.iter().map(|&it| it.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let builder = TlsServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// What a function may call that trusts it.
    fn trusted(&self, hosts: &[&str], limits: &FunctionLimits) -> Terms {
        let config = OutboundConfig {
            rules: rules(hosts),
            roots: vec![self.folder.path().join("ca.pem")],
        };
        Terms::read(&config, limits, &SystemRoots::none()).unwrap()
    }
}

/// Tells the version, the host and the body that it was asked with.
async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let version = request.version();
    let host = match request.uri().authority() {
        Some(authority) => authority.to_string(),
        None => request.headers()["host"].to_str().unwrap().to_owned(),
    };
    let has_both = request.uri().authority().is_some() && request.headers().contains_key("host");
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await;
    let body = body.map(|it| String::from_utf8(it.to_bytes().to_vec()).unwrap());
    let large = path == "/large";
    let text = match body {
        _ if large => "x".repeat(100_000),
        Ok(body) => format!("{version:?} {host} {has_both} {body}"),
        Err(_) => "failed".into(),
    };
    let mut answer = Response::new(Full::from(text));
    if path == "/headers" {
        let value = "v".repeat(50_000).parse().unwrap();
        answer.headers_mut().insert("x", value);
    }
    Ok(answer)
}

async fn secure(acceptor: TlsAcceptor) -> Server {
    Server::new(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            let service = service_fn(echo);
            if is_http2 {
                let builder = http2::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(io, service).await;
            } else {
                let _ = http1::Builder::new().serve_connection(io, service).await;
            }
        }
    })
    .await
}

/// A function that trusts the authority, and the URL of the server.
fn trusting(
    authority: &Authority,
    server: &Server,
    change: impl FnOnce(&mut FunctionLimits),
) -> (Function, String) {
    let mut limits = FunctionLimits::default();
    change(&mut limits);
    let host = format!("private https://home.example:{}", server.port());
    let function = Function::with(authority.trusted(&[&host], &limits), home());
    (function, format!("https://home.example:{}/", server.port()))
}

#[tokio::test]
async fn hosts_that_speak_http2_get_all_calls_on_one_connection() {
    let authority = Authority::new();
    let server = secure(authority.server(&["home.example"], &["h2", "http/1.1"])).await;
    let (function, url) = trusting(&authority, &server, |_| {});
    let port = server.port();
    let expected = format!("HTTP/2.0 home.example:{port} false ");
    assert_eq!(function.text(&url).await.unwrap(), expected);
    let all = (0..20).map(|number| function.call(post(&url, number.to_string())));
    let all = futures_util::future::join_all(all).await;
    for (number, answer) in all.into_iter().enumerate() {
        let expected = format!("{expected}{number}");
        assert_eq!(text(answer.unwrap()).await.unwrap(), expected);
    }
    assert_eq!((server.accepted(), function.calls.waiting()), (1, (0, 1)));
    assert_eq!(function.outbound.in_flight(), 0);
}

#[tokio::test]
async fn hosts_that_do_not_get_http1() {
    let authority = Authority::new();
    for protocols in [&["http/1.1"][..], &[]] {
        let server = secure(authority.server(&["home.example"], protocols)).await;
        let (function, url) = trusting(&authority, &server, |_| {});
        let port = server.port();
        for _ in 0..2 {
            let got = text(function.call(post(&url, "body")).await.unwrap()).await;
            let expected = format!("HTTP/1.1 home.example:{port} false body");
            assert_eq!(got.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn limits_hold_in_http2_and_spare_the_calls_beside_it() {
    let authority = Authority::new();
    let server = secure(authority.server(&["home.example"], &["h2"])).await;
    let (function, url) = trusting(&authority, &server, |it| {
        it.outbound_response_bytes = 1000;
        it.outbound_request_bytes = 10;
    });
    let (slow, body) = streamed(&url);
    let beside = tokio::spawn(function.calls.call(slow, CallOptions::default()));
    body.send(Some(Bytes::from_static(b"a"))).await.unwrap();
    eventually("it is there", || function.calls.waiting() == (0, 1)).await;
    let error = function.text(&format!("{url}large")).await.unwrap_err();
    assert_eq!(error, OutboundError::ResponseBodyBytes(1000));
    let (large, other) = streamed(&url);
    let write = async {
        let _ = other.send(Some(Bytes::from_static(b"0123456789a"))).await;
    };
    let (answer, ()) = tokio::join!(function.call(large), write);
    assert_eq!(answer.unwrap_err(), OutboundError::RequestBodyBytes(10));
    let error = function.text(&format!("{url}headers")).await.unwrap_err();
    assert!(
        matches!(
            error,
            OutboundError::ResponseHeaderBytes(_)
                | OutboundError::Protocol(_)
                | OutboundError::Terminated
        ),
        "{error}"
    );
    // A call that is dropped resets its stream alone.
    drop(function.get(&format!("{url}large")).await);
    drop(body);
    let got = text(beside.await.unwrap().unwrap()).await.unwrap();
    assert!(got.ends_with(" a"), "{got}");
    assert_eq!(function.outbound.in_flight(), 0);
}

#[tokio::test]
async fn a_call_of_http2_that_is_dropped_stops_its_body() {
    let authority = Authority::new();
    let server = secure(authority.server(&["home.example"], &["h2"])).await;
    let (function, url) = trusting(&authority, &server, |_| {});
    let (request, body) = streamed(&url);
    let call = tokio::spawn(function.calls.call(request, CallOptions::default()));
    body.send(Some(Bytes::from_static(b"a"))).await.unwrap();
    eventually("it is there", || function.calls.waiting() == (0, 1)).await;
    call.abort();
    tokio::time::timeout(SOON, body.closed()).await.unwrap();
    eventually("the place is free", || function.outbound.in_flight() == 0).await;
    // The connection serves on.
    assert!(function.text(&url).await.is_ok());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn certificates_are_verified() {
    let authority = Authority::new();
    // A name that the certificate does not have.
    let server = secure(authority.server(&["other.example"], &[])).await;
    let (function, url) = trusting(&authority, &server, |_| {});
    let error = function.get(&url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Certificate(_)), "{error}");
    // An authority that is not trusted.
    let server = secure(authority.server(&["home.example"], &[])).await;
    let (function, url) = trusting(&Authority::new(), &server, |_| {});
    let error = function.get(&url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Certificate(_)), "{error}");
    assert!(error.hint().unwrap().contains("`roots`"));
    // A reload that trusts it.
    let host = format!("private home.example:{}", server.port());
    let limits = FunctionLimits::default();
    function.calls.replace(authority.trusted(&[&host], &limits));
    assert!(function.get(&url).await.is_ok());
    // The address of a certificate counts like a name.
    let server = secure(authority.server(&["127.0.0.1"], &[])).await;
    let address = format!("127.0.0.1:{}", server.port());
    function
        .calls
        .replace(authority.trusted(&[&address], &limits));
    assert!(function.get(&format!("https://{address}/")).await.is_ok());
}

#[tokio::test]
async fn what_does_not_speak_tls_is_told_apart() {
    let authority = Authority::new();
    let plain = Server::saying_once("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let (function, url) = trusting(&authority, &plain, |it| {
        it.outbound_connect_timeout = Duration::from_millis(200);
    });
    // It waits for the end of a head, as servers do.
    let error = function.get(&url).await.unwrap_err();
    assert_eq!(error, OutboundError::ConnectTimeout);
    let eager = Server::new(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    })
    .await;
    let (function, url) = trusting(&authority, &eager, |_| {});
    let error = function.get(&url).await.unwrap_err();
    assert!(matches!(error, OutboundError::Tls(_)), "{error}");
    let closing = Server::new(|stream| async move { drop(stream) }).await;
    let (function, url) = trusting(&authority, &closing, |_| {});
    let error = function.get(&url).await.unwrap_err();
    assert_eq!(error, OutboundError::Terminated);
    // No protocol in common.
    let server = secure(authority.server(&["home.example"], &["spdy"])).await;
    let (function, url) = trusting(&authority, &server, |_| {});
    let error = function.get(&url).await.unwrap_err();
    let is_alert = matches!(error, OutboundError::TlsAlert { code: 120, .. });
    assert!(is_alert, "{error}");
}

#[tokio::test]
async fn a_stream_for_other_protocols_never_speaks_http2() {
    use openline_core::outbound::{Destination, Scheme};
    let authority = Authority::new();
    let server = secure(authority.server(&["home.example"], &["h2", "http/1.1"])).await;
    let (function, _) = trusting(&authority, &server, |_| {});
    let at = format!("home.example:{}", server.port());
    let to = Destination::parse(Scheme::Https, &at).unwrap();
    let mut stream = function.calls.connect(to, None).await.unwrap();
    let ask = format!("GET / HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 home.example"), "{answer}");
}
