//! What authentication changes about a request before its function sees it:
//! claims that it carries on, and the credential that it must not show.
//!
//! A name that carries a claim is the host's: what the peer itself sent under
//! that name is removed, on paths that are not checked as well. Otherwise a peer
//! could write its own claims. Bounded by the claims, which are part of a token.

use http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::authentication::{ClaimPass, Position};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::request::{decoded, pairs, subprotocols};

/// All but `unreserved` (RFC 3986 section 2.3).
pub(crate) const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Changes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    query: Vec<(String, Option<String>)>,
    cookies: Vec<(String, Option<String>)>,
    subprotocol: Option<String>,
}

/// A claim that cannot be carried on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim `{0}` has control characters and cannot be a header")]
pub struct EditError(String);

impl Edits {
    /// Removes what the peer sent under the names of claims. Carries the claims
    /// on, if there are any; a claim that is missing or `null` is left out.
    pub(crate) fn new(
        pass: &ClaimPass,
        claims: Option<&Map<String, Value>>,
    ) -> Result<Self, EditError> {
        let mut edits = Self::default();
        for passed in pass.entries() {
            let name = passed.parameter();
            if name.is_empty() {
                // Each claim under its own name.
                for (claim, value) in claims.into_iter().flatten() {
                    edits.query.push((claim.clone(), text_of(value)));
                }
                continue;
            }
            let value = match claims {
                Some(claims) if passed.claim.is_empty() => serde_json::to_string(claims).ok(),
                claims => claims.and_then(|claims| text_of(claims.get(&passed.claim)?)),
            };
            match passed.position {
                Position::Query => edits.query.push((name.into(), value)),
                Position::Cookie => {
                    let escaped = |text: String| utf8_percent_encode(&text, ESCAPED).to_string();
                    edits.cookies.push((name.into(), value.map(escaped)));
                }
                Position::Header => {
                    let bad = || EditError(passed.claim.clone());
                    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
                    let value = value.map(|text| HeaderValue::from_bytes(text.as_bytes()));
                    let value = value.transpose().map_err(|_| bad())?;
                    edits.headers.push((name, value));
                }
            }
        }
        Ok(edits)
    }

    /// Also removes an entry of `Sec-WebSocket-Protocol`.
    pub(crate) fn without_subprotocol(mut self, entry: Option<String>) -> Self {
        self.subprotocol = entry;
        self
    }

    /// The entry of `Sec-WebSocket-Protocol` that carried the credential: the
    /// handshake neither offers it to the function nor answers with it.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the headers, and returns the query that replaces the request's.
    pub fn apply(&self, headers: &mut HeaderMap, query: Option<&str>) -> Option<String> {
        for (name, value) in &self.headers {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
        if let Some(entry) = &self.subprotocol {
            let kept: Vec<_> = subprotocols(headers)
                .into_iter()
                .filter(|it| it != entry)
                .collect();
            replace(headers, &SEC_WEBSOCKET_PROTOCOL, &kept.join(", "));
        }
        if !self.cookies.is_empty() {
            let cookies = self.cookies(headers);
            replace(headers, &COOKIE, &cookies);
        }
        if self.query.is_empty() {
            return query.map(str::to_owned);
        }
        let ours =
            |key: &str| decoded(key).is_some_and(|key| self.query.iter().any(|(it, _)| *it == key));
        let sent = query.unwrap_or_default();
        let mut kept: Vec<String> = pairs(sent)
            .filter(|(key, _)| !ours(key))
            .map(|(key, value)| {
                if value.is_empty() {
                    key.into()
                } else {
                    format!("{key}={value}")
                }
            })
            .collect();
        for (key, value) in &self.query {
            if let Some(value) = value {
                let [key, value] = [key, value].map(|it| utf8_percent_encode(it, ESCAPED));
                kept.push(format!("{key}={value}"));
            }
        }
        (!kept.is_empty()).then(|| kept.join("&"))
    }

    /// The value of `Cookie` with the changes.
    fn cookies(&self, headers: &HeaderMap) -> String {
        let mut kept = Vec::new();
        for line in headers.get_all(COOKIE) {
            // A line that is not text is no cookie that anybody could read.
            for pair in line.to_str().unwrap_or_default().split(';') {
                let name = pair.split('=').next().unwrap_or_default().trim();
                let is_ours = self.cookies.iter().any(|(ours, _)| ours == name);
                if !is_ours && !pair.trim().is_empty() {
                    kept.push(pair.trim().to_owned());
                }
            }
        }
        for (name, value) in &self.cookies {
            kept.extend(value.as_ref().map(|value| format!("{name}={value}")));
        }
        kept.join("; ")
    }
}

/// Replaces all lines of a header by one; by none if it would be empty.
fn replace(headers: &mut HeaderMap, name: &HeaderName, text: &str) {
    headers.remove(name);
    if let Ok(value) = HeaderValue::from_bytes(text.as_bytes())
        && !text.is_empty()
    {
        headers.insert(name, value);
    }
}

/// A claim as text: texts as they are, other values as JSON, and `null` not at
/// all.
pub(crate) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    /// The headers and the query of a request after the changes.
    fn edited(
        pass: &str,
        has: Option<&str>,
        lines: &[(&str, &str)],
        query: &str,
    ) -> (Vec<(String, String)>, Option<String>) {
        let pass = ClaimPass::parse(pass).unwrap();
        let has = has.map(claims);
        let edits = Edits::new(&pass, has.as_ref()).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::try_from(*value).unwrap());
        }
        let query = edits.apply(&mut headers, Some(query).filter(|it| !it.is_empty()));
        let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec()).unwrap();
        let lines = headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)));
        (lines.collect(), query)
    }

    fn line(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn claims_replace_what_the_peer_sent() {
        let (lines, _) = edited(
            "header:sub:X-User",
            Some(r#"{"sub": "José"}"#),
            &[("x-user", "root"), ("X-User", "admin"), ("x-other", "1")],
            "",
        );
        let mut lines = lines;
        lines.sort();
        assert_eq!(lines, [line("x-other", "1"), line("x-user", "José")]);
        let (_, query) = edited(
            "query:sub:user,query:n:n",
            Some(r#"{"sub": "a&b=c", "n": 7}"#),
            &[],
            "user=root&%75ser=root&x=1&flag&n",
        );
        assert_eq!(query.as_deref(), Some("x=1&flag&user=a%26b%3Dc&n=7"));
        let (lines, _) = edited(
            "cookie:role:role",
            Some(r#"{"role": ["a;b"]}"#),
            &[("cookie", "role=admin; a=1"), ("cookie", "role=x;b=2;role")],
            "",
        );
        assert_eq!(lines, [line("cookie", "a=1; b=2; role=%5B%22a%3Bb%22%5D")]);
    }

    #[test]
    fn without_a_token_the_names_of_claims_are_free_of_the_peers_words() {
        let pass = "header:sub:x-user,query:sub:user,cookie:sub:user";
        let sent = [("x-user", "root"), ("cookie", "user=root")];
        for has in [None, Some("{}"), Some(r#"{"sub": null}"#)] {
            assert_eq!(edited(pass, has, &sent, "user=root"), (vec![], None));
        }
    }

    #[test]
    fn all_claims_travel_as_one_or_each_by_itself() {
        let has = Some(r#"{"b": true, "a": {"x": 1}}"#);
        let (_, query) = edited("query::", has, &[], "b=false&c=1");
        let query = query.unwrap();
        assert!(
            query.starts_with("c=1&") && query.contains("b=true"),
            "{query}"
        );
        assert!(query.contains("a=%7B%22x%22%3A1%7D"), "{query}");
        let (lines, _) = edited("header::x-claims", Some(r#"{"a": 1}"#), &[], "");
        assert_eq!(lines, [line("x-claims", r#"{"a":1}"#)]);
    }

    #[test]
    fn a_claim_cannot_begin_a_line_of_its_own() {
        let pass = ClaimPass::parse("header:sub:x-user").unwrap();
        for sub in ["a\\r\\nx-admin: 1", "a\\u0000b", "a\\u007f"] {
            let has = claims(&format!("{{\"sub\": \"{sub}\"}}"));
            assert_eq!(Edits::new(&pass, Some(&has)), Err(EditError("sub".into())));
        }
    }

    #[test]
    fn the_subprotocol_of_a_token_is_removed() {
        let apply = |sent: &'static str, entry: &str| {
            let edits = Edits::default().without_subprotocol(Some(entry.into()));
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(sent));
            edits.apply(&mut headers, None);
            let left = headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
            left.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            apply("chat,bearer.a , news", "bearer.a").unwrap(),
            "chat, news"
        );
        assert_eq!(apply("bearer.a", "bearer.a"), None);
    }
}
