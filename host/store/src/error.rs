//! Why the store does not open, does not answer, or refuses a write.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use openline_hint::Hint;

/// Why the data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses it.
    #[error("the data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It is read-only, or belongs to another user.
    #[error("the data directory {} cannot be written to: {error}", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The disk is full.
    #[error("there is no room in the data directory {}: {error}", path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A newer release has written it. It was not changed.
    #[error("the data directory {} has format {format}, and this release knows format {known}", path.display())]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its format.
        format: u64,
        /// The newest format that this release knows.
        known: u64,
    },
    /// Its content is not what the host wrote.
    #[error("the data directory {} is damaged: {reason}", path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The system reports another error.
    #[error("the data directory {} cannot be opened: {error}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
}

/// The store does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk fails or is full. The write may or may not have had its effect;
    /// a later try may succeed.
    #[error("the data directory does not answer: {0}")]
    Unavailable(String),
    /// Its content is not what the host wrote.
    #[error("the data directory is damaged: {0}")]
    Damaged(String),
    /// The function has been removed, and code of it that still runs can store
    /// nothing.
    #[error("the function has been removed")]
    Forgotten,
}

/// Why the store refuses a write of a function.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SaveError {
    /// The state has this version and not the expected one; 0 if there is no
    /// state.
    #[error("the state has version {0}")]
    Conflict(u64),
    /// The store holds as much as it may.
    #[error("there is no room for more: `stored_bytes` is reached")]
    Full,
    /// The function stores as much as it leaves free for others.
    #[error("the function keeps as much of `stored_bytes` as it leaves free for others")]
    Share,
    /// The store does not answer.
    #[error(transparent)]
    Unavailable(#[from] StoreError),
}

/// Why a group of rows is not accepted; nothing of it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// The disk writes slower than channels publish.
    #[error("too many publications wait for the data directory")]
    Full,
    /// A group before it has failed, and the attempt is over.
    #[error("an earlier publication on the channel could not be written")]
    Failed,
    /// Nothing can be written any more.
    #[error("the data directory is closed")]
    Closed,
}

/// Why a group of rows was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The store holds as much as it may. Nothing of the group is there.
    #[error("there is no room for more: `stored_bytes` is reached")]
    Full,
    /// The owner stores as much as it leaves free for others. Nothing of the
    /// group is there.
    #[error("the channels keep as much of `stored_bytes` as they leave free for others")]
    Share,
    /// A group before it has failed. Nothing of it is there.
    #[error("an earlier publication on the channel could not be written")]
    Behind,
    /// The store does not answer, and the group may be there or not; or the
    /// function is forgotten.
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
                "`data` in [server] names a folder, which is made if it does not exist"
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
                "check whether the disk is full or read-only; the host recovers by itself"
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
                "remove states that are not needed, or raise `stored_bytes` in [server]"
            }
            Self::Unavailable(error) => return error.hint(),
        };
        Some(hint.into())
    }
}

// === impl LineError ===

impl Hint for LineError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Full => "publish less at a time, or give the host a faster disk",
            Self::Failed => "publish again; the log says why it could not be written",
            Self::Closed => "the host is ending; publish again when it has started",
        };
        Some(hint.into())
    }
}

// === impl GroupError ===

impl Hint for GroupError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Full | Self::Share => {
                "keep less history, remove states that are not needed, or raise `stored_bytes` in [server]"
            }
            Self::Behind => "publish again; the log says why it could not be written",
            Self::Unavailable(error) => return error.hint(),
        };
        Some(hint.into())
    }
}
