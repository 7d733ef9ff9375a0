//! Opens the database. It refuses some before it writes anything, and can still
//! read when the disk takes no writes.

use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend};

use crate::error::OpenError;
use crate::file::{Found, Place};
use crate::overlay::{Overlay, Shared};
use crate::tables;

/// The newest format of the tables that this release knows. It is raised when
/// an older release would misread what a newer one writes.
pub(crate) const FORMAT: u64 = 2;
/// The format of a new database. It becomes the newest with the first row of a
/// channel, so an older release can read a folder that has none.
pub(crate) const FORMAT_NEW: u64 = 1;

/// Pages in memory: little compared with what connections take, and enough for
/// the states in use.
const CACHE_BYTES: usize = 64 << 20;

/// Where the database is.
#[derive(Debug)]
pub(crate) enum Medium {
    File(Place),
    Shared(Arc<dyn StorageBackend>),
}

/// How the database can be used at the moment.
#[derive(Debug)]
pub(crate) enum Held {
    Writable(Database),
    /// It can be read, but not written.
    ReadOnly(Database),
    /// It cannot be used at all.
    Closed,
}

// === impl Held ===

impl Held {
    pub(crate) fn readable(&self) -> Option<&Database> {
        match self {
            Self::Writable(database) | Self::ReadOnly(database) => Some(database),
            Self::Closed => None,
        }
    }
}

// === impl Medium ===

impl Medium {
    fn path(&self) -> &Path {
        match self {
            Self::File(place) => place.folder(),
            Self::Shared(_) => Path::new(""),
        }
    }

    /// Opens the database for the first time, and makes it if it does not
    /// exist.
    pub(crate) fn create(&self) -> Result<Database, OpenError> {
        // redb may panic on a file that something else has changed.
        catch_unwind(AssertUnwindSafe(|| self.checked())).unwrap_or_else(|_| {
            Err(OpenError::Damaged {
                path: self.path().into(),
                reason: "its content makes no sense".into(),
            })
        })
    }

    /// Why the opened file is not in its place any more, if it is not.
    pub(crate) fn is_lost(&self) -> Option<String> {
        match self {
            Self::File(place) => place.is_lost(),
            Self::Shared(_) => None,
        }
    }

    /// Opens it again, after it has failed.
    pub(crate) fn writable(&self) -> Result<Database, DatabaseError> {
        match self {
            Self::File(place) => match place.is_lost() {
                // A write to the lost file would be lost, and must not go to
                // another file.
                Some(reason) => Err(storage(io::Error::other(reason))),
                None => builder().open(place.path()),
            },
            Self::Shared(shared) => builder().create_with_backend(Shared(shared.clone())),
        }
    }

    /// Opens it for reading only.
    pub(crate) fn readable(&self) -> Result<Database, DatabaseError> {
        let below: Box<dyn StorageBackend> = match self {
            Self::File(place) => {
                if let Some(reason) = place.is_lost() {
                    return Err(storage(io::Error::other(reason)));
                }
                let mut options = OpenOptions::new();
                let file = options.read(true).open(place.path()).map_err(storage)?;
                Box::new(FileBackend::new(file)?)
            }
            Self::Shared(shared) => Box::new(Shared(shared.clone())),
        };
        builder().create_with_backend(Overlay::new(below).map_err(storage)?)
    }

    fn checked(&self) -> Result<Database, OpenError> {
        let Self::File(place) = self else {
            return self.prepared(self.writable());
        };
        let lock = place.lock()?;
        let database = match place.look()? {
            Found::Something => {
                self.refuse_newer(place)?;
                self.prepared(builder().open(place.path()))?
            }
            Found::Nothing => self.make(place)?,
        };
        place
            .note()
            .map_err(|error| OpenError::io(self.path(), error))?;
        drop(lock);
        Ok(database)
    }

    /// Makes the file, and moves it to its place when it is whole.
    fn make(&self, place: &Place) -> Result<Database, OpenError> {
        let wrong = |error| OpenError::io(self.path(), error);
        let unfinished = place.unfinished();
        match std::fs::remove_file(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(wrong(error)),
            _ => {}
        }
        let database = self.prepared(builder().create(&unfinished))?;
        place.finish().map_err(wrong)?;
        Ok(database)
    }

    /// Checks a database that was opened, and makes its tables if it has none.
    fn prepared(&self, opened: Result<Database, DatabaseError>) -> Result<Database, OpenError> {
        let database = opened.map_err(|error| OpenError::database(self.path(), error))?;
        let format = tables::format(&database).map_err(|error| self.fault(error))?;
        self.check_format(format)?;
        if format.is_none() {
            tables::create(&database, FORMAT_NEW).map_err(|error| self.fault(error))?;
        }
        tables::check_shares(&database).map_err(|error| self.fault(error))?;
        Ok(database)
    }

    /// Reads the format without writing anything. If the database was not
    /// closed properly this cannot be done, and it is repaired first.
    fn refuse_newer(&self, place: &Place) -> Result<(), OpenError> {
        let database = match builder().open_read_only(place.path()) {
            Ok(database) => database,
            Err(DatabaseError::RepairAborted) => return Ok(()),
            Err(error) => return Err(OpenError::database(self.path(), error)),
        };
        let format = tables::format(&database).map_err(|error| self.fault(error))?;
        self.check_format(format)
    }

    fn check_format(&self, format: Option<u64>) -> Result<(), OpenError> {
        match format {
            Some(format) if format > FORMAT => Err(OpenError::Newer {
                path: self.path().into(),
                format,
                known: FORMAT,
            }),
            _ => Ok(()),
        }
    }

    fn fault(&self, error: redb::Error) -> OpenError {
        match error {
            redb::Error::Io(error) => OpenError::io(self.path(), error),
            other => OpenError::Damaged {
                path: self.path().into(),
                reason: other.to_string(),
            },
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn storage(error: io::Error) -> DatabaseError {
    DatabaseError::Storage(error.into())
}

/// Reads from a database on any storage.
pub(crate) fn begin_read(
    database: &impl ReadableDatabase,
) -> Result<redb::ReadTransaction, redb::Error> {
    Ok(database.begin_read()?)
}
