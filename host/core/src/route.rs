//! Routes: which paths a trigger serves, and what their parameters are.
//!
//! A route is a path of literal segments and `{name}` segments, each of which
//! matches one non-empty segment; a last `{*name}` matches one segment or more.
//! At each segment a literal wins over `{name}`, which wins over `{*name}`.
//! Routes match paths in their [one spelling](crate::path); then the parameters
//! are percent-decoded (RFC 3986 section 2.4).

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::event::RouteParams;
use crate::path::normalise;

/// The prefix that belongs to the host; no function is routed below it.
pub const RESERVED_PREFIX: &str = "/.openline";

/// The longest route, in bytes: a part of the default `request_uri_bytes`.
const ROUTE_BYTES_MAX: usize = 1024;

/// A checked route, for example `/chat/{room}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pattern: String,
    parameters: Vec<String>,
    /// Whether the last parameter matches several segments.
    has_rest: bool,
}

/// One segment of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// This text.
    Literal(&'a str),
    /// Any segment that is not empty.
    Parameter,
    /// All further segments; not a single empty one.
    Rest,
}

/// Why a text is not a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No leading slash, a query, or characters that no path contains.
    #[error("`{0}` is not a route: write a path as in \"/chat/{{room}}\"")]
    Syntax(String),
    /// A parameter's name is empty, invalid, or used twice, or `{*name}` is not
    /// the last segment.
    #[error(
        "`{0}` is not a parameter of a route: write {{name}} as a whole segment, or {{*name}} as the last one, each name once"
    )]
    Parameter(String),
    /// The route is below the host's own prefix.
    #[error("routes below `{RESERVED_PREFIX}` belong to the host")]
    Reserved,
    /// No path in its one spelling matches it.
    #[error("no request has the path `{0}`, because its one spelling is `{1}`")]
    Spelling(String, String),
}

/// A path that matches a route but cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A parameter is not text.
    #[error("a parameter in the path is not UTF-8 after percent-decoding")]
    Text,
    /// The value of `{*name}` could not tell this slash from one between
    /// segments.
    #[error("the rest of the path has an encoded slash")]
    Slash,
}

// === impl Route ===

impl Route {
    /// Checks a route.
    ///
    /// # Errors
    ///
    /// See [`RouteError`].
    pub fn new(pattern: &str) -> Result<Self, RouteError> {
        let shortened = || pattern.chars().take(80).collect();
        let syntax = || RouteError::Syntax(shortened());
        let path = pattern.strip_prefix('/').ok_or_else(syntax)?;
        let visible = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>^`|".contains(&byte);
        if !pattern.bytes().all(visible) || pattern.len() > ROUTE_BYTES_MAX {
            return Err(syntax());
        }
        let mut parameters: Vec<String> = Vec::new();
        let mut has_rest = false;
        for segment in path.split('/') {
            if !segment.contains(['{', '}']) {
                if has_rest {
                    return Err(RouteError::Parameter(shortened()));
                }
                continue;
            }
            let name = segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let rest = name.and_then(|name| name.strip_prefix('*'));
            let valid = |name: &&str| {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
                    && !parameters.iter().any(|other| other == name)
                    && !has_rest
            };
            match rest.or(name).filter(valid) {
                Some(name) => parameters.push(name.into()),
                None => return Err(RouteError::Parameter(segment.into())),
            }
            has_rest = rest.is_some();
        }
        let route = Self {
            pattern: pattern.into(),
            parameters,
            has_rest,
        };
        route.check_spelling()?;
        if pattern == RESERVED_PREFIX || pattern.starts_with("/.openline/") {
            return Err(RouteError::Reserved);
        }
        Ok(route)
    }

    /// Checks that its literal segments are in the one spelling.
    fn check_spelling(&self) -> Result<(), RouteError> {
        // Letters that no literal contains stand for the braces.
        let path = self.pattern.replace('{', "(").replace('}', ")");
        let unlike = |other: &str| RouteError::Spelling(self.pattern.clone(), other.into());
        match normalise(&path) {
            Ok(normal) if *normal == *path => Ok(()),
            Ok(normal) if self.parameters.is_empty() => Err(unlike(&normal)),
            Ok(_) => Err(unlike("another one")),
            Err(_) => Err(RouteError::Syntax(self.pattern.chars().take(80).collect())),
        }
    }

    /// The names of its parameters, in order.
    pub fn parameters(&self) -> &[String] {
        &self.parameters
    }

    /// The route as it was written.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// A path that it matches, whose parameters have their own names as values.
    pub fn example(&self) -> String {
        let literal = |it: char| !matches!(it, '{' | '*' | '}');
        let value = |segment: &str| match segment.starts_with('{') {
            true => segment.chars().filter(|it| literal(*it)).collect(),
            false => segment.to_owned(),
        };
        let segments = self.pattern.split('/').map(value);
        segments.collect::<Vec<_>>().join("/")
    }

    /// Its segments, without the names of its parameters: equal for two routes
    /// that match the same paths.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        self.pattern.split('/').skip(1).map(|segment| {
            if segment.starts_with("{*") {
                Segment::Rest
            } else if segment.starts_with('{') {
                Segment::Parameter
            } else {
                Segment::Literal(segment)
            }
        })
    }

    /// Decodes the values of its parameters, which are in its order.
    pub(crate) fn decode(&self, values: &[&str]) -> Result<RouteParams, DecodeError> {
        let last = self.parameters.len();
        let decode = |(index, (name, value)): (usize, (&String, &&str))| {
            if self.has_rest && index + 1 == last && value.contains("%2F") {
                return Err(DecodeError::Slash);
            }
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| DecodeError::Text)?;
            Ok((name.clone(), value.into_owned()))
        };
        let named = self.parameters.iter().zip(values);
        named.enumerate().map(decode).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_route_is_said() {
        for bad in [
            "",
            "chat",
            "/a?b",
            "/a b",
            "/ä",
            "/{",
            "/{}",
            "/a{b}",
            "/{a}/{a}",
            "/{*}",
            "/{*a}/b",
            "/{*a}/",
            "/{*a}/{b}",
            "/{a}/{*a}",
            "/{**a}",
            "/a%",
            "/a//../b",
        ] {
            assert!(Route::new(bad).is_err(), "{bad}");
        }
        assert_eq!(Route::new("/.openline/x"), Err(RouteError::Reserved));
        assert_eq!(Route::new("/.openline"), Err(RouteError::Reserved));
        assert!(Route::new("/.openliner").is_ok());
        let long = format!("/{}", "a".repeat(ROUTE_BYTES_MAX - 1));
        assert!(Route::new(&long).is_ok());
        assert!(Route::new(&format!("{long}a")).is_err());
    }

    #[test]
    fn a_route_that_no_path_in_its_one_spelling_matches_is_an_error() {
        for (route, expected) in [
            ("/%7Euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("//a", "/a"),
            ("/a/../b", "/b"),
            ("/%2eopenline", "/.openline"),
            ("//{a}", "another one"),
        ] {
            let error = RouteError::Spelling(route.into(), expected.into());
            assert_eq!(Route::new(route), Err(error), "{route}");
        }
        for right in ["/", "/a/", "/a%2Fb/{c}", "/a!$&'()*+,;=:@b", "/{a}/{*b}"] {
            assert!(Route::new(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn parameters_have_their_names_in_an_example() {
        for (route, example) in [
            ("/", "/"),
            ("/a/", "/a/"),
            ("/rooms/{room}", "/rooms/room"),
            ("/{a}/b*/{*rest}", "/a/b*/rest"),
        ] {
            assert_eq!(Route::new(route).unwrap().example(), example);
        }
    }

    #[test]
    fn routes_that_match_the_same_paths_have_the_same_segments() {
        let same = |one: &str, other: &str| {
            let (one, other) = (Route::new(one).unwrap(), Route::new(other).unwrap());
            one.segments().eq(other.segments())
        };
        assert!(same("/chat/{room}", "/chat/{name}"));
        assert!(same("/{a}/x/{*b}", "/{b}/x/{*a}"));
        assert!(!same("/chat/{room}", "/chat/{*room}"));
        assert!(!same("/chat", "/chat/"));
    }

    #[test]
    fn parameters_are_decoded_in_their_order() {
        let route = Route::new("/{a}/{*b}").unwrap();
        let decode = |values: [&str; 2]| route.decode(&values);
        let named = |a: &str, b: &str| vec![("a".into(), a.into()), ("b".into(), b.into())];
        assert_eq!(decode(["x%20y", "1/%C3%BC/"]), Ok(named("x y", "1/ü/")));
        // A slash that is encoded stays in the parameter of one segment.
        assert_eq!(decode(["x%2Fy", "1"]), Ok(named("x/y", "1")));
        assert_eq!(decode(["x", "1%2F2"]), Err(DecodeError::Slash));
        assert_eq!(decode(["%FF", "1"]), Err(DecodeError::Text));
    }
}
