//! What the host keeps of an authority: its account there, a certificate with
//! its key for each host name, and when it asked last. A folder of the data
//! directory, which one process uses at a time.
//!
//! Each file is written beside its place and then moved, so it is whole or not
//! there. Only the host's user may read it: all but one hold private keys.
//! Bounded: [`FILE_BYTES_MAX`] for each file.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openline_core::config::AcmeConfig;
use openline_gateway::tls::files::FILE_BYTES_MAX;
use openline_gateway::tls::issued::Issued;
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ACCOUNT: &str = "account.json";
const ATTEMPTS: &str = "attempts.json";
/// A file that is being written. That of a host has an ending.
const UNFINISHED: &str = "unfinished";

/// The folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// The account, as it is kept.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeptAccount {
    /// Where the authority writes to, as it was told last.
    pub(crate) contact: Vec<String>,
    /// What `instant-acme` needs to use the account again; the private key is
    /// in it.
    pub(crate) credentials: Value,
}

/// The last attempt for a host name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastAttempt {
    /// How many in a row have failed; 0 if it succeeded.
    pub(crate) failures: u32,
    /// Seconds since 1970 at its end.
    pub(crate) at: u64,
}

/// Why a file of the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
    #[error("{path}: it is damaged: {1}", path = .0.display())]
    Damaged(PathBuf, serde_json::Error),
}

impl Folder {
    /// Makes the folder if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, FolderError> {
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(path);
        made.map_err(|error| FolderError::Io(path.into(), error))?;
        Ok(Self { path: path.into() })
    }

    /// The account, if there is one.
    pub(crate) fn account(&self) -> Result<Option<KeptAccount>, FolderError> {
        let path = self.path.join(ACCOUNT);
        let Some(bytes) = read(&path)? else {
            return Ok(None);
        };
        let kept = serde_json::from_slice(&bytes);
        kept.map(Some)
            .map_err(|error| FolderError::Damaged(path, error))
    }

    pub(crate) fn keep_account(&self, account: &KeptAccount) -> Result<(), FolderError> {
        let bytes = serde_json::to_vec(account);
        let bytes = bytes.map_err(|error| FolderError::Damaged(self.path.join(ACCOUNT), error))?;
        self.write(&self.path.join(ACCOUNT), &bytes)
    }

    /// Forgets an account that the authority does not know any more.
    pub(crate) fn forget_account(&self) -> Result<(), FolderError> {
        let path = self.path.join(ACCOUNT);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io(path, error))
            }
            _ => Ok(()),
        }
    }

    /// The certificate of a host name, if there is one that can be used.
    pub(crate) fn certificate(&self, host: &str) -> Option<Issued> {
        let path = AcmeConfig::file(&self.path, host);
        match read(&path) {
            Ok(bytes) => Issued::read(&bytes?, host)
                .inspect_err(
                    |error| tracing::warn!(%host, %error, "requesting another certificate"),
                )
                .ok(),
            Err(error) => {
                tracing::warn!(%host, %error, "requesting another certificate");
                None
            }
        }
    }

    /// Keeps a certificate with its key, in place of the one before.
    pub(crate) fn keep_certificate(&self, host: &str, pem: &str) -> Result<(), FolderError> {
        self.write(&AcmeConfig::file(&self.path, host), pem.as_bytes())
    }

    /// The last attempts, by host name. A damaged file counts as none: it only
    /// spares the authority requests.
    pub(crate) fn attempts(&self) -> BTreeMap<String, LastAttempt> {
        let bytes = read(&self.path.join(ATTEMPTS)).ok().flatten();
        let attempts = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        attempts.unwrap_or_default()
    }

    pub(crate) fn keep_attempts(
        &self,
        attempts: &BTreeMap<String, LastAttempt>,
    ) -> Result<(), FolderError> {
        let path = self.path.join(ATTEMPTS);
        match serde_json::to_vec(attempts) {
            Ok(bytes) => self.write(&path, &bytes),
            Err(error) => Err(FolderError::Damaged(path, error)),
        }
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
        let unfinished = self.path.join(UNFINISHED);
        let writing = || {
            // A file that is there would keep its mode.
            match fs::remove_file(&unfinished) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut options = OpenOptions::new();
            options.write(true).create_new(true).mode(0o600);
            let mut file = options.open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, path)?;
            File::open(&self.path)?.sync_all()
        };
        writing().map_err(|error| FolderError::Io(path.into(), error))
    }
}

/// A file; none if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, FolderError> {
    let wrong = |error| FolderError::Io(path.into(), error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    };
    let mut bytes = Vec::new();
    let most = FILE_BYTES_MAX as u64 + 1;
    file.take(most).read_to_end(&mut bytes).map_err(wrong)?;
    match bytes.len() > FILE_BYTES_MAX {
        true => Err(wrong(io::ErrorKind::FileTooLarge.into())),
        false => Ok(Some(bytes)),
    }
}

impl LastAttempt {
    /// How much of a wait after it is left at a moment since 1970. If the clock
    /// has been set back since, the wait begins anew.
    pub(crate) fn left_of(self, wait: Duration, now: Duration) -> Duration {
        match now.checked_sub(Duration::from_secs(self.at)) {
            Some(passed) => wait.saturating_sub(passed),
            None => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_are_whole_and_only_their_owner_reads_them() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("acme/directory");
        let folder = Folder::open(&path).unwrap();
        assert!(folder.account().unwrap().is_none());
        assert!(folder.certificate("chat.example.org").is_none());
        // A process that ended while it wrote, with another mode.
        fs::write(path.join(UNFINISHED), "half").unwrap();
        let account = KeptAccount {
            contact: vec!["mailto:a@example.org".into()],
            credentials: Value::from("key"),
        };
        folder.keep_account(&account).unwrap();
        folder.keep_certificate("chat.example.org", "pem").unwrap();
        let attempts = BTreeMap::from([("a".to_owned(), LastAttempt { failures: 2, at: 7 })]);
        folder.keep_attempts(&attempts).unwrap();
        let again = Folder::open(&path).unwrap();
        assert_eq!(again.account().unwrap().unwrap().contact, account.contact);
        assert_eq!(again.attempts(), attempts);
        let modes: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().permissions().mode() & 0o777)
            .collect();
        assert_eq!(modes, [0o600; 3]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        // Half a file: an account is not made anew unasked, the rest is.
        fs::write(path.join(ACCOUNT), "{").unwrap();
        assert!(matches!(again.account(), Err(FolderError::Damaged(..))));
        assert!(again.certificate("chat.example.org").is_none());
        fs::write(path.join(ATTEMPTS), "{").unwrap();
        assert!(again.attempts().is_empty());
        again.forget_account().unwrap();
        again.forget_account().unwrap();
        assert!(again.account().unwrap().is_none());
    }

    #[test]
    fn what_is_left_of_a_wait_when_the_clock_jumps() {
        let last = LastAttempt {
            failures: 1,
            at: 1000,
        };
        let left = |now| {
            last.left_of(Duration::from_secs(60), Duration::from_secs(now))
                .as_secs()
        };
        assert_eq!(
            [left(1000), left(1010), left(1060), left(9999)],
            [60, 50, 0, 0]
        );
        assert_eq!(left(500), 60, "it was set back");
    }
}
