//! Keeps the cache within its bounds: files that were not read for the longest
//! time are removed first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{COMPILED, UNFINISHED};

/// A file that is still unfinished after this time belongs to a host that has
/// ended, because writing takes seconds.
const UNFINISHED_TIME_MAX: Duration = Duration::from_secs(60 * 60);

struct Entry {
    path: PathBuf,
    bytes: u64,
    read: SystemTime,
}

/// Removes files until no more than these bytes and files are left. Only files
/// of the cache count, because the folder may contain others.
pub(super) fn make_room(folder: &Path, bytes_max: u64, files_max: usize) -> io::Result<()> {
    let mut entries = entries(folder)?;
    entries.sort_unstable_by_key(|entry| entry.read);
    let mut bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
    let mut files = entries.len();
    for entry in entries {
        if bytes <= bytes_max && files <= files_max {
            break;
        }
        match fs::remove_file(&entry.path) {
            // Another host has removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
        bytes -= entry.bytes;
        files -= 1;
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let ending = path.extension().unwrap_or_default();
        let unfinished = ending == UNFINISHED;
        if !unfinished && ending != COMPILED {
            continue;
        }
        // The file may have been removed meanwhile.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let read = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        if unfinished {
            let age = read.elapsed().unwrap_or_default();
            if age > UNFINISHED_TIME_MAX {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        if metadata.is_file() {
            let bytes = metadata.len();
            found.push(Entry { path, bytes, read });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with files of 10 bytes, each read a minute after the one
    /// before it.
    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let made = fs::metadata(folder.path()).unwrap().modified().unwrap();
        let mut read = made - Duration::from_secs(3 * 60 * 60);
        for name in names {
            let path = folder.path().join(name);
            fs::write(&path, [0; 10]).unwrap();
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(read).unwrap();
            read += Duration::from_secs(60);
        }
        folder
    }

    fn left(folder: &tempfile::TempDir) -> Vec<String> {
        let entries = fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn at_its_bounds_nothing_goes_and_past_them_what_was_read_first() {
        let names = ["c.compiled", "a.compiled", "b.compiled"];
        let folder = folder(&names);
        make_room(folder.path(), 30, 3).unwrap();
        assert_eq!(left(&folder).len(), 3);
        make_room(folder.path(), 29, 3).unwrap();
        assert_eq!(left(&folder), ["a.compiled", "b.compiled"]);
        make_room(folder.path(), 20, 1).unwrap();
        assert_eq!(left(&folder), ["b.compiled"]);
        make_room(folder.path(), 0, 1).unwrap();
        assert!(left(&folder).is_empty());
    }

    #[test]
    fn files_of_others_stay_and_do_not_count_and_old_unfinished_ones_go() {
        let folder = folder(&["x.1-1.part", "notes.txt", "a.compiled"]);
        let new = folder.path().join("y.1-2.part");
        fs::write(&new, [0; 10]).unwrap();
        make_room(folder.path(), 10, 1).unwrap();
        assert_eq!(left(&folder), ["a.compiled", "notes.txt", "y.1-2.part"]);
    }
}
