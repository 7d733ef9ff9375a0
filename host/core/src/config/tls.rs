//! The rules for `[server.tls]` and `[[server.certificate]]`. The gateway reads
//! the files that they name.
//!
//! Bounded: [`CERTIFICATES_MAX`] certificates.

use std::path::PathBuf;

use toml::Spanned;

use super::edge::{CertificateWritten, TlsWritten};
use super::file::line_of;
use super::validate::Check;
use super::{CertificateConfig, ClientCertificates, ServerConfig, TlsConfig};

/// Certificates of a host, at most: a name or a few for each customer of a
/// small provider. All are read again when one changes.
pub const CERTIFICATES_MAX: usize = 256;

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
    pub(super) fn tls(&mut self, written: Spanned<TlsWritten>, server: &ServerConfig) -> TlsConfig {
        let (span, written) = (written.span(), written.into_inner());
        if server.certificate.is_empty() && written.acme.is_none() {
            let hint = "add a [[server.certificate]] with `certificate` and `key`, or [server.tls.acme], or remove the table; `openline run --tls` makes a certificate for trying it";
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
            acme: written.acme.map(|acme| self.acme(acme, server)),
        }
    }

    pub(super) fn path(&mut self, written: &Spanned<PathBuf>) {
        if written.get_ref().as_os_str().is_empty() {
            let hint = "name a file";
            self.error(Some(written.span()), "the path is empty", hint);
        }
    }
}
