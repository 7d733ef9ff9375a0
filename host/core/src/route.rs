//! Routes: which function serves a path, and what its parameters are.
//!
//! A route is a path of literal segments and `{name}` segments, each of which
//! matches one non-empty segment. Literal segments win over parameters. Paths
//! are matched as sent; then the parameters are percent-decoded (RFC 3986
//! section 2.4).

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::RouteParams;

/// The prefix that belongs to the host; no function is routed below it.
pub const RESERVED_PREFIX: &str = "/.openline";

/// A checked route, for example `/chat/{room}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pattern: String,
    parameters: Vec<String>,
}

/// All routes of a host, each with what it leads to.
#[derive(Clone, Debug)]
pub struct RouteTable<T> {
    router: matchit::Router<T>,
}

/// Why a text is not a route, or conflicts with another route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No leading slash, a query, or characters that no path contains.
    #[error("`{0}` is not a route: write a path as in \"/chat/{{room}}\"")]
    Syntax(String),
    /// A parameter's name is empty, invalid, or used twice.
    #[error(
        "`{0}` is not a parameter of a route: write {{name}} as a whole segment, each name once"
    )]
    Parameter(String),
    /// The route is below the host's own prefix.
    #[error("routes below `{RESERVED_PREFIX}` belong to the host")]
    Reserved,
    /// Another function has this route, or one that matches the same paths.
    #[error("the route `{0}` matches the same paths as `{1}`")]
    Conflict(String, String),
}

/// A path that matches a route but cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a parameter in the path is not UTF-8 after percent-decoding")]
pub struct DecodeError;

// === impl Route ===

impl Route {
    /// Checks a route.
    pub fn new(pattern: &str) -> Result<Self, RouteError> {
        let syntax = || RouteError::Syntax(pattern.chars().take(80).collect());
        let path = pattern.strip_prefix('/').ok_or_else(syntax)?;
        let visible = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>^`|".contains(&byte);
        if !pattern.bytes().all(visible) || pattern.len() > 1024 {
            return Err(syntax());
        }
        if pattern == RESERVED_PREFIX || pattern.starts_with("/.openline/") {
            return Err(RouteError::Reserved);
        }
        let mut parameters: Vec<String> = Vec::new();
        for segment in path.split('/') {
            if !segment.contains(['{', '}']) {
                continue;
            }
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let valid = |name: &&str| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                    && !parameters.iter().any(|other| other == name)
            };
            match name.filter(valid) {
                Some(name) => parameters.push(name.into()),
                None => return Err(RouteError::Parameter(segment.into())),
            }
        }
        Ok(Self {
            pattern: pattern.into(),
            parameters,
        })
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The route as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl Serialize for Route {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.pattern)
    }
}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

// === impl RouteTable ===

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            router: matchit::Router::new(),
        }
    }
}

impl<T> RouteTable<T> {
    /// Adds a route. Fails when a path could match it and another route and
    /// neither is more literal.
    pub fn insert(&mut self, route: &Route, target: T) -> Result<(), RouteError> {
        self.router
            .insert(route.pattern.clone(), target)
            .map_err(|error| match error {
                matchit::InsertError::Conflict { with } => {
                    RouteError::Conflict(route.pattern.clone(), with)
                }
                _ => RouteError::Syntax(route.pattern.clone()),
            })
    }

    /// The target for a path, and the decoded parameters.
    pub fn find(&self, path: &str) -> Option<(&T, Result<RouteParams, DecodeError>)> {
        let found = self.router.at(path).ok()?;
        let decode = |(name, value): (&str, &str)| {
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| DecodeError)?;
            Ok((name.to_owned(), value.into_owned()))
        };
        Some((found.value, found.params.iter().map(decode).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[&str]) -> RouteTable<usize> {
        let mut table = RouteTable::default();
        for (index, route) in routes.iter().enumerate() {
            table.insert(&Route::new(route).unwrap(), index).unwrap();
        }
        table
    }

    #[test]
    fn literal_segments_win_and_parameters_are_decoded() {
        let table = table(&["/chat/{room}", "/chat/lobby", "/"]);
        let (target, params) = table.find("/chat/a%20b").unwrap();
        assert_eq!(
            (*target, params),
            (0, Ok(vec![("room".into(), "a b".into())]))
        );
        assert_eq!(table.find("/chat/lobby").unwrap().0, &1);
        assert_eq!(table.find("/").unwrap().0, &2);
        for none in ["/chat", "/chat/", "/chat/a/b", "/CHAT/a", "//chat/a", ""] {
            assert!(table.find(none).is_none(), "{none}");
        }
    }

    #[test]
    fn a_slash_that_is_encoded_stays_in_its_parameter() {
        let table = table(&["/chat/{room}"]);
        let (_, params) = table.find("/chat/a%2Fb").unwrap();
        assert_eq!(params, Ok(vec![("room".into(), "a/b".into())]));
        assert_eq!(table.find("/chat/%ff").unwrap().1, Err(DecodeError));
    }

    #[test]
    fn what_is_not_a_route_is_said() {
        for bad in [
            "", "chat", "/a?b", "/a b", "/ä", "/{", "/{}", "/a{b}", "/{a}/{a}", "/{*rest}",
        ] {
            assert!(Route::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Route::new("/.openline/x"), Err(RouteError::Reserved));
        assert_eq!(Route::new("/.openline"), Err(RouteError::Reserved));
        assert!(Route::new("/.openliner").is_ok());
    }

    #[test]
    fn two_routes_for_the_same_paths_conflict() {
        let mut table = table(&["/chat/{room}"]);
        let other = Route::new("/chat/{name}").unwrap();
        assert!(matches!(
            table.insert(&other, 1),
            Err(RouteError::Conflict(..))
        ));
    }
}
