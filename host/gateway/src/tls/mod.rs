//! TLS on the host's listeners: certificates by host name, and what a handshake
//! has shown.
//!
//! [`files`] reads certificates, `names` finds the one for a host name, `facts`
//! are the results of a handshake; [`challenges`] answers the authority of
//! certificates that the host requests, and [`issued`] judges what it gives. The
//! certificates in force are replaced as a whole: handshakes that have begun, and
//! connections, keep those that they began with.
//!
//! Bounded: files of [`FILE_BYTES_MAX`](files::FILE_BYTES_MAX). A handshake
//! takes place while its TCP connection waits for its first request, within
//! `request_timeout`; rustls keeps at most 64 KiB of its messages, as much as a
//! head of HTTP may have. Sessions are resumed by tickets, so the host keeps
//! none: two keys encrypt tickets, each for six hours.

pub mod challenges;
mod facts;
pub mod files;
pub mod issued;
mod names;
mod provider;

use std::sync::Arc;

use openline_core::config::{ClientCertificates, Listener, MinVersion};
use parking_lot::RwLock;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use challenges::ALPN_ACME;
use challenges::{Challenges, is_validation};
pub(crate) use facts::facts;
use files::Files;
use names::Names;
use provider::provider;

/// What a client asks for that speaks HTTP/2.
pub(crate) const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Plaintext that a connection may have encrypted and not yet written, in
/// bytes; then writing waits. A write of the wire is smaller, unless it is a
/// large message.
const ENCRYPTED_BYTES_MAX: usize = 64 * 1024;

/// TLS of a host, if it speaks it.
#[derive(Debug, Default)]
pub struct Tls {
    active: RwLock<Option<Arc<Active>>>,
    challenges: Arc<Challenges>,
}

/// Certificates that can be put into force.
#[derive(Debug)]
pub struct Prepared(Option<Arc<Active>>);

/// The certificates in force.
#[derive(Debug)]
struct Active {
    files: Files,
    /// What the listeners need that speak TLS.
    spoken: Vec<(Listener, Spoken)>,
}

/// The certificates of one listener.
#[derive(Clone, Debug)]
struct Spoken {
    names: Arc<Names>,
    config: Arc<ServerConfig>,
}

/// What a handshake needs.
#[derive(Debug)]
pub(crate) struct Acceptor {
    spoken: Spoken,
    /// Those that a client may validate here, if it may.
    challenges: Option<Arc<Challenges>>,
}

impl Tls {
    /// Prepares certificates to be put into force.
    ///
    /// # Errors
    ///
    /// When no certificate of the authorities can be used.
    pub fn prepare(&self, files: Option<Files>) -> Result<Prepared, rustls::Error> {
        let before = self.active.read().clone();
        let active = files.map(|files| Active::new(files, before.as_deref()));
        Ok(Prepared(active.transpose()?.map(Arc::new)))
    }

    /// Puts certificates into force for new TCP connections; a listener without
    /// any speaks plainly.
    pub fn put(&self, prepared: Prepared) {
        *self.active.write() = prepared.0;
    }

    /// The same, unless others than `before` have been put into force
    /// meanwhile.
    pub fn put_instead(&self, before: &Files, prepared: Prepared) {
        let mut active = self.active.write();
        if active.as_ref().is_some_and(|it| it.files.is(before)) {
            *active = prepared.0;
        }
    }

    /// The files in force, if a listener speaks TLS.
    pub fn files(&self) -> Option<Files> {
        let active = self.active.read();
        active.as_ref().map(|active| active.files.clone())
    }

    /// Whether a listener speaks TLS now.
    pub fn is_spoken(&self, listener: Listener) -> bool {
        let active = self.active.read();
        active
            .as_ref()
            .is_some_and(|it| it.spoken(listener).is_some())
    }

    /// The challenges of authorities that wait to be validated.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// What accepts a handshake on a listener now; none if it speaks plainly.
    pub(crate) fn acceptor(&self, listener: Listener) -> Option<Acceptor> {
        let active = self.active.read();
        let spoken = active.as_ref().and_then(|it| it.spoken(listener));
        // Authorities validate names at the listener of connections.
        let validates = listener == Listener::Listen;
        Some(Acceptor {
            spoken: spoken?.clone(),
            challenges: validates.then(|| Arc::clone(&self.challenges)),
        })
    }
}

impl Active {
    /// Tickets of earlier handshakes stay valid, unless clients are asked for
    /// other certificates: a ticket says which one was shown.
    fn new(files: Files, before: Option<&Self>) -> Result<Self, rustls::Error> {
        let same = before.filter(|before| before.files.asks_like(&files));
        let mut spoken = Vec::new();
        for listener in [
            Listener::Listen,
            Listener::Admin,
            Listener::Probes,
            Listener::Api,
        ] {
            if !files.are_for(listener) {
                continue;
            }
            // A ticket of one listener is worth nothing to another.
            let ticketer = match same.and_then(|same| same.spoken(listener)) {
                Some(same) => Arc::clone(&same.config.ticketer),
                None => ring::Ticketer::new()?,
            };
            spoken.push((listener, Spoken::new(&files, listener, ticketer)?));
        }
        Ok(Self { files, spoken })
    }

    fn spoken(&self, listener: Listener) -> Option<&Spoken> {
        let found = self.spoken.iter().find(|(of, _)| *of == listener);
        found.map(|(_, spoken)| spoken)
    }
}

impl Spoken {
    fn new(
        files: &Files,
        listener: Listener,
        ticketer: Arc<dyn ProducesTickets>,
    ) -> Result<Self, rustls::Error> {
        let is_own = listener != Listener::Listen;
        let names = Arc::new(Names::of(&files.certificates(listener), is_own));
        let config = Arc::new(config(files, listener, Arc::clone(&names), ticketer)?);
        Ok(Self { names, config })
    }
}

/// The library's settings; those that are not named here have no other value
/// that would be of use.
fn config(
    files: &Files,
    listener: Listener,
    names: Arc<Names>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    const ALL: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    const NEW: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    let provider = provider();
    let versions = match files.min_version() {
        MinVersion::Tls12 => ALL,
        MinVersion::Tls13 => NEW,
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(versions)?;
    let is_own = listener != Listener::Listen;
    let authorities = files.authorities().filter(|_| !is_own);
    let asks = authorities.is_some();
    let builder = match authorities {
        None => builder.with_no_client_auth(),
        Some(authorities) => {
            let roots = Arc::clone(authorities);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            let verifier = match files.client_certificates() {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            let unusable = |error: rustls::server::VerifierBuilderError| {
                rustls::Error::General(error.to_string())
            };
            builder.with_client_cert_verifier(verifier.map_err(unusable)?)
        }
    };
    let mut config = builder.with_cert_resolver(names);
    config.alpn_protocols = vec![ALPN_HTTP1.into()];
    if matches!(listener, Listener::Listen | Listener::Api) {
        config.alpn_protocols.insert(0, ALPN_HTTP2.into());
    }
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if asks {
        // A ticket has the client's certificate in it, which is not judged again
        // when a session is resumed: it would outlive its end.
        config.send_tls13_tickets = 0;
    } else {
        config.ticketer = ticketer;
    }
    // A replayed handshake would open a second connection.
    config.max_early_data_size = 0;
    Ok(config)
}

/// Makes a handshake. The caller bounds its time.
pub(crate) async fn accept(
    acceptor: Acceptor,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let started = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
    let mut started = started.await?;
    let config = match acceptor.choose(&started.client_hello()) {
        Ok(config) => config,
        Err(unknown) => {
            // A peer that does not read it loses only that.
            let _ = started.io.write_all(&unknown.alert()).await;
            return Err(std::io::Error::other(unknown));
        }
    };
    let bounded = |connection: &mut rustls::ServerConnection| {
        connection.set_buffer_limit(Some(ENCRYPTED_BYTES_MAX));
    };
    started.into_stream_with(config, bounded).await
}

/// Reads what a client sends first, in pieces of at most so many bytes, where no
/// certificate is in force and no challenge waits: for the fuzz targets. Panics
/// if it would be served, or refused for another reason than its own.
pub(crate) fn refuse_hello(mut bytes: &[u8], piece: usize) {
    let names = Arc::new(Names::default());
    let builder = ServerConfig::builder_with_provider(provider());
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.expect("the provider has this version");
    let resolver = Arc::clone(&names);
    let config = builder.with_no_client_auth().with_cert_resolver(resolver);
    let acceptor = Acceptor {
        spoken: Spoken {
            names,
            config: Arc::new(config),
        },
        challenges: Some(Arc::default()),
    };
    let mut reading = rustls::server::Acceptor::default();
    while !bytes.is_empty() {
        let part = &bytes[..bytes.len().min(piece)];
        let Ok(read @ 1..) = reading.read_tls(&mut &part[..]) else {
            return;
        };
        bytes = &bytes[read..];
        match reading.accept() {
            Ok(None) => {}
            Err(_) => return,
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let expected = match (is_validation(&hello), hello.server_name()) {
                    (true, _) => Unknown::Challenge,
                    (false, None) => Unknown::Unnamed,
                    (false, Some(_)) => Unknown::Name,
                };
                assert_eq!(acceptor.choose(&hello).err(), Some(expected));
                return;
            }
        }
    }
}

/// There is no certificate for what a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unknown {
    #[error("no certificate is for the name that the client asks for")]
    Name,
    #[error("the client names no host, and no certificate is the default")]
    Unnamed,
    #[error("no challenge waits for a validation of the name that the client asks for")]
    Challenge,
}

impl Unknown {
    /// The alert, as a record that is not encrypted: nothing has been agreed
    /// yet. rustls would answer all of these with `access_denied`.
    fn alert(self) -> [u8; 7] {
        const ALERT: u8 = 21;
        const FATAL: u8 = 2;
        let description = match self {
            // RFC 6066 section 3.
            Self::Name => 112,
            // `missing_extension`: RFC 8446 section 9.2.
            Self::Unnamed => 109,
            // `no_application_protocol`: RFC 7301 section 3.2.
            Self::Challenge => 120,
        };
        [ALERT, 3, 3, 0, 2, FATAL, description]
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// The settings for a client.
    fn choose(&self, hello: &ClientHello<'_>) -> Result<Arc<ServerConfig>, Unknown> {
        if let Some(challenges) = &self.challenges
            && is_validation(hello)
        {
            return challenges.config(hello).ok_or(Unknown::Challenge);
        }
        match self.spoken.names.has(hello.server_name()) {
            true => Ok(Arc::clone(&self.spoken.config)),
            false if hello.server_name().is_none() => Err(Unknown::Unnamed),
            false => Err(Unknown::Name),
        }
    }
}

#[cfg(test)]
mod tests;
