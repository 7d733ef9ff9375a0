//! The rules for `[server.tls]` and `[[server.certificate]]`. The gateway reads
//! the files that they name.
//!
//! Bounded: [`CERTIFICATES_MAX`] certificates.

use std::path::PathBuf;

use toml::Spanned;

use super::edge::{CertificateWritten, TlsWritten};
use super::file::line_of;
use super::validate::Check;
use super::{
    AdminListen, CertificateConfig, ClientCertificates, Listener, ServerConfig, TlsConfig,
};

/// Certificates of a host, at most: a name or a few for each customer of a
/// small provider. All are read again when one changes.
pub const CERTIFICATES_MAX: usize = 256;

impl Check<'_> {
    /// Reads the certificates, of which one may be the default of a listener.
    pub(super) fn certificates(
        &mut self,
        written: Vec<Spanned<CertificateWritten>>,
        server: &ServerConfig,
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
            let listeners = self.listeners(each.listeners, server);
            let clashes = |other: &CertificateConfig| {
                other.default && other.listeners.iter().any(|it| listeners.contains(it))
            };
            if each.default && found.iter().any(clashes) {
                let hint = "leave `default` out of the others: a client gets theirs by the name of the host";
                self.error(Some(span.clone()), "two certificates are the default", hint);
            }
            found.push(CertificateConfig {
                listeners,
                line: line_of(self.text(), each.certificate.span().start),
                certificate: each.certificate.into_inner(),
                key: each.key.into_inner(),
                default: each.default,
            });
        }
        found
    }

    /// Reads the listeners that a certificate is for: `listen` alone, unless it
    /// says otherwise.
    fn listeners(
        &mut self,
        written: Option<Spanned<Vec<Listener>>>,
        server: &ServerConfig,
    ) -> Vec<Listener> {
        let Some(written) = written else {
            return vec![Listener::Listen];
        };
        let (span, listeners) = (written.span(), written.into_inner());
        if listeners.is_empty() {
            let hint = "leave it out for \"listen\" alone";
            self.error(Some(span.clone()), "`listeners` is empty", hint);
        }
        for listener in &listeners {
            let is_there = match listener {
                Listener::Listen => true,
                Listener::Admin => server.admin != AdminListen::Off,
                Listener::Probes => server.probes.is_some(),
                Listener::Api => server.api.listen.is_some(),
            };
            if !is_there {
                let key = listener.key();
                let message =
                    format!("a certificate is for `{key}`, and there is no such listener");
                let hint = match listener {
                    Listener::Api => {
                        "give `listen` in [server.api] an address, or leave it out here".to_owned()
                    }
                    _ => format!("give `{key}` in [server] an address, or leave it out here"),
                };
                self.error(Some(span.clone()), &message, &hint);
            }
        }
        listeners
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
        if let Some(asked) = asked.as_ref().filter(|_| is_on)
            && !server.certificate.is_empty()
            && !server.has_tls(Listener::Listen)
            && written.acme.is_none()
        {
            let message =
                "`client_certificates` are asked for on `listen`, which has no certificate";
            let hint = "add a [[server.certificate]] for \"listen\", or leave this out";
            self.error(Some(asked.span()), message, hint);
        }
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

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn certificates_that_the_host_requests_are_for_connections_alone() {
        let parse = |acme: &str| {
            let text = format!(
                "[server]\ndata = \"data\"\nadmin = \"127.0.0.1:1\"\n\
                 [[server.certificate]]\ncertificate = \"a\"\nkey = \"b\"\nlisteners = [\"admin\"]\n\
                 [server.tls]\nclient_authorities = \"c\"\nclient_certificates = \"required\"\n{acme}\n\
                 [[function]]\nname = \"f\"\nroute = \"/f\"\n"
            );
            Config::parse(&text)
        };
        let errors = parse("").unwrap_err();
        let words = "are asked for on `listen`, which has no certificate";
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].to_string().contains(words), "{}", errors[0]);
        let acme = "[server.tls.acme]\nhosts = [\"chat.example.org\"]\nterms_agreed = true";
        let server = parse(acme).unwrap().server;
        let spoken = [Listener::Listen, Listener::Admin, Listener::Probes];
        assert_eq!(
            spoken.map(|it| server.has_tls(it)),
            [true, true, false],
            "a listener without a certificate speaks plainly"
        );
    }
}
