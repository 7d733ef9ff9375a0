//! Reads the query of a URI in the format of forms
//! (`application/x-www-form-urlencoded`, the rules of the WHATWG URL standard).
//! It never fails, whatever the peer sent. The host bounds the size: it refuses
//! a path and query over 8 KiB.

use std::borrow::Cow;

/// The path of a URI, up to its query.
pub(crate) fn path(uri: &str) -> &str {
    uri.split_once('?').map_or(uri, |(path, _)| path)
}

/// The query of a URI, without `?`; empty if it has none.
pub(crate) fn of(uri: &str) -> &str {
    uri.split_once('?').map_or("", |(_, query)| query)
}

/// The first value of a key, decoded.
pub(crate) fn value<'a>(query: &'a str, key: &str) -> Option<Cow<'a, str>> {
    pairs(query)
        .find(|(candidate, _)| candidate == key)
        .map(|(_, value)| value)
}

/// The pairs of a query, decoded, in order. A key without `=` has an empty value;
/// an empty part (`&&`) is not a pair.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
}

/// `+` is a space, and `%` with two hexadecimal digits is a byte; any other `%`
/// stands for itself. Bytes that are not UTF-8 become U+FFFD.
fn decode(encoded: &str) -> Cow<'_, str> {
    if !encoded.contains(['%', '+']) {
        return Cow::Borrowed(encoded);
    }
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => decoded.push(b' '),
            (b'%', [high, low, after @ ..]) => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    rest = after;
                }
                _ => decoded.push(b'%'),
            },
            (byte, _) => decoded.push(*byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// The value of a hexadecimal digit, in either case.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str) -> Vec<(String, String)> {
        let owned = |(key, value): (Cow<str>, Cow<str>)| (key.into_owned(), value.into_owned());
        pairs(of(uri)).map(owned).collect()
    }

    fn one(value: &str) -> String {
        let mut pairs = read(&format!("/?key={value}"));
        assert_eq!(pairs.len(), 1, "{value}");
        pairs.remove(0).1
    }

    #[test]
    fn pairs_keep_their_order_and_repetitions() {
        let pairs = read("/chat?a=1&b=2&a=3");
        let expected = [("a", "1"), ("b", "2"), ("a", "3")];
        assert_eq!(pairs, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_empty_is_no_pair_but_an_empty_key_or_value_is() {
        assert_eq!(read("/"), []);
        assert_eq!(read("/?"), []);
        assert_eq!(read("/?&&"), []);
        let expected = [("a", ""), ("b", ""), ("", "c"), ("", "")];
        assert_eq!(
            read("/?a&b=&=c&="),
            expected.map(|(k, v)| (k.to_owned(), v.to_owned()))
        );
    }

    #[test]
    fn only_the_first_equals_sign_and_question_mark_divide() {
        assert_eq!(one("a=b?c"), "a=b?c");
        assert_eq!(path("/a?b?c"), "/a");
        assert_eq!(path("/a"), "/a");
    }

    #[test]
    fn percent_and_plus_are_decoded_in_keys_and_values() {
        assert_eq!(one("a+b%20c%2Bd"), "a b c+d");
        assert_eq!(one("%C3%A4%e2%82%ac"), "ä€");
        assert_eq!(read("/?a%3Db=c")[0].0, "a=b");
    }

    #[test]
    fn a_percent_without_two_digits_stands_for_itself() {
        assert_eq!(one("%"), "%");
        assert_eq!(one("100%"), "100%");
        assert_eq!(one("%4"), "%4");
        assert_eq!(one("%zz%41"), "%zzA");
        assert_eq!(one("%%41"), "%A");
    }

    #[test]
    fn bytes_that_are_not_utf_8_are_replaced() {
        assert_eq!(one("a%ffb"), "a\u{fffd}b");
        assert_eq!(one("%C3"), "\u{fffd}");
    }
}
