//! Which claims of a token are passed on to the function with the request:
//! Function Compute's `claimPassBy`, in its string and list forms.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::lookup::NAME_BYTES_MAX;
use super::written::{Entry, Written};
use crate::affinity::is_token;
use crate::alias::{are_header_aliases, begins_like_header};

/// Claims that are passed on: each makes the request larger.
pub const CLAIM_PASS_MAX: usize = 16;

/// Headers that say how a request is sent and to whom, or that authenticate it.
/// A claim may not become one of them.
const RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "origin",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];
/// Beginnings of the same sort.
const RESERVED_BEGINNINGS: [&str; 5] = ["openline-", "proxy-", "sec-", "x-forwarded-", "x-fc-"];

/// What is passed on: at most [`CLAIM_PASS_MAX`] entries. By default nothing,
/// because a function sees the claims of its request anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimPass(Vec<Passed>);

/// One claim that is passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Where to.
    pub position: Position,
    /// Which claim; all of them if empty.
    pub claim: String,
    /// The name of the header, the key or the cookie; the claim's own if empty.
    pub parameter: String,
}

/// The part of a request that gets a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// A header. The peer's own headers of that name and of its aliases
    /// ([`alias`](crate::alias)) are removed.
    Header,
    /// A key of the query. The peer's own keys of that name and of its aliases are
    /// removed; its whole query, if each claim has its own name.
    Query,
    /// A cookie. The peer's own cookies of that name and of its aliases are removed.
    Cookie,
}

/// Why a text or a list does not say what is passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// More than [`CLAIM_PASS_MAX`].
    #[error("at most {CLAIM_PASS_MAX} claims are passed on")]
    TooMany,
    /// Another form.
    #[error(
        "`{0}` passes no claim on: write header:CLAIM:NAME, query:CLAIM:NAME or cookie:CLAIM:NAME"
    )]
    Form(String),
    /// `form`, which is in a body.
    #[error("`{0}` passes a claim in the body of a request, and a handshake has none")]
    Body(String),
    /// A name that cannot be.
    #[error("`{0}` has no valid name of a claim, a header, a key or a cookie")]
    Name(String),
    /// A header that a claim must not become.
    #[error("`{0}` would set a header that the host or the peer's connection needs")]
    Reserved(String),
    /// All claims without a name: a token could then set any header.
    #[error("`{0}` names no header or cookie for the claims")]
    Unnamed(String),
    /// The same header, key or cookie twice.
    #[error("`{0}` is set twice")]
    Twice(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    mapping_parameter_position: String,
    #[serde(default)]
    claim_name: String,
    #[serde(default)]
    mapping_parameter_name: String,
}

impl ClaimPass {
    /// Reads the string form: entries between commas. The empty text passes
    /// nothing on.
    ///
    /// # Errors
    ///
    /// See [`PassError`].
    pub fn parse(text: &str) -> Result<Self, PassError> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        Self::new(text.split(',').map(Passed::parse))
    }

    fn new(entries: impl Iterator<Item = Result<Passed, PassError>>) -> Result<Self, PassError> {
        let entries: Vec<_> = entries.take(CLAIM_PASS_MAX + 1).collect::<Result<_, _>>()?;
        if entries.len() > CLAIM_PASS_MAX {
            return Err(PassError::TooMany);
        }
        for (at, entry) in entries.iter().enumerate() {
            let is_same = |other: &Passed| {
                other.position == entry.position && other.parameter() == entry.parameter()
            };
            if entries[..at].iter().any(is_same) {
                return Err(PassError::Twice(entry.to_string()));
            }
        }
        Ok(Self(entries))
    }

    /// The entries, in their order.
    pub fn entries(&self) -> &[Passed] {
        &self.0
    }
}

impl Passed {
    fn parse(text: &str) -> Result<Self, PassError> {
        let mut parts = text.trim().splitn(3, ':');
        let [kind, claim, parameter] = [(); 3].map(|()| parts.next());
        let (Some(kind), Some(claim)) = (kind, claim) else {
            return Err(PassError::Form(text.chars().take(80).collect()));
        };
        Self::of(kind, claim, parameter.unwrap_or_default(), text)
    }

    fn of(kind: &str, claim: &str, parameter: &str, text: &str) -> Result<Self, PassError> {
        let shown = || text.chars().take(80).collect();
        let position = match kind {
            "header" => Position::Header,
            "query" => Position::Query,
            "cookie" => Position::Cookie,
            "form" => return Err(PassError::Body(shown())),
            _ => return Err(PassError::Form(shown())),
        };
        let mut passed = Self {
            position,
            claim: claim.into(),
            parameter: parameter.into(),
        };
        if position == Position::Header {
            passed.parameter.make_ascii_lowercase();
        }
        let name = passed.parameter();
        if name.is_empty() && position != Position::Query {
            return Err(PassError::Unnamed(shown()));
        }
        let valid = match position {
            Position::Query => name.bytes().all(|byte| byte.is_ascii_graphic()),
            _ => name.bytes().all(is_token),
        };
        let bounded = claim.len() <= NAME_BYTES_MAX && parameter.len() <= NAME_BYTES_MAX;
        if !valid || !bounded || claim.chars().any(char::is_control) {
            return Err(PassError::Name(shown()));
        }
        let is = |header: &&str| are_header_aliases(name, header);
        let begins = |beginning: &&str| begins_like_header(name, beginning);
        let reserved = RESERVED.iter().any(is) || RESERVED_BEGINNINGS.iter().any(begins);
        if position == Position::Header && reserved {
            return Err(PassError::Reserved(shown()));
        }
        Ok(passed)
    }

    /// The name under which the claim travels. Empty if all claims do, each under
    /// its own name.
    pub fn parameter(&self) -> &str {
        if self.parameter.is_empty() {
            &self.claim
        } else {
            &self.parameter
        }
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.position {
            Position::Header => "header",
            Position::Query => "query",
            Position::Cookie => "cookie",
        };
        write!(f, "{kind}:{}:{}", self.claim, self.parameter)
    }
}

impl Serialize for ClaimPass {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Passed::to_string))
    }
}

impl<'de> Deserialize<'de> for ClaimPass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let passed = |entry: Entry<Listed>| match entry {
            Entry::Text(text) => Passed::parse(&text),
            Entry::Table(table) => {
                let (kind, claim) = (&*table.mapping_parameter_position, &*table.claim_name);
                let name = &*table.mapping_parameter_name;
                Passed::of(kind, claim, name, &format!("{kind}:{claim}:{name}"))
            }
        };
        let pass = match Written::<Listed>::deserialize(deserializer)? {
            Written::Text(text) => Self::parse(&text),
            Written::List(list) => Self::new(list.into_iter().map(passed)),
        };
        pass.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_function_compute_are_read_unchanged() {
        let pass =
            ClaimPass::parse("header:sub:X-User,query::all,cookie:role:role,query::").unwrap();
        let shown: Vec<_> = pass.entries().iter().map(Passed::to_string).collect();
        assert_eq!(
            shown,
            [
                "header:sub:x-user",
                "query::all",
                "cookie:role:role",
                "query::"
            ]
        );
        let names: Vec<_> = pass.entries().iter().map(Passed::parameter).collect();
        assert_eq!(names, ["x-user", "all", "role", ""]);
        let own = ClaimPass::parse("query:role").unwrap();
        assert_eq!(own.entries()[0].parameter(), "role");
        let list = r#"[{"mappingParameterPosition": "header", "claimName": "sub",
            "mappingParameterName": "x-user"}]"#;
        let list: ClaimPass = serde_json::from_str(list).unwrap();
        assert_eq!(list, ClaimPass::parse("header:sub:x-user").unwrap());
        let written = serde_json::to_string(&pass).unwrap();
        assert_eq!(pass, serde_json::from_str(&written).unwrap());
        assert_eq!(ClaimPass::parse("").unwrap(), ClaimPass::default());
    }

    #[test]
    fn a_claim_becomes_no_header_that_matters_to_others() {
        let error = |text: &str| ClaimPass::parse(text).unwrap_err();
        for bad in [
            "header:a:Host",
            "header:a:openline-x",
            "header:host",
            "header:a:Sec-WebSocket-Key",
            "header:a:x-forwarded-for",
            "header:a:cookie",
        ] {
            assert!(matches!(error(bad), PassError::Reserved(_)), "{bad}");
        }
        for bad in ["header::", "cookie::", "header:"] {
            assert!(matches!(error(bad), PassError::Unnamed(_)), "{bad}");
        }
        for bad in [
            "header:a:b c",
            "query:a\n:b",
            "cookie:a:b=c",
            "header:a:b:c",
        ] {
            assert!(matches!(error(bad), PassError::Name(_)), "{bad}");
        }
        assert!(matches!(error("form:a:b"), PassError::Body(_)));
        for bad in ["sub", "body:a:b"] {
            assert!(matches!(error(bad), PassError::Form(_)), "{bad}");
        }
        assert!(matches!(
            error("header:a:b,header:c:B"),
            PassError::Twice(_)
        ));
        let entries = |count: usize| {
            let entries: Vec<_> = (0..count).map(|it| format!("query:c{it}:p{it}")).collect();
            ClaimPass::parse(&entries.join(","))
        };
        assert!(entries(CLAIM_PASS_MAX).is_ok());
        assert_eq!(entries(CLAIM_PASS_MAX + 1), Err(PassError::TooMany));
    }
}
