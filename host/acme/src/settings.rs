//! What the thread was told: the configuration, with the files that it names.
//!
//! Reading waits for the disk, so it belongs on a thread that serves no
//! connection. Bounded: [`FILE_BYTES_MAX`] for each file.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_core::config::{AcmeConfig, ServerConfig};
use openline_gateway::tls::files::FILE_BYTES_MAX;
use openline_hint::Hint;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// What to request, and of whom.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    pub(crate) config: AcmeConfig,
    pub(crate) folder: PathBuf,
    /// The certificates of a private directory's authorities.
    authorities: Option<Vec<CertificateDer<'static>>>,
    /// The id and the key of the external account.
    pub(crate) external: Option<(String, Vec<u8>)>,
}

/// Why a file of `[server.tls.acme]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("{path}: it cannot be read: {1}", path = .0.display())]
    Unread(PathBuf, io::Error),
    /// It is larger than any such file.
    #[error("{}: it has more than 1 MiB", .0.display())]
    Large(PathBuf),
    /// It holds no certificate that can be trusted.
    #[error("{path}: it holds no certificate of an authority: {1}", path = .0.display())]
    Authorities(PathBuf, String),
    /// It holds no key.
    #[error("{}: it holds no key in base64", .0.display())]
    Key(PathBuf),
}

impl Settings {
    /// Reads what a configuration names; `None` if it asks for no certificates.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or used. The error never has a key in it.
    pub fn read(config: &ServerConfig) -> Result<Option<Self>, SettingsError> {
        let (Some(acme), Some(data)) = (&config.tls.acme, &config.data) else {
            return Ok(None);
        };
        let authorities = acme.ca_file.as_deref().map(authorities).transpose()?;
        let external = acme.external_account.as_ref().map(|account| {
            let key = key(&account.key_file)?;
            Ok((account.id.clone(), key))
        });
        Ok(Some(Self {
            folder: acme.folder(data),
            config: acme.clone(),
            authorities,
            external: external.transpose()?,
        }))
    }

    /// The authorities that the directory's own certificate may be of.
    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        match &self.authorities {
            // Those that cannot be used were refused when they were read.
            Some(own) => _ = roots.add_parsable_certificates(own.iter().cloned()),
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        Arc::new(roots)
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let bytes = bytes(path)?;
    let wrong = |error: String| SettingsError::Authorities(path.into(), error);
    let found = CertificateDer::pem_slice_iter(&bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is none in it".into()));
    }
    let mut roots = RootCertStore::empty();
    for each in &found {
        let added = roots.add(each.clone());
        added.map_err(|error| wrong(error.to_string()))?;
    }
    Ok(found)
}

/// A key as authorities show it: base64 of either alphabet, padded or not.
fn key(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let wrong = || SettingsError::Key(path.into());
    let text = String::from_utf8(bytes(path)?).map_err(|_| wrong())?;
    let text = text.trim().trim_end_matches('=');
    let text = text.replace('+', "-").replace('/', "_");
    let key = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
    match key.is_empty() {
        true => Err(wrong()),
        false => Ok(key),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, SettingsError> {
    let unread = |error| SettingsError::Unread(path.into(), error);
    // To open a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(unread)?.is_file() {
        return Err(unread(io::ErrorKind::InvalidInput.into()));
    }
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    let file = File::open(path).map_err(unread)?;
    file.take(most).read_to_end(&mut bytes).map_err(unread)?;
    match bytes.len() > FILE_BYTES_MAX {
        true => Err(SettingsError::Large(path.into())),
        false => Ok(bytes),
    }
}

impl fmt::Debug for Settings {
    /// Without the key of the external account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("config", &self.config)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

impl Hint for SettingsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::Unread(_, error) => match error.kind() {
                io::ErrorKind::NotFound => {
                    "name a file that is there; paths are relative to the configuration"
                }
                io::ErrorKind::PermissionDenied => "let the host's user read it",
                io::ErrorKind::InvalidInput => "this is no file: name the file itself",
                _ => "the system says why",
            },
            Self::Large(_) => "name a file with this alone",
            Self::Authorities(..) => {
                "`ca_file` needs `-----BEGIN CERTIFICATE-----`, of the authority that has issued the certificate of the directory"
            }
            Self::Key(_) => "put the key into the file as the authority shows it, and nothing else",
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_key_in_either_alphabet_and_files_that_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let read = |text: &[u8]| {
            fs::write(&path, text).unwrap();
            key(&path)
        };
        for text in ["-_8", "-_8=\n", "+/8", " +/8= "] {
            assert_eq!(read(text.as_bytes()).unwrap(), [0xfb, 0xff], "{text}");
        }
        for text in [&b""[..], b"\n", b"a b", b"====", b"\xff\xff"] {
            assert!(matches!(read(text), Err(SettingsError::Key(_))), "{text:?}");
        }
        let most = vec![b'a'; FILE_BYTES_MAX];
        assert!(read(&most).is_ok());
        let large = read(&[most, vec![b'a']].concat());
        assert!(matches!(large, Err(SettingsError::Large(_))));
        assert!(matches!(key(folder.path()), Err(SettingsError::Unread(..))));
        fs::write(&path, "not a certificate").unwrap();
        let none = authorities(&path).unwrap_err();
        assert!(none.to_string().contains("there is none in it"), "{none}");
    }
}
