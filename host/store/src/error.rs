//! Why the store does not open, does not answer, or does not keep something.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use openline_hint::Hint;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is read-only, or belongs to somebody else.
    #[error("the data directory {} cannot be written to: {error}", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There is no room.
    #[error("there is no room in the data directory {}: {error}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A newer release has written it. It is as it was.
    #[error("the data directory {} has format {format}, and this release knows format {known}", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        format: u64,
        /// The newest format that this release knows.
        known: u64,
    },
    /// What is there is not what was written.
    #[error("the data directory {} is damaged: {reason}", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system says no for another reason.
    #[error("the data directory {} cannot be opened: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// The store does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk fails or is full. Nothing has changed, or it is not known
    /// whether it has; a later try may succeed.
    #[error("the data directory does not answer: {0}")]
    Unavailable(String),
    /// What is there is not what was written.
    #[error("the data directory is damaged: {0}")]
    Damaged(String),
    /// The function has been removed: what is still running of it keeps
    /// nothing.
    #[error("the function has been removed")]
    Forgotten,
}

/// Why something is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The state has another version than expected: this one, 0 when there is
    /// none.
    #[error("the state has version {0}")]
    Conflict(u64),
    /// The store holds as much as it may.
    #[error("there is no room for more: `stored_bytes` is reached")]
    Full,
    /// The function keeps as much as it leaves free for others.
    #[error("the function keeps as much of `stored_bytes` as it leaves free for others")]
    Share,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

// === impl OpenError ===

impl Hint for OpenError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::InUse(_) => "end the other process, or set another `data` in [server]",
            Self::NotWritable { .. } => {
                "give the user of the host the right to write there, or set another `data` in [server]"
            }
            Self::Full { .. } => "make room on the disk, or set another `data` in [server]",
            Self::Newer { .. } => "use the release that wrote it, or a newer one",
            Self::Damaged { .. } => {
                "put back a copy of the folder, or move it away and deploy again"
            }
            Self::Io { .. } => {
                "`data` in [server] names a folder, which is made if it is not there"
            }
        };
        Some(hint.into())
    }
}

impl OpenError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.into();
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, error }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, error },
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => Self::Damaged {
                path,
                reason: error.to_string(),
            },
            _ => Self::Io { path, error },
        }
    }

    pub(crate) fn database(path: &Path, error: redb::DatabaseError) -> Self {
        match redb::Error::from(error) {
            redb::Error::DatabaseAlreadyOpen => Self::InUse(path.into()),
            redb::Error::Io(error) => Self::io(path, error),
            other => Self::Damaged {
                path: path.into(),
                reason: other.to_string(),
            },
        }
    }
}

// === impl StoreError ===

impl Hint for StoreError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Unavailable(_) => {
                "look whether the disk is full or read-only; the host goes on by itself when it is not"
            }
            Self::Damaged(_) => "deploy the component again, or put back a copy of the folder",
            Self::Forgotten => "its connections are being closed; deploy it again for new ones",
        };
        Some(hint.into())
    }
}

impl StoreError {
    pub(crate) fn io(error: &io::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Corrupted(reason) => Self::Damaged(reason),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Damaged(error.to_string())
    }
}

// === impl SaveError ===

impl Hint for SaveError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Conflict(_) => "read it again, and save what follows from that",
            Self::Full | Self::Share => {
                "remove states that nobody needs, or raise `stored_bytes` in [server]"
            }
            Self::Unavailable(error) => return error.hint(),
        };
        Some(hint.into())
    }
}
