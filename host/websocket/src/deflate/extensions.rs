//! The header `Sec-WebSocket-Extensions` (RFC 6455 section 9.1).

use std::borrow::Cow;

/// A header that is not a list of extensions. A server answers it with status
/// 400, a client ends the connection: RFC 6455 section 9.1 does not let either
/// go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`Sec-WebSocket-Extensions` is not a list of extensions")]
pub struct MalformedExtensions;

/// One extension of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extension<'a> {
    pub(super) name: &'a str,
    pub(super) parameters: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

/// Reads one header line. Elements of a list may be empty (RFC 9110 section
/// 5.6.1).
pub(super) fn parse(line: &str) -> Result<Vec<Extension<'_>>, MalformedExtensions> {
    let mut reader = Reader(line);
    let mut found = Vec::new();
    loop {
        reader.skip_spaces();
        if reader.0.is_empty() {
            return Ok(found);
        }
        if reader.take(',') {
            continue;
        }
        found.push(reader.extension()?);
        reader.skip_spaces();
        if !reader.0.is_empty() && !reader.take(',') {
            return Err(MalformedExtensions);
        }
    }
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn take(&mut self, letter: char) -> bool {
        let rest = self.0.strip_prefix(letter);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// RFC 9110 section 5.6.2.
    fn token(&mut self) -> Result<&'a str, MalformedExtensions> {
        let end = self.0.bytes().position(|byte| !is_of_token(byte));
        match end.unwrap_or(self.0.len()) {
            0 => Err(MalformedExtensions),
            end => {
                let (token, rest) = self.0.split_at(end);
                self.0 = rest;
                Ok(token)
            }
        }
    }

    fn extension(&mut self) -> Result<Extension<'a>, MalformedExtensions> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        loop {
            self.skip_spaces();
            if !self.take(';') {
                return Ok(Extension { name, parameters });
            }
            self.skip_spaces();
            let name = self.token()?;
            self.skip_spaces();
            let value = match self.take('=') {
                true => Some(self.value()?),
                false => None,
            };
            parameters.push((name, value));
        }
    }

    fn value(&mut self) -> Result<Cow<'a, str>, MalformedExtensions> {
        self.skip_spaces();
        if !self.take('"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = String::new();
        let mut letters = self.0.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    // Unquoted, it has to be a token as well.
                    let is_token = !value.is_empty() && value.bytes().all(is_of_token);
                    return is_token.then(|| value.into()).ok_or(MalformedExtensions);
                }
                '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
                letter => value.push(letter),
            }
        }
        Err(MalformedExtensions)
    }
}

fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extension<'a>(name: &'a str, parameters: &[(&'a str, Option<&'a str>)]) -> Extension<'a> {
        let parameters = parameters.iter();
        Extension {
            name,
            parameters: parameters
                .map(|(name, value)| (*name, value.map(Cow::Borrowed)))
                .collect(),
        }
    }

    #[test]
    fn lists() {
        let bits = extension("a", &[("b", Some("9")), ("c", None)]);
        for (line, wanted) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("a; b=9; c", vec![bits.clone()]),
            ("a;b=\"9\";c", vec![bits.clone()]),
            ("a ; b = \"\\9\" ;\tc", vec![bits.clone()]),
            (
                "x,a;b=9;c , y",
                vec![extension("x", &[]), bits, extension("y", &[])],
            ),
            ("a; b; b", vec![extension("a", &[("b", None), ("b", None)])]),
        ] {
            assert_eq!(parse(line), Ok(wanted), "{line}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for line in [
            ";",
            "a;",
            "a; ;b",
            "a b",
            "a; b=",
            "a; b=\"",
            "a; b=\"\"",
            "a; b=\"1 2\"",
            "a; =9",
            "a/b",
            "a; b=9 c",
            "ä",
            "a; b=\"9\"c",
            "a; b=\"\\",
            "\"a\"",
        ] {
            assert_eq!(parse(line), Err(MalformedExtensions), "{line}");
        }
    }
}
