//! What authentication changes about a request before its function sees it:
//! claims that it carries on, and the credential that it must not show.
//!
//! A name that carries a claim is the host's: whatever the peer itself sent under
//! that name, or under one that programs take for it
//! ([`alias`](openline_core::alias)), is removed, on paths that are not checked as
//! well. Otherwise a peer could write its own claims. Where all claims travel in
//! the query under their own names, every name is the host's. Bounded by the
//! claims, which are part of a token.

use http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::alias::{are_header_aliases, are_variable_aliases};
use openline_core::authentication::{ClaimPass, Position};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};

use crate::request::{cookie_pairs, decoded, pairs, subprotocols};

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
    /// Whether nothing is kept of the query that the peer sent.
    drops_query: bool,
    cookies: Vec<(String, Option<String>)>,
    subprotocols: Vec<String>,
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
                // Each claim under its own name. Any name may be one of a claim
                // that this token does not have, so none is left to the peer.
                edits.drops_query = true;
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

    /// Also removes entries of `Sec-WebSocket-Protocol`.
    pub(crate) fn without_subprotocols(mut self, entries: Vec<String>) -> Self {
        self.subprotocols = entries;
        self
    }

    /// The entries of `Sec-WebSocket-Protocol` that carry credentials: the
    /// handshake neither offers them to the function nor answers with one.
    pub fn subprotocols(&self) -> &[String] {
        &self.subprotocols
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the headers, and returns the query that replaces the request's.
    pub fn apply(&self, headers: &mut HeaderMap, query: Option<&str>) -> Option<String> {
        self.change_headers(headers);
        if !self.subprotocols.is_empty() {
            let mut kept = subprotocols(headers);
            kept.retain(|entry| !self.subprotocols.contains(entry));
            replace(headers, &SEC_WEBSOCKET_PROTOCOL, kept.join(", ").as_bytes());
        }
        if !self.cookies.is_empty() {
            let cookies = self.cookies(headers);
            replace(headers, &COOKIE, &cookies);
        }
        if self.query.is_empty() && !self.drops_query {
            return query.map(str::to_owned);
        }
        let query = query.filter(|_| !self.drops_query);
        let is = |key: &str| {
            let mut ours = self.query.iter();
            ours.any(|(it, _)| are_variable_aliases(it.as_bytes(), key.as_bytes()))
        };
        let ours = |key: &str| decoded(key).is_some_and(|key| is(&key));
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

    /// Removes all that the peer sent under the names before it writes any: two
    /// names of claims may be aliases.
    fn change_headers(&self, headers: &mut HeaderMap) {
        let ours = |name: &HeaderName| {
            let mut ours = self.headers.iter();
            ours.any(|(ours, _)| are_header_aliases(ours.as_str(), name.as_str()))
        };
        let removed: Vec<_> = headers.keys().filter(|name| ours(name)).cloned().collect();
        for name in removed {
            headers.remove(name);
        }
        for (name, value) in &self.headers {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }

    /// The value of `Cookie` with the changes.
    fn cookies(&self, headers: &HeaderMap) -> Vec<u8> {
        let is_ours = |pair: &&[u8]| {
            let name = visible(pair.split(|byte| *byte == b'=').next().unwrap_or_default());
            let mut ours = self.cookies.iter();
            ours.any(|(ours, _)| are_variable_aliases(ours.as_bytes(), name))
        };
        let sent = cookie_pairs(headers).filter(|pair| !pair.is_empty() && !is_ours(pair));
        let mut kept: Vec<Vec<u8>> = sent.map(<[u8]>::to_vec).collect();
        for (name, value) in &self.cookies {
            let pair = value.as_ref().map(|value| format!("{name}={value}"));
            kept.extend(pair.map(String::into_bytes));
        }
        kept.join(&b"; "[..])
    }
}

/// A name without whatever is around it that is not visible ASCII: some readers
/// take more letters for spaces than others, as U+00A0.
fn visible(mut name: &[u8]) -> &[u8] {
    while let [rest @ .., last] = name
        && !last.is_ascii_graphic()
    {
        name = rest;
    }
    while let [first, rest @ ..] = name
        && !first.is_ascii_graphic()
    {
        name = rest;
    }
    name
}

/// Replaces all lines of a header by one; by none if it would be empty.
fn replace(headers: &mut HeaderMap, name: &HeaderName, text: &[u8]) {
    headers.remove(name);
    if let Ok(value) = HeaderValue::from_bytes(text)
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

    /// A reader that takes U+00A0 for a space would find the claim's name behind
    /// it.
    #[test]
    fn cookies_that_are_not_ascii_stay_unless_they_look_like_a_claims() {
        let sent = "caf\u{e9}=1; \u{a0}role=root; role\u{85}=root; a=\u{e9}; \u{a0}";
        let (lines, _) = edited(
            "cookie:role:role",
            Some(r#"{"role": "user"}"#),
            &[("cookie", sent)],
            "",
        );
        let kept = "caf\u{e9}=1; a=\u{e9}; \u{a0}; role=user";
        assert_eq!(lines, [line("cookie", kept)]);
    }

    /// Programs behind gateways such as CGI read one variable for all of these.
    #[test]
    fn aliases_of_the_names_are_not_the_peers_either() {
        let sent = [
            ("X_User", "root"),
            ("x.user", "root"),
            ("x-us-er", "kept"),
            ("cookie", "user.id=root; user_id=root; user-id=kept"),
        ];
        let query = "user.id=root&user%20id=root&user+id=root&user-id=kept";
        let pass = "header:sub:x-user,cookie:sub:user_id,query:sub:user_id";
        let kept = line("x-us-er", "kept");
        let (mut lines, left) = edited(pass, None, &sent, query);
        lines.sort();
        assert_eq!(lines, [line("cookie", "user-id=kept"), kept.clone()]);
        assert_eq!(left.as_deref(), Some("user-id=kept"));
        let (mut lines, left) = edited(pass, Some(r#"{"sub": "ann"}"#), &sent, query);
        lines.sort();
        let cookie = line("cookie", "user-id=kept; user_id=ann");
        assert_eq!(lines, [cookie, kept, line("x-user", "ann")]);
        assert_eq!(left.as_deref(), Some("user-id=kept&user_id=ann"));
        // Two names of the host's do not remove each other.
        let pass = "header:sub:x-user,header:sub:x_user";
        let (mut lines, _) = edited(pass, Some(r#"{"sub": "ann"}"#), &[("x.user", "root")], "");
        lines.sort();
        assert_eq!(lines, [line("x-user", "ann"), line("x_user", "ann")]);
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
        assert_eq!(query.as_deref(), Some("a=%7B%22x%22%3A1%7D&b=true"));
        let (lines, _) = edited("header::x-claims", Some(r#"{"a": 1}"#), &[], "");
        assert_eq!(lines, [line("x-claims", r#"{"a":1}"#)]);
    }

    /// A claim that the token does not have may not be the peer's word.
    #[test]
    fn where_all_claims_are_the_query_nothing_of_the_peers_is() {
        let pass = "query::,query:sub:user";
        let has = Some(r#"{"sub": "ann"}"#);
        let sent = "role=admin&%72ole=x&room=a";
        let (_, query) = edited(pass, has, &[], sent);
        assert_eq!(query.as_deref(), Some("sub=ann&user=ann"));
        for has in [None, Some("{}"), Some(r#"{"role": null}"#)] {
            assert_eq!(edited("query::", has, &[], sent), (vec![], None));
        }
        let unchecked = Edits::new(&ClaimPass::parse("query::").unwrap(), None).unwrap();
        assert!(!unchecked.is_empty());
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
    fn the_subprotocols_of_tokens_are_removed() {
        let apply = |sent: &'static str, entries: &[&str]| {
            let entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
            let edits = Edits::default().without_subprotocols(entries);
            let mut headers = HeaderMap::new();
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(sent));
            edits.apply(&mut headers, None);
            let left = headers.get(SEC_WEBSOCKET_PROTOCOL).cloned();
            left.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(
            apply("chat,bearer.a , news,bearer.b", &["bearer.a", "bearer.b"]).unwrap(),
            "chat, news"
        );
        assert_eq!(apply("bearer.a", &["bearer.a"]), None);
    }
}
