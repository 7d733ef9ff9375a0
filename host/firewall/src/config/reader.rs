//! Reads values of a TOML text, and collects errors with their places.
//!
//! The text is walked by hand and not by serde: a criterion has several forms,
//! and serde's attempts at one form after the other lose the place of an error.

use std::borrow::Cow;
use std::ops::Range;

use openline_core::config::{ConfigError, nearest_word};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::limits::ERRORS_MAX;

/// A value with its place.
pub(super) type Node<'t, 'i> = &'t Spanned<DeValue<'i>>;

/// Collects errors. Each begins with the name of what is being read.
pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) errors: Vec<ConfigError>,
    /// What errors are about, as "rule `a` of firewall `b`".
    pub(super) about: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            errors: Vec::new(),
            about: String::new(),
        }
    }

    pub(super) fn error(&mut self, span: Range<usize>, message: &str, hint: &str) {
        if self.errors.len() >= ERRORS_MAX {
            return;
        }
        let message = match &*self.about {
            "" => message.to_owned(),
            about => format!("{about}: {message}"),
        };
        let error = ConfigError::at(self.text, Some(span), message, hint.into());
        self.errors.push(error);
    }

    /// Checks that a table has only known keys.
    pub(super) fn keys(&mut self, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            let name = key.get_ref();
            if !known.contains(&&**name) {
                let message = format!("unknown key `{name}`");
                let hint = match nearest_word(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys are {}", listed(known)),
                };
                self.error(key.span(), &message, &hint);
            }
        }
    }

    fn wrong_type(&mut self, node: Node<'_, '_>, what: &str, example: &str) {
        let found = node.get_ref().type_str();
        let message = format!("{what} is {example}, not {} {found}", article(found));
        self.error(node.span(), &message, &format!("write it as {example}"));
    }

    pub(super) fn table<'t, 'i>(
        &mut self,
        node: Node<'t, 'i>,
        what: &str,
    ) -> Option<&'t DeTable<'i>> {
        let table = node.get_ref().as_table();
        if table.is_none() {
            self.wrong_type(node, what, "a table");
        }
        table
    }

    pub(super) fn array<'t, 'i>(
        &mut self,
        node: Node<'t, 'i>,
        what: &str,
    ) -> Option<&'t [Spanned<DeValue<'i>>]> {
        let array = node.get_ref().as_array();
        if array.is_none() {
            self.wrong_type(node, what, "a list");
        }
        array.map(|array| &array[..])
    }

    /// A text of some bytes at most.
    pub(super) fn text<'t>(
        &mut self,
        node: Node<'t, '_>,
        what: &str,
        bytes_max: usize,
    ) -> Option<&'t str> {
        let Some(text) = node.get_ref().as_str() else {
            self.wrong_type(node, what, "a text in quotes");
            return None;
        };
        if text.len() > bytes_max {
            let message = format!("{what} has {} bytes, more than {bytes_max}", text.len());
            self.error(node.span(), &message, "shorten it");
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&mut self, node: Node<'_, '_>, what: &str) -> Option<bool> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(node, what, "`true` or `false`");
        }
        value
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        node: Node<'_, '_>,
        what: &str,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        let value = node.get_ref().as_integer();
        let digits = value.map(|it| it.as_str().replace('_', ""));
        let radix = value.map_or(10, toml::de::DeInteger::radix);
        let number = digits.and_then(|it| u64::from_str_radix(&it, radix).ok());
        match number {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let message = format!("{what} is a whole number from {least} to {most}");
                self.error(node.span(), &message, "write it without quotes");
                None
            }
        }
    }
}

/// Words for a sentence: `a`, `b` and `c`.
pub(super) fn listed(words: &[&str]) -> Cow<'static, str> {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => Cow::Borrowed("none"),
        Some((last, [])) => Cow::Owned(last.clone()),
        Some((last, rest)) => Cow::Owned(format!("{} and {last}", rest.join(", "))),
    }
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) {
        "an"
    } else {
        "a"
    }
}
