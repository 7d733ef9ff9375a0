//! What a configuration says about the edge of a host: the proxies that it
//! believes, and how it speaks TLS. The rules are in `hops`, `tls` and `acme`.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::acme::{AcmeConfig, AcmeWritten};

/// The header in which trusted hops name their peers. One of them, because a
/// proxy that writes one passes on the other as its peer has sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// None.
    Off,
}

/// The TCP connections that begin with a header of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// None.
    Off,
    /// Those of trusted hops; other peers connect without one.
    Hops,
    /// All; a TCP connection that is not a trusted hop's is closed.
    Required,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// The file of the certificate, followed by those of its issuers, in PEM.
    pub certificate: PathBuf,
    /// The file of its private key, in PEM.
    pub key: PathBuf,
    /// Whether a client gets it that names no host, or one that no certificate
    /// is for.
    pub default: bool,
    /// The line of the configuration that names it.
    pub line: usize,
}

/// How the host speaks TLS, if it has a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The oldest version of the protocol.
    pub min_version: MinVersion,
    /// Whether clients show certificates.
    pub client_certificates: ClientCertificates,
    /// The file of the authorities that issue these, in PEM.
    pub client_authorities: Option<PathBuf>,
    /// The certificates that the host requests itself, if it does.
    pub acme: Option<AcmeConfig>,
}

/// The oldest version of TLS that a client may speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum MinVersion {
    /// TLS 1.2, which every client of the last ten years speaks.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    Off,
    /// They may; one that is not valid ends the handshake.
    Optional,
    /// They must.
    Required,
}

/// `[[server.certificate]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateWritten {
    pub(super) certificate: Spanned<PathBuf>,
    pub(super) key: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) default: bool,
}

/// `[server.tls]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TlsWritten {
    pub(super) min_version: MinVersion,
    pub(super) client_certificates: Option<Spanned<ClientCertificates>>,
    pub(super) client_authorities: Option<Spanned<PathBuf>>,
    pub(super) acme: Option<Spanned<AcmeWritten>>,
}
