//! Firewall functions: how a rule names one, and what one may answer.
//!
//! A verdict is bounded by the function's own limits, and by the rules for the
//! answers and headers of rules: a function can do nothing that a rule cannot.

use std::fmt;

use http::{HeaderName, HeaderValue, StatusCode};
use openline_core::event::Headers;
use openline_core::inspection::{Answered, Verdict};
use openline_core::limits::REQUEST_HEADERS_MAX;
use openline_core::name::{AliasName, FunctionName, NameError};

use crate::behavior::{Answer, TEXT, is_reserved, may_have_body};

/// A function as a rule names it: `inspect`, or `inspect@canary`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    /// The function.
    pub function: FunctionName,
    /// The alias that picks its version; the function's own if there is none.
    pub alias: Option<AliasName>,
}

/// How much a function may answer, by its limits.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The body of an answer, in bytes.
    pub body_bytes: usize,
    /// Names and values of the headers that it sets, in bytes.
    pub header_bytes: usize,
}

/// What a function has decided, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The rest of the firewall decides, with these headers for the function that
    /// takes the request.
    Allow(Vec<(HeaderName, HeaderValue)>),
    /// The request is refused with an answer.
    Deny(Answer),
    /// Its connection is closed without an answer.
    Drop,
    /// It is answered.
    Respond(Answer),
}

/// Why a verdict is not valid. Texts of functions in it are escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BadVerdict {
    #[error("the status of `{verdict}` is {least} to 499, not {status}")]
    Status {
        verdict: &'static str,
        least: u16,
        status: u16,
    },
    #[error("an answer of status {0} has no body")]
    NoBody(u16),
    #[error("the body has {bytes} bytes, more than {most} (rejection_body_bytes)")]
    Body { bytes: usize, most: usize },
    #[error("the content type cannot be the value of a header")]
    ContentType,
    #[error("the headers have {bytes} bytes, more than {most} (response_header_bytes)")]
    Headers { bytes: usize, most: usize },
    #[error("there are {count} headers, more than {REQUEST_HEADERS_MAX}")]
    HeaderCount { count: usize },
    #[error("`{0}` is not a valid header")]
    Header(String),
    #[error("no rule and no function may set the header `{0}`")]
    Reserved(HeaderName),
}

// === impl FunctionRef ===

impl FunctionRef {
    /// Reads the name of a function, with `@` and an alias behind it or not.
    ///
    /// # Errors
    ///
    /// When one of the names is none.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let (function, alias) = match text.split_once('@') {
            Some((function, alias)) => (function, Some(AliasName::new(alias)?)),
            None => (text, None),
        };
        Ok(Self {
            function: FunctionName::new(function)?,
            alias,
        })
    }
}

impl fmt::Display for FunctionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.alias {
            Some(alias) => write!(f, "{}@{alias}", self.function),
            None => self.function.fmt(f),
        }
    }
}

// === impl Ruling ===

impl Ruling {
    /// Checks what a function has answered.
    ///
    /// # Errors
    ///
    /// When it breaks a rule; then the function has failed.
    pub fn check(verdict: Verdict, bounds: Bounds) -> Result<Self, BadVerdict> {
        Ok(match verdict {
            Verdict::Allow(headers) => Self::Allow(checked(headers, bounds.header_bytes)?),
            Verdict::Deny(answered) => Self::Deny(answer("deny", 400, answered, bounds)?),
            Verdict::Drop => Self::Drop,
            Verdict::Respond(answered) => Self::Respond(answer("respond", 200, answered, bounds)?),
        })
    }

    /// Its word in the log.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Allow(_) => "allow",
            Self::Deny(_) => "deny",
            Self::Drop => "drop",
            Self::Respond(_) => "respond",
        }
    }
}

fn answer(
    verdict: &'static str,
    least: u16,
    answered: Answered,
    bounds: Bounds,
) -> Result<Answer, BadVerdict> {
    let Answered {
        status,
        content_type,
        body,
    } = answered;
    let code = StatusCode::from_u16(status).ok();
    let code = code.filter(|_| (least..=499).contains(&status));
    let code = code.ok_or(BadVerdict::Status {
        verdict,
        least,
        status,
    })?;
    if !body.is_empty() && !may_have_body(code) {
        return Err(BadVerdict::NoBody(status));
    }
    let (bytes, most) = (body.len(), bounds.body_bytes);
    if bytes > most {
        return Err(BadVerdict::Body { bytes, most });
    }
    let content_type = match content_type {
        Some(text) => {
            let value = HeaderValue::from_str(&text).ok();
            let value = value.filter(|it| it.len() <= bounds.header_bytes);
            Some(value.ok_or(BadVerdict::ContentType)?)
        }
        None if body.is_empty() => None,
        None => Some(TEXT),
    };
    Ok(Answer {
        status: code,
        content_type,
        body,
    })
}

/// The headers that a function sets.
fn checked(headers: Headers, most: usize) -> Result<Vec<(HeaderName, HeaderValue)>, BadVerdict> {
    let sizes = headers.iter().map(|(name, value)| name.len() + value.len());
    let bytes = sizes.sum();
    if bytes > most {
        return Err(BadVerdict::Headers { bytes, most });
    }
    let count = headers.len();
    if count > REQUEST_HEADERS_MAX {
        return Err(BadVerdict::HeaderCount { count });
    }
    let checked = headers.into_iter().map(|(name, value)| {
        let invalid = || BadVerdict::Header(name.escape_debug().to_string());
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(&value).map_err(|_| invalid())?;
        if is_reserved(&header) {
            return Err(BadVerdict::Reserved(header));
        }
        Ok((header, value))
    });
    checked.collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        body_bytes: 10,
        header_bytes: 20,
    };

    fn answered(status: u16, bytes: usize) -> Answered {
        Answered {
            status,
            content_type: None,
            body: Bytes::from(vec![b'x'; bytes]),
        }
    }

    fn check(verdict: Verdict) -> Result<Ruling, BadVerdict> {
        Ruling::check(verdict, BOUNDS)
    }

    fn allow(headers: &[(&str, &str)]) -> Result<Ruling, BadVerdict> {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| ((*name).into(), (*value).into()));
        check(Verdict::Allow(headers.collect()))
    }

    #[test]
    fn a_rule_names_a_function_and_maybe_an_alias() {
        for text in ["inspect", "inspect@canary", "a.b-c_1@v2"] {
            assert_eq!(FunctionRef::new(text).unwrap().to_string(), text);
        }
        let digest = "inspect@0123456789abcdef";
        for text in ["", "@", "a@", "@a", "a@b@c", "a b", "a@b c", digest] {
            assert!(FunctionRef::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn statuses_at_their_bounds_and_past_them() {
        let deny = |status| check(Verdict::Deny(answered(status, 0)));
        let respond = |status| check(Verdict::Respond(answered(status, 0)));
        for status in [400, 403, 499] {
            assert!(matches!(deny(status), Ok(Ruling::Deny(it)) if it.status == status));
        }
        for status in [200, 204, 304, 499] {
            assert!(matches!(respond(status), Ok(Ruling::Respond(it)) if it.status == status));
        }
        for status in [0, 99, 200, 399, 500, 1000, u16::MAX] {
            assert!(matches!(deny(status), Err(BadVerdict::Status { .. })));
        }
        for status in [0, 101, 199, 500, 599, 1000] {
            assert!(matches!(respond(status), Err(BadVerdict::Status { .. })));
        }
    }

    #[test]
    fn bodies_at_their_bound_and_past_it_and_where_there_is_none() {
        let Ok(Ruling::Deny(whole)) = check(Verdict::Deny(answered(403, 10))) else {
            panic!()
        };
        assert_eq!((whole.body.len(), whole.content_type), (10, Some(TEXT)));
        let past = check(Verdict::Deny(answered(403, 11)));
        let expected = BadVerdict::Body {
            bytes: 11,
            most: 10,
        };
        assert_eq!(past, Err(expected));
        for status in [204, 205, 304] {
            let none = check(Verdict::Respond(answered(status, 1)));
            assert_eq!(none, Err(BadVerdict::NoBody(status)));
        }
    }

    #[test]
    fn a_content_type_is_the_value_of_a_header() {
        let with = |content_type: &str| {
            check(Verdict::Respond(Answered {
                content_type: Some(content_type.into()),
                ..answered(200, 1)
            }))
        };
        assert!(matches!(with("text/html"), Ok(Ruling::Respond(it)) if it.content_type.is_some()));
        assert!(with(&"x".repeat(20)).is_ok());
        for bad in ["a\r\nb: c", "a\0", &"x".repeat(21)] {
            assert_eq!(with(bad), Err(BadVerdict::ContentType), "{bad:?}");
        }
    }

    #[test]
    fn headers_at_their_bound_and_past_it_and_those_that_are_not_for_functions() {
        let whole = "x".repeat(19);
        assert!(allow(&[("a", &whole)]).is_ok());
        let two = allow(&[("a", "1"), ("A", "2")]).unwrap();
        assert!(matches!(two, Ruling::Allow(headers) if headers.len() == 2));
        let past = allow(&[("ab", &whole)]);
        let expected = BadVerdict::Headers {
            bytes: 21,
            most: 20,
        };
        assert_eq!(past, Err(expected));
        let many = |count: usize| {
            let bounds = Bounds {
                header_bytes: count,
                ..BOUNDS
            };
            let headers = vec![("a".to_owned(), Vec::new()); count];
            Ruling::check(Verdict::Allow(headers), bounds)
        };
        let most = many(REQUEST_HEADERS_MAX);
        assert!(matches!(most, Ok(Ruling::Allow(all)) if all.len() == REQUEST_HEADERS_MAX));
        let count = REQUEST_HEADERS_MAX + 1;
        assert_eq!(many(count), Err(BadVerdict::HeaderCount { count }));
        for name in ["", "a b", "é"] {
            assert!(matches!(allow(&[(name, "1")]), Err(BadVerdict::Header(_))));
        }
        assert!(matches!(
            allow(&[("a", "b\r\nc: d")]),
            Err(BadVerdict::Header(_))
        ));
        for name in ["Host", "origin", "openline-x", "x-forwarded-for", "upgrade"] {
            let set = allow(&[(name, "1")]);
            assert!(matches!(set, Err(BadVerdict::Reserved(_))), "{name}");
        }
    }
}
