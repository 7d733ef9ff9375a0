//! A channel's name as a subject of a message broker.
//!
//! To this host `*`, `>` and `.` are letters of a name like any other: only the
//! patterns of a configuration have wildcards. To a broker they are not, so
//! names are escaped on the way. The subject of a name has a token for each
//! segment, so that a broker's own wildcards select what our patterns do:
//! `room:42` becomes `room.42`, and `room:*` the subject `room.>`.
//!
//! In a token, ASCII letters, digits, `-` and `_` stand for themselves, each
//! other byte is `=` with two digits in upper case, and an empty segment is `=`.
//! So a subject fits NATS's subjects and keys, and Redis's patterns find no
//! wildcard in it. Each name has one subject and each subject one name. A
//! subject has at most three times the bytes of its name.

use openline_core::name::ChannelName;

/// What stands for an empty segment, and before two digits.
const ESCAPE: char = '=';

/// The subject of a channel.
pub fn subject(channel: &ChannelName) -> String {
    let name = channel.as_str();
    let mut subject = String::with_capacity(name.len());
    for (at, segment) in name.split(':').enumerate() {
        if at > 0 {
            subject.push('.');
        }
        if segment.is_empty() {
            subject.push(ESCAPE);
        }
        for byte in segment.bytes() {
            if is_plain(byte) {
                subject.push(byte.into());
            } else {
                subject.push(ESCAPE);
                subject.push(digit(byte >> 4));
                subject.push(digit(byte & 15));
            }
        }
    }
    subject
}

/// The channel of a subject; `None` if no channel has it.
pub fn channel(subject: &str) -> Option<ChannelName> {
    let mut name = Vec::with_capacity(subject.len());
    for (at, token) in subject.split('.').enumerate() {
        if at > 0 {
            name.push(b':');
        }
        if token == "=" {
            continue;
        }
        let mut bytes = token.bytes();
        // Only `=` is an empty segment.
        let mut next = Some(bytes.next()?);
        while let Some(byte) = next {
            name.push(match byte {
                b'=' => {
                    let byte = value(bytes.next()?)? << 4 | value(bytes.next()?)?;
                    // A byte that needs no escape has one spelling, too.
                    (!is_plain(byte) && byte != b':').then_some(byte)?
                }
                byte => is_plain(byte).then_some(byte)?,
            });
            next = bytes.next();
        }
    }
    ChannelName::new(std::str::from_utf8(&name).ok()?).ok()
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_".contains(&byte)
}

fn digit(value: u8) -> char {
    char::from_digit(value.into(), 16)
        .unwrap_or('0')
        .to_ascii_uppercase()
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_and_its_subject() {
        for (name, expected) in [
            ("chat", "chat"),
            ("room:42:typing", "room.42.typing"),
            ("a.b", "a=2Eb"),
            ("*", "=2A"),
            (">", "=3E"),
            (":", "=.="),
            ("a::b", "a.=.b"),
            ("=", "=3D"),
            ("é b", "=C3=A9=20b"),
            ("$JS", "=24JS"),
        ] {
            let name = ChannelName::new(name).unwrap();
            assert_eq!(subject(&name), expected);
            assert_eq!(channel(expected), Some(name));
        }
    }

    #[test]
    fn what_is_no_subject_has_no_channel() {
        for bad in [
            "", ".", "a.", ".a", "a..b", "=4", "=2e", "=41", "=3A", "==", "a=", "*", ">", "a b",
            "=FF", "=00", "=C3", "é",
        ] {
            assert_eq!(channel(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn each_name_has_one_subject_that_no_broker_obeys(name in "[a:.*>= é]{1,20}") {
            let name = ChannelName::new(&name).unwrap();
            let subject = subject(&name);
            prop_assert!(subject.split('.').all(|token| !token.is_empty()));
            let plain = |byte: u8| is_plain(byte) || b".=".contains(&byte);
            prop_assert!(subject.bytes().all(plain));
            prop_assert!(subject.len() <= 3 * name.as_str().len());
            prop_assert_eq!(channel(&subject), Some(name));
        }

        #[test]
        fn each_subject_is_that_of_its_channel(text in "[a.=0-4A-F]{0,12}") {
            if let Some(name) = channel(&text) {
                prop_assert_eq!(subject(&name), text);
            }
        }
    }
}
