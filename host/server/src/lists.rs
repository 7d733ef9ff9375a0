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
    /// When the file or its entry was changed, in seconds and nanoseconds: a
    /// program can set the time above, and not this one.
    changed: (i64, i64),
}

/// The files of all lists in their order; `None` for one that is not there.
pub(crate) type Stamps = Vec<Option<Stamp>>;

/// What became of a look at the files.
pub(crate) enum Look {
    Same,
    /// They have changed since the last look, and were like this.
    Changing(Stamps),
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

    /// Reads all lists again if one has changed, and has not since the last look:
    /// otherwise a program may still write it. `last` are the files of the last
    /// look, and `tried` those that were wrong.
    pub(crate) fn look(&self, last: &Stamps, tried: Option<&Stamps>) -> Look {
        let now = self.now();
        if now == self.stamps || Some(&now) == tried {
            return Look::Same;
        }
        if now != *last {
            return Look::Changing(now);
        }
        let read = self.firewalls.reload(|file| read(&self.folder.join(file)));
        // A program has written meanwhile, and may not be done.
        if self.now() != now {
            return Look::Changing(now);
        }
        match read {
            Ok(firewalls) => Look::Read(Self {
                firewalls,
                folder: self.folder.clone(),
                stamps: now,
            }),
            Err(error) => Look::Wrong(Box::new(error), now),
        }
    }

    /// The files as they are.
    fn now(&self) -> Stamps {
        stamps(self.firewalls.rules(), &self.folder)
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
            changed: (metadata.ctime(), metadata.ctime_nsec()),
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

#[cfg(test)]
mod tests {
    use openline_firewall::Others;
    use tempfile::TempDir;

    use super::*;

    const RULES: &str = "[[list]]\nname = \"l\"\ntype = \"networks\"\nfile = \"l.txt\"\n";

    /// A program writes a list in its place, and is not done at the first look.
    #[test]
    fn a_file_is_read_when_two_looks_have_found_the_same() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("l.txt");
        fs::write(&path, "10.0.0.1\n").unwrap();
        let rules = Rules::parse(RULES, Others::Refuse).unwrap();
        let loaded = Loaded::load(rules, folder.path()).unwrap();
        assert!(matches!(loaded.look(&Stamps::new(), None), Look::Same));

        let mut seen = Stamps::new();
        for text in ["", "10.0.0.1\n10.0", "10.0.0.1\n10.0.0.3\n"] {
            fs::write(&path, text).unwrap();
            let Look::Changing(now) = loaded.look(&seen, None) else {
                panic!("`{text}` was read");
            };
            seen = now;
        }
        let Look::Read(read) = loaded.look(&seen, None) else {
            panic!("it was not read");
        };
        assert_eq!(read.firewalls.listed().next().unwrap().1.len(), 2);
        assert!(matches!(read.look(&Stamps::new(), None), Look::Same));
    }

    #[test]
    fn a_change_is_seen_in_a_file_of_the_same_size_and_time() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("l.txt");
        fs::write(&path, "10.0.0.1\n").unwrap();
        let before = Stamp::of(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        // The clock of the file system may stand still for some milliseconds.
        let mut after = before;
        while after.changed == before.changed {
            fs::write(&path, "10.0.0.2\n").unwrap();
            file.set_modified(before.modified.unwrap()).unwrap();
            after = Stamp::of(&path).unwrap();
        }
        assert_eq!(
            (after.bytes, after.modified),
            (before.bytes, before.modified)
        );
        assert_ne!(after, before);
    }
}
