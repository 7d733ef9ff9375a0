//! Secrets in memory, and the one function that compares them.

use std::fmt;

use openline_core::authentication::SecretSource;
use subtle::ConstantTimeEq;

/// The longest secret that is read: no key is longer, and a log file is.
const SECRET_BYTES_MAX: usize = 64 << 10;

/// A secret. `Debug` does not show it, and `==` takes a time that depends on the
/// lengths only.
#[derive(Clone, Eq)]
pub struct Secret(Vec<u8>);

/// Why a secret cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It could not be read.
    #[error("the secret `{place}` cannot be read: {why}")]
    Read {
        /// Its place, as written.
        place: String,
        /// The reason.
        why: String,
    },
    /// It is empty.
    #[error("the secret `{0}` is empty")]
    Empty(String),
    /// It is longer than 64 KiB.
    #[error("the secret `{0}` is longer than {SECRET_BYTES_MAX} bytes")]
    Long(String),
}

/// Reads secrets: the server by files and environment, tests from memory.
pub trait ReadSecret {
    /// The bytes at a place, or why they cannot be had.
    ///
    /// # Errors
    ///
    /// A sentence for the log.
    fn read(&self, place: &SecretSource) -> Result<Vec<u8>, String>;
}

impl<F: Fn(&SecretSource) -> Result<Vec<u8>, String>> ReadSecret for F {
    fn read(&self, place: &SecretSource) -> Result<Vec<u8>, String> {
        self(place)
    }
}

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Reads a secret. One line end at its end is not part of it, because
    /// editors add one.
    ///
    /// # Errors
    ///
    /// See [`SecretError`].
    pub fn read(place: &SecretSource, reader: &dyn ReadSecret) -> Result<Self, SecretError> {
        let mut bytes = reader.read(place).map_err(|why| SecretError::Read {
            place: place.to_string(),
            why,
        })?;
        if bytes.ends_with(b"\n") {
            bytes.pop();
            if bytes.ends_with(b"\r") {
                bytes.pop();
            }
        }
        match bytes.len() {
            0 => Err(SecretError::Empty(place.to_string())),
            length if length > SECRET_BYTES_MAX => Err(SecretError::Long(place.to_string())),
            _ => Ok(Self(bytes)),
        }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        same(&self.0, &other.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Whether two texts are the same, in a time that depends on their lengths only.
/// All that is secret or made with a secret is compared by this function.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Secret, SecretError> {
        let place = SecretSource::Environment("S".into());
        Secret::read(&place, &|_: &SecretSource| Ok(bytes.to_vec()))
    }

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        for bytes in [&b"hunter2"[..], b"hunter2\n", b"hunter2\r\n"] {
            assert_eq!(read(bytes).unwrap().bytes(), b"hunter2");
        }
        assert_eq!(read(b"a\n\n").unwrap().bytes(), b"a\n");
        for bytes in [&b""[..], b"\n", b"\r\n"] {
            assert_eq!(read(bytes), Err(SecretError::Empty("env:S".into())));
        }
        assert!(read(&vec![b'a'; SECRET_BYTES_MAX]).is_ok());
        let long = read(&vec![b'a'; SECRET_BYTES_MAX + 1]);
        assert_eq!(long, Err(SecretError::Long("env:S".into())));
        let place = SecretSource::File("key".into());
        let failing = |_: &SecretSource| Err("no such file".to_owned());
        let error = Secret::read(&place, &failing).unwrap_err();
        let expected = "the secret `file:key` cannot be read: no such file";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn no_debug_text_has_the_secret() {
        assert_eq!(format!("{:?}", read(b"hunter2").unwrap()), "Secret");
    }

    #[test]
    fn the_same_is_the_same() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
    }

    /// A plain comparison of a secret would end at the first byte that differs.
    #[test]
    fn only_one_function_compares_in_constant_time() {
        let mut users = 0;
        for (name, text) in crate::sources::all() {
            let shipped = text.split("#[cfg(test)]").next().unwrap();
            if name != "secret.rs" && !name.ends_with("tests.rs") {
                assert!(!shipped.contains("ct_eq"), "{name}");
                assert!(!shipped.contains(".bytes() =="), "{name}");
                users += shipped.matches("same(").count();
                assert!(!shipped.contains("let same ="), "{name} hides it");
            }
        }
        assert!(users >= 6, "{users} comparisons");
    }
}
