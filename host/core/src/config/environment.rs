//! The rules of `[function.environment]` and `[function.secrets]`. No error shows
//! what is written in the second, which may be a secret by mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::{Spanned, Value};

use super::validate::Check;
use crate::authentication::{SecretSource, SecretSourceError};
use crate::environment::{EnvironmentTable, NAME_BYTES_MAX};
use crate::escape::Escaped;

/// A table as it is written.
type Written = BTreeMap<Spanned<String>, Spanned<Value>>;

impl Check<'_> {
    /// Reads both tables of a function.
    pub(super) fn environment(&mut self, values: Written, secrets: Written) -> EnvironmentTable {
        let mut places: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let (mut read, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for (name, value) in secrets {
            let span = value.span();
            places.insert(name.get_ref().clone(), name.span());
            match source(value.get_ref()) {
                Ok(source) => _ = sources.insert(name.into_inner(), source),
                Err(error) => {
                    let message = format!("the secret `{}`: {error}", shown(name.get_ref()));
                    let hint = "a secret belongs into a variable of the host's environment, or into a file that only the host's user may read";
                    self.secret_error(span, &message, hint);
                }
            }
        }
        for (name, value) in values {
            let span = value.span();
            places.insert(name.get_ref().clone(), name.span());
            match value.into_inner() {
                Value::String(text) => _ = read.insert(name.into_inner(), text),
                other => {
                    let (name, kind) = (shown(name.get_ref()), other.type_str());
                    let message = format!("`{name}` is no text but of the type {kind}");
                    let hint = "write every value in quotes: the function reads text";
                    self.error(Some(span), &message, hint);
                }
            }
        }
        let is_secret: BTreeSet<_> = sources.keys().cloned().collect();
        EnvironmentTable::new(read, sources).unwrap_or_else(|(name, error)| {
            let place = match &name {
                Some(name) => places.remove(name),
                None => places.into_values().max_by_key(|span| span.start),
            };
            let message = match &name {
                Some(name) => format!("`{}`: {error}", shown(name)),
                None => error.to_string(),
            };
            if name.is_some_and(|name| !is_secret.contains(&name)) {
                self.error(place, &message, error.hint());
            } else {
                self.secret_error(place.unwrap_or_default(), &message, error.hint());
            }
            EnvironmentTable::default()
        })
    }
}

fn source(value: &Value) -> Result<SecretSource, SecretSourceError> {
    match value {
        Value::String(text) => SecretSource::parse(text),
        _ => Err(SecretSourceError::Kind),
    }
}

/// A name that may be any text, of any length.
fn shown(name: &str) -> Escaped<'_> {
    Escaped::new(name, NAME_BYTES_MAX)
}
