//! The shape of a configuration file, and what serde says when a file does not
//! have it. Unknown keys are errors everywhere.

use std::num::NonZeroU32;
use std::ops::Range;
use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::{ConfigError, PageAccess};
use crate::name::FunctionName;
use crate::units::{ByteSize, Period};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) server: Server,
    #[serde(default)]
    pub(super) function: Vec<Function>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Server {
    pub(super) listen: Option<Spanned<String>>,
    pub(super) page: Option<PageAccess>,
    pub(super) connections: Option<NonZeroU32>,
    pub(super) cache: Option<PathBuf>,
    pub(super) request_timeout: Option<Spanned<Period>>,
    pub(super) close_timeout: Option<Spanned<Period>>,
    pub(super) drain_timeout: Option<Period>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    pub(super) name: Spanned<FunctionName>,
    pub(super) component: Spanned<PathBuf>,
    pub(super) route: Spanned<String>,
    #[serde(default)]
    pub(super) instance: Instance,
    #[serde(default)]
    pub(super) limit: Limit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instance {
    pub(super) concurrency: Option<NonZeroU32>,
    pub(super) instances: Option<NonZeroU32>,
    pub(super) affinity: Option<Spanned<String>>,
    pub(super) idle_timeout: Option<Period>,
    pub(super) memory_bytes: Option<Spanned<ByteSize>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    pub(super) message_bytes: Option<Spanned<ByteSize>>,
    pub(super) outbox_bytes: Option<Spanned<ByteSize>>,
    pub(super) handler_timeout: Option<Spanned<Period>>,
    pub(super) cpu_timeout: Option<Spanned<Period>>,
    pub(super) fuel_per_event: Option<Spanned<u64>>,
}

pub(super) fn read(text: &str) -> Result<File, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let message = error.message().trim().to_owned();
        let hint = hint_for(&message);
        error_at(text, error.span(), message, hint)
    })
}

/// An error that points at a place in the text.
pub(super) fn error_at(
    text: &str,
    span: Option<Range<usize>>,
    message: String,
    hint: String,
) -> ConfigError {
    let line = span.map_or(0, |span| line_of(text, span.start));
    let source = line
        .checked_sub(1)
        .and_then(|index| text.lines().nth(index))
        .unwrap_or_default();
    ConfigError {
        line,
        source: source.trim().into(),
        message,
        hint,
    }
}

/// The line of a byte offset, counted from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|byte| *byte == b'\n')
        .count()
        + 1
}

fn hint_for(message: &str) -> String {
    if message.starts_with("unknown field") {
        return match nearest(message) {
            Some(name) => format!("did you mean `{name}`?"),
            None => "remove it, or see the README for the keys of this table".into(),
        };
    }
    if message.starts_with("missing field") {
        return "every [[function]] needs `name`, `component` and `route`".into();
    }
    if message.contains("unknown variant") {
        return "use one of the values that the message lists".into();
    }
    "values are written as in the README's configuration chapter, sizes and times with units".into()
}

/// serde lists the known keys behind the unknown one: the first word in
/// backquotes is what was written, the rest is what is known.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    let written = words.next()?;
    let (distance, name) = words.map(|name| (distance(written, name), name)).min()?;
    (distance <= written.len().max(name.len()) / 2).then_some(name)
}

/// Levenshtein's distance, by rows. The words are keys: a few dozen bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (line, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, b) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
