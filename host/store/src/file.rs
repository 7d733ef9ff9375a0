//! The database's file: it is made whole or not at all, and noticed when it is
//! not where it was any more.
//!
//! redb writes what marks a file as its own last. A file that is made in its
//! place would, after a crash in that moment, be damaged for good. So it is made
//! beside its place and moved there; the folder is locked meanwhile, so that two
//! processes do not make it at once.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::components::{UNFINISHED, component_of};
use crate::error::OpenError;

/// What redb writes last when it makes a file is not there in one that was never
/// finished: so many zeros are.
const MARK_BYTES: usize = 9;

/// Where the database's file is, and which file that was when it was opened.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    opened: OnceLock<Identity>,
}

/// Names a file, wherever it is moved: its device, and its number there.
type Identity = (u64, u64);

/// What is there before the database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A file that may be a database.
    Something,
    /// None, or one that was never finished.
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

    /// Where it is made.
    pub(crate) fn unfinished(&self) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(UNFINISHED);
        name.into()
    }

    /// Keeps other processes from making the file until the lock is dropped. None
    /// where the file system has no such locks; redb has its own besides.
    pub(crate) fn lock(&self) -> Result<Option<File>, OpenError> {
        let folder = File::open(self.folder()).map_err(|error| self.wrong(error))?;
        match folder.try_lock() {
            Ok(()) => Ok(Some(folder)),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse(self.folder().into())),
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Looks at what is there, without a change. A file that is missing, empty or
    /// unfinished beside components is damage: the host keeps a component only
    /// once there is a database, and would remove those that no deployment names.
    pub(crate) fn look(&self) -> Result<Found, OpenError> {
        // Opening a pipe would wait for its other end.
        if fs::metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            return Err(self.damaged("is no file"));
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
            // It would be made in the place of the link, and what that leads to, on
            // a disk that is not there yet say, would be forgotten.
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

    /// Moves the file that was made to its place.
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

    /// Why the file that was opened is not in its place any more, if it is not:
    /// what is written into it now is lost with the process.
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
