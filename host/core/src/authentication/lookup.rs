//! Where a request carries its token: Function Compute's `tokenLookup`, in its
//! string and list forms, and `subprotocol:` for browsers, whose WebSockets
//! cannot set headers.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::written::{Entry, Written};
use crate::affinity::is_token;

/// Places of one lookup: each costs a search of the request.
pub const LOOKUP_MAX: usize = 8;
/// The longest name or prefix in one, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 128;

/// The places of a token, in the order in which they are tried: 1 to
/// [`LOOKUP_MAX`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup(Vec<Place>);

/// One place of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `header:NAME:PREFIX`: a header; what is before the token is removed.
    Header {
        /// In lower case.
        name: String,
        /// May be empty. Compared without regard to case, since the usual one is
        /// an authentication scheme (RFC 9110 section 11.1).
        prefix: String,
    },
    /// `cookie:NAME`.
    Cookie(String),
    /// `query:NAME`: a key of the query.
    Query(String),
    /// `subprotocol:PREFIX`: the entry of `Sec-WebSocket-Protocol` that begins
    /// so. The host never answers with that entry, nor shows it to the function.
    Subprotocol(String),
}

/// Why a text or a list is no lookup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// No place at all.
    #[error("a lookup names no place")]
    Empty,
    /// More than [`LOOKUP_MAX`].
    #[error("a lookup has at most {LOOKUP_MAX} places")]
    TooMany,
    /// Another kind of place.
    #[error(
        "`{0}` is no place of a token: write header:NAME:PREFIX, cookie:NAME, query:NAME or subprotocol:PREFIX"
    )]
    Kind(String),
    /// `form`, which is in a body.
    #[error("`{0}` is in the body of a request, and a handshake has none")]
    Form(String),
    /// A name or a prefix that cannot be.
    #[error("`{0}` has no valid name or prefix")]
    Name(String),
}

/// One place as Function Compute's list form has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Listed {
    read_position: String,
    #[serde(default)]
    parameter_name: String,
    #[serde(default)]
    prefix: String,
}

impl Lookup {
    /// Reads the string form: places between commas. A prefix ends at the comma,
    /// and the space before it is part of the prefix.
    ///
    /// # Errors
    ///
    /// See [`LookupError`].
    pub fn parse(text: &str) -> Result<Self, LookupError> {
        if text.is_empty() {
            return Err(LookupError::Empty);
        }
        Self::new(text.split(',').map(Place::parse))
    }

    fn new(places: impl Iterator<Item = Result<Place, LookupError>>) -> Result<Self, LookupError> {
        let places: Vec<_> = places.take(LOOKUP_MAX + 1).collect::<Result<_, _>>()?;
        match places.len() {
            0 => Err(LookupError::Empty),
            count if count > LOOKUP_MAX => Err(LookupError::TooMany),
            _ => Ok(Self(places)),
        }
    }

    /// The places, in their order.
    pub fn places(&self) -> &[Place] {
        &self.0
    }

    /// `Authorization: Bearer`, as RFC 6750 has it.
    pub fn bearer() -> Self {
        Self(vec![Place::Header {
            name: "authorization".into(),
            prefix: "Bearer ".into(),
        }])
    }

    /// The key `ticket` of the query, or a subprotocol that begins with
    /// `ticket.`: what a browser can set.
    pub fn ticket() -> Self {
        let subprotocol = Place::Subprotocol("ticket.".into());
        Self(vec![Place::Query("ticket".into()), subprotocol])
    }
}

impl Place {
    /// Reads one place.
    fn parse(text: &str) -> Result<Self, LookupError> {
        // A space after a comma belongs to no kind.
        let place = text.trim_start();
        let (kind, rest) = place.split_once(':').unwrap_or((place, ""));
        let (name, prefix) = match kind {
            "header" => rest.split_once(':').unwrap_or((rest, "")),
            "subprotocol" => ("", rest),
            _ => (rest, ""),
        };
        Self::of(kind, name, prefix, text)
    }

    fn of(kind: &str, name: &str, prefix: &str, text: &str) -> Result<Self, LookupError> {
        let shown = || text.chars().take(80).collect();
        let bounded = name.len() <= NAME_BYTES_MAX && prefix.len() <= NAME_BYTES_MAX;
        let named = bounded && !name.is_empty();
        let token = |text: &str| !text.is_empty() && text.bytes().all(is_token);
        let visible = |text: &str| {
            text.bytes()
                .all(|byte| byte == b' ' || byte.is_ascii_graphic())
        };
        let place = match kind {
            "header" if named && token(name) && visible(prefix) => Self::Header {
                name: name.to_ascii_lowercase(),
                prefix: prefix.into(),
            },
            "cookie" if named && token(name) => Self::Cookie(name.into()),
            "query" if named && name.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Self::Query(name.into())
            }
            // Without a prefix every subprotocol would be a token.
            "subprotocol" if bounded && token(prefix) => Self::Subprotocol(prefix.into()),
            "header" | "cookie" | "query" | "subprotocol" => {
                return Err(LookupError::Name(shown()));
            }
            "form" => return Err(LookupError::Form(shown())),
            _ => return Err(LookupError::Kind(shown())),
        };
        Ok(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, prefix } if prefix.is_empty() => write!(f, "header:{name}"),
            Self::Header { name, prefix } => write!(f, "header:{name}:{prefix}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::Query(name) => write!(f, "query:{name}"),
            Self::Subprotocol(prefix) => write!(f, "subprotocol:{prefix}"),
        }
    }
}

impl Serialize for Lookup {
    /// As a list, in which a prefix may contain commas.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Place::to_string))
    }
}

impl<'de> Deserialize<'de> for Lookup {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let place = |entry: Entry<Listed>| match entry {
            Entry::Text(text) => Place::parse(&text),
            Entry::Table(table) => {
                let (kind, name) = (&*table.read_position, &*table.parameter_name);
                let shown = format!("{kind}:{name}");
                Place::of(kind, name, &table.prefix, &shown)
            }
        };
        let lookup = match Written::<Listed>::deserialize(deserializer)? {
            Written::Text(text) => Self::parse(&text),
            Written::List(list) => Self::new(list.into_iter().map(place)),
        };
        lookup.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<String> {
        let lookup = Lookup::parse(text).unwrap();
        lookup.places().iter().map(Place::to_string).collect()
    }

    #[test]
    fn values_of_function_compute_are_read_unchanged() {
        assert_eq!(
            places("header:Authorization:Bearer ,cookie:tok,query:access_token"),
            [
                "header:authorization:Bearer ",
                "cookie:tok",
                "query:access_token"
            ]
        );
        assert_eq!(places("header:X-Token"), ["header:x-token"]);
        assert_eq!(places("header:a:, cookie:b"), ["header:a", "cookie:b"]);
        assert_eq!(places("header:a:p:q "), ["header:a:p:q "]);
        assert_eq!(places("subprotocol:bearer."), ["subprotocol:bearer."]);
    }

    #[test]
    fn the_list_form_is_of_strings_or_tables() {
        let text = r#"[{"readPosition": "header", "parameterName": "Authorization", "prefix": "Bearer "},
            {"readPosition": "cookie", "parameterName": "t"}]"#;
        let tables: Lookup = serde_json::from_str(text).unwrap();
        let list = r#"["header:Authorization:Bearer ", "cookie:t"]"#;
        assert_eq!(tables, serde_json::from_str(list).unwrap());
        let string = r#""header:Authorization:Bearer ,cookie:t""#;
        assert_eq!(tables, serde_json::from_str(string).unwrap());
        let comma: Lookup = serde_json::from_str(r#"["header:a:b,c "]"#).unwrap();
        let written = serde_json::to_string(&comma).unwrap();
        assert_eq!(written, r#"["header:a:b,c "]"#);
        assert_eq!(comma, serde_json::from_str(&written).unwrap());
    }

    #[test]
    fn each_mistake_has_its_own_error() {
        let error = |text: &str| Lookup::parse(text).unwrap_err();
        assert_eq!(error(""), LookupError::Empty);
        assert_eq!(error("form:t"), LookupError::Form("form:t".into()));
        assert_eq!(error("body:t"), LookupError::Kind("body:t".into()));
        for bad in [
            "header:",
            "header",
            "header:a b:c",
            "header:a:\n",
            "cookie:a=b",
            "query:",
            "query:a b",
            "subprotocol:",
            "subprotocol:a b",
        ] {
            assert!(matches!(error(bad), LookupError::Name(_)), "{bad}");
        }
        assert_eq!(places(&["query:a"; LOOKUP_MAX].join(",")).len(), LOOKUP_MAX);
        let past = ["query:a"; LOOKUP_MAX + 1].join(",");
        assert_eq!(error(&past), LookupError::TooMany);
        let most = "n".repeat(NAME_BYTES_MAX);
        assert!(Lookup::parse(&format!("query:{most}")).is_ok());
        assert!(Lookup::parse(&format!("query:{most}n")).is_err());
    }
}
