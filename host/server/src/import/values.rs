//! The values of an `s.yaml`: maps whose keys are taken one by one, so that
//! those that nothing takes are noticed; and texts with the expressions of
//! Serverless Devs, `${vars.region}` and `${env('NAME', 'default')}`.
//!
//! An expression that only the tool can evaluate is an error where its value is
//! needed. Bounded by the document, and by [`EXPANSIONS_MAX`] of one text.

use std::borrow::Cow;

use super::yaml::{self, Entry, Node, Value};
use super::{Note, Wrong};

/// Expressions that are replaced in one text, those in what they stand for
/// included: they may refer to each other in a circle.
const EXPANSIONS_MAX: usize = 32;

/// A document that is being read.
pub(super) struct Document<'a> {
    root: &'a Node,
    notes: Vec<Note>,
}

/// A map whose keys are taken.
pub(super) struct Table<'a> {
    /// The line that it begins in.
    pub(super) line: usize,
    entries: &'a [Entry],
    is_taken: Vec<bool>,
}

impl<'a> Document<'a> {
    pub(super) fn new(root: &'a Node) -> Self {
        Self {
            root,
            notes: Vec::new(),
        }
    }

    /// Notes what is different.
    pub(super) fn differs(&mut self, line: usize, text: impl Into<String>) {
        self.note(line, false, text.into());
    }

    /// Notes what has no counterpart.
    pub(super) fn left_out(&mut self, line: usize, text: impl Into<String>) {
        self.note(line, true, text.into());
    }

    fn note(&mut self, line: usize, left_out: bool, text: String) {
        self.notes.push(Note {
            line,
            left_out,
            text,
        });
    }

    /// All notes, in the order of their lines.
    pub(super) fn into_notes(mut self) -> Vec<Note> {
        self.notes.sort_by_key(|note| note.line);
        self.notes.dedup();
        self.notes
    }

    /// A text, with its expressions replaced.
    pub(super) fn text(&self, node: &Node, name: &str) -> Result<String, Wrong> {
        let Value::Text(text) = &node.value else {
            let what = format!("`{name}` is not a text");
            return Err(Wrong::new(
                node.line,
                what,
                "write one value behind the colon",
            ));
        };
        let mut text = text.clone();
        for _ in 0..EXPANSIONS_MAX {
            let Some(begin) = text.rfind("${") else {
                return Ok(text);
            };
            let unclosed = || {
                let what = format!("`{name}` has `${{` without `}}`");
                Wrong::new(node.line, what, "close the expression")
            };
            let length = text[begin..].find('}').ok_or_else(unclosed)?;
            let expression = text[begin + 2..begin + length].trim();
            let value = self.value(expression).ok_or_else(|| {
                let what = format!(
                    "`{name}` has an expression that only `s` can evaluate: `{expression}`"
                );
                Wrong::new(node.line, what, "write its value in its place")
            })?;
            text.replace_range(begin..=begin + length, &value);
        }
        let what = format!("the expressions of `{name}` refer to each other");
        Err(Wrong::new(
            node.line,
            what,
            "write a value in the place of one",
        ))
    }

    /// What an expression stands for, if that is in the file.
    fn value(&self, expression: &str) -> Option<String> {
        if let Some(arguments) = expression.strip_prefix("env(") {
            let (_, default) = arguments.strip_suffix(')')?.split_once(',')?;
            let default = default.trim();
            let quoted = |quote: char| default.strip_prefix(quote)?.strip_suffix(quote);
            return quoted('\'').or_else(|| quoted('"')).map(str::to_owned);
        }
        let mut node = self.root;
        for key in expression.split('.') {
            let Value::Map(map) = &node.value else {
                return None;
            };
            node = &map.iter().find(|entry| entry.key == key)?.node;
        }
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// A map that may also be JSON within a text, as those of custom domains and of
    /// affinity are. JSON is YAML.
    pub(super) fn embedded<'n>(&self, node: &'n Node, name: &str) -> Result<Cow<'n, Node>, Wrong> {
        if !matches!(node.value, Value::Text(_)) {
            return Ok(Cow::Borrowed(node));
        }
        let inner = yaml::read(&self.text(node, name)?).map_err(|wrong| Wrong {
            line: node.line,
            ..wrong
        })?;
        Ok(Cow::Owned(inner.at(node.line)))
    }

    /// A whole number.
    pub(super) fn number(&self, node: &Node, name: &str) -> Result<u64, Wrong> {
        let text = self.text(node, name)?;
        text.parse().map_err(|_| {
            let what = format!("`{name}` is not a whole number");
            Wrong::new(node.line, what, "as in `60`, without a unit")
        })
    }

    /// Whether something is so.
    pub(super) fn truth(&self, node: &Node, name: &str) -> Result<bool, Wrong> {
        match &*self.text(node, name)? {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => {
                let what = format!("`{name}` is neither `true` nor `false`");
                Err(Wrong::new(node.line, what, "write one of them"))
            }
        }
    }

    /// A list of texts.
    pub(super) fn texts(&self, node: &Node, name: &str) -> Result<Vec<String>, Wrong> {
        list(node, name)?
            .iter()
            .map(|each| self.text(each, name))
            .collect()
    }
}

/// The entries of a list.
pub(super) fn list<'a>(node: &'a Node, name: &str) -> Result<&'a [Node], Wrong> {
    match &node.value {
        Value::List(list) => Ok(list),
        _ => {
            let what = format!("`{name}` is not a list");
            Err(Wrong::new(node.line, what, "write `- ` before each entry"))
        }
    }
}

impl<'a> Table<'a> {
    /// The keys of a map.
    pub(super) fn of(node: &'a Node, name: &str) -> Result<Self, Wrong> {
        let Value::Map(entries) = &node.value else {
            let what = format!("`{name}` is not a map");
            return Err(Wrong::new(node.line, what, "write `key: value` below it"));
        };
        Ok(Self {
            line: node.line,
            entries,
            is_taken: vec![false; entries.len()],
        })
    }

    /// The value of a key; `None` where it is absent or nothing.
    pub(super) fn take(&mut self, key: &str) -> Option<&'a Node> {
        let at = self.entries.iter().position(|entry| entry.key == key)?;
        self.is_taken[at] = true;
        let node = &self.entries[at].node;
        (node.value != Value::Nothing).then_some(node)
    }

    /// The value of a key that must be there.
    pub(super) fn needed(&mut self, key: &str, of: &str) -> Result<&'a Node, Wrong> {
        let line = self.line;
        self.take(key).ok_or_else(|| {
            let what = format!("{of} has no `{key}`");
            Wrong::new(line, what, format!("add `{key}`"))
        })
    }

    /// Whether a key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    /// The keys that were not taken.
    pub(super) fn rest(&self) -> impl Iterator<Item = &'a Entry> {
        let taken = self.entries.iter().zip(&self.is_taken);
        taken.filter(|(_, taken)| !**taken).map(|(entry, _)| entry)
    }
}
