//! The database's file: it is made completely or not at all, and its loss is
//! noticed.
//!
//! redb writes the mark of a database last. A crash while it makes a file in
//! its place would leave a file that can never be opened. So the file is made
//! beside its place and then moved; the folder is locked meanwhile, so that two
//! processes do not make it at once.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::components::{UNFINISHED, component_of};
use crate::error::OpenError;

/// The size of the mark that redb writes last when it makes a file. An
/// unfinished file has zeros in its place.
const MARK_BYTES: usize = 9;

/// Where the database's file is, and the identity of the file that was opened.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    opened: OnceLock<Identity>,
}

/// Identifies a file even after it is moved: its device, and its number there.
type Identity = (u64, u64);

/// The contents of the folder before the database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file that may be a database.
    Something,
    /// No file, or an unfinished one.
    Nothing,
}

impl Place {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            opened: OnceLock::new(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory.
    pub(crate) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    /// The path at which the file is made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(UNFINISHED);
        name.into()
    }

    /// Keeps other processes from making the file until the lock is dropped.
    /// `None` where the file system has no such locks; redb also has a lock of
    /// its own.
    pub(crate) fn lock(&self) -> Result<Option<File>, OpenError> {
        let folder = File::open(self.folder()).map_err(|error| self.wrong(error))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(self.folder().into())),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Looks into the folder without changing it. If the file is missing, empty
    /// or unfinished but there are components, that is damage: the host keeps a
    /// component only once there is a database, and would remove those that no
    /// deployment names.
    pub(crate) fn look(&self) -> Result<Found, OpenError> {
        // Opening a pipe would block until its other end is opened.
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            return Err(self.damaged("is not a file"));
        }
        let nothing = match File::open(&self.path) {
            Ok(file) => {
                let mut mark = Vec::new();
                let read = file.take(MARK_BYTES as u64).read_to_end(&mut mark);
                read.map_err(|error| self.wrong(error))?;
                match mark.len() {
                    0 => "is empty",
                    MARK_BYTES if mark.iter().all(|byte| *byte == 0) => "was never finished",
                    _ => return Ok(Found::Something),
                }
            }
            // A new file would replace the link, and the database that it leads
            // to, perhaps on a disk that is not mounted yet, would be
            // forgotten.
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.path.is_symlink() => {
                return Err(self.damaged("is a link that leads nowhere"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => "is missing",
            Err(error) => return Err(self.wrong(error)),
        };
        if self.has_components().map_err(|error| self.wrong(error))? {
            return Err(self.damaged(&format!("{nothing}, and there are components")));
        }
        Ok(Found::Nothing)
    }

    fn has_components(&self) -> io::Result<bool> {
        let entries = match fs::read_dir(self.folder().join("components")) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for entry in entries {
            if component_of(&entry?.file_name()).is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Moves the new file to its place.
    pub(crate) fn finish(&self) -> io::Result<()> {
        fs::rename(self.unfinished(), &self.path)?;
        crate::components::sync_folder(self.folder())
    }

    /// Remembers which file was opened.
    pub(crate) fn note(&self) -> io::Result<()> {
        let identity = identity(&self.path)?;
        self.opened.get_or_init(|| identity);
        Ok(())
    }

    /// Why the opened file is not in its place any more, if it is not. Writes
    /// to it are then lost when the process ends.
    pub(crate) fn is_lost(&self) -> Option<String> {
        let opened = self.opened.get()?;
        let path = self.path.display();
        match identity(&self.path) {
            Ok(found) if found == *opened => None,
            Ok(_) => Some(format!(
                "{path} is another file than the one that was opened: it was replaced while the host was running"
            )),
            Err(error) => Some(format!(
                "{path} was moved or removed while the host was running: {error}"
            )),
        }
    }

    fn damaged(&self, what: &str) -> OpenError {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        OpenError::Damaged {
            path: self.folder().into(),
            reason: format!("`{name}` {what}"),
        }
    }

    fn wrong(&self, error: io::Error) -> OpenError {
        OpenError::io(self.folder(), error)
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    let found = fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
