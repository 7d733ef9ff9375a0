//! The two ways to write a list of Function Compute's: as one text, or as a list
//! of texts and tables.

use serde::Deserialize;

/// A list of `T` as it was written.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Written<T> {
    /// All of it.
    Text(String),
    /// One by one.
    List(Vec<Entry<T>>),
}

/// One entry.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Entry<T> {
    Text(String),
    Table(T),
}
