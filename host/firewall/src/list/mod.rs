//! Lists: networks or texts, written in the configuration or in a file of
//! their own, one a line.
//!
//! A list is read whole or not at all. Bounded by [`NETWORKS_MAX`],
//! [`TEXTS_MAX`] and [`LIST_LINE_BYTES_MAX`].

mod ranges;

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use openline_core::config::ConfigError;
use openline_hint::Hint;

use crate::limits::{LIST_LINE_BYTES_MAX, NETWORKS_MAX, TEXTS_MAX};

pub use ranges::Addresses;
pub(crate) use ranges::unmapped;

/// The kind of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Addresses and networks.
    Networks,
    /// Texts, which are compared as they are.
    Texts,
}

/// A list that was read.
#[derive(Clone, Debug)]
pub enum List {
    /// Addresses and networks.
    Networks(Addresses),
    /// Texts.
    Texts(HashSet<Box<str>>),
}

/// A list that could not be read, and its file. `Display` says what is wrong
/// with which line.
#[derive(Debug)]
pub struct ListError {
    /// The list's name.
    pub list: String,
    /// Its file.
    pub file: PathBuf,
    /// What is wrong.
    pub cause: Box<ListCause>,
}

/// Why a list could not be read.
#[derive(Debug)]
pub enum ListCause {
    /// The file cannot be read.
    File(std::io::Error),
    /// A line is wrong.
    Line(ConfigError),
}

/// Why a text is no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetworkError {
    /// It has an end that only this machine can tell the meaning of.
    Zone,
    /// It has bits behind its prefix. This is the network that it is in.
    Bits(IpNet),
    /// It is something else.
    Other,
}

/// Reads an address or a network.
pub(crate) fn network(text: &str) -> Result<IpNet, NetworkError> {
    let network = match text.contains('/') {
        true => IpNet::from_str(text).ok(),
        false => IpAddr::from_str(text).ok().map(IpNet::from),
    };
    match network {
        Some(network) if network.trunc() == network => Ok(network),
        Some(network) => Err(NetworkError::Bits(network.trunc())),
        None if text.contains('%') => Err(NetworkError::Zone),
        None => Err(NetworkError::Other),
    }
}

impl NetworkError {
    /// What is wrong, for a sentence that begins with the text.
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Zone => "has a zone",
            Self::Bits(_) => "has bits behind its prefix",
            Self::Other => "is not an address or a network",
        }
    }

    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Zone => {
                "the zone, as in `%eth0`, names an interface of one machine: leave it out".into()
            }
            Self::Bits(network) => format!("the network is `{network}`"),
            Self::Other => {
                "write addresses, as in `10.0.0.7`, or networks, as in `10.0.0.0/8` or `fd00::/8`"
                    .into()
            }
        }
    }
}

// === impl List ===

impl List {
    /// Reads a list of one entry a line. Empty lines and everything after `#`
    /// or `;` at the beginning of a line or after a space are left out, and so
    /// is space around an entry.
    ///
    /// # Errors
    ///
    /// With the line, when an entry is not one of its kind, a line is too long
    /// or not UTF-8, or there are too many.
    pub fn read(kind: ListKind, bytes: &[u8]) -> Result<Self, ConfigError> {
        Self::read_bounded(kind, bytes, NETWORKS_MAX, TEXTS_MAX)
    }

    fn read_bounded(
        kind: ListKind,
        bytes: &[u8],
        networks_max: usize,
        texts_max: usize,
    ) -> Result<Self, ConfigError> {
        // Editors of Windows put a mark at the beginning.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let mut networks = ranges::Collected::default();
        let mut texts = HashSet::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            if line.len() > LIST_LINE_BYTES_MAX {
                let message = format!("the line has more than {LIST_LINE_BYTES_MAX} bytes");
                return Err(error(number, b"", message, "write one entry on a line"));
            }
            if let Some((message, hint)) = not_a_line(line) {
                return Err(error(number, b"", message.into(), hint));
            }
            let entry = without_comment(line);
            if entry.is_empty() {
                continue;
            }
            let Ok(text) = std::str::from_utf8(entry) else {
                let message = "the line is not UTF-8".into();
                return Err(error(number, b"", message, "save the file as UTF-8"));
            };
            match kind {
                ListKind::Networks => {
                    let network = network(text).map_err(|wrong| {
                        let message = format!("`{text}` {}", wrong.message());
                        error(number, line, message, &wrong.hint())
                    })?;
                    networks.add(network);
                }
                ListKind::Texts => {
                    texts.insert(Box::from(text));
                }
            }
            let (count, most) = match kind {
                ListKind::Networks => (networks.len(), networks_max),
                ListKind::Texts => (texts.len(), texts_max),
            };
            if count > most {
                let message = format!("the list has more than {most} entries");
                let hint = "join neighbouring networks to larger ones, or use several lists";
                return Err(error(number, line, message, hint));
            }
        }
        Ok(match kind {
            ListKind::Networks => Self::Networks(networks.build()),
            ListKind::Texts => Self::Texts(texts),
        })
    }

    /// How many entries it has; of networks, the ranges that they were joined to.
    pub fn len(&self) -> usize {
        match self {
            Self::Networks(networks) => networks.ranges(),
            Self::Texts(texts) => texts.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its kind.
    pub fn kind(&self) -> ListKind {
        match self {
            Self::Networks(_) => ListKind::Networks,
            Self::Texts(_) => ListKind::Texts,
        }
    }

    /// Whether a text is one of its texts.
    pub(crate) fn has_text(&self, text: &str) -> bool {
        matches!(self, Self::Texts(texts) if texts.contains(text))
    }

    /// Whether an address is in one of its networks.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        matches!(self, Self::Networks(networks) if networks.contain(address))
    }
}

fn error(line: usize, source: &[u8], message: String, hint: &str) -> ConfigError {
    ConfigError {
        line,
        source: String::from_utf8_lossy(source).trim().into(),
        message,
        hint: hint.into(),
    }
}

/// Why a line cannot be one of a text in UTF-8, with a hint. If it were read, it
/// would be an entry that no request equals.
fn not_a_line(line: &[u8]) -> Option<(&'static str, &'static str)> {
    if line.contains(&0) {
        let hint = "save the file as UTF-8: a text in UTF-16 has such characters";
        return Some(("the line has the character NUL", hint));
    }
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let hint = "end lines with LF, or with CR and LF";
    line.contains(&b'\r')
        .then_some(("the line has the character CR before its end", hint))
}

/// An entry of a line. `#` within a word is part of it: texts may have it.
fn without_comment(line: &[u8]) -> &[u8] {
    let mut is_after_space = true;
    let end = line.iter().position(|byte| {
        let is_comment = is_after_space && matches!(byte, b'#' | b';');
        is_after_space = byte.is_ascii_whitespace();
        is_comment
    });
    line[..end.unwrap_or(line.len())].trim_ascii()
}

impl fmt::Display for ListKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Networks => "networks",
            Self::Texts => "texts",
        })
    }
}

// === impl ListError ===

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { list, file, cause } = self;
        write!(f, "the list `{list}` in {}: ", file.display())?;
        match &**cause {
            ListCause::File(error) => error.fmt(f),
            ListCause::Line(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ListError {}

impl Hint for ListError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match &*self.cause {
            ListCause::File(_) => Some("paths are relative to the configuration file".into()),
            ListCause::Line(error) => error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: ListKind, text: &str) -> Result<List, ConfigError> {
        List::read(kind, text.as_bytes())
    }

    #[test]
    fn entries_comments_and_line_ends_of_windows() {
        let text =
            "\u{feff}# spam\r\n10.0.0.0/8 ; us\r\n\r\n\t2001:db8::/32\r\n::ffff:192.0.2.0/120";
        let list = read(ListKind::Networks, text).unwrap();
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("2001:db8::7", true),
            ("192.0.2.9", true),
            ("192.0.3.9", false),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(list.has_address(address), expected, "{address}");
        }
        let texts = read(ListKind::Texts, "a#b\n c d # comment\n;x\n").unwrap();
        assert!(texts.has_text("a#b") && texts.has_text("c d"));
        assert!(!texts.has_text("") && !texts.has_text("x"));
        let List::Texts(texts) = texts else { panic!() };
        assert_eq!(texts.len(), 2);
    }

    #[test]
    fn an_error_has_its_line_its_text_and_a_hint() {
        for (line, message, hint) in [
            (
                "10.0.0.256",
                "`10.0.0.256` is not an address or a network",
                "as in",
            ),
            ("10.0.0.0/33", "is not an address or a network", "as in"),
            ("10.0.0.1/8", "has bits behind its prefix", "10.0.0.0/8"),
            ("fe80::1%eth0", "has a zone", "leave it out"),
            ("010.0.0.1", "is not an address", "as in"),
            ("example.org", "is not an address", "as in"),
        ] {
            let text = format!("# a list\n10.0.0.0/8\n{line} # wrong\n192.0.2.1\n");
            let error = read(ListKind::Networks, &text).unwrap_err();
            assert_eq!(error.line, 3, "{line}");
            assert!(error.message.contains(message), "{error}");
            assert!(error.hint.contains(hint), "{}", error.hint);
            assert!(error.source.starts_with(line));
        }
        let error = List::read(ListKind::Texts, b"a\n\xff\n").unwrap_err();
        assert_eq!((error.line, error.hint.is_empty()), (2, false));
    }

    #[test]
    fn a_file_that_is_no_text_with_lines_in_utf_8_is_refused_with_the_line() {
        for kind in [ListKind::Texts, ListKind::Networks] {
            for (text, line, hint) in [
                (&b"a\0b\n"[..], 1, "UTF-16"),
                (b"# x\n# \0\n", 2, "UTF-16"),
                (b"# x\r# y\r", 1, "LF"),
                (b"# x\r\n# y\r# z", 2, "LF"),
                // UTF-16 in both orders, without a mark.
                (b"a\0\n\0b\0", 1, "UTF-16"),
                (b"\0a\0\n\0b", 1, "UTF-16"),
            ] {
                let error = List::read(kind, text).unwrap_err();
                assert_eq!(error.line, line, "{text:?}");
                assert!(error.hint.contains(hint), "{}", error.hint);
            }
        }
        assert!(read(ListKind::Texts, "a\r\nb\r\n").is_ok());
    }

    #[test]
    fn lines_and_entries_at_their_bounds_and_one_past_them() {
        let line = "a".repeat(LIST_LINE_BYTES_MAX);
        assert!(read(ListKind::Texts, &line).is_ok());
        let error = read(ListKind::Texts, &format!("b\n{line}a")).unwrap_err();
        assert_eq!(error.line, 2);
        let bounded = |kind, text: &str| List::read_bounded(kind, text.as_bytes(), 3, 2);
        assert!(bounded(ListKind::Networks, "1.1.1.1\n1.1.1.2\n1.1.1.3\n").is_ok());
        let error = bounded(ListKind::Networks, "::1\n1.1.1.2\n1.1.1.3\n1.1.1.4").unwrap_err();
        assert_eq!(error.line, 4);
        assert!(error.message.contains("more than 3"), "{error}");
        assert!(bounded(ListKind::Texts, "a\nb\nb\n").is_ok());
        let error = bounded(ListKind::Texts, "a\nb\nc\n").unwrap_err();
        assert!(error.line == 3 && error.message.contains("more than 2"));
    }
}
