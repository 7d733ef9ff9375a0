//! What a configuration says about certificates that the host requests itself
//! (ACME, RFC 8555): `[server.tls.acme]`, and `acme_listen` in `[server]`.
//!
//! Bounded: the hosts and the certificates of files together are at most
//! [`CERTIFICATES_MAX`]; [`CONTACTS_MAX`] contacts.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::Spanned;

use super::edge::AcmeWritten;
use super::validate::Check;
use super::{AcmeChallenge, AcmeConfig, CERTIFICATES_MAX, ExternalAccount, ServerConfig};
use crate::trigger::HostPattern;

/// The directory of Let's Encrypt, whose certificates every client trusts.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Addresses that the authority writes to, at most: a team and a few people.
const CONTACTS_MAX: usize = 8;
/// The longest name of a host, in bytes: the name of its file has an ending,
/// and 255 bytes in all.
const HOST_BYTES_MAX: usize = 230;
/// The longest URL of a directory, in bytes.
const URL_BYTES_MAX: usize = 2048;

impl Check<'_> {
    /// Reads which certificates the host requests.
    pub(super) fn acme(
        &mut self,
        written: Spanned<AcmeWritten>,
        server: &ServerConfig,
    ) -> AcmeConfig {
        let (span, written) = (written.span(), written.into_inner());
        if server.data.is_none() {
            let message = "[server.tls.acme] needs a data directory";
            let hint = "set `data` in [server]: without one the host would request new certificates at each start, and authorities refuse that after a few";
            self.error(Some(span.clone()), message, hint);
        }
        if !written.terms_agreed {
            let message = "[server.tls.acme] needs `terms_agreed = true`";
            let hint = "read the terms of the authority, to which its directory has a link, and set it if you agree";
            self.error(Some(span.clone()), message, hint);
        }
        let hosts = match written.hosts {
            Some(hosts) => self.acme_hosts(hosts.into_inner(), server.certificate.len()),
            None => Vec::new(),
        };
        if hosts.is_empty() {
            let hint = "list the names, as in `hosts = [\"chat.example.org\"]`";
            self.error(Some(span), "[server.tls.acme] has no `hosts`", hint);
        }
        let contact = written.contact.map(Spanned::into_inner);
        let challenge = written.challenge.as_ref();
        let challenge = challenge.map(|it| *it.get_ref()).unwrap_or_default();
        if challenge == AcmeChallenge::Http01
            && server.acme_listen.is_none()
            && let Some(written) = &written.challenge
        {
            let message = "`http-01` needs a listener for the requests of the authority";
            let hint =
                "set `acme_listen` in [server], as in \"0.0.0.0:80\": authorities ask at port 80";
            self.error(Some(written.span()), message, hint);
        }
        if let Some(ca_file) = &written.ca_file {
            self.path(ca_file);
        }
        AcmeConfig {
            directory: self.directory(written.directory),
            hosts,
            contact: self.contacts(contact.unwrap_or_default()),
            challenge,
            ca_file: written.ca_file.map(Spanned::into_inner),
            external_account: self
                .external_account(written.external_account, written.external_account_key_file),
        }
    }

    fn acme_hosts(&mut self, written: Vec<Spanned<String>>, certificates: usize) -> Vec<String> {
        if let Some(past) = written.get(CERTIFICATES_MAX.saturating_sub(certificates)) {
            let message = format!(
                "a host has at most {CERTIFICATES_MAX} certificates, those of files included"
            );
            let hint = "let a tool request certificates that are for several names";
            self.error(Some(past.span()), &message, hint);
        }
        let mut hosts: Vec<String> = Vec::new();
        for each in written {
            let (span, text) = (each.span(), each.into_inner());
            match host(&text) {
                Ok(name) if hosts.contains(&name) => {
                    let message = format!("`{name}` is listed twice");
                    self.error(Some(span), &message, "keep one of the two");
                }
                Ok(name) => hosts.push(name),
                Err((message, hint)) => self.error(Some(span), &message, hint),
            }
        }
        hosts
    }

    fn directory(&mut self, written: Option<Spanned<String>>) -> String {
        let Some(written) = written else {
            return LETS_ENCRYPT.to_owned();
        };
        let (span, text) = (written.span(), written.into_inner());
        let rest = text.strip_prefix("https://").unwrap_or_default();
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if rest.is_empty() || rest.starts_with('/') || !visible || text.len() > URL_BYTES_MAX {
            let message = "`directory` is not the URL of a directory";
            let hint = "write it as in \"https://acme-staging-v02.api.letsencrypt.org/directory\"; `http://` would let anyone on the way answer";
            self.error(Some(span), message, hint);
        }
        text
    }

    fn contacts(&mut self, written: Vec<Spanned<String>>) -> Vec<String> {
        if let Some(past) = written.get(CONTACTS_MAX) {
            let message = format!("`contact` has more than {CONTACTS_MAX} addresses");
            self.error(Some(past.span()), &message, "name a mailing list");
        }
        let mut contacts = Vec::new();
        for each in written {
            let (span, text) = (each.span(), each.into_inner());
            let address = text.strip_prefix("mailto:").unwrap_or(&text);
            let visible = address.bytes().all(|byte| byte.is_ascii_graphic());
            let parts = address.split_once('@');
            let whole = parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
            if !visible || !whole {
                let message = "this is not an address of e-mail";
                let hint =
                    "write it as in `contact = [\"ops@example.org\"]`, or leave `contact` out";
                self.error(Some(span), message, hint);
            }
            contacts.push(format!("mailto:{address}"));
        }
        contacts
    }

    fn external_account(
        &mut self,
        id: Option<Spanned<String>>,
        key_file: Option<Spanned<PathBuf>>,
    ) -> Option<ExternalAccount> {
        let hint = "the authority shows both: set `external_account` and `external_account_key_file`, or neither";
        match (id, key_file) {
            (Some(id), Some(key_file)) => {
                self.path(&key_file);
                if id.get_ref().is_empty() {
                    self.error(Some(id.span()), "the id is empty", hint);
                }
                Some(ExternalAccount {
                    id: id.into_inner(),
                    key_file: key_file.into_inner(),
                })
            }
            (None, None) => None,
            (Some(id), None) => {
                let message = "`external_account` has no key";
                self.error(Some(id.span()), message, hint);
                None
            }
            (None, Some(key_file)) => {
                let message = "`external_account_key_file` is the key of no account";
                self.error(Some(key_file.span()), message, hint);
                None
            }
        }
    }

    /// Reads the address of the listener for challenges. It has the same form as
    /// that of probes.
    pub(super) fn acme_listen(
        &mut self,
        written: &Spanned<String>,
        server: &ServerConfig,
    ) -> Option<SocketAddr> {
        let hint = "challenges have a listener of their own: choose another port";
        self.own_listener("acme_listen", "challenges", hint, written, server)
    }

    /// Checks that something is answered at `acme_listen`.
    pub(super) fn acme_listens(&mut self, written: &Spanned<String>, server: &ServerConfig) {
        let acme = server.tls.acme.as_ref();
        if acme.is_none_or(|acme| acme.challenge != AcmeChallenge::Http01) {
            let message = "`acme_listen` has no effect without the challenge `http-01`";
            let hint = "set `challenge = \"http-01\"` in [server.tls.acme], or remove it";
            self.error(Some(written.span()), message, hint);
        }
    }
}

/// The one spelling of a name for which a certificate can be requested.
fn host(text: &str) -> Result<String, (String, &'static str)> {
    let shown: String = text.chars().take(80).collect();
    let wrong = || {
        let hint = "write a name as in \"chat.example.org\", without a scheme and a port";
        (
            format!("`{}` is not the name of a host", shown.escape_debug()),
            hint,
        )
    };
    let pattern = HostPattern::new(text).map_err(|_| wrong())?;
    let name = pattern.name();
    if pattern.is_wildcard() {
        let hint = "authorities give certificates for all names below one only to those who control its DNS (DNS-01), which the host does not: list the names, or let a tool write the certificate to a file";
        return Err((format!("`{shown}` is not one name"), hint));
    }
    let address = name.starts_with('[') || name.rsplit('.').next().is_some_and(is_number);
    if address {
        let hint = "list names; for an address let a tool write the certificate to a file";
        return Err((format!("`{shown}` is an address"), hint));
    }
    if name.len() > HOST_BYTES_MAX {
        return Err(wrong());
    }
    Ok(name.to_owned())
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_certificate_can_be_requested_for() {
        for (text, name) in [
            ("chat.example.org", "chat.example.org"),
            ("Chat.Example.ORG.", "chat.example.org"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(text).unwrap(), name);
        }
        for text in [
            "",
            "*.example.org",
            "192.0.2.7",
            "[::1]",
            "a b",
            "a/b",
            "..",
            "../x",
            "a.example:443",
            "https://example.org",
            "ex\u{e4}mple.org",
        ] {
            assert!(host(text).is_err(), "{text}");
        }
        let long = |bytes: usize| {
            let label = "a".repeat(60);
            let mut name = [&*label; 3].join(".");
            name.push('.');
            name + &"b".repeat(bytes - 183)
        };
        assert_eq!(host(&long(HOST_BYTES_MAX)).unwrap().len(), HOST_BYTES_MAX);
        assert!(host(&long(HOST_BYTES_MAX + 1)).is_err());
    }
}
