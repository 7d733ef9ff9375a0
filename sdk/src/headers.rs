//! The headers of a request, for functions that read them. The host bounds them:
//! `request_header_bytes`, and 512 headers.

use std::borrow::Cow;

/// Headers in their order, with names in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// The first header of this name, in any case, if its value is UTF-8.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All headers of this name, in any case, as one value: lines joined by `, `,
    /// those of `cookie` by `; `, as RFC 9110 section 5.3 says and as rules read
    /// them. Bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn joined(&self, name: &str) -> Option<Cow<'_, str>> {
        let same = |(candidate, _): &(&str, &[u8])| candidate.eq_ignore_ascii_case(name);
        let mut values = self.iter().filter(same).map(|(_, value)| value);
        let first = String::from_utf8_lossy(values.next()?);
        let between = match name.eq_ignore_ascii_case("cookie") {
            true => "; ",
            false => ", ",
        };
        Some(values.fold(first, |mut joined, value| {
            let text = joined.to_mut();
            text.push_str(between);
            text.push_str(&String::from_utf8_lossy(value));
            joined
        }))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let headers = self.0.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// Adds a header behind the others.
    pub(crate) fn add(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.0.push((name.to_ascii_lowercase(), value.into()));
    }
}

impl From<Vec<(String, Vec<u8>)>> for Headers {
    /// Those that the host passes.
    fn from(headers: Vec<(String, Vec<u8>)>) -> Self {
        Self(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_lines_of_a_header_are_one_value() {
        let mut headers = Headers::default();
        for (name, value) in [
            ("x-do", &b"allow"[..]),
            ("X-Do", b"deny"),
            ("x-odd", b"a\xff"),
        ] {
            headers.add(name, value);
        }
        headers.add("cookie", "a=1");
        headers.add("cookie", "b=2");
        assert_eq!(headers.joined("X-DO").as_deref(), Some("allow, deny"));
        assert_eq!(headers.joined("x-odd").as_deref(), Some("a\u{fffd}"));
        assert_eq!(headers.joined("Cookie").as_deref(), Some("a=1; b=2"));
        assert_eq!(headers.joined("x-none"), None);
    }

    #[test]
    fn a_header_is_found_in_any_case_and_read_only_as_text() {
        let mut headers = Headers::default();
        headers.add("X-Token", "first");
        headers.add("x-token", "second");
        headers.add("x-bytes", [0xff]);
        assert_eq!(headers.first("X-TOKEN"), Some("first"));
        assert_eq!(headers.first("x-bytes"), None);
        assert_eq!(headers.first("x-absent"), None);
        assert_eq!(headers.iter().next(), Some(("x-token", &b"first"[..])));
        assert_eq!(headers.iter().count(), 3);
    }
}
