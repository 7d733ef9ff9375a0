//! Configurations of other systems, written as ours.
//!
//! A reader does no I/O: it takes a text and returns a text, with notes about the
//! differences. `commands/import` reads and writes files.

mod authentication;
mod environment;
mod fc;
mod function;
mod values;
mod write;
mod yaml;

use std::fmt;

pub(crate) use fc::import as fc;

/// A configuration, with notes about everything that it lacks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Imported {
    /// A configuration of the host, in TOML.
    pub(crate) text: String,
    /// In the order of the lines that they are about.
    pub(crate) notes: Vec<Note>,
}

/// Something that is not the same afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The line that it is about, counted from 1.
    pub(crate) line: usize,
    /// Whether it is missing from the configuration.
    pub(crate) left_out: bool,
    /// The key or the value, and the reason or the difference.
    pub(crate) text: String,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The line that is wrong, counted from 1.
    pub(crate) line: usize,
    /// What is wrong.
    pub(crate) what: String,
    /// What to do about it.
    pub(crate) hint: String,
}

impl Wrong {
    fn new(line: usize, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.left_out { "left out: " } else { "" };
        write!(f, "line {}: {sign}{}", self.line, self.text)
    }
}

#[cfg(test)]
mod tests;
