//! Patterns of channel names.
//!
//! A name is a text with segments between colons, as in `room:42:typing`. A
//! pattern is a name in which `{name}` stands for one segment that is not empty,
//! and a last `*` for any rest that is not empty: `room:{room}:typing`,
//! `chat:*`, `log-*`. A name that has `*`, `{` or `}` of its own is matched by
//! what stands for it; no pattern spells it.
//!
//! One name may match several patterns. The most specific one wins: at the
//! first place where two patterns differ, a letter wins over `{name}`, which
//! wins over `*`. So `room:lobby` wins over `room:{room}`, and both over
//! `room:*` and `*`.
//!
//! Matching takes time linear in the name and never goes back: `{name}` ends at
//! the next colon.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::limits::CHANNEL_NAME_BYTES_MAX;
use crate::name::ChannelName;

/// The longest pattern, in bytes: as long as the longest name.
pub const PATTERN_BYTES_MAX: usize = CHANNEL_NAME_BYTES_MAX;
/// How many `{name}` a pattern has at most: names have few levels.
pub const SEGMENTS_MAX: usize = 8;

/// What separates the segments of a name.
const SEPARATOR: char = ':';

/// A checked pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// One segment, which has this name.
    Segment(String),
    /// All that is left; always the last part.
    Rest,
}

/// Why a text is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Empty or too long.
    #[error("a pattern of channels has 1 to {PATTERN_BYTES_MAX} bytes, this one has {0}")]
    Length(usize),
    /// No name has this character.
    #[error("a pattern of channels has no control characters, this one has one at byte {0}")]
    Control(usize),
    /// `*` that is not at the end.
    #[error("`*` stands for the rest of a name and is the last character of a pattern")]
    Star,
    /// A brace that is not part of a whole segment.
    #[error(
        "`{{name}}` is a whole segment between colons, its name of letters, digits, `-` and `_`"
    )]
    Brace,
    /// Two segments with one name.
    #[error("two segments are named `{0}`")]
    Twice(String),
    /// Too many `{name}`.
    #[error("a pattern has at most {SEGMENTS_MAX} segments in braces")]
    Segments,
}

impl ChannelPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// See [`PatternError`].
    pub fn new(text: &str) -> Result<Self, PatternError> {
        if !(1..=PATTERN_BYTES_MAX).contains(&text.len()) {
            return Err(PatternError::Length(text.len()));
        }
        if let Some(at) = text.find(char::is_control) {
            return Err(PatternError::Control(at));
        }
        let mut parts = Parts::default();
        let (before, has_rest) = match text.strip_suffix('*') {
            Some(before) => (before, true),
            None => (text, false),
        };
        if before.contains('*') {
            return Err(PatternError::Star);
        }
        let mut segments = before.split(SEPARATOR).peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            if segment.contains(['{', '}']) {
                // In `{name}*` nothing says where the segment ends.
                if is_last && has_rest {
                    return Err(PatternError::Brace);
                }
                parts.segment(segment)?;
            } else {
                parts.literal(segment);
            }
            if !is_last {
                parts.literal(":");
            }
        }
        let mut parts = parts.0;
        if has_rest {
            parts.push(Part::Rest);
        }
        Ok(Self {
            text: text.into(),
            parts,
        })
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a name matches.
    pub fn matches(&self, name: &ChannelName) -> bool {
        self.walk(name.as_str(), |_, _| {})
    }

    /// The segment of a matching name that stands for `{segment}`.
    pub fn captured<'n>(&self, name: &'n ChannelName, segment: &str) -> Option<&'n str> {
        let mut found = None;
        let matches = self.walk(name.as_str(), |its_name, value| {
            if its_name == segment {
                found = Some(value);
            }
        });
        found.filter(|_| matches)
    }

    /// Whether it has `{segment}`.
    pub fn has_segment(&self, segment: &str) -> bool {
        let is_it = |part: &Part| matches!(part, Part::Segment(name) if name == segment);
        self.parts.iter().any(is_it)
    }

    /// Whether the two match the same names: they differ at most in the names
    /// of their segments.
    pub fn is_alike(&self, other: &Self) -> bool {
        let alike = |(one, other): (&Part, &Part)| match (one, other) {
            (Part::Segment(_), Part::Segment(_)) => true,
            (one, other) => one == other,
        };
        self.parts.len() == other.parts.len() && self.parts.iter().zip(&other.parts).all(alike)
    }

    /// Of two patterns that match one name, the less is the more specific one.
    /// An order of all patterns, so that a list can be sorted by it.
    pub fn specificity(&self, other: &Self) -> Ordering {
        let ranks = self.ranks().cmp(other.ranks());
        ranks.then_with(|| self.text.cmp(&other.text))
    }

    fn ranks(&self) -> impl Iterator<Item = u8> {
        self.parts.iter().flat_map(|part| match part {
            Part::Literal(text) => std::iter::repeat_n(0, text.len()),
            Part::Segment(_) => std::iter::repeat_n(1, 1),
            Part::Rest => std::iter::repeat_n(2, 1),
        })
    }

    fn walk<'n>(&self, name: &'n str, mut captured: impl FnMut(&str, &'n str)) -> bool {
        let mut left = name;
        for part in &self.parts {
            match part {
                Part::Literal(text) => match left.strip_prefix(text.as_str()) {
                    Some(rest) => left = rest,
                    None => return false,
                },
                Part::Segment(its_name) => {
                    let (segment, rest) = left.split_at(left.find(SEPARATOR).unwrap_or(left.len()));
                    if segment.is_empty() {
                        return false;
                    }
                    captured(its_name, segment);
                    left = rest;
                }
                Part::Rest => return !left.is_empty(),
            }
        }
        left.is_empty()
    }
}

impl fmt::Display for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ChannelPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ChannelPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// The parts of a pattern that is being read.
#[derive(Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn literal(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Literal(before)) => before.push_str(text),
            _ if text.is_empty() => {}
            _ => self.0.push(Part::Literal(text.into())),
        }
    }

    fn segment(&mut self, written: &str) -> Result<(), PatternError> {
        let name = written
            .strip_prefix('{')
            .and_then(|it| it.strip_suffix('}'));
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        let valid = |name: &&str| !name.is_empty() && name.bytes().all(word);
        let name = name.filter(valid).ok_or(PatternError::Brace)?;
        let mut names = 0;
        for part in &self.0 {
            if let Part::Segment(other) = part {
                names += 1;
                if other == name {
                    return Err(PatternError::Twice(name.into()));
                }
            }
        }
        if names == SEGMENTS_MAX {
            return Err(PatternError::Segments);
        }
        self.0.push(Part::Segment(name.into()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> ChannelPattern {
        ChannelPattern::new(text).unwrap()
    }

    fn name(text: &str) -> ChannelName {
        ChannelName::new(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_its_names_and_no_others() {
        for (written, matching, others) in [
            ("chat", &["chat"][..], &["chat:", "cha", "chats"][..]),
            (
                "chat:*",
                &["chat:1", "chat:1:2", "chat::", "chat:*"],
                &["chat", "chat:", "chats:1"],
            ),
            ("log-*", &["log-a", "log-:"], &["log-", "log"]),
            ("*", &["a", ":", "*", ">"], &[]),
            (
                "room:{room}",
                &["room:1", "room:*"],
                &["room:", "room:1:2", "room"],
            ),
            (
                "{a}:x:{b}",
                &["1:x:2"],
                &["1:x:", ":x:2", "1:y:2", "1:x:2:"],
            ),
            ("{a}:*", &["1:2", "1:2:3"], &["1:", "1", ":2"]),
            ("a::b", &["a::b"], &["a:b"]),
        ] {
            for matches in matching {
                assert!(
                    pattern(written).matches(&name(matches)),
                    "{written} {matches}"
                );
            }
            for other in others {
                assert!(!pattern(written).matches(&name(other)), "{written} {other}");
            }
        }
    }

    #[test]
    fn a_segment_is_captured_from_a_name_that_matches() {
        let rooms = pattern("room:{room}:{user}");
        let captured =
            |text: &str, segment: &str| rooms.captured(&name(text), segment).map(str::to_owned);
        assert_eq!(captured("room:1:ann", "room").as_deref(), Some("1"));
        assert_eq!(captured("room:1:ann", "user").as_deref(), Some("ann"));
        assert_eq!(captured("room:1:ann", "other"), None);
        assert_eq!(captured("room:1:ann:", "room"), None);
        assert!(rooms.has_segment("user") && !rooms.has_segment("other"));
    }

    #[test]
    fn the_most_specific_one_comes_first() {
        let mut all = [
            "*",
            "room:*",
            "room:{room}",
            "room:lobby",
            "room:lo*",
            "{kind}:lobby",
            "room:{room}:typing",
            "room:{room}:*",
        ]
        .map(pattern);
        all.sort_by(ChannelPattern::specificity);
        let first = |text: &str| {
            let found = all.iter().find(|it| it.matches(&name(text)));
            found.unwrap().as_str()
        };
        assert_eq!(first("room:lobby"), "room:lobby");
        assert_eq!(first("room:lounge"), "room:lo*");
        assert_eq!(first("room:1"), "room:{room}");
        assert_eq!(first("room:1:typing"), "room:{room}:typing");
        assert_eq!(first("room:1:2"), "room:{room}:*");
        assert_eq!(first("room:"), "*");
        assert_eq!(first("hall:lobby"), "{kind}:lobby");
    }

    #[test]
    fn patterns_that_differ_in_names_are_alike() {
        assert!(pattern("a:{b}").is_alike(&pattern("a:{c}")));
        assert!(!pattern("a:{b}").is_alike(&pattern("a:*")));
        assert!(!pattern("a").is_alike(&pattern("a:{b}")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, error) in [
            ("", PatternError::Length(0)),
            ("a\tb", PatternError::Control(1)),
            ("a*b", PatternError::Star),
            ("**", PatternError::Star),
            ("a{b}", PatternError::Brace),
            ("{b}*", PatternError::Brace),
            ("{}", PatternError::Brace),
            ("{a b}", PatternError::Brace),
            ("a}", PatternError::Brace),
            ("{a}:{a}", PatternError::Twice("a".into())),
        ] {
            assert_eq!(ChannelPattern::new(text), Err(error), "{text}");
        }
        assert!(ChannelPattern::new(&"a".repeat(PATTERN_BYTES_MAX)).is_ok());
        let long = PATTERN_BYTES_MAX + 1;
        assert_eq!(
            ChannelPattern::new(&"a".repeat(long)),
            Err(PatternError::Length(long))
        );
        let segments = |count: usize| {
            let all: Vec<_> = (0..count).map(|it| format!("{{a{it}}}")).collect();
            ChannelPattern::new(&all.join(":"))
        };
        assert!(segments(SEGMENTS_MAX).is_ok());
        assert_eq!(segments(SEGMENTS_MAX + 1), Err(PatternError::Segments));
    }

    /// The same by trying all divisions of the name.
    fn matches_slowly(parts: &[Part], name: &str) -> bool {
        match parts.split_first() {
            None => name.is_empty(),
            Some((Part::Literal(text), rest)) => name
                .strip_prefix(text.as_str())
                .is_some_and(|left| matches_slowly(rest, left)),
            Some((Part::Segment(_), rest)) => (1..=name.len()).any(|end| {
                name.is_char_boundary(end)
                    && !name[..end].contains(SEPARATOR)
                    && matches_slowly(rest, &name[end..])
            }),
            Some((Part::Rest, _)) => !name.is_empty(),
        }
    }

    proptest! {
        #[test]
        fn matching_needs_no_second_try(
            text in "[ab]?(:[ab]|:|:\\{x\\}|:\\{y\\}){0,3}\\*?",
            channel in "[ab:]{1,8}",
        ) {
            let Ok(pattern) = ChannelPattern::new(&text) else { return Ok(()) };
            let matches = pattern.matches(&name(&channel));
            prop_assert_eq!(matches, matches_slowly(&pattern.parts, &channel));
        }
    }
}
