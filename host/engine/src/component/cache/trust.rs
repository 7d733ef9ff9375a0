//! Checks that only the host's user can change what the cache holds: who owns a
//! folder or a file, and who may write to it.
//!
//! It checks permission bits, but not access lists.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::CacheError;

/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit, only the owner of an entry may replace it.
const STICKY: u32 = 0o1000;
const ROOT: u32 = 0;

/// Another user could have put native code there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error("{} belongs to another user (uid {owner}), and the host (uid {host}) runs what it holds", path.display())]
    Owner {
        path: PathBuf,
        owner: u32,
        host: u32,
    },
    #[error("other users may write to {}; remove that right with `chmod go-w`", .0.display())]
    Writable(PathBuf),
    #[error("{} is not a regular file", .0.display())]
    NotFile(PathBuf),
    #[error("the compile cache's folder now leads to {}; start the host again to use it", .0.display())]
    Moved(PathBuf),
}

/// Checks a folder and all folders above it, and returns its path without
/// symbolic links. With these rights no other user can change what the path
/// leads to afterwards.
pub(super) fn folder(folder: &Path) -> Result<PathBuf, CacheError> {
    let real = folder.canonicalize()?;
    let metadata = fs::metadata(&real)?;
    owned(&metadata, &real, &[host()])?;
    if !metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotADirectory).into());
    }
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Untrusted::Writable(real).into());
    }
    for above in real.ancestors().skip(1) {
        let metadata = fs::symlink_metadata(above)?;
        owned(&metadata, above, &[host(), ROOT])?;
        let sticky = metadata.mode() & STICKY != 0;
        if metadata.mode() & OTHERS_WRITE != 0 && !sticky {
            return Err(Untrusted::Writable(above.into()).into());
        }
    }
    Ok(real)
}

/// Checks an open file, and returns its length.
pub(super) fn file(file: &File, path: &Path) -> Result<u64, CacheError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Untrusted::NotFile(path.into()).into());
    }
    owned(&metadata, path, &[host()])?;
    if metadata.mode() & OTHERS_WRITE != 0 {
        return Err(Untrusted::Writable(path.into()).into());
    }
    Ok(metadata.len())
}

fn host() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn owned(metadata: &Metadata, path: &Path, owners: &[u32]) -> Result<(), Untrusted> {
    let owner = metadata.uid();
    if owners.contains(&owner) {
        return Ok(());
    }
    Err(Untrusted::Owner {
        path: path.into(),
        owner,
        host: host(),
    })
}
