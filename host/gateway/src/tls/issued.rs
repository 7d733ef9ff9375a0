//! A certificate that an authority has just issued: what must be true of it
//! before the host keeps it.
//!
//! Bounded by [`FILE_BYTES_MAX`](super::files::FILE_BYTES_MAX), like every file of
//! a certificate.

use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::files::{Certificate, FILE_BYTES_MAX};

/// A certificate that is for one host, and fits its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When it begins, as a time since 1970.
    pub begins: Duration,
    /// When it ends, as a time since 1970.
    pub ends: Duration,
    /// A number that differs from certificate to certificate.
    pub stamp: u64,
}

/// Why a certificate is not kept.
#[derive(Debug, thiserror::Error)]
pub enum IssuedError {
    /// It is too large.
    #[error("the certificate has more than 1 MiB")]
    Large,
    /// It is no PEM of a certificate and a key.
    #[error("the certificate is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    /// It cannot be read, or its key is another one.
    #[error("{0}")]
    Unusable(String),
    /// It is for other names.
    #[error("the certificate is for {0}")]
    Names(String),
}

/// Names of a certificate that an error lists, at most.
const NAMES_LISTED_MAX: usize = 4;

impl Issued {
    /// Reads a certificate with its issuers and its key, in one PEM.
    ///
    /// # Errors
    ///
    /// When it is not for `host`, which is in lower case, or for that among
    /// others; or when it cannot be used with its key.
    pub fn read(pem: &[u8], host: &str) -> Result<Self, IssuedError> {
        if pem.len() > FILE_BYTES_MAX {
            return Err(IssuedError::Large);
        }
        let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(IssuedError::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(pem).map_err(IssuedError::Pem)?;
        let first = chain.first().map(Sha256::digest);
        let certificate = Certificate::new(chain, key);
        let certificate = certificate.map_err(|kind| IssuedError::Unusable(kind.to_string()))?;
        let names = certificate.names();
        if names.len() != 1 || names.iter().any(|name| **name != *host) {
            let listed: Vec<_> = names
                .iter()
                .take(NAMES_LISTED_MAX)
                .map(|it| &**it)
                .collect();
            let listed = match listed.as_slice() {
                [] => "no host".to_owned(),
                listed => listed.join(", "),
            };
            return Err(IssuedError::Names(listed));
        }
        let (begins, ends) = certificate.validity();
        let stamp = first.and_then(|digest| digest.first_chunk().copied());
        Ok(Self {
            begins,
            ends,
            stamp: u64::from_be_bytes(stamp.unwrap_or_default()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::made;
    use super::*;

    #[test]
    fn only_a_certificate_for_the_host_with_its_own_key_is_kept() {
        let (certificate, key) = made(&["Chat.Example.org"], |_| {});
        let pem = certificate.clone() + &key;
        let issued = Issued::read(pem.as_bytes(), "chat.example.org").unwrap();
        assert!(issued.begins < issued.ends);
        let error = |pem: &str| Issued::read(pem.as_bytes(), "chat.example.org").unwrap_err();
        let (others, others_key) = made(&["other.example.org"], |_| {});
        let names = error(&(others.clone() + &others_key));
        assert_eq!(
            names.to_string(),
            "the certificate is for other.example.org"
        );
        let (more, more_key) = made(&["chat.example.org", "other.example.org"], |_| {});
        assert!(matches!(error(&(more + &more_key)), IssuedError::Names(_)));
        let mismatch = error(&(certificate.clone() + &others_key));
        assert!(mismatch.to_string().contains("key"), "{mismatch}");
        assert!(matches!(error(&certificate), IssuedError::Pem(_)));
        assert!(matches!(error(&key), IssuedError::Unusable(_)));
        assert!(matches!(error(""), IssuedError::Pem(_)));
        let half = &certificate[..certificate.len() / 2];
        assert!(matches!(
            error(&(half.to_owned() + &key)),
            IssuedError::Pem(_)
        ));
        let large = pem + &"#".repeat(FILE_BYTES_MAX);
        assert!(matches!(error(&large), IssuedError::Large));
    }
}
