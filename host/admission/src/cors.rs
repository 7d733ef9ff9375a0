//! Cross-origin requests: what a browser is told about the answers of a trigger
//! (CORS, the Fetch standard, section 3.3), by `cors` of the trigger.
//!
//! A browser asks with a preflight before a page sends anything that a form
//! could not. The host answers it, without the function, unless OPTIONS is one
//! of the trigger's methods; then it is a request like any other. All other
//! answers get the headers by which the page may read them.
//!
//! `Access-Control-Request-Private-Network` is not answered: it asks whether
//! pages of the internet may reach a host in a private network, and that is
//! for the browser's user to allow, as browsers have it now.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use openline_core::trigger::{Cors, Origin};

use crate::refusal::Refusal;

/// Headers of the host that every page may read which may read an answer: a
/// refusal's word, and when to come back.
const EXPOSED: &str = "openline-request-id, openline-error-type, openline-error-blame, retry-after";

/// The pages that may read an answer.
enum Readers {
    /// None, as far as this request shows.
    None,
    /// All, without credentials.
    All,
    /// Those of the request's origin.
    These(HeaderValue),
}

/// The method that a preflight asks about; none if the request is none.
pub(crate) fn preflight(parts: &Parts) -> Option<&str> {
    if parts.method != Method::OPTIONS || !parts.headers.contains_key(ORIGIN) {
        return None;
    }
    let method = parts.headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    method.to_str().ok()
}

/// The headers of the answer to a preflight of these headers.
///
/// # Errors
///
/// When pages of its origin may not read.
pub(crate) fn allow(cors: &Cors, asked: &HeaderMap) -> Result<HeaderMap, Refusal> {
    let mut headers = HeaderMap::new();
    if !grant(cors, asked, &mut headers) {
        return Err(Refusal::CrossOrigin);
    }
    let Cors::Rules(rules) = cors else {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed(&[]));
        return Ok(headers);
    };
    if let Ok(methods) = HeaderValue::try_from(rules.allow_methods.to_string()) {
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    }
    if !rules.allow_headers.is_empty()
        && let Ok(names) = HeaderValue::try_from(rules.allow_headers.join(", "))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    if let Some(age) = rules.max_age {
        headers.insert(ACCESS_CONTROL_MAX_AGE, age.as_secs().into());
    }
    Ok(headers)
}

/// Lets pages read an answer to a request with the headers `asked`: adds to the
/// `headers` of the answer. A function that has set one of CORS's own headers
/// has decided by itself, and the host adds none beside them.
pub fn expose(cors: &Cors, asked: &HeaderMap, headers: &mut HeaderMap) {
    let own = |name: &http::HeaderName| name.as_str().starts_with("access-control-");
    if headers.keys().any(own) {
        vary(cors, headers);
        return;
    }
    if grant(cors, asked, headers) {
        let names = match cors {
            Cors::FunctionCompute => exposed(&[]),
            Cors::Rules(rules) => exposed(&rules.expose_headers),
        };
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
    }
}

/// Adds which pages may read, and whether with credentials. Returns whether
/// those that ask may.
fn grant(cors: &Cors, asked: &HeaderMap, headers: &mut HeaderMap) -> bool {
    vary(cors, headers);
    let origin = match readers(cors, asked) {
        Readers::None => return false,
        Readers::All => HeaderValue::from_static("*"),
        Readers::These(origin) => origin,
    };
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let has_credentials = match cors {
        Cors::FunctionCompute => true,
        Cors::Rules(rules) => rules.allow_credentials,
    };
    if has_credentials {
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
    true
}

/// Whether pages of a request's origin may read its answer.
pub(crate) fn may_read(cors: &Cors, asked: &HeaderMap) -> bool {
    !matches!(readers(cors, asked), Readers::None)
}

fn readers(cors: &Cors, asked: &HeaderMap) -> Readers {
    if is_for_all(cors) {
        return Readers::All;
    }
    let mut named = asked.get_all(ORIGIN).iter();
    let (Some(origin), None) = (named.next(), named.next()) else {
        return Readers::None;
    };
    let may = match cors {
        Cors::FunctionCompute => true,
        Cors::Rules(rules) => {
            let origin = origin.to_str().ok().and_then(Origin::parse);
            origin.is_some_and(|origin| rules.allows(&origin))
        }
    };
    match may {
        true => Readers::These(origin.clone()),
        false => Readers::None,
    }
}

/// Whether all pages get the same answer.
fn is_for_all(cors: &Cors) -> bool {
    matches!(cors, Cors::Rules(rules) if rules.is_for_all())
}

/// Tells caches that the answer depends on the origin, whatever it is, if it
/// does.
fn vary(cors: &Cors, headers: &mut HeaderMap) {
    let names = headers.get_all(VARY).iter();
    let mut names = names.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let is_said = names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"origin")
    });
    if !is_for_all(cors) && !is_said {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
}

/// The value that lists the host's headers and these.
fn exposed(names: &[Box<str>]) -> HeaderValue {
    let own = HeaderValue::from_static(EXPOSED);
    match names {
        [] => own,
        names => HeaderValue::try_from(format!("{EXPOSED}, {}", names.join(", "))).unwrap_or(own),
    }
}

#[cfg(test)]
mod tests {
    use openline_core::trigger::{CorsRulesWritten, CorsWritten, Methods};

    use super::*;

    fn rules(change: impl FnOnce(&mut CorsRulesWritten)) -> Cors {
        let mut rules = CorsRulesWritten {
            allow_origins: vec!["https://a.org".into(), "https://*.b.org".into()],
            ..CorsRulesWritten::default()
        };
        change(&mut rules);
        let methods = Methods::new(&["GET", "PUT"]).unwrap();
        Cors::new(&CorsWritten::Rules(Box::new(rules)), methods).unwrap()
    }

    fn map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    /// The headers of an answer that had some of its own.
    fn answered(
        cors: &Cors,
        asked: &[(&'static str, &'static str)],
        own: &[(&'static str, &'static str)],
    ) -> Vec<(String, String)> {
        let mut headers = map(own);
        expose(cors, &map(asked), &mut headers);
        listed(&headers)
    }

    fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
        let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        let pairs = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        pairs
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        owned.collect()
    }

    #[test]
    fn a_page_that_may_read_is_named_and_others_are_not() {
        let cors = rules(|_| {});
        for origin in ["https://a.org", "https://x.b.org"] {
            let expected = pairs(&[
                ("access-control-allow-origin", origin),
                ("access-control-expose-headers", EXPOSED),
                ("vary", "Origin"),
            ]);
            assert_eq!(answered(&cors, &[("origin", origin)], &[]), expected);
        }
        let none = pairs(&[("vary", "Origin")]);
        for origin in ["null", "http://a.org", "https://a.org.evil.org", "", "*"] {
            assert_eq!(
                answered(&cors, &[("origin", origin)], &[]),
                none,
                "{origin}"
            );
        }
        let twice = [("origin", "https://a.org"), ("origin", "https://a.org")];
        assert_eq!(answered(&cors, &twice, &[]), none);
        assert_eq!(answered(&cors, &[], &[]), none);
    }

    #[test]
    fn an_answer_for_all_is_the_same_for_all() {
        let all = rules(|rules| {
            rules.allow_origins = vec!["*".into()];
            rules.expose_headers = vec!["x-a".into()];
        });
        let exposed = format!("{EXPOSED}, x-a");
        let expected = pairs(&[
            ("access-control-allow-origin", "*"),
            ("access-control-expose-headers", &exposed),
        ]);
        for asked in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "https://c.org")],
        ] {
            assert_eq!(answered(&all, asked, &[]), expected);
        }
    }

    #[test]
    fn function_compute_fills_in_three_headers() {
        let cors = Cors::FunctionCompute;
        let expected = pairs(&[
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-origin", "https://any.org"),
            ("access-control-expose-headers", EXPOSED),
            ("vary", "Origin"),
        ]);
        let asked = [("origin", "https://any.org")];
        assert_eq!(answered(&cors, &asked, &[]), expected);
        // On a preflight as well.
        let preflight = allow(&cors, &map(&asked)).unwrap();
        assert_eq!(listed(&preflight), expected);
        // Without an origin there is nothing to fill in.
        assert_eq!(answered(&cors, &[], &[]), pairs(&[("vary", "Origin")]));
        assert_eq!(allow(&cors, &HeaderMap::new()), Err(Refusal::CrossOrigin));
    }

    #[test]
    fn what_the_function_sets_stands_alone() {
        let asked = [("origin", "https://a.org")];
        for cors in [Cors::FunctionCompute, rules(|_| {})] {
            let own = [("access-control-allow-origin", "http://www.fc.com")];
            let expected = pairs(&[own[0], ("vary", "Origin")]);
            assert_eq!(answered(&cors, &asked, &own), expected);
        }
        // Its `Vary` is kept, and says it once.
        for (own, expected) in [
            ("Accept, ORIGIN", &["Accept, ORIGIN"][..]),
            ("*", &["*"]),
            ("Accept", &["Accept", "Origin"]),
            ("X-Origin", &["Origin", "X-Origin"]),
        ] {
            let answer = answered(&rules(|_| {}), &asked, &[("vary", own)]);
            let said = answer.iter().filter(|(name, _)| name == "vary");
            let said: Vec<_> = said.map(|(_, value)| value.as_str()).collect();
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_preflight_learns_what_its_page_may_ask() {
        let asked = map(&[
            ("origin", "https://a.org"),
            ("access-control-request-private-network", "true"),
        ]);
        let cors = rules(|rules| {
            rules.allow_headers = vec!["X-A".into(), "x-b".into()];
            rules.allow_credentials = true;
            rules.max_age = Some("1 h".into());
        });
        let expected = pairs(&[
            ("access-control-allow-credentials", "true"),
            ("access-control-allow-headers", "x-a, x-b"),
            ("access-control-allow-methods", "GET, PUT"),
            ("access-control-allow-origin", "https://a.org"),
            ("access-control-max-age", "3600"),
            ("vary", "Origin"),
        ]);
        assert_eq!(listed(&allow(&cors, &asked).unwrap()), expected);
        let other = map(&[("origin", "https://c.org")]);
        assert_eq!(allow(&cors, &other), Err(Refusal::CrossOrigin));
        let few = allow(&rules(|_| {}), &asked).unwrap();
        assert!(!few.contains_key(ACCESS_CONTROL_ALLOW_HEADERS));
        assert!(!few.contains_key(ACCESS_CONTROL_MAX_AGE));
    }

    #[test]
    fn a_preflight_is_options_with_an_origin_and_a_method() {
        let of = |method: &str, headers: &[(&'static str, &'static str)]| {
            let request = http::Request::builder().method(method);
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            parts.headers = map(headers);
            preflight(&parts).map(str::to_owned)
        };
        let both = [
            ("origin", "https://a.org"),
            ("access-control-request-method", "PUT"),
        ];
        assert_eq!(of("OPTIONS", &both).as_deref(), Some("PUT"));
        assert_eq!(of("GET", &both), None);
        assert_eq!(of("OPTIONS", &both[..1]), None);
        assert_eq!(of("OPTIONS", &both[1..]), None);
    }
}
