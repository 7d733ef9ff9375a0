//! The HTTP of the authority, over TLS.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Fault, Shared};

pub type Answer = Response<Full<Bytes>>;

pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let path = |name| shared.authority.path(name);
    let chain = vec![CertificateDer::from_pem_file(path("acme.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(path("acme-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A client that does not trust it goes.
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(stream, shared).await;
            }
        });
    }
}

async fn serve(mut stream: TlsStream<TcpStream>, shared: Arc<Shared>) {
    let fault = shared.state.lock().fault;
    match fault {
        Fault::Close => return,
        Fault::Huge => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 8192]).await.is_ok() {}
            return;
        }
        _ => {}
    }
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that goes is no fault of a test.
    let _ = connection.await;
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = parts.uri.path().to_owned();
    let fault = shared.state.lock().fault;
    match fault {
        Fault::Garbage => plain(StatusCode::OK, "<html>This is a page.</html>"),
        Fault::Broken => plain(StatusCode::BAD_GATEWAY, "<html>No.</html>"),
        Fault::Redirect => {
            let mut answer = plain(StatusCode::MOVED_PERMANENTLY, "");
            let to = "https://elsewhere.example/directory".parse().unwrap();
            answer.headers_mut().insert(LOCATION, to);
            answer
        }
        _ => super::protocol::answer(shared, &path, &body),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = Response::new(Full::from(text));
    *answer.status_mut() = status;
    let kind = "text/html".parse().unwrap();
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
