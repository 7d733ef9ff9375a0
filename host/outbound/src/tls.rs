//! TLS of calls: rustls with ring, certificates that are always verified, and HTTP/2
//! where the other host speaks it.
//!
//! The settings belong to one function, and with them the sessions that later
//! handshakes resume: none is shared between functions.

use std::io;
use std::sync::Arc;

use openline_core::outbound::Host;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, Error, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::OutboundError;

/// HTTP/2, as ALPN has it.
pub(crate) const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// The settings of one function.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    calls: Arc<ClientConfig>,
    upgrades: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(roots: Arc<RootCertStore>) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder
            .with_safe_default_protocol_versions()
            .expect("ring has all cipher suites of the library's versions");
        let mut calls = builder.with_root_certificates(roots).with_no_client_auth();
        let mut upgrades = calls.clone();
        calls.alpn_protocols = vec![H2.to_vec(), HTTP1.to_vec()];
        upgrades.alpn_protocols = vec![HTTP1.to_vec()];
        Self {
            calls: Arc::new(calls),
            upgrades: Arc::new(upgrades),
        }
    }

    /// Makes the handshake. With `http2`, the other host may choose it.
    pub(crate) async fn shake_hands(
        &self,
        stream: TcpStream,
        host: &Host,
        http2: bool,
    ) -> Result<TlsStream<TcpStream>, OutboundError> {
        let name = match host {
            Host::Name(name) => ServerName::try_from(name.to_string()),
            Host::Address(address) => Ok(ServerName::from(*address)),
        };
        let name = name.map_err(|_| OutboundError::Url)?;
        let config = if http2 { &self.calls } else { &self.upgrades };
        let connector = TlsConnector::from(Arc::clone(config));
        let shaken = connector.connect(name, stream).await;
        shaken.map_err(|error| failure(&error))
    }
}

/// Why a handshake has failed.
fn failure(error: &io::Error) -> OutboundError {
    let inner = error.get_ref().and_then(|it| it.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(why)) => OutboundError::Certificate(why.to_string()),
        Some(Error::AlertReceived(alert)) => OutboundError::TlsAlert {
            code: u8::from(*alert),
            name: format!("{alert:?}"),
        },
        Some(other) => OutboundError::Tls(other.to_string()),
        None => OutboundError::of_connecting(error),
    }
}
