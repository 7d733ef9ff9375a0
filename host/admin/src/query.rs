//! The query of a request: keys that the endpoint knows, each once. Anything
//! else is an error, so that a request with a typing error does nothing instead
//! of half of what was meant.

use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// The values of a query's keys. Bounded by the size of a request's head.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads the form that browsers and curl write: `key=value&key=value`, with
    /// `+` or `%20` for a space.
    pub(crate) fn parse(raw: Option<&str>, known: &[&'static str]) -> Result<Self, Problem> {
        let mut query = Self::default();
        for pair in raw
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (key, value) = (decoded(key)?, decoded(value)?);
            let Some(known) = known.iter().find(|known| **known == key) else {
                return Err(unknown(&key, known));
            };
            if query.text(known).is_some() {
                let message = format!("the key `{known}` is given twice");
                return Err(Problem::bad("bad_query", message).hint("write each key once"));
            }
            query.0.push((known, value));
        }
        Ok(query)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| *other == key);
        found.map(|(_, value)| value.as_str())
    }

    /// Parses a value; an error describes the expected `form`.
    pub(crate) fn parsed<T>(
        &self,
        key: &str,
        form: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        match parse(text) {
            Some(value) => Ok(Some(value)),
            None => {
                let shown: String = text.chars().take(80).collect();
                let message = format!("`{key}` is `{shown}` and must be {form}");
                Err(Problem::bad("bad_query", message))
            }
        }
    }

    pub(crate) fn number(&self, key: &str) -> Result<Option<u32>, Problem> {
        self.parsed(key, "a whole number", |text| text.parse().ok())
    }

    /// A flag, which is `true` or `false`.
    pub(crate) fn flag(&self, key: &str) -> Result<bool, Problem> {
        let flag = self.parsed(key, "`true` or `false`", |text| text.parse().ok())?;
        Ok(flag.unwrap_or(false))
    }
}

fn decoded(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| Problem::bad("bad_query", "the query is not UTF-8 after percent-decoding"))
}

fn unknown(key: &str, known: &[&str]) -> Problem {
    let key: String = key.chars().take(80).collect();
    let problem = Problem::bad("bad_query", format!("there is no key `{key}` here"));
    if known.is_empty() {
        return problem.hint("leave the query out");
    }
    problem.hint(format!("the keys are {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["note", "weight", "force"];

    fn read(raw: &str) -> Result<Query, &'static str> {
        Query::parse(Some(raw), KNOWN).map_err(|problem| problem.error())
    }

    #[test]
    fn keys_and_values_as_browsers_and_curl_write_them() {
        let query = read("note=a+b%20c%2B%26%3d&weight=10&&force=true").unwrap();
        assert_eq!(query.text("note"), Some("a b c+&="));
        assert_eq!(query.number("weight").unwrap(), Some(10));
        assert!(query.flag("force").unwrap());
        let none = Query::parse(None, KNOWN).unwrap();
        assert_eq!(
            (none.text("note"), none.flag("force").unwrap()),
            (None, false)
        );
        assert_eq!(read("note").unwrap().text("note"), Some(""));
    }

    #[test]
    fn what_is_not_known_or_there_twice_is_refused() {
        for bad in [
            "wieght=1",
            "note=a&note=a",
            "%ff=1",
            "note=%ff",
            "=",
            "no%00te=1",
        ] {
            assert_eq!(read(bad), Err("bad_query"), "{bad}");
        }
        for bad in [
            "-1",
            "4294967296",
            "1e9",
            "",
            "0x10",
            "1.5",
            &"9".repeat(9999),
        ] {
            let query = read(&format!("weight={bad}")).unwrap();
            assert!(query.number("weight").is_err(), "{bad}");
        }
        assert!(read("force=yes").unwrap().flag("force").is_err());
    }
}
