//! Reads the files of certificates, keys and authorities: all of them, or none.
//!
//! The certificates that the host has requested itself are read with them, as far
//! as they are there: one that is missing or damaged is requested anew, and keeps
//! no other from being used.
//!
//! A certificate must fit its key. One that has expired is taken only where
//! there is no better one, and is warned of: at the start, a host that serves
//! some clients is better than none. Bounded: [`FILE_BYTES_MAX`] for each file.
//! Reading waits for the disk, so it belongs on a thread that serves no
//! connection.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use openline_core::config::{
    AcmeConfig, CertificateConfig, ClientCertificates, Listener, MinVersion, ServerConfig,
    TlsConfig,
};
use openline_hint::{Hint, Hinted};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::provider::provider;

/// The largest file, in bytes: three times all authorities that browsers trust.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How long before the end of a certificate the host warns of it: tools that
/// renew certificates do so earlier.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What to do about a certificate that ends.
const RENEW: &str = "let the tool that has requested it renew it; the host notices new files";

/// Files that were read, and can be used.
#[derive(Clone, Debug)]
pub struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    certificates: Vec<Certificate>,
    configs: Vec<CertificateConfig>,
    requested: Vec<Requested>,
    tls: TlsConfig,
    authorities: Option<(Arc<RootCertStore>, Vec<u8>)>,
    /// Each file as it was before it was read.
    stamps: Vec<(PathBuf, Option<Stamp>)>,
}

/// A host name for which the host requests a certificate.
#[derive(Clone, Debug)]
struct Requested {
    host: String,
    /// The file of the certificate and its key.
    file: PathBuf,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    /// Host names in lower case.
    names: Vec<Box<str>>,
    is_default: bool,
    /// The listeners that show it.
    listeners: Vec<Listener>,
    /// The file that it was read from.
    file: PathBuf,
    /// Whether the host has requested it.
    is_requested: bool,
    /// Seconds since 1970.
    begins: u64,
    ends: u64,
}

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {kind}", .path.display())]
pub struct FileError {
    path: PathBuf,
    /// The line of the configuration that names a certificate.
    line: Option<usize>,
    kind: Kind,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Kind {
    #[error("it cannot be read: {0}")]
    Unread(io::Error),
    #[error("it has more than 1 MiB")]
    Large,
    #[error("it is not whole, or is no PEM: {0}")]
    Pem(rustls::pki_types::pem::Error),
    #[error("it holds no certificate")]
    NoCertificate,
    #[error("it holds no private key")]
    NoKey,
    #[error("the certificate is not valid: {0}")]
    Certificate(x509_cert::der::Error),
    #[error("the private key is not that of the certificate")]
    Mismatch,
    #[error("the certificate cannot be used: {0}")]
    Unusable(rustls::Error),
    #[error("the certificate has expired, and the one in force has not")]
    Expired,
}

impl Files {
    /// Reads what a configuration names; `None` if it has no certificate.
    /// `before` are the files in force.
    ///
    /// # Errors
    ///
    /// When any file cannot be read or used.
    pub fn read(config: &ServerConfig, before: Option<&Self>) -> Result<Option<Self>, FileError> {
        if config.certificate.is_empty() && config.tls.acme.is_none() {
            return Ok(None);
        }
        let requested = Requested::of(config);
        let (configs, tls) = (config.certificate.clone(), config.tls.clone());
        Self::read_all(configs, requested, tls, before).map(Some)
    }

    /// Reads the same files again.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub fn read_again(&self) -> Result<Self, FileError> {
        let Inner {
            configs,
            requested,
            tls,
            ..
        } = &*self.0;
        Self::read_all(configs.clone(), requested.clone(), tls.clone(), Some(self))
    }

    fn read_all(
        configs: Vec<CertificateConfig>,
        requested: Vec<Requested>,
        tls: TlsConfig,
        before: Option<&Self>,
    ) -> Result<Self, FileError> {
        let paths = configs.iter().flat_map(|it| [&it.certificate, &it.key]);
        let paths = paths.chain(&tls.client_authorities);
        let paths = paths.chain(requested.iter().map(|it| &it.file));
        // Before the files are read: a change while they are is noticed later.
        let stamps = paths.map(|path| (path.clone(), Stamp::of(path))).collect();
        let now = unix_seconds();
        let mut certificates = Vec::new();
        for config in &configs {
            let certificate = Certificate::read(config)?;
            let better = before.and_then(|before| before.of(config));
            if certificate.has_expired(now) && better.is_some_and(|it| !it.has_expired(now)) {
                let error = FileError::at(&config.certificate, Kind::Expired);
                return Err(error.on(config.line));
            }
            certificates.push(certificate);
        }
        certificates.extend(requested.iter().filter_map(|it| {
            let before = || before.and_then(|before| before.of_requested(it));
            it.read().or_else(before)
        }));
        let authorities = tls.client_authorities.as_deref().map(authorities);
        Ok(Self(Arc::new(Inner {
            certificates,
            authorities: authorities.transpose()?,
            configs,
            requested,
            tls,
            stamps,
        })))
    }

    /// Whether these were read at the same time as others.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether a file looks different from when it was read.
    pub fn have_changed(&self) -> bool {
        let mut stamps = self.0.stamps.iter();
        stamps.any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Warns about certificates that some clients will not accept, or soon none
    /// will, and about those that the host requests and does not have.
    pub fn warnings(&self) -> Vec<Hinted> {
        let now = unix_seconds();
        let warnings = self.0.certificates.iter().filter_map(|certificate| {
            let shown = certificate.file.display();
            let soon = now + EXPIRES_SOON.as_secs();
            let (what, hint) = match certificate {
                // The host says itself what keeps it from renewing one.
                it if it.is_requested && it.has_expired(soon) => return None,
                it if it.has_expired(now) => ("the certificate has expired", RENEW),
                it if now < it.begins => (
                    "the certificate is not valid yet",
                    "set the machine's clock, or wait until it is",
                ),
                it if it.has_expired(soon) => ("the certificate expires within a week", RENEW),
                it if it.serves_no_client() => (
                    "the certificate is for no host name and is not the default, so no client gets it",
                    "set `default = true`, or request one with a name (`subjectAltName`)",
                ),
                _ => return None,
            };
            Some(Hinted::new(format!("{shown}: {what}"), hint))
        });
        warnings.chain(self.missing(now)).collect()
    }

    /// Warns of each name for which the host requests a certificate, and has none
    /// that is valid now. One for each name, so that those that are left are not
    /// told again when one has come.
    fn missing(&self, now: u64) -> impl Iterator<Item = Hinted> {
        let shows = move |host: &str| {
            let mut certificates = self.certificates(Listener::Listen).into_iter();
            certificates.any(|it| !it.has_expired(now) && it.is_for(host))
        };
        let acme = self.0.tls.acme.iter();
        let hosts = acme.flat_map(|acme| acme.hosts.iter().map(move |host| (acme, host)));
        let missing = hosts.filter(move |(_, host)| !shows(host));
        missing.map(|(acme, host)| {
            let what = format!("no valid certificate yet for {host}");
            let hint = format!(
                "a host that serves requests it of {}; until then handshakes for this name fail, unless another certificate is the default",
                acme.directory
            );
            Hinted::new(what, hint)
        })
    }

    /// The names that the certificates are for, in their order.
    pub fn names(&self) -> Vec<&str> {
        let certificates = self.0.certificates.iter();
        certificates
            .flat_map(|it| it.names.iter().map(|name| &**name))
            .collect()
    }

    /// Whether a listener speaks TLS; that of connections does also before there
    /// is a certificate that the host requests.
    pub(super) fn are_for(&self, listener: Listener) -> bool {
        let requests = listener == Listener::Listen && self.0.tls.acme.is_some();
        requests || !self.certificates(listener).is_empty()
    }

    /// The certificates of a listener, in their order.
    pub(super) fn certificates(&self, listener: Listener) -> Vec<&Certificate> {
        let certificates = self.0.certificates.iter();
        certificates
            .filter(|it| it.listeners.contains(&listener))
            .collect()
    }

    pub(super) fn min_version(&self) -> MinVersion {
        self.0.tls.min_version
    }

    pub(super) fn client_certificates(&self) -> ClientCertificates {
        self.0.tls.client_certificates
    }

    pub(super) fn authorities(&self) -> Option<&Arc<RootCertStore>> {
        let authorities = self.0.authorities.as_ref();
        authorities.map(|(authorities, _)| authorities)
    }

    /// Whether clients are asked for the same certificates.
    pub(super) fn asks_like(&self, other: &Self) -> bool {
        let bytes = |files: &Self| files.0.authorities.as_ref().map(|(_, bytes)| bytes.clone());
        self.client_certificates() == other.client_certificates() && bytes(self) == bytes(other)
    }

    /// The certificate that was requested before and is still valid.
    fn of_requested(&self, requested: &Requested) -> Option<Certificate> {
        let now = unix_seconds();
        let mut certificates = self.0.certificates.iter();
        let found = certificates.find(|it| it.is_requested && it.file == requested.file);
        found.filter(|it| !it.has_expired(now)).cloned()
    }

    fn of(&self, config: &CertificateConfig) -> Option<&Certificate> {
        let mut certificates = self.0.certificates.iter();
        certificates.find(|it| it.file == config.certificate)
    }
}

impl Certificate {
    fn read(config: &CertificateConfig) -> Result<Self, FileError> {
        let path = &config.certificate;
        let on_line = |error: FileError| error.on(config.line);
        let chain = certificates(path, &bytes(path).map_err(on_line)?).map_err(on_line)?;
        let key = PrivateKeyDer::from_pem_slice(&bytes(&config.key).map_err(on_line)?);
        let key = key.map_err(|error| {
            let kind = match error {
                rustls::pki_types::pem::Error::NoItemsFound => Kind::NoKey,
                error => Kind::Pem(error),
            };
            on_line(FileError::at(&config.key, kind))
        })?;
        let made = Self::new(chain, key).map_err(|kind| {
            let path = match kind {
                Kind::Mismatch => &config.key,
                _ => path,
            };
            on_line(FileError::at(path, kind))
        })?;
        Ok(Self {
            is_default: config.default,
            listeners: config.listeners.clone(),
            file: path.clone(),
            ..made
        })
    }

    /// One for `listen` that is not the default.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Kind> {
        let first = chain.first().ok_or(Kind::NoCertificate)?;
        let parsed = x509_cert::Certificate::from_der(first).map_err(Kind::Certificate)?;
        let certificate = parsed.tbs_certificate();
        let names = certificate.get_extension::<SubjectAltName>();
        let names = names.map_err(Kind::Certificate)?;
        let names = names.into_iter().flat_map(|(_, names)| names.0);
        let names = names.filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase().into()),
            _ => None,
        });
        let names = names.collect();
        let validity = certificate.validity();
        let (begins, ends) = (validity.not_before, validity.not_after);
        let key = CertifiedKey::from_der(chain, key, &provider());
        let key = key.map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => Kind::Mismatch,
            error => Kind::Unusable(error),
        })?;
        Ok(Self {
            key: Arc::new(key),
            names,
            is_default: false,
            listeners: vec![Listener::Listen],
            file: PathBuf::new(),
            is_requested: false,
            begins: begins.to_unix_duration().as_secs(),
            ends: ends.to_unix_duration().as_secs(),
        })
    }

    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// When it begins and ends, since 1970.
    pub(super) fn validity(&self) -> (Duration, Duration) {
        let since = Duration::from_secs;
        (since(self.begins), since(self.ends))
    }

    pub(super) fn is_default(&self) -> bool {
        self.is_default
    }

    /// Whether it is neither for a name nor for clients that name none. Other
    /// listeners than that of connections have a default in any case.
    fn serves_no_client(&self) -> bool {
        self.names.is_empty() && !self.is_default && self.listeners == [Listener::Listen]
    }

    fn has_expired(&self, now: u64) -> bool {
        self.ends < now
    }

    /// Whether it has this very name, in lower case.
    fn is_for(&self, host: &str) -> bool {
        self.names.iter().any(|name| **name == *host)
    }
}

// === impl Requested ===

impl Requested {
    /// Those of a configuration, which has a data directory if it has any.
    fn of(config: &ServerConfig) -> Vec<Self> {
        let (Some(acme), Some(data)) = (&config.tls.acme, &config.data) else {
            return Vec::new();
        };
        let folder = acme.folder(data);
        let hosts = acme.hosts.iter().map(|host| Self {
            host: host.clone(),
            file: AcmeConfig::file(&folder, host),
        });
        hosts.collect()
    }

    /// Its certificate, if the file has one that can be used; whether or not it
    /// has expired.
    fn read(&self) -> Option<Certificate> {
        let config = CertificateConfig {
            listeners: vec![Listener::Listen],
            certificate: self.file.clone(),
            key: self.file.clone(),
            default: false,
            line: 0,
        };
        match Certificate::read(&config) {
            Ok(certificate) if certificate.is_for(&self.host) => Some(Certificate {
                is_requested: true,
                ..certificate
            }),
            Ok(_) => {
                let (host, file) = (&self.host, self.file.display());
                tracing::warn!(%host, %file, "a certificate that the host has requested is for other names");
                None
            }
            Err(error) => {
                if !error.is_missing() {
                    tracing::warn!(%error, "a certificate that the host has requested cannot be used");
                }
                None
            }
        }
    }
}

/// The certificates of authorities, and the file's bytes. Any certificate in it
/// is trusted as one of an authority.
///
/// # Errors
///
/// When the file cannot be read, or holds no certificate or one that cannot be
/// used.
pub fn authorities(path: &Path) -> Result<(Arc<RootCertStore>, Vec<u8>), FileError> {
    let bytes = bytes(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, &bytes)? {
        let added = roots.add(certificate);
        added.map_err(|error| FileError::at(path, Kind::Unusable(error)))?;
    }
    Ok((Arc::new(roots), bytes))
}

/// The certificates in a file, of which there must be one.
fn certificates(path: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|error| FileError::at(path, Kind::Pem(error)))?;
    match found.is_empty() {
        true => Err(FileError::at(path, Kind::NoCertificate)),
        false => Ok(found),
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let unread = |error| FileError::at(path, Kind::Unread(error));
    // To open a pipe would wait for its writer.
    let metadata = fs::metadata(path).map_err(unread)?;
    if !metadata.is_file() {
        return Err(unread(io::ErrorKind::InvalidInput.into()));
    }
    let file = File::open(path).map_err(unread)?;
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(unread)?;
    match bytes.len() > FILE_BYTES_MAX {
        true => Err(FileError::at(path, Kind::Large)),
        false => Ok(bytes),
    }
}

/// Seconds since 1970, as the wall clock shows them.
#[expect(
    clippy::disallowed_methods,
    reason = "certificates end by the clock on the wall"
)]
fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

// === impl Stamp ===

impl Stamp {
    /// Of the file that a link leads to; `None` if there is none.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

// === impl FileError ===

impl FileError {
    fn at(path: &Path, kind: Kind) -> Self {
        Self {
            path: path.into(),
            line: None,
            kind,
        }
    }

    fn on(self, line: usize) -> Self {
        Self {
            line: Some(line),
            ..self
        }
    }

    /// Whether there is no such file.
    fn is_missing(&self) -> bool {
        matches!(&self.kind, Kind::Unread(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// The line of the configuration that names the certificate.
    pub fn line(&self) -> Option<usize> {
        self.line.filter(|line| *line > 0)
    }
}

impl Hint for FileError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match &self.kind {
            Kind::Unread(error) => match error.kind() {
                io::ErrorKind::NotFound => {
                    "name the file that your certificate tool writes; paths are relative to the configuration"
                }
                io::ErrorKind::PermissionDenied => "let the host's user read it",
                io::ErrorKind::InvalidInput => "this is no file: name the file itself",
                _ => "the system says why",
            },
            Kind::Large => "name a file with this certificate and its issuers only",
            Kind::Pem(_) => {
                "write the file beside this one and rename it over it, so that it is never seen in part"
            }
            Kind::NoCertificate => "it needs `-----BEGIN CERTIFICATE-----`",
            Kind::NoKey => "it needs `-----BEGIN PRIVATE KEY-----`, without a passphrase",
            Kind::Mismatch => {
                "name the key that the certificate was requested with, and replace both files together"
            }
            Kind::Certificate(_) | Kind::Unusable(_) => {
                "`openssl x509 -in FILE -text` shows what is in it"
            }
            Kind::Expired => "renew it",
        }))
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
pub(super) mod tests;
