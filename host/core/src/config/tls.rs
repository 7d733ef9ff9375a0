//! The keys of TLS and their rules: `[server.tls]` and `[[server.certificate]]`.
//! The gateway reads the files that they name.
//!
//! Bounded: [`CERTIFICATES_MAX`] certificates.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::ServerConfig;
use super::file::line_of;
use super::validate::Check;

/// Certificates of a host, at most: a name or a few for each customer of a
/// small provider. All are read again when one changes.
pub const CERTIFICATES_MAX: usize = 256;

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
}

impl ServerConfig {
    /// Whether `listen` speaks TLS.
    pub fn has_tls(&self) -> bool {
        !self.certificate.is_empty()
    }
}

impl Check<'_> {
    /// Reads the certificates, of which one may be the default.
    pub(super) fn certificates(
        &mut self,
        written: Vec<Spanned<CertificateWritten>>,
    ) -> Vec<CertificateConfig> {
        if let Some(past) = written.get(CERTIFICATES_MAX) {
            let message = format!("a host has at most {CERTIFICATES_MAX} certificates");
            let hint = "one certificate can be for a hundred names";
            self.error(Some(past.span()), &message, hint);
        }
        let mut found: Vec<CertificateConfig> = Vec::new();
        for each in written {
            let (span, each) = (each.span(), each.into_inner());
            for path in [&each.certificate, &each.key] {
                self.path(path);
            }
            if each.default && found.iter().any(|other| other.default) {
                let hint = "leave `default` out of the others: a client gets theirs by the name of the host";
                self.error(Some(span.clone()), "two certificates are the default", hint);
            }
            found.push(CertificateConfig {
                line: line_of(self.text(), each.certificate.span().start),
                certificate: each.certificate.into_inner(),
                key: each.key.into_inner(),
                default: each.default,
            });
        }
        found
    }

    /// Reads how the host speaks TLS.
    pub(super) fn tls(&mut self, written: Spanned<TlsWritten>, has_certificate: bool) -> TlsConfig {
        let (span, written) = (written.span(), written.into_inner());
        if !has_certificate {
            let hint = "add a [[server.certificate]] with `certificate` and `key`, or remove the table; `openline run --tls` makes a certificate for trying it";
            let message = "[server.tls] has no effect without a certificate";
            self.error(Some(span), message, hint);
        }
        if let Some(authorities) = &written.client_authorities {
            self.path(authorities);
        }
        let asked = written.client_certificates;
        let client_certificates = asked.as_ref().map(|it| *it.get_ref()).unwrap_or_default();
        let is_on = client_certificates != ClientCertificates::Off;
        match (&asked, &written.client_authorities) {
            (Some(asked), None) if is_on => {
                let message = "`client_certificates` are asked for, and no authority issues them";
                let hint = "name the file of the authorities' certificates in `client_authorities`";
                self.error(Some(asked.span()), message, hint);
            }
            (_, Some(authorities)) if !is_on => {
                let message =
                    "`client_authorities` are named, and no client is asked for a certificate";
                let hint =
                    "set `client_certificates` to \"optional\" or \"required\", or leave this out";
                self.error(Some(authorities.span()), message, hint);
            }
            _ => {}
        }
        TlsConfig {
            min_version: written.min_version,
            client_certificates,
            client_authorities: written.client_authorities.map(Spanned::into_inner),
        }
    }

    fn path(&mut self, written: &Spanned<PathBuf>) {
        if written.get_ref().as_os_str().is_empty() {
            let hint = "name a file";
            self.error(Some(written.span()), "the path is empty", hint);
        }
    }
}
