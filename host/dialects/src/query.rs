//! Queries of requests: pairs, decoded as forms are.
//!
//! Bounded by the query itself, which the host bounds with the request's head.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The pairs of a query, in their order. A pair without `=` has an empty value;
/// what is not UTF-8 once it is decoded is no pair.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.filter_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decoded(name)?, decoded(value)?))
    })
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// The value of a name that occurs at most once.
pub(crate) fn one<'a>(query: &'a str, name: &str) -> Result<Option<Cow<'a, str>>, Twice> {
    let mut values = pairs(query).filter(|(other, _)| other == name);
    let first = values.next().map(|(_, value)| value);
    match values.next() {
        Some(_) => Err(Twice),
        None => Ok(first),
    }
}

/// A name occurs more than once, and readers could disagree which one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twice;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_as_forms_are() {
        let read: Vec<_> = pairs("a=1&&b&c=%20+x%3D&%ff=1&d=%ff&e==").collect();
        let pair = |name: &'static str, value: &'static str| (name.into(), value.into());
        let expected: [(Cow<'_, str>, Cow<'_, str>); 4] = [
            pair("a", "1"),
            pair("b", ""),
            pair("c", "  x="),
            pair("e", "="),
        ];
        assert_eq!(read, expected);
        assert_eq!(one("a=1&b=2", "b"), Ok(Some("2".into())));
        assert_eq!(one("a=1", "b"), Ok(None));
        assert_eq!(one("b=1&b=1", "b"), Err(Twice));
    }
}
