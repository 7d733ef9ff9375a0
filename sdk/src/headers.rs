//! The headers of a request, for functions that read them. The host bounds them:
//! `request_header_bytes`, and 512 headers.

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
