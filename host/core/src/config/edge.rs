//! What a configuration says about the edge of a host: the proxies that it
//! believes, and how it speaks TLS. The rules are in `hops`, `tls` and `acme`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::digest::Digest;

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

/// A listener of the host. It speaks TLS if it has a certificate, and nothing
/// else then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Listener {
    /// That of connections.
    Listen,
    /// That of the admin interface.
    Admin,
    /// That of probes.
    Probes,
    /// That of publishers.
    Api,
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateConfig {
    /// The listeners that it is for; at least one.
    pub listeners: Vec<Listener>,
    /// The file of the certificate, followed by those of its issuers, in PEM.
    pub certificate: PathBuf,
    /// The file of its private key, in PEM.
    pub key: PathBuf,
    /// Whether a client gets it that names no host, or one that no certificate
    /// is for. The listeners of the admin interface and of probes take their
    /// first certificate if none is the default.
    pub default: bool,
    /// The line of the configuration that names it.
    pub line: usize,
}

/// How the host speaks TLS, if it has a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The oldest version of the protocol.
    pub min_version: MinVersion,
    /// Whether clients of the listener of connections show certificates.
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

impl Listener {
    /// Its key in `[server]`, and its word in `listeners`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Admin => "admin",
            Self::Probes => "probes",
            Self::Api => "api",
        }
    }
}

/// Certificates that the host requests of an authority, one for each host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeConfig {
    /// The URL of the authority's directory; it begins with `https://`.
    pub directory: String,
    /// The host names, in lower case.
    pub hosts: Vec<String>,
    /// Where the authority writes to, as URLs.
    pub contact: Vec<String>,
    /// How the authority checks that the host serves a name.
    pub challenge: AcmeChallenge,
    /// The file of the authorities that the directory's own certificate is of,
    /// in PEM; `None` means those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// The account with the authority that the host's account belongs to.
    pub external_account: Option<ExternalAccount>,
}

/// An account that a person has with an authority (RFC 8555 section 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The id of its key.
    pub id: String,
    /// The file of the key: base64, as the authority shows it.
    pub key_file: PathBuf,
}

/// How an authority checks that the host serves a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AcmeChallenge {
    /// A TLS handshake with `listen`, which the authority reaches at port 443
    /// (RFC 8737). It needs no further port.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// A request to `acme_listen`, which the authority reaches at port 80 (RFC
    /// 8555 section 8.3).
    #[serde(rename = "http-01")]
    Http01,
}

/// `[[server.certificate]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateWritten {
    pub(super) certificate: Spanned<PathBuf>,
    pub(super) key: Spanned<PathBuf>,
    #[serde(default)]
    pub(super) default: bool,
    pub(super) listeners: Option<Spanned<Vec<Listener>>>,
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

/// `[server.tls.acme]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AcmeWritten {
    pub(super) directory: Option<Spanned<String>>,
    pub(super) hosts: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) contact: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) terms_agreed: bool,
    pub(super) challenge: Option<Spanned<AcmeChallenge>>,
    pub(super) ca_file: Option<Spanned<PathBuf>>,
    pub(super) external_account: Option<Spanned<String>>,
    pub(super) external_account_key_file: Option<Spanned<PathBuf>>,
}

// === impl AcmeConfig ===

impl AcmeConfig {
    /// The folder in the data directory for what belongs to one authority: its
    /// certificates are not those of another one.
    pub fn folder(&self, data: &Path) -> PathBuf {
        let digest = Digest::of(self.directory.as_bytes()).short();
        data.join("acme").join(digest)
    }

    /// The file of a host's certificate and its key in that folder.
    pub fn file(folder: &Path, host: &str) -> PathBuf {
        folder.join(format!("{host}.pem"))
    }
}
