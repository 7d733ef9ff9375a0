//! Which authorities calls trust: the system's, and those that a function's
//! configuration names.
//!
//! Bounded: [`FILE_BYTES_MAX`] for each file. Reading waits for the disk, so it
//! belongs on a thread that serves no connection. The files are read when the
//! configuration is, at the start and again with SIGHUP.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openline_hint::Hint;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// The largest file, in bytes: three times all authorities that browsers trust.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// The authorities that every function's calls trust.
#[derive(Clone, Debug)]
pub struct SystemRoots(Arc<RootCertStore>);

/// A file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", .path.display())]
pub struct RootsError {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("it cannot be read: {0}")]
    Unread(io::Error),
    #[error("it has more than 1 MiB")]
    Large,
    #[error("it is not whole, or is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    #[error("it holds no certificate")]
    Empty,
    #[error("a certificate in it is not one of an authority: {0}")]
    Unusable(rustls::Error),
}

impl SystemRoots {
    /// Reads those of the system. A machine that has none, as a container may, gets
    /// those that browsers trust.
    pub fn read() -> Self {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "an authority of the system cannot be read");
        }
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            tracing::debug!("the system has no authorities: calls trust those of browsers");
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Self(Arc::new(roots))
    }

    /// These, and those of the files.
    pub(crate) fn with(&self, files: &[PathBuf]) -> Result<Arc<RootCertStore>, RootsError> {
        if files.is_empty() {
            return Ok(Arc::clone(&self.0));
        }
        let mut roots = (*self.0).clone();
        for file in files {
            add(file, &mut roots).map_err(|kind| RootsError {
                path: file.clone(),
                kind,
            })?;
        }
        Ok(Arc::new(roots))
    }

    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }
}

fn add(file: &Path, roots: &mut RootCertStore) -> Result<(), Kind> {
    let mut bytes = Vec::new();
    let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
    File::open(file)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(Kind::Unread)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Kind::Large);
    }
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(Kind::Pem)?;
        roots.add(certificate).map_err(Kind::Unusable)?;
    }
    if roots.len() == before {
        return Err(Kind::Empty);
    }
    Ok(())
}

// === impl RootsError ===

impl RootsError {
    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Hint for RootsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match &self.kind {
            Kind::Unread(_) => {
                "see whether the file is there and the host's user may read it; paths are relative to the configuration file"
            }
            Kind::Large => "name a file of authorities only",
            Kind::Pem(_) | Kind::Empty => {
                "the file has certificates in PEM: `-----BEGIN CERTIFICATE-----`"
            }
            Kind::Unusable(_) => {
                "name the certificate of the authority, or one that is signed by itself"
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    fn authority() -> String {
        let params = CertificateParams::new(vec!["a".into()]).unwrap();
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    fn read(content: &[u8]) -> Result<usize, String> {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("ca.pem");
        fs::write(&file, content).unwrap();
        let roots = SystemRoots::none().with(&[file]);
        roots.map(|it| it.len()).map_err(|error| {
            assert!(error.hint().is_some());
            error.to_string()
        })
    }

    #[test]
    fn files_add_their_authorities() {
        let two = authority() + &authority();
        assert_eq!(read(two.as_bytes()), Ok(2));
        assert!(!SystemRoots::read().with(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let mut largest = authority();
        let rest = FILE_BYTES_MAX - largest.len();
        largest.push_str(&"\n".repeat(rest));
        assert_eq!(read(largest.as_bytes()), Ok(1));
        largest.push('\n');
        for (content, words) in [
            (largest.as_bytes(), "more than 1 MiB"),
            (b"", "no certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA", "not whole"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "not one of an authority",
            ),
        ] {
            let error = read(content).unwrap_err();
            assert!(
                error.contains("ca.pem: ") && error.contains(words),
                "{error}"
            );
        }
        let missing = SystemRoots::none().with(&["no-such-file".into()]);
        let error = missing.unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        assert_eq!(error.path(), Path::new("no-such-file"));
    }
}
