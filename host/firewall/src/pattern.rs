//! Regular expressions and globs, whose time is linear in the text and the
//! pattern, and whose memory is bounded by [`PATTERN_SIZE_MAX`].
//!
//! A dot covers the end of a line, too: otherwise a peer could hide the rest of
//! a value behind an escaped one. Classes and `(?i)` are about ASCII, as in
//! nginx, unless an expression asks for Unicode by `(?u)`; that also keeps it
//! small.

use regex::bytes::{Regex, RegexBuilder};

use crate::limits::{PATTERN_DEPTH_MAX, PATTERN_SIZE_MAX};

/// Compiles an expression, which finds its text anywhere in a value.
///
/// # Errors
///
/// When it is not one, or is larger than its bounds; with the place, if that is
/// known, on one line.
pub(crate) fn expression(text: &str) -> Result<Regex, String> {
    build(text, false)
}

fn build(text: &str, is_unicode: bool) -> Result<Regex, String> {
    let built = RegexBuilder::new(text)
        .size_limit(PATTERN_SIZE_MAX)
        .dfa_size_limit(PATTERN_SIZE_MAX)
        .nest_limit(PATTERN_DEPTH_MAX)
        .unicode(is_unicode)
        .dot_matches_new_line(true)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(most) => {
            format!("it takes more than {} KiB", most / 1024)
        }
        // The message draws the place below the expression; its last line says
        // what is wrong.
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    })
}

/// Compiles a glob, which covers a whole value: `*` stands for any characters,
/// `?` for one.
///
/// # Errors
///
/// When it is larger than its bounds.
pub(crate) fn glob(text: &str) -> Result<Regex, String> {
    let mut pattern = String::from(r"\A");
    for letter in text.chars() {
        match letter {
            '*' => pattern.push_str(".*"),
            '?' => pattern.push('.'),
            other => pattern.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    pattern.push_str(r"\z");
    build(&pattern, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_covers_the_whole() {
        for (pattern, text, expected) in [
            ("/a/*.js", "/a/b/c.js", true),
            ("/a/*.js", "/a/b/c.jsx", false),
            ("/a/*.js", "/a/bxjs", false),
            ("?", "\u{fc}", true),
            ("?", "", false),
            ("*", "", true),
            ("*", "a\nb", true),
            ("[a]+", "[a]+", true),
            ("[a]+", "aa", false),
            ("A", "a", false),
        ] {
            assert_eq!(
                glob(pattern).unwrap().is_match(text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn an_expression_that_is_wrong_or_too_large_is_refused() {
        for (text, expected) in [
            ("(", "unclosed group"),
            ("[z-a]", "invalid character class range"),
            (r"(?=a)", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"(?u)\w{20}", "more than 128 KiB"),
            (r"((((a{100}){100}){100}){100}){100}", "more than 128 KiB"),
        ] {
            let error = expression(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
        let depth = usize::try_from(PATTERN_DEPTH_MAX).unwrap();
        let nested = |count: usize| "(".repeat(count) + "a" + &")".repeat(count);
        assert!(expression(&nested(depth)).is_ok());
        assert!(expression(&nested(depth + 2)).is_err());
        assert!(expression(r"(?i)^/(admin|\w{1,200})$").is_ok());
        assert!(
            expression(r"(?u)^\w+$")
                .unwrap()
                .is_match("\u{fc}".as_bytes())
        );
        assert!(!expression(r"^\w+$").unwrap().is_match("\u{fc}".as_bytes()));
    }

    #[test]
    fn a_line_end_hides_nothing() {
        assert!(expression("^a.*z$").unwrap().is_match(b"a\nz"));
    }
}
