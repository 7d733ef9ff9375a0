//! What comes before the first request of a TCP connection: the header of a
//! proxy, the TLS handshake, and which HTTP it is.
//!
//! Bounded by `request_timeout` for all of it; until then the TCP connection
//! waits in its place like one that has sent no request, and loses it as soon
//! as others need it.

mod proxy;
mod sniff;
mod without_tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use openline_admission::hops;
use openline_admission::peer::Peer;
use openline_core::config::ProxyProtocol;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::gateway::{Gateway, Permit};
use crate::http as transport;
use crate::http::{Site, begun};
use crate::http2;
use crate::requests::Slot;
use crate::tls::{self, Acceptor};
use proxy::{ProxyError, Source};

pub(crate) use proxy::{Header, Parsed, parse};

/// Serves one TCP connection.
pub(crate) async fn serve(
    stream: TcpStream,
    from: SocketAddr,
    mut permit: Permit,
    site: Arc<Site>,
) {
    let Arrived { peer, stream } = match arrive(stream, from, &mut permit, &site).await {
        Ok(arrived) => arrived,
        Err(turned) => {
            tracing::debug!(%from, %turned, "closed before its first request");
            return;
        }
    };
    // The usual one is not boxed, and the others do not make it larger.
    match stream {
        Arrival::Plain(stream, Http::One) => transport::serve(stream, &peer, permit, &site).await,
        Arrival::Plain(stream, Http::Two) => {
            Box::pin(http2::serve(stream, peer, permit, site)).await;
        }
        Arrival::Tls(stream, Http::One) => {
            Box::pin(transport::serve(*stream, &peer, permit, &site)).await;
        }
        Arrival::Tls(stream, Http::Two) => {
            Box::pin(http2::serve(*stream, peer, permit, site)).await;
        }
    }
}

/// Why a TCP connection is closed before its first request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Turned {
    #[error("it is not a trusted hop, and proxy_protocol is `required`")]
    Stranger,
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error("its TLS handshake failed: {0}")]
    Tls(io::Error),
    /// RFC 8737 section 3: nothing follows such a handshake.
    #[error("it has validated a host name")]
    Validated,
    #[error("it sends HTTP without TLS")]
    PlainHttp,
    #[error("too many TLS handshakes are in progress, most of them of this peer (tls_handshakes)")]
    Handshakes,
    #[error("it has sent nothing: {0}")]
    Silent(#[from] io::Error),
    #[error("the host drains")]
    Draining,
    #[error("it has taken longer than request_timeout")]
    Late,
    #[error("its place was needed")]
    Displaced,
    #[error("the peer has as many requests as it may have (peer_requests)")]
    PeerRequests,
}

/// A TCP connection whose peer is known and begins to send requests.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) peer: Peer,
    pub(crate) stream: Arrival,
}

/// Its stream.
#[derive(Debug)]
pub(crate) enum Arrival {
    Plain(TcpStream, Http),
    Tls(Box<TlsStream<TcpStream>>, Http),
}

/// The version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    One,
    Two,
}

/// Makes the TLS handshake on a listener of the host's own, where nothing else
/// comes before the first request.
pub(crate) async fn secure(
    stream: TcpStream,
    acceptor: Acceptor,
    slot: &Slot,
    gateway: &Gateway,
) -> Result<TlsStream<TcpStream>, Turned> {
    let patience = gateway.services().table().config.request_timeout;
    let accepting = tokio::time::timeout(patience, tls::accept(acceptor, stream));
    tokio::select! {
        biased;
        accepted = accepting => accepted.map_err(|_| Turned::Late)?.map_err(Turned::Tls),
        () = slot.closed() => Err(Turned::Displaced),
    }
}

/// Does all that comes before the first request.
pub(crate) async fn arrive(
    stream: TcpStream,
    from: SocketAddr,
    permit: &mut Permit,
    site: &Site,
) -> Result<Arrived, Turned> {
    let gateway = &*site.gateway;
    let mut drain = gateway.services().watch_drain();
    let last = *drain.borrow_and_update();
    let patience = gateway.services().table().config.request_timeout;
    let signal = permit.slot().signal();
    let arriving = tokio::time::timeout(patience, arrival(stream, from, permit, site));
    tokio::select! {
        biased;
        arrived = arriving => arrived.map_err(|_| Turned::Late)?,
        () = signal.closed() => Err(Turned::Displaced),
        // One that is accepted later gets an answer.
        () = begun(&mut drain), if !last => Err(Turned::Draining),
    }
}

async fn arrival(
    mut stream: TcpStream,
    from: SocketAddr,
    permit: &mut Permit,
    site: &Site,
) -> Result<Arrived, Turned> {
    let gateway = &*site.gateway;
    let peer = peer(&mut stream, from, permit, gateway).await?;
    let Some(acceptor) = gateway.tls().acceptor(site.listener) else {
        let http = sniff::http(&stream).await?;
        let stream = Arrival::Plain(stream, http);
        return Ok(Arrived { peer, stream });
    };
    if sniff::is_plain_http(&stream).await? {
        without_tls::refuse(&mut stream, &peer, gateway).await?;
        return Err(Turned::PlainHttp);
    }
    let slot = gateway.handshake(peer.ip()).await;
    let slot = slot.ok_or(Turned::Handshakes)?;
    // Boxed: the state of a handshake is large, and needed for a moment.
    let accepting = Box::pin(tls::accept(acceptor, stream));
    let accepted = tokio::select! {
        biased;
        accepted = accepting => accepted.map_err(Turned::Tls)?,
        () = slot.closed() => return Err(Turned::Handshakes),
    };
    drop(slot);
    let stream = Box::new(accepted);
    let connection = stream.get_ref().1;
    let http = match connection.alpn_protocol() {
        Some(tls::ALPN_ACME) => return Err(Turned::Validated),
        Some(tls::ALPN_HTTP2) => Http::Two,
        _ => Http::One,
    };
    let peer = peer.with_tls(Some(tls::facts(connection)));
    let stream = Arrival::Tls(stream, http);
    Ok(Arrived { peer, stream })
}

/// Finds out who the peer of a TCP connection is, and counts it as the peer's.
async fn peer(
    stream: &mut TcpStream,
    from: SocketAddr,
    permit: &mut Permit,
    gateway: &Gateway,
) -> Result<Peer, Turned> {
    let table = gateway.services().table();
    if !hops::announces(&table.config, from) {
        return match table.config.proxy_protocol {
            ProxyProtocol::Required => Err(Turned::Stranger),
            ProxyProtocol::Off | ProxyProtocol::Hops => Ok(Peer::at(from)),
        };
    }
    let peer = match proxy::read(stream).await? {
        Source::Proxy => return Ok(Peer::at(from)),
        Source::Unknown => return Ok(Peer::unnamed(from)),
        Source::At(source) => hops::announced(from, source),
    };
    match permit.belongs_to(peer.ip()) {
        true => Ok(peer),
        false => Err(Turned::PeerRequests),
    }
}
