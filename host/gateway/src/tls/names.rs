//! Finds the certificate for the host name that a client asks for (SNI).
//!
//! A certificate is for the names that it has itself: exact ones, and
//! `*.example.org` for one further label. The exact name wins. Bounded by the
//! names of the certificates, whose files are bounded.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::files::Certificate;

/// The certificates, by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Box<str>, Arc<CertifiedKey>>,
    /// By what follows `*.`.
    wildcard: HashMap<Box<str>, Arc<CertifiedKey>>,
    default: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// Of two certificates for a name, the first one is taken. With
    /// `always_one` the first one is the default if none is.
    pub(super) fn of(certificates: &[&Certificate], always_one: bool) -> Self {
        let mut names = Self::default();
        for certificate in certificates {
            let key = certificate.key();
            for name in certificate.names() {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut names.wildcard, parent),
                    None => (&mut names.exact, &**name),
                };
                let entry = names.entry(name.into());
                entry.or_insert_with(|| Arc::clone(key));
            }
            if certificate.is_default() {
                names.default = Some(Arc::clone(key));
            }
        }
        if always_one && names.default.is_none() {
            names.default = certificates.first().map(|it| Arc::clone(it.key()));
        }
        names
    }

    /// The certificate for a name in lower case, or for a client that has named
    /// none.
    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let named = name.and_then(|name| {
            let parent = || name.split_once('.').map(|(_, parent)| parent);
            let exact = self.exact.get(name);
            exact.or_else(|| self.wildcard.get(parent()?))
        });
        named.or(self.default.as_ref())
    }

    /// Whether there is a certificate for a name, or for a client that has named
    /// none.
    pub(super) fn has(&self, name: Option<&str>) -> bool {
        let name = name.map(str::to_ascii_lowercase);
        self.find(name.as_deref()).is_some()
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        self.find(name.as_deref()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::certificate;
    use super::*;

    #[test]
    fn a_name_finds_its_certificate() {
        let certificates = [
            certificate(&["*.example.org"], false),
            certificate(&["chat.example.org", "example.com"], false),
            certificate(&["example.com", "localhost"], true),
        ];
        let certificates: Vec<&Certificate> = certificates.iter().collect();
        let names = Names::of(&certificates, false);
        let found = |name| {
            let found = names.find(name)?;
            let is = |it: &&Certificate| Arc::ptr_eq(it.key(), found);
            certificates.iter().position(is)
        };
        for (name, expected) in [
            (Some("chat.example.org"), 1),
            (Some("other.example.org"), 0),
            (Some("example.com"), 1),
            (Some("localhost"), 2),
            // The wildcard is for one label, and for no less.
            (Some("a.b.example.org"), 2),
            (Some("example.org"), 2),
            (Some("nobody.test"), 2),
            (None, 2),
        ] {
            assert_eq!(found(name), Some(expected), "{name:?}");
        }
        let without = Names::of(&certificates[..2], false);
        assert!(without.find(None).is_none() && without.find(Some("localhost")).is_none());
        for (listed, default) in [(&certificates[..2], 0), (&certificates[..], 2)] {
            let names = Names::of(listed, true);
            let found = names.find(None).unwrap();
            assert!(Arc::ptr_eq(found, certificates[default].key()));
        }
    }
}
