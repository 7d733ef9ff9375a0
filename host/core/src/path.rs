//! One spelling of a request's path, which every rule and every function sees.
//!
//! Two spellings that servers treat alike become the same text here (RFC 3986
//! section 6.2.2): escapes of characters that a segment may contain as they are
//! are decoded, the digits of other escapes become upper case, characters that
//! no path may contain are escaped, and dot segments are removed. Doubled slashes
//! become one, as nginx does by default. Escapes of `/`, `?`, `#`, `%` and `\`
//! stay: `%2F` is no slash. A path that servers read in different ways is
//! refused. The query is not touched.
//!
//! So two paths whose segments are equal once they are decoded are equal here:
//! parameters of routes are decoded, and a rule about `/@staff` must hold for
//! `/%40staff` as well.
//!
//! Bounded by the path: the result is at most three times as long.

use std::borrow::Cow;

/// Why a path has no spelling that everybody would agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    Escape,
    /// `%00`, where programs in C take the path to end.
    #[error("the path has a zero byte")]
    Zero,
    /// `\`, which browsers and some servers take for a slash.
    #[error("the path has a backslash: write `/`, or `%5C` for the character")]
    Backslash,
    /// Both doubled slashes and dot segments: the result depends on what is
    /// removed first, and nginx and Envoy differ in that.
    #[error("the path has both doubled slashes and dot segments")]
    Ambiguous,
}

/// The one spelling of a path. It is borrowed if the path already has it.
///
/// # Errors
///
/// When the path is ambiguous; see [`PathError`].
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    let Some(relative) = path.strip_prefix('/') else {
        return Err(PathError::Relative);
    };
    if is_normal(relative) {
        return Ok(Cow::Borrowed(path));
    }
    let count = relative.split('/').count();
    let mut kept: Vec<String> = Vec::with_capacity(count);
    let (mut doubled, mut dots, mut slash_at_end) = (false, false, false);
    for (index, written) in relative.split('/').enumerate() {
        let is_last = index + 1 == count;
        let segment = segment(written)?;
        match segment.as_str() {
            "" if is_last => slash_at_end = true,
            "" => doubled = true,
            "." | ".." => {
                dots = true;
                slash_at_end = is_last;
                if segment == ".." {
                    // RFC 3986 section 5.2.4: above the root is the root.
                    kept.pop();
                }
            }
            _ => kept.push(segment),
        }
    }
    if doubled && dots {
        return Err(PathError::Ambiguous);
    }
    let mut normal = String::with_capacity(path.len());
    for segment in &kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if slash_at_end || kept.is_empty() {
        normal.push('/');
    }
    // Some escapes stay as they are.
    Ok(if normal == path {
        Cow::Borrowed(path)
    } else {
        Cow::Owned(normal)
    })
}

/// The spelling of a part of a path, without regard to dot segments: how a
/// normal path would have these characters.
///
/// # Errors
///
/// When no path can have them; see [`PathError`].
pub fn spell(part: &str) -> Result<String, PathError> {
    let segments: Result<Vec<_>, _> = part.split('/').map(segment).collect();
    Ok(segments?.join("/"))
}

/// Whether a path without its first slash needs no change.
fn is_normal(relative: &str) -> bool {
    let mut segments = relative.split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        let odd = matches!(segment, "." | "..") || (segment.is_empty() && !is_last);
        if odd || !segment.bytes().all(is_plain) {
            return false;
        }
    }
    true
}

/// One segment in its one spelling.
fn segment(written: &str) -> Result<String, PathError> {
    let mut normal = String::with_capacity(written.len());
    let mut bytes = written.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|it| char::from(it).to_digit(16));
                let (high, low) = (digit(bytes.next()), digit(bytes.next()));
                let (high, low) = high.zip(low).ok_or(PathError::Escape)?;
                let byte = u8::try_from(high << 4 | low).map_err(|_| PathError::Escape)?;
                match byte {
                    0 => return Err(PathError::Zero),
                    byte if is_plain(byte) => normal.push(char::from(byte)),
                    byte => escape(&mut normal, byte),
                }
            }
            b'\\' => return Err(PathError::Backslash),
            byte if is_plain(byte) => normal.push(char::from(byte)),
            byte => escape(&mut normal, byte),
        }
    }
    Ok(normal)
}

fn escape(text: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from(DIGITS[usize::from(digit)]));
    }
}

/// `unreserved` of RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// `pchar` of RFC 3986 section 3.3 without escapes: what a segment contains as
/// it is.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(path: &str) -> Result<String, PathError> {
        normalise(path).map(Cow::into_owned)
    }

    #[test]
    fn spellings_of_one_path_become_one() {
        for (written, expected) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%61/%7Eb%2d%5F", "/a/~b-_"),
            ("/a%2fb/%c3%bc", "/a%2Fb/%C3%BC"),
            (
                "/\u{fc}/{x}/a|b\"^`<>",
                "/%C3%BC/%7Bx%7D/a%7Cb%22%5E%60%3C%3E",
            ),
            ("/a/./b/../c", "/a/c"),
            ("/a/%2e%2E/c/%2e", "/c/"),
            ("/../../a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/...", "/..."),
            ("/.a/..b", "/.a/..b"),
            ("//a///b//", "/a/b/"),
            ("//", "/"),
            ("/a;b=c/d,e", "/a;b=c/d,e"),
            (
                "/%40a%3ab%3Bc%2c%2A%2b/%21%24%26%27%28%29%3d",
                "/@a:b;c,*+/!$&'()=",
            ),
            ("/a%3Fb%23c%5c%7e", "/a%3Fb%23c%5C~"),
            ("/a%25b", "/a%25b"),
            ("/%2e%2e%2f", "/..%2F"),
            ("/.%2F..", "/.%2F.."),
        ] {
            assert_eq!(normal(written).as_deref(), Ok(expected), "{written}");
        }
        assert!(matches!(normalise("/a/b"), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn what_servers_read_in_different_ways_is_refused() {
        for (written, error) in [
            ("", PathError::Relative),
            ("*", PathError::Relative),
            ("/a%", PathError::Escape),
            ("/a%2", PathError::Escape),
            ("/a%2/b", PathError::Escape),
            ("/%zz", PathError::Escape),
            ("/%+1", PathError::Escape),
            ("/a%00b", PathError::Zero),
            ("/a\\b", PathError::Backslash),
            ("/a//../b", PathError::Ambiguous),
            ("//./b", PathError::Ambiguous),
            ("/%2e//b", PathError::Ambiguous),
        ] {
            assert_eq!(normal(written), Err(error), "{written}");
        }
    }

    #[test]
    fn a_part_of_a_path_has_the_same_spelling() {
        assert_eq!(spell("/caf\u{e9}/%40x").as_deref(), Ok("/caf%C3%A9/@x"));
        assert_eq!(spell("b/c%2f").as_deref(), Ok("b/c%2F"));
        assert_eq!(spell("").as_deref(), Ok(""));
        assert_eq!(spell("/a%2"), Err(PathError::Escape));
    }

    /// The rules of RFC 3986 applied one at a time to the text until none
    /// applies: slow, and written without the code above.
    fn one_rule_at_a_time(path: &str) -> String {
        let mut text = String::new();
        let mut rest = path;
        while let Some(letter) = rest.chars().next() {
            let (taken, next) = if letter == '%' {
                rest.split_at(3)
            } else {
                rest.split_at(letter.len_utf8())
            };
            rest = next;
            let decoded = percent_encoding::percent_decode_str(taken).collect::<Vec<_>>();
            let plain = decoded[..] == *taken.as_bytes();
            match decoded[..] {
                [byte] if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                    text.push(char::from(byte));
                }
                [byte] if b"!$&'()*+,;=:@".contains(&byte) || (plain && byte == b'/') => {
                    text.push(char::from(byte));
                }
                _ => decoded
                    .iter()
                    .for_each(|byte| text += &format!("%{byte:02X}")),
            }
        }
        loop {
            let before = text.clone();
            text = text.replacen("//", "/", 1).replacen("/./", "/", 1);
            for end in ["/.", "/.."] {
                if text.ends_with(end) {
                    text.push('/');
                }
            }
            if let Some(at) = text.find("/../") {
                let parent = text[..at].rfind('/').unwrap_or(0);
                text.replace_range(parent..at + 3, "");
            }
            if text == before {
                return text;
            }
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_is_as_the_rules_say_and_stays_so(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "/", "a", "B", ".", "..", "~", "%2e", "%2E", "%41", "%2f", "%2F", "%5c",
                    "%c3", "%25", "\u{e4}", "{", ":", "%3a", "*", "%0a",
                ]),
                0..12,
            ),
        ) {
            let path = format!("/{}", parts.concat());
            match normalise(&path) {
                Ok(found) => {
                    prop_assert_eq!(&*found, one_rule_at_a_time(&path));
                    let again = normalise(&found);
                    prop_assert!(matches!(again, Ok(Cow::Borrowed(_))), "{:?}", again);
                }
                Err(error) => prop_assert_eq!(error, PathError::Ambiguous),
            }
        }

        /// However the letters of a segment are escaped, the path is the same.
        #[test]
        fn paths_that_decode_alike_are_one(
            letters in prop::collection::vec((1_u8..=126, any::<bool>(), any::<bool>()), 1..20),
        ) {
            let spelled = |pick: fn(&(u8, bool, bool)) -> bool| {
                letters.iter().fold(String::from("/"), |mut path, letter| {
                    let raw = is_plain(letter.0) && !pick(letter);
                    match raw {
                        true => path.push(char::from(letter.0)),
                        false => path += &format!("%{:02x}", letter.0),
                    }
                    path
                })
            };
            let (one, other) = (spelled(|it| it.1), spelled(|it| it.2));
            prop_assert_eq!(normal(&one), normal(&other), "{} and {}", one, other);
        }

        /// Any text has one spelling or an error, and the spelling is plain.
        #[test]
        fn any_path_is_decided(path in "\\PC*") {
            if let Ok(found) = normalise(&path) {
                prop_assert!(found.starts_with('/') && found.is_ascii());
                prop_assert!(!found.contains("//") && !found.contains("/./"));
                prop_assert!(!found.contains("/../") && found.len() <= 3 * path.len());
            }
        }
    }
}
