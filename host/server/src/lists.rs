//! The lists of a host's firewalls: reads their files, and tells whether these
//! have changed.
//!
//! Reading waits for the disk, and a list of millions takes seconds, so it
//! belongs on a thread that serves no connection. Bounded by [`FILE_BYTES_MAX`]
//! and by the bounds of rules and lists.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use openline_firewall::list::ListError;
use openline_firewall::rules::{Firewalls, Rules};
use parking_lot::Mutex;

use crate::causes;

/// The largest file of a list, in bytes: four million of the longest networks
/// with a short comment each.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// Firewalls with their lists, and the files of these.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) firewalls: Firewalls,
    folder: PathBuf,
    /// Each file as it was before it was read.
    stamps: Stamps,
}

/// The firewalls of a host, which are replaced when the
/// configuration is read again, and when a file changes.
#[derive(Debug)]
pub(crate) struct Lists(Mutex<Arc<Loaded>>);

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: Option<SystemTime>,
}

/// The files of all lists in their order; `None` for one that is not there.
pub(crate) type Stamps = Vec<Option<Stamp>>;

/// What became of a look at the files.
pub(crate) enum Look {
    Same,
    Read(Loaded),
    /// They were wrong when they were like this.
    Wrong(Box<ListError>, Stamps),
}

// === impl Loaded ===

impl Loaded {
    /// Reads the lists of some rules. Their paths are relative to a folder.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or is not a list of its kind.
    pub(crate) fn load(rules: Rules, folder: &Path) -> Result<Self, ListError> {
        let stamps = stamps(&rules, folder);
        let firewalls = Firewalls::load(Arc::new(rules), |file| read(&folder.join(file)))?;
        Ok(Self {
            firewalls,
            folder: folder.to_owned(),
            stamps,
        })
    }

    /// Reads all lists again if one has changed. `tried` are the files of the
    /// last look if they were wrong.
    pub(crate) fn look(&self, tried: Option<&Stamps>) -> Look {
        let now = stamps(self.firewalls.rules(), &self.folder);
        if now == self.stamps || Some(&now) == tried {
            return Look::Same;
        }
        let read = self.firewalls.reload(|file| read(&self.folder.join(file)));
        match read {
            Ok(firewalls) => Look::Read(Self {
                firewalls,
                folder: self.folder.clone(),
                stamps: now,
            }),
            Err(error) => Look::Wrong(Box::new(error), now),
        }
    }
}

fn stamps(rules: &Rules, folder: &Path) -> Stamps {
    let files = rules.files().map(|file| folder.join(file));
    files.map(|file| Stamp::of(&file)).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if let Some(cause) = causes::unreadable(path) {
        return Err(cause.into());
    }
    let mut bytes = Vec::new();
    let file = File::open(path)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let message = "it has more than 256 MiB";
        return Err(io::Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

impl Stamp {
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

// === impl Lists ===

impl Lists {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self(Mutex::new(Arc::new(loaded)))
    }

    /// Those in force.
    pub(crate) fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.0.lock())
    }

    /// Takes those of a configuration that was read again.
    pub(crate) fn put(&self, loaded: Loaded) {
        *self.0.lock() = Arc::new(loaded);
    }

    /// Takes others for `before`, unless these have been replaced meanwhile.
    pub(crate) fn put_instead(&self, before: &Arc<Loaded>, loaded: Loaded) {
        let mut current = self.0.lock();
        if Arc::ptr_eq(&current, before) {
            *current = Arc::new(loaded);
        }
    }
}
