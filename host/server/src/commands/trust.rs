//! TLS of the commands that ask a host: which certificates they trust, and why
//! a handshake fails.
//!
//! With a file of authorities they trust those and no others. Without one they
//! trust the authorities of the system, and the certificates that
//! `openline run --tls` has made for this user.

use std::io;
use std::path::Path;
use std::sync::Arc;

use openline_gateway::tls::files::authorities;
use openline_hint::Hinted;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use crate::{causes, certificates};

/// How a command verifies a host.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trust<'a> {
    /// By the authorities in this file, or else by the usual ones.
    Authorities(Option<&'a Path>),
    /// Not at all.
    Anyone,
}

/// The settings of a client for HTTP/1.1.
///
/// # Errors
///
/// When the file of the authorities cannot be read or used.
pub(crate) fn client(trust: Trust<'_>) -> Result<Arc<ClientConfig>, Hinted> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder
        .with_safe_default_protocol_versions()
        .expect("ring has all cipher suites of the library's versions");
    let builder = match trust {
        Trust::Authorities(Some(file)) => builder.with_root_certificates(named(file)?),
        Trust::Authorities(None) => builder.with_root_certificates(usual()),
        Trust::Anyone => {
            let verifier = Arc::new(Unverified(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The authorities in a file.
fn named(file: &Path) -> Result<RootCertStore, Hinted> {
    const MISSING: &str = "name the file of the authority's certificate, in PEM";
    let read = authorities(file).map_err(|error| match causes::unreadable(file) {
        Some(cause) => Hinted::new(
            error.to_string(),
            causes::of_reading(cause, MISSING).to_owned(),
        ),
        None => Hinted::about(error.to_string(), &error),
    });
    Ok(Arc::unwrap_or_clone(read?.0))
}

/// The authorities of the system, and this user's own certificates.
fn usual() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "an authority of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    for file in certificates::made() {
        match authorities(&file) {
            Ok((own, _)) => roots.extend(own.roots.iter().cloned()),
            Err(error) => tracing::debug!(%error, "a certificate of this user is left out"),
        }
    }
    roots
}

/// Why a handshake has failed because of what the other end is: what is wrong,
/// as the end of a sentence about it, and what to do. `None` if the network
/// failed.
pub(crate) fn failure(error: &io::Error, host: &str) -> Option<Hinted> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    let (what, hint) = match error {
        Error::InvalidCertificate(error) => certificate(error, host),
        Error::InvalidMessage(_) => (
            "does not speak TLS".into(),
            "write `http://`, if this is the right port; the host says at its start where its interfaces are",
        ),
        Error::AlertReceived(alert) => (
            format!("refuses the TLS handshake ({alert:?})"),
            "use a name that one of the host's certificates is for",
        ),
        other => (
            format!("cannot be spoken to: {other}"),
            "`openssl s_client -connect HOST:PORT` shows what is there",
        ),
    };
    Some(Hinted::new(what, hint))
}

fn certificate(error: &CertificateError, host: &str) -> (String, &'static str) {
    match error {
        // The signature is wrong where another authority has the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            "has a certificate of an authority that is not trusted here".into(),
            "name the file of the authority's certificate, or of a self-signed one, with `--ca FILE`",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("has a certificate that is not for `{host}`"),
            "use a name or an address that the certificate has; `openssl x509 -in FILE -text` shows them",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            "has a certificate that has expired".into(),
            "renew it; the host notices new files",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            "has a certificate that is not valid yet".into(),
            "set the clocks of both machines",
        ),
        other => (
            format!("has a certificate that cannot be accepted: {other}"),
            "`openssl x509 -in FILE -text` shows what is in it",
        ),
    }
}

/// Takes every certificate; only that its owner has the key is verified.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
