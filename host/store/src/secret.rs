//! The key with which the host signs what it gives to peers: random, made once,
//! and kept beside the database so that it stays the same after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::components::{UNFINISHED, sync_folder};

/// The bytes of a key.
pub(crate) const SECRET_BYTES: usize = 32;

/// A random key.
pub(crate) fn random() -> [u8; SECRET_BYTES] {
    let mut key = [0; SECRET_BYTES];
    getrandom::fill(&mut key).expect("the operating system has random numbers");
    key
}

/// Reads the key of a data directory, or makes it. It is written beside its
/// place and then moved, so it is whole or not there; only the host's user may
/// read it. The caller has locked the directory.
pub(crate) fn kept(folder: &Path) -> io::Result<[u8; SECRET_BYTES]> {
    let path = folder.join("secret");
    match File::open(&path) {
        Ok(mut file) => {
            let mut key = [0; SECRET_BYTES];
            file.read_exact(&mut key)?;
            return Ok(key);
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) => {}
    }
    let unfinished = folder.join(format!("secret{UNFINISHED}"));
    let key = random();
    // A file that is there would keep its mode.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(&unfinished)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    sync_folder(folder)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        // A process that ended while it wrote.
        fs::write(folder.path().join(format!("secret{UNFINISHED}")), "half").unwrap();
        let key = kept(folder.path()).unwrap();
        assert_eq!(kept(folder.path()).unwrap(), key);
        let file = folder.path().join("secret");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(kept(other.path()).unwrap(), key);
        // What is not a key is not replaced: cookies would be worth nothing.
        fs::write(&file, "short").unwrap();
        assert!(kept(folder.path()).is_err());
    }
}
