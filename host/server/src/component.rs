//! Reads a component's file. A file that changes meanwhile is read again.
//!
//! Bounded by `component_bytes`, and by [`TRIES_MAX`].

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::SystemTime;

use openline_engine::LoadError;

/// How often a file that changes meanwhile is read. A copy is complete by then;
/// any other such file should not be loaded.
const TRIES_MAX: usize = 3;

/// Reads a component's file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>, LoadError> {
    let unreadable = |error: io::Error| LoadError::Host(format!("it cannot be read: {error}"));
    for _ in 0..TRIES_MAX {
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(LoadError::Host("it is not a file".into()));
        }
        let file = File::open(path).map_err(unreadable)?;
        let state = || state(&file);
        match read_whole(&file, bytes_max, state).map_err(unreadable)? {
            Content::Whole(bytes) => return Ok(bytes),
            Content::TooBig(bytes) => {
                return Err(LoadError::TooBig {
                    bytes,
                    most: bytes_max,
                });
            }
            Content::Changed => {}
        }
    }
    Err(LoadError::Host(
        "it changes while it is read; is it still being written?".into(),
    ))
}

enum Content {
    Whole(Vec<u8>),
    TooBig(usize),
    /// The file changed while it was read, so the content may mix two
    /// components.
    Changed,
}

/// Length, and time of the last change.
type State = (u64, Option<SystemTime>);

fn state(file: &File) -> io::Result<State> {
    let metadata = file.metadata()?;
    Ok((metadata.len(), metadata.modified().ok()))
}

fn read_whole(
    mut file: impl Read,
    bytes_max: usize,
    state: impl Fn() -> io::Result<State>,
) -> io::Result<Content> {
    let before = state()?;
    let length = usize::try_from(before.0).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Ok(Content::TooBig(length));
    }
    let mut bytes = Vec::with_capacity(length);
    // Reading one byte more than it had shows whether it has grown.
    file.by_ref()
        .take(before.0.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() != length || state()? != before {
        return Ok(Content::Changed);
    }
    Ok(Content::Whole(bytes))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn changing(states: Vec<u64>, content: &[u8]) -> Content {
        let states = RefCell::new(states.into_iter());
        let next = || {
            let length = states.borrow_mut().next().unwrap();
            Ok((length, None))
        };
        read_whole(content, 10, next).unwrap()
    }

    #[test]
    fn a_file_at_its_size_and_past_it() {
        assert!(
            matches!(changing(vec![10, 10], &[0; 10]), Content::Whole(bytes) if bytes.len() == 10)
        );
        assert!(matches!(changing(vec![11], &[0; 11]), Content::TooBig(11)));
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_taken() {
        // The file shrinks, grows, and is overwritten in place.
        assert!(matches!(changing(vec![8, 8], &[0; 5]), Content::Changed));
        assert!(matches!(changing(vec![8, 8], &[0; 9]), Content::Changed));
        assert!(matches!(changing(vec![8, 9], &[0; 8]), Content::Changed));
    }

    #[test]
    fn a_file_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing.wasm");
        let error = read(&path, 10).unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
    }
}
