//! Untrusted text where people read it: a log, a terminal.
//!
//! Functions, peers and files choose names, paths and messages. Shown as they
//! are, they could move a cursor, begin a line that looks like the host's own,
//! or reverse the direction of a line. The caller bounds each text: the rest is
//! cut.

use std::fmt::{self, Display, Write};

/// A text on one line: control characters and other invisible characters are
/// escaped, and everything past `bytes_max` is cut.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a> {
    text: &'a str,
    bytes_max: usize,
}

/// Escapes what is written to it, up to a number of bytes; see [`Escaped`].
#[derive(Debug)]
pub struct Escaping<W> {
    inner: W,
    /// Replaces a line's end; without one, line ends are escaped like other
    /// control characters.
    line_end: Option<&'static str>,
    left: usize,
    /// How many bytes were cut.
    cut: usize,
}

impl<'a> Escaped<'a> {
    /// `bytes_max` counts the text's own bytes.
    pub fn new(text: &'a str, bytes_max: usize) -> Self {
        Self { text, bytes_max }
    }
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaping = Escaping::new(f, self.bytes_max);
        escaping.write_str(self.text)?;
        escaping.finish()
    }
}

impl<W: Write> Escaping<W> {
    /// Writes at most `bytes_max` bytes to `inner`.
    pub fn new(inner: W, bytes_max: usize) -> Self {
        Self {
            inner,
            line_end: None,
            left: bytes_max,
            cut: 0,
        }
    }

    /// Keeps several lines: each end of a line becomes `line_end`. Only for
    /// texts whose line ends are the host's own.
    #[must_use]
    pub fn lines(mut self, line_end: &'static str) -> Self {
        self.line_end = Some(line_end);
        self
    }

    /// Writes how much was cut.
    pub fn finish(mut self) -> fmt::Result {
        match self.cut {
            0 => Ok(()),
            cut => write!(self.inner, "... ({cut} more bytes)"),
        }
    }
}

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut shown = text.len().min(self.left);
        while !text.is_char_boundary(shown) {
            shown -= 1;
        }
        let (shown, rest) = text.split_at(shown);
        if !rest.is_empty() {
            // Nothing after a gap is shown.
            self.left = 0;
            self.cut = self.cut.saturating_add(rest.len());
        } else {
            self.left -= shown.len();
        }
        let mut plain = 0;
        for (place, letter) in shown.char_indices() {
            if is_plain(letter) {
                continue;
            }
            self.inner.write_str(&shown[plain..place])?;
            plain = place + letter.len_utf8();
            match (letter, self.line_end) {
                ('\n', Some(end)) => self.inner.write_str(end)?,
                _ => write!(self.inner, "{}", letter.escape_debug())?,
            }
        }
        self.inner.write_str(&shown[plain..])
    }
}

/// Whether a character is visible and has no effect on the text around it.
pub fn is_plain(letter: char) -> bool {
    if letter.is_ascii() {
        return matches!(letter, ' '..='~');
    }
    // The standard library knows which characters are not printable: control
    // characters, those that change the direction, line separators, and
    // characters without a width. The letter in front makes an accent
    // printable.
    let mut buffer = [b'a'; 5];
    let bytes = letter.encode_utf8(&mut buffer[1..]).len();
    let pair = std::str::from_utf8(&buffer[..=bytes]).unwrap_or_default();
    pair.escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        Escaped::new(text, usize::MAX).to_string()
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in [
            "",
            "it's \"quoted\"",
            r"C:\new\table",
            "naïve",
            "e\u{301}",
            "हिन्दी",
            "日本語",
            "שלום",
            "🦀",
        ] {
            assert_eq!(escaped(text), text);
        }
    }

    #[test]
    fn what_moves_a_cursor_ends_a_line_or_is_not_seen_is_escaped() {
        for (text, shown) in [
            ("a\nb\r", r"a\nb\r"),
            ("\x1b[2J", r"\u{1b}[2J"),
            ("\0\x07\x08\x7f", r"\0\u{7}\u{8}\u{7f}"),
            ("\u{85}\u{9b}2J", r"\u{85}\u{9b}2J"),
            ("\u{2028}\u{2029}", r"\u{2028}\u{2029}"),
            ("\u{202e}txt.exe\u{202c}", r"\u{202e}txt.exe\u{202c}"),
            (
                "\u{2066}\u{2069}\u{200f}\u{61c}",
                r"\u{2066}\u{2069}\u{200f}\u{61c}",
            ),
            ("\u{200b}\u{feff}\u{e0041}", r"\u{200b}\u{feff}\u{e0041}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
    }

    #[test]
    fn a_text_at_its_bytes_and_past_them() {
        assert_eq!(Escaped::new("abcd", 4).to_string(), "abcd");
        assert_eq!(
            Escaped::new("abcde", 4).to_string(),
            "abcd... (1 more bytes)"
        );
        // Not in the middle of a character.
        assert_eq!(Escaped::new("abcé", 4).to_string(), "abc... (2 more bytes)");
        let mut text = String::new();
        let mut escaping = Escaping::new(&mut text, 3);
        for part in ["ab", "é", "c"] {
            escaping.write_str(part).unwrap();
        }
        escaping.finish().unwrap();
        assert_eq!(text, "ab... (3 more bytes)");
    }

    #[test]
    fn lines_that_are_the_hosts_stay_lines() {
        let mut text = String::new();
        let mut escaping = Escaping::new(&mut text, 100).lines("\n    ");
        write!(escaping, "one\ntwo\r").unwrap();
        assert_eq!(text, "one\n    two\\r");
    }

    proptest! {
        #[test]
        fn nothing_that_is_obeyed_comes_through(text in any::<String>(), most in 0usize..100) {
            let shown = Escaped::new(&text, most).to_string();
            prop_assert!(shown.chars().all(is_plain), "{}", shown);
        }
    }
}
