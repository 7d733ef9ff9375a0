//! Opening the database: what is refused before anything is written, and what
//! can still be read when nothing can be written.

use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend};

use crate::backend::{Overlay, Shared};
use crate::error::OpenError;
use crate::tables;

/// The newest format of the tables that this release knows. It is raised when
/// an older release would misread what a newer one writes.
pub(crate) const FORMAT: u64 = 1;

/// Pages that are kept in memory: small against what connections take, and
/// room for the states that are in use.
const CACHE_BYTES: usize = 64 << 20;

/// Where the database is.
#[derive(Debug)]
pub(crate) enum Medium {
    File(PathBuf),
    Shared(Arc<dyn StorageBackend>),
}

/// The database as it can be used at the moment.
#[derive(Debug)]
pub(crate) enum Held {
    Writable(Database),
    /// It can be read: the medium cannot be written to.
    ReadOnly(Database),
    /// Not at all.
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
            Self::File(path) => path.parent().unwrap_or(path),
            Self::Shared(_) => Path::new(""),
        }
    }

    /// Opens it for the first time, and makes it if it is not there.
    pub(crate) fn create(&self) -> Result<Database, OpenError> {
        // redb may panic over a file that was changed by somebody else.
        catch_unwind(AssertUnwindSafe(|| self.checked())).unwrap_or_else(|_| {
            Err(OpenError::Damaged {
                path: self.path().into(),
                reason: "its content makes no sense".into(),
            })
        })
    }

    /// Opens it again, after it has failed.
    pub(crate) fn writable(&self) -> Result<Database, DatabaseError> {
        match self {
            Self::File(path) => builder().open(path),
            Self::Shared(shared) => builder().create_with_backend(Shared(shared.clone())),
        }
    }

    /// Opens it only to be read.
    pub(crate) fn readable(&self) -> Result<Database, DatabaseError> {
        let below: Box<dyn StorageBackend> = match self {
            Self::File(path) => {
                let file = OpenOptions::new().read(true).open(path).map_err(storage)?;
                Box::new(FileBackend::new(file)?)
            }
            Self::Shared(shared) => Box::new(Shared(shared.clone())),
        };
        builder().create_with_backend(Overlay::new(below).map_err(storage)?)
    }

    fn checked(&self) -> Result<Database, OpenError> {
        let wrong = |error| OpenError::database(self.path(), error);
        self.refuse_newer()?;
        let database = match self {
            Self::File(path) => builder().create(path).map_err(wrong)?,
            Self::Shared(_) => self.writable().map_err(wrong)?,
        };
        let format = tables::format(&database).map_err(|error| self.fault(error))?;
        self.check_format(format)?;
        if format.is_none() {
            tables::create(&database, FORMAT).map_err(|error| self.fault(error))?;
        }
        tables::check_shares(&database).map_err(|error| self.fault(error))?;
        Ok(database)
    }

    /// Looks at the format without writing anything. What was not closed in
    /// order cannot be looked at so; then it is mended first.
    fn refuse_newer(&self) -> Result<(), OpenError> {
        let Self::File(path) = self else {
            return Ok(());
        };
        if std::fs::metadata(path).map_or(0, |found| found.len()) == 0 {
            return Ok(());
        }
        let database = match builder().open_read_only(path) {
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

/// Reads from a database, whatever it lies on.
pub(crate) fn begin_read(
    database: &impl ReadableDatabase,
) -> Result<redb::ReadTransaction, redb::Error> {
    Ok(database.begin_read()?)
}
