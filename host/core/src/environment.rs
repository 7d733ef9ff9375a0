//! The environment of a function: names and values that it reads by `std::env` or
//! `wasi:config`. A configuration writes values, and names the places of secrets;
//! whoever reads the secrets makes an [`Environment`] of both.
//!
//! Bounded: [`NAMES_MAX`] names of [`NAME_BYTES_MAX`] each, and
//! [`ENVIRONMENT_BYTES_MAX`] for all names and values together, because each
//! instance has a copy.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::authentication::SecretSource;

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// How many names a function has, values and secrets together. Real functions
/// have dozens.
pub const NAMES_MAX: usize = 256;

/// All names and values of a function together, in bytes. As much as the longest
/// secret, and little beside the memory of an instance.
pub const ENVIRONMENT_BYTES_MAX: usize = 64 << 10;

/// The environment of a function as it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EnvironmentTable {
    /// `[function.environment]`: values by name. They are no secrets.
    pub values: BTreeMap<String, String>,
    /// `[function.secrets]`: the places of secrets by name.
    pub secrets: BTreeMap<String, SecretSource>,
    /// What instances get; without the secrets until those are read.
    read: Environment,
}

/// What the instances of a function read: names and values, in the order of the
/// names. `Debug` does not show values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment(Arc<[(String, String)]>);

/// Why something cannot be in an environment. It never shows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Not a name.
    #[error(
        "a name has 1 to {NAME_BYTES_MAX} letters of ASCII, digits and `_`, the first no digit"
    )]
    Name,
    /// The name is in both tables.
    #[error("the name is in [function.environment] and in [function.secrets]")]
    Twice,
    /// The value has a NUL, which ends texts in C.
    #[error("the value has a NUL byte, which no environment can have")]
    Nul,
    /// The secret is no text.
    #[error("the value is not UTF-8")]
    Utf8,
    /// Too many names.
    #[error("a function has more than {NAMES_MAX} names")]
    Many,
    /// Too many bytes.
    #[error(
        "names and values of a function have {0} bytes together, and at most {ENVIRONMENT_BYTES_MAX} are allowed"
    )]
    Large(usize),
}

impl EnvironmentError {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Name => "as in `API_URL`: programs read it by this name",
            Self::Twice => "keep one of the two: a secret is in [function.secrets] alone",
            Self::Nul => "write it as text, for example in base64",
            Self::Utf8 => "write bytes as text, for example in base64",
            Self::Many => "put what belongs together into one value, for example as JSON",
            Self::Large(_) => "build large data into the component, or shorten the values",
        }
    }
}

/// Whether a text is a name that programs can read.
fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let starts_well = text.bytes().next().is_some_and(|it| !it.is_ascii_digit());
    starts_well && text.len() <= NAME_BYTES_MAX && text.bytes().all(letter)
}

/// Checks a value.
fn check_value(value: &str) -> Result<(), EnvironmentError> {
    match value.contains('\0') {
        true => Err(EnvironmentError::Nul),
        false => Ok(()),
    }
}

// === impl EnvironmentTable ===

impl EnvironmentTable {
    /// Checks names and values.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the name to blame; without one where it
    /// is about all of them.
    pub fn new(
        values: BTreeMap<String, String>,
        secrets: BTreeMap<String, SecretSource>,
    ) -> Result<Self, (Option<String>, EnvironmentError)> {
        for name in values.keys().chain(secrets.keys()) {
            let about = |error| Err((Some(name.clone()), error));
            if !is_name(name) {
                return about(EnvironmentError::Name);
            }
            if values.contains_key(name) && secrets.contains_key(name) {
                return about(EnvironmentError::Twice);
            }
        }
        for (name, value) in &values {
            check_value(value).map_err(|error| (Some(name.clone()), error))?;
        }
        if values.len() + secrets.len() > NAMES_MAX {
            return Err((None, EnvironmentError::Many));
        }
        let read = Environment::new(values.clone()).map_err(|error| (None, error))?;
        Ok(Self {
            values,
            secrets,
            read,
        })
    }

    /// Takes the secrets that were read, which instances get from then on.
    ///
    /// # Errors
    ///
    /// When a secret cannot be a value, with its name, or all are too large
    /// together. Then nothing has changed.
    pub fn take(
        &mut self,
        secrets: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<(), (Option<String>, EnvironmentError)> {
        let mut all = self.values.clone();
        for (name, bytes) in secrets {
            let value = String::from_utf8(bytes).map_err(|_| EnvironmentError::Utf8);
            let value = value.and_then(|value| check_value(&value).map(|()| value));
            match value {
                Ok(value) => all.insert(name, value),
                Err(error) => return Err((Some(name), error)),
            };
        }
        self.read = Environment::new(all).map_err(|error| (None, error))?;
        Ok(())
    }

    /// What instances get.
    pub fn in_force(&self) -> &Environment {
        &self.read
    }

    /// Makes the paths of secrets relative to a folder.
    pub fn be_relative_to(&mut self, folder: &Path) {
        for place in self.secrets.values_mut() {
            place.be_relative_to(folder);
        }
    }
}

// === impl Environment ===

impl Environment {
    fn new(pairs: BTreeMap<String, String>) -> Result<Self, EnvironmentError> {
        let bytes = pairs.iter().map(|(name, value)| name.len() + value.len());
        match bytes.sum() {
            bytes if bytes > ENVIRONMENT_BYTES_MAX => Err(EnvironmentError::Large(bytes)),
            _ => Ok(Self(pairs.into_iter().collect())),
        }
    }

    /// All names with their values, secrets among them.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect()
    }

    fn secrets(names: &[&str]) -> BTreeMap<String, SecretSource> {
        let place = |name: &&str| SecretSource::File((*name).into());
        let places = names.iter().map(|name| ((*name).to_owned(), place(name)));
        places.collect()
    }

    fn taken(names: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        let pair = |(name, bytes): &(&str, &[u8])| ((*name).to_owned(), bytes.to_vec());
        names.iter().map(pair).collect()
    }

    #[test]
    fn names_are_those_of_variables() {
        let most = "n".repeat(NAME_BYTES_MAX);
        for good in ["A", "_", "a_1", &most] {
            let table = EnvironmentTable::new(values(&[(good, "")]), secrets(&[]));
            assert_eq!(table.unwrap().in_force().pairs()[0].0, good);
            assert!(EnvironmentTable::new(values(&[]), secrets(&[good])).is_ok());
        }
        let past = format!("{most}n");
        for bad in ["", "1A", "A-B", "A.B", "A B", "A=B", "É", "A\0", &past] {
            let expected = Err((Some(bad.to_owned()), EnvironmentError::Name));
            let table = EnvironmentTable::new(values(&[(bad, "")]), secrets(&[]));
            assert_eq!(table, expected, "{bad:?}");
            let table = EnvironmentTable::new(values(&[]), secrets(&[bad]));
            assert_eq!(table, expected, "{bad:?}");
        }
        let twice = EnvironmentTable::new(values(&[("A", "1")]), secrets(&["A"]));
        assert_eq!(twice, Err((Some("A".into()), EnvironmentError::Twice)));
    }

    #[test]
    fn names_are_bounded_in_number_together() {
        let name = |at: usize| (format!("N{at}"), String::new());
        let half: BTreeMap<_, _> = (0..NAMES_MAX - 1).map(name).collect();
        assert!(EnvironmentTable::new(half.clone(), secrets(&["S"])).is_ok());
        let many = EnvironmentTable::new(half, secrets(&["S", "T"]));
        assert_eq!(many, Err((None, EnvironmentError::Many)));
    }

    #[test]
    fn names_and_values_are_bounded_in_bytes_together() {
        let value = "v".repeat(ENVIRONMENT_BYTES_MAX - 1);
        assert!(EnvironmentTable::new(values(&[("A", &value)]), secrets(&[])).is_ok());
        let large = EnvironmentTable::new(values(&[("AB", &value)]), secrets(&[]));
        let error = EnvironmentError::Large(ENVIRONMENT_BYTES_MAX + 1);
        assert_eq!(large, Err((None, error)));

        let mut table = EnvironmentTable::new(values(&[("A", "1")]), secrets(&["S"])).unwrap();
        let most = ENVIRONMENT_BYTES_MAX - 3;
        let past = vec![b's'; most + 1];
        assert_eq!(table.take(taken(&[("S", &past)])), Err((None, error)));
        assert_eq!(table.in_force().pairs().len(), 1, "nothing has changed");
        table.take(taken(&[("S", &past[1..])])).unwrap();
        assert_eq!(table.in_force().pairs()[1].1.len(), most);
    }

    #[test]
    fn values_are_texts_without_nul() {
        let nul = EnvironmentTable::new(values(&[("A", "a\0b")]), secrets(&[]));
        assert_eq!(nul, Err((Some("A".into()), EnvironmentError::Nul)));
        let mut table = EnvironmentTable::new(values(&[]), secrets(&["S"])).unwrap();
        for (bytes, error) in [
            (&b"\xff"[..], EnvironmentError::Utf8),
            (b"a\0b", EnvironmentError::Nul),
        ] {
            let taken = table.take(taken(&[("S", bytes)]));
            assert_eq!(taken, Err((Some("S".into()), error)));
        }
    }

    #[test]
    fn no_debug_text_and_no_error_has_a_value() {
        let mut table = EnvironmentTable::new(values(&[("A", "plain")]), secrets(&["S"])).unwrap();
        table.take(taken(&[("S", b"hunter2")])).unwrap();
        let shown = format!("{table:?} {:?}", table.in_force());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(format!("{:?}", table.in_force()), r#"{"A", "S"}"#);
        let error = table.take(taken(&[("S", b"hunter2\0")])).unwrap_err();
        assert!(!format!("{error:?} {}", error.1).contains("hunter2"));
    }
}
