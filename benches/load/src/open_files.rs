//! The limit of open files: each connection is one.

use crate::error::LoadError;

/// Files besides the connections: standard streams, the runtimes' own, `/proc`.
const SPARE: u64 = 64;

/// Raises the process's limit as far as needed.
///
/// # Errors
///
/// [`LoadError::OpenFiles`] where the system does not allow as many.
pub(crate) fn allow(connections: u32) -> Result<(), LoadError> {
    let needed = u64::from(connections) + SPARE;
    // Where the limit cannot be read or set, opening the files will tell.
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => Err(LoadError::OpenFiles { needed, limit }),
        Ok(_) | Err(_) => Ok(()),
    }
}
