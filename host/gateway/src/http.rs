//! HTTP/1.1: one task a TCP connection, until it ends or is upgraded.
//!
//! Bounded by hyper's buffer and by `request_timeout`, which a request's head
//! must arrive within; a peer that trickles it is cut off.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::gateway::{Gateway, Permit};
use crate::rescue::{Answer, Refusal};
use crate::{admit, page, upgrade};

/// What hyper may buffer of a request's head, in bytes: the limits of headers
/// and path together, and room to answer what is a little larger with a
/// sentence. What is larger still gets hyper's bare 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;

/// Serves one TCP connection.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    gateway: Arc<Gateway>,
) {
    let permit = Arc::new(permit);
    let mut drain = gateway.drain.subscribe();
    let service = service_fn(|request| {
        let (gateway, permit) = (Arc::clone(&gateway), Arc::clone(&permit));
        async move { Ok::<_, Infallible>(answer(&gateway, request, peer, permit).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.config.request_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = begun(&mut drain) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a request was not served to its end");
    }
}

/// Waits until the host drains.
async fn begun(drain: &mut watch::Receiver<bool>) {
    // An error would be a host that is gone already.
    let _ = drain.wait_for(|draining| *draining).await;
}

async fn answer(
    gateway: &Arc<Gateway>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    permit: Arc<Permit>,
) -> Answer {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let (parts, _body) = request.into_parts();
    if page::is_below(parts.uri.path()) {
        return page::answer(gateway, &parts, peer).unwrap_or_else(|refusal| refusal.answer());
    }
    let answered = match admit::admit(gateway, &parts, peer) {
        Ok(admission) => {
            let name = admission.function.name().clone();
            upgrade::upgrade(gateway, admission, on_upgrade, permit).await.inspect_err(|refusal| {
                if let Refusal::Answer(details) = refusal {
                    tracing::warn!(function = %name, %details, "an answer of a function is not valid");
                }
            })
        }
        Err(refusal) => Err(refusal),
    };
    answered.unwrap_or_else(|refusal| {
        tracing::debug!(%peer, path = parts.uri.path(), refusal = refusal.label(), "refused");
        refusal.answer()
    })
}
