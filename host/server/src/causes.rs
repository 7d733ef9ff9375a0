//! Hints for errors of the system, by cause.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

/// Why a path cannot be read as a file, or `None` if it can. Never waits, as
/// opening a pipe would.
pub(crate) fn unreadable(path: &Path) -> Option<ErrorKind> {
    match fs::metadata(path) {
        Err(error) => Some(error.kind()),
        Ok(metadata) if metadata.is_dir() => Some(ErrorKind::IsADirectory),
        // A device or a pipe may have no end.
        Ok(metadata) if !metadata.is_file() => Some(ErrorKind::InvalidInput),
        Ok(_) => File::open(path).err().map(|error| error.kind()),
    }
}

/// Whether a path is a named pipe, which can be read once.
pub(crate) fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo;
    #[cfg(not(unix))]
    let is_pipe = |_: &fs::FileType| false;
    fs::metadata(path).is_ok_and(|metadata| is_pipe(&metadata.file_type()))
}

/// The hint for a file that cannot be read; `missing` is the one for a file
/// that does not exist.
pub(crate) fn of_reading(cause: ErrorKind, missing: &str) -> &str {
    match cause {
        ErrorKind::NotFound | ErrorKind::NotADirectory => missing,
        ErrorKind::PermissionDenied => "let the user that runs this command read it",
        ErrorKind::IsADirectory => "this is a folder: name the file in it",
        ErrorKind::InvalidInput => "this is a device or a pipe: name a file",
        _ => "the system says why; try whether another program can read it",
    }
}

/// The hint for a file that cannot be written.
pub(crate) fn of_writing(cause: ErrorKind) -> &'static str {
    match cause {
        ErrorKind::NotFound | ErrorKind::NotADirectory => "make its folder first",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "choose a place that the user who runs this command may write to"
        }
        ErrorKind::IsADirectory => "this is a folder: name a file in it",
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room on the disk",
        _ => "the system says why; try another place",
    }
}

/// The hint for an address that cannot be listened on; `key` names the setting
/// that chooses it.
pub(crate) fn of_listening(cause: ErrorKind, address: SocketAddr, key: &str) -> String {
    match cause {
        ErrorKind::AddrInUse => {
            format!(
                "another program listens there, perhaps another host: choose another port with {key}"
            )
        }
        ErrorKind::PermissionDenied => format!(
            "ports below 1024 take a privilege (on Linux `CAP_NET_BIND_SERVICE`): choose a higher one with {key}"
        ),
        ErrorKind::AddrNotAvailable => format!(
            "{} is not an address of this machine: choose one with {key}, as 127.0.0.1 or 0.0.0.0",
            address.ip()
        ),
        _ => format!("choose another address with {key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_of_reading_has_a_hint_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!(unreadable(&file), Some(ErrorKind::NotFound));
        fs::write(&file, "").unwrap();
        assert_eq!(unreadable(&file), None);
        assert_eq!(
            unreadable(&file.join("in-it")),
            Some(ErrorKind::NotADirectory)
        );
        assert_eq!(unreadable(folder.path()), Some(ErrorKind::IsADirectory));
        #[cfg(unix)]
        assert_eq!(
            unreadable(Path::new("/dev/null")),
            Some(ErrorKind::InvalidInput)
        );
        for (cause, word) in [
            (ErrorKind::NotFound, "build it"),
            (ErrorKind::PermissionDenied, "let the user"),
            (ErrorKind::IsADirectory, "folder"),
            (ErrorKind::InvalidInput, "pipe"),
            (ErrorKind::Other, "the system says why"),
        ] {
            let hint = of_reading(cause, "build it");
            assert!(hint.contains(word), "{cause}: {hint}");
        }
    }

    #[test]
    fn each_cause_of_writing_has_a_hint_of_its_own() {
        for (cause, word) in [
            (ErrorKind::NotFound, "folder first"),
            (ErrorKind::PermissionDenied, "may write"),
            (ErrorKind::ReadOnlyFilesystem, "may write"),
            (ErrorKind::IsADirectory, "name a file"),
            (ErrorKind::StorageFull, "make room"),
            (ErrorKind::Other, "another place"),
        ] {
            assert!(of_writing(cause).contains(word), "{cause}");
        }
    }

    #[test]
    fn each_cause_of_not_listening_has_a_hint_of_its_own() {
        let address = "192.0.2.1:80".parse().unwrap();
        for (cause, word) in [
            (ErrorKind::AddrInUse, "another program listens there"),
            (ErrorKind::PermissionDenied, "CAP_NET_BIND_SERVICE"),
            (
                ErrorKind::AddrNotAvailable,
                "192.0.2.1 is not an address of this machine",
            ),
            (ErrorKind::Other, "another address"),
        ] {
            let hint = of_listening(cause, address, "`listen`");
            assert!(hint.contains(word) && hint.contains("`listen`"), "{hint}");
        }
    }
}
