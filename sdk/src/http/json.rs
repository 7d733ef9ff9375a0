//! The little JSON that the host's headers need: objects of strings, and lists of
//! strings in ASCII.

use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

/// How deep objects and lists may be in each other, which bounds the stack.
const DEPTH_MAX: usize = 16;

/// A value, as far as it is of use here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Text(String),
    Object(Vec<(String, Self)>),
    /// A number, a boolean or a list.
    Other,
}

impl Value {
    /// The value of a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                let entry = entries.iter().find(|(name, _)| name == key);
                entry.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.get(key) {
            Some(Self::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }
}

/// Reads JSON; none if it is not JSON.
pub(super) fn parse(json: &str) -> Option<Value> {
    let mut characters = json.chars().peekable();
    let value = value(&mut characters, 0)?;
    skip_space(&mut characters);
    characters.next().is_none().then_some(value)
}

type Characters<'a> = Peekable<Chars<'a>>;

fn skip_space(characters: &mut Characters) {
    while characters
        .next_if(|character| matches!(character, ' ' | '\t' | '\n' | '\r'))
        .is_some()
    {}
}

/// The next character that is not space.
fn next(characters: &mut Characters) -> Option<char> {
    skip_space(characters);
    characters.next()
}

fn value(characters: &mut Characters, depth: usize) -> Option<Value> {
    if depth == DEPTH_MAX {
        return None;
    }
    match next(characters)? {
        '"' => string(characters).map(Value::Text),
        '{' => object(characters, depth),
        '[' => list(characters, depth),
        'n' => word(characters, "ull").map(|()| Value::Null),
        't' => word(characters, "rue").map(|()| Value::Other),
        'f' => word(characters, "alse").map(|()| Value::Other),
        '-' | '0'..='9' => {
            let in_number = |next: &char| matches!(next, '0'..='9' | '.' | 'e' | 'E' | '+' | '-');
            while characters.next_if(in_number).is_some() {}
            Some(Value::Other)
        }
        _ => None,
    }
}

fn word(characters: &mut Characters, rest: &str) -> Option<()> {
    rest.chars()
        .all(|expected| characters.next() == Some(expected))
        .then_some(())
}

fn object(characters: &mut Characters, depth: usize) -> Option<Value> {
    let mut entries = Vec::new();
    skip_space(characters);
    if characters.next_if_eq(&'}').is_some() {
        return Some(Value::Object(entries));
    }
    loop {
        let key = (next(characters)? == '"').then(|| string(characters))??;
        if next(characters)? != ':' {
            return None;
        }
        entries.push((key, value(characters, depth + 1)?));
        match next(characters)? {
            ',' => {}
            '}' => return Some(Value::Object(entries)),
            _ => return None,
        }
    }
}

fn list(characters: &mut Characters, depth: usize) -> Option<Value> {
    skip_space(characters);
    if characters.next_if_eq(&']').is_some() {
        return Some(Value::Other);
    }
    loop {
        value(characters, depth + 1)?;
        match next(characters)? {
            ',' => {}
            ']' => return Some(Value::Other),
            _ => return None,
        }
    }
}

/// The rest of a string, behind its first quotation mark.
fn string(characters: &mut Characters) -> Option<String> {
    let mut text = String::new();
    loop {
        match characters.next()? {
            '"' => return Some(text),
            '\\' => text.push(match characters.next()? {
                same @ ('"' | '\\' | '/') => same,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => escaped(characters)?,
                _ => return None,
            }),
            control if control < ' ' => return None,
            other => text.push(other),
        }
    }
}

/// The character of a `\uXXXX` escape. One outside the basic plane takes two escapes.
fn escaped(characters: &mut Characters) -> Option<char> {
    let first = unit(characters)?;
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first);
    }
    word(characters, "\\u")?;
    let second = unit(characters)?;
    let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + low)
}

fn unit(characters: &mut Characters) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| {
        let digit = characters.next()?.to_digit(16)?;
        Some(unit << 4 | digit)
    })
}

/// A list of strings in ASCII.
pub(super) fn list_of(texts: &[String]) -> String {
    let mut json = String::from("[");
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => json.extend(['\\', character]),
                ' '..='~' => json.push(character),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        // Writing to a string does not fail.
                        let _ = write!(json, "\\u{unit:04x}");
                    }
                }
            }
        }
        json.push('"');
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read() {
        let json = r#" {"a": "b\n\u00e4\ud83d\ude00", "n": null, "o": {"p": "q"},
            "l": [1, -2.5e+3, true, false, [], {}], "e": ""} "#;
        let value = parse(json).unwrap();
        assert_eq!(value.text("a").unwrap(), "b\nä😀");
        assert_eq!(value.get("n"), Some(&Value::Null));
        assert_eq!(value.get("o").unwrap().text("p").unwrap(), "q");
        assert_eq!(value.get("l"), Some(&Value::Other));
        assert_eq!(value.text("e").unwrap(), "");
        assert_eq!(value.text("n"), None);
        assert_eq!(value.get("none"), None);
        assert_eq!(parse("{}"), Some(Value::Object(Vec::new())));
    }

    #[test]
    fn what_is_not_json_is_nothing() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "\"",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"a\nb\"",
            "nul",
            "{} {}",
            "[1,]",
            "[1",
            "?",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(parse(&nested(DEPTH_MAX)), Some(Value::Other));
        assert_eq!(parse(&nested(DEPTH_MAX + 1)), None);
        assert_eq!(parse(&"[".repeat(100_000)), None);
    }

    #[test]
    fn lists_are_written_in_ascii_and_read_back() {
        let texts = ["a \"b\\", "ä\n", "😀", ""].map(str::to_owned);
        let json = list_of(&texts);
        assert_eq!(json, r#"["a \"b\\","\u00e4\u000a","\ud83d\ude00",""]"#);
        assert_eq!(parse(&json), Some(Value::Other));
        assert_eq!(parse(r#""\ud83d\ude00""#), Some(Value::Text("😀".into())));
        assert_eq!(list_of(&[]), "[]");
    }
}
