//! Cross-origin requests: which web pages of other sites may read the answers
//! that come by a trigger (CORS, the Fetch standard, section 3.3).
//!
//! This is about ordinary requests. Browsers do not ask it for a WebSocket,
//! which `origin` decides about. Bounded by [`ORIGINS_MAX`]
//! origins, [`CORS_HEADERS_MAX`] names of headers in a list, and
//! [`HEADER_NAME_BYTES_MAX`] for each.

use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Methods, MethodsError, ORIGINS_MAX, Origin, OriginPattern, OriginPatternError};
use crate::units::Period;

/// Names in one list of headers: many times what a page sends or reads.
pub const CORS_HEADERS_MAX: usize = 64;
/// The longest name of a header, in bytes: those in use have at most 40.
pub const HEADER_NAME_BYTES_MAX: usize = 64;
/// The longest `max_age`: no browser keeps the result of a preflight for
/// longer.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The word for [`Cors::FunctionCompute`].
pub const FUNCTION_COMPUTE: &str = "function-compute";

/// What a trigger allows pages of other sites.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cors {
    /// Every page may read with its visitor's cookies: the three headers that
    /// Function Compute fills in.
    FunctionCompute,
    /// What these rules say.
    Rules(Box<CorsRules>),
}

/// The six rules of Function Compute, checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsRules {
    /// The pages; at least one pattern.
    pub allow_origins: Vec<OriginPattern>,
    /// The methods that they may use, all of which the trigger takes.
    pub allow_methods: Methods,
    /// The headers that they may send besides those that every page may, in
    /// lower case. `*` stands for all but `authorization`.
    pub allow_headers: Vec<Box<str>>,
    /// The headers that they may read besides those that every page may, and
    /// those of the host.
    pub expose_headers: Vec<Box<str>>,
    /// Whether they may ask with their visitor's cookies. Then nothing is `*`.
    pub allow_credentials: bool,
    /// How long a browser may keep the result of a preflight, in whole seconds;
    /// none leaves it to the browser (5 seconds).
    pub max_age: Option<Duration>,
}

/// [`Cors`] as people write it, in the configuration and in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum CorsWritten {
    /// [`FUNCTION_COMPUTE`], or a mistake.
    Word(String),
    /// The six keys.
    Rules(Box<CorsRulesWritten>),
}

/// The six keys, not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorsRulesWritten {
    /// Patterns of origins.
    pub allow_origins: Vec<String>,
    /// Without it, all that the trigger takes.
    #[serde(default)]
    pub allow_methods: Option<Vec<String>>,
    /// Names, or `*`.
    #[serde(default)]
    pub allow_headers: Vec<String>,
    /// Names, or `*`.
    #[serde(default)]
    pub expose_headers: Vec<String>,
    /// Whether cookies may come along.
    #[serde(default)]
    pub allow_credentials: bool,
    /// A time with its unit.
    #[serde(default)]
    pub max_age: Option<String>,
}

/// A text is none of [`Cors`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorsError {
    /// A word that is not [`FUNCTION_COMPUTE`].
    #[error("`{0}` is not a value of `cors`")]
    Word(String),
    /// There is no page that could read anything.
    #[error("`allow_origins` is empty")]
    NoOrigins,
    /// More than [`ORIGINS_MAX`].
    #[error("`allow_origins` has more than {ORIGINS_MAX} origins")]
    TooManyOrigins,
    /// A text is not a pattern of origins.
    #[error("in `allow_origins`: {0}")]
    Origin(#[source] OriginPatternError),
    /// A list is not one of methods.
    #[error("in `allow_methods`: {0}")]
    Methods(#[source] MethodsError),
    /// The trigger does not take a method that pages may use.
    #[error("`allow_methods` has {0}, which the trigger does not take")]
    NotTaken(&'static str),
    /// More than [`CORS_HEADERS_MAX`] names in the list with this key.
    #[error("`{0}` has more than {CORS_HEADERS_MAX} headers")]
    TooManyHeaders(&'static str),
    /// A text in the list with this key is not the name of a header.
    #[error("in `{0}`: `{1}` is not the name of a header")]
    Header(&'static str, String),
    /// `*` in the list with this key, and cookies.
    #[error("`*` in `{0}` and `allow_credentials` do not go together")]
    Credentials(&'static str),
    /// Not a time.
    #[error("in `max_age`: {0}")]
    Period(String),
    /// A time that has a fraction of a second, or more than a day.
    #[error("`max_age` is {0} and has whole seconds, at most {most}", most = Period(MAX_AGE_MAX))]
    MaxAge(Period),
}

impl Cors {
    /// Checks what is written for a trigger that takes these methods.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn new(written: &CorsWritten, methods: Methods) -> Result<Self, CorsError> {
        match written {
            CorsWritten::Word(word) if word == FUNCTION_COMPUTE => Ok(Self::FunctionCompute),
            CorsWritten::Word(word) => Err(CorsError::Word(word.chars().take(80).collect())),
            CorsWritten::Rules(rules) => {
                let rules = CorsRules::new(rules, methods)?;
                Ok(Self::Rules(Box::new(rules)))
            }
        }
    }

    /// As it would be written.
    pub fn written(&self) -> CorsWritten {
        match self {
            Self::FunctionCompute => CorsWritten::Word(FUNCTION_COMPUTE.into()),
            Self::Rules(rules) => CorsWritten::Rules(Box::new(rules.written())),
        }
    }
}

impl CorsRules {
    fn new(written: &CorsRulesWritten, methods: Methods) -> Result<Self, CorsError> {
        if written.allow_origins.is_empty() {
            return Err(CorsError::NoOrigins);
        }
        if written.allow_origins.len() > ORIGINS_MAX {
            return Err(CorsError::TooManyOrigins);
        }
        let origins = written.allow_origins.iter();
        let origins = origins.map(|text| OriginPattern::new(text).map_err(CorsError::Origin));
        let allow_origins: Vec<_> = origins.collect::<Result<_, _>>()?;
        let allow_methods = match &written.allow_methods {
            None => methods,
            Some(words) => Methods::new(words).map_err(CorsError::Methods)?,
        };
        // A browser keeps the result of a preflight for a path, whichever
        // trigger gave it. So none may promise a method of another one.
        if let Some(word) = allow_methods.words().find(|word| !methods.contains(word)) {
            return Err(CorsError::NotTaken(word));
        }
        let allow_headers = headers("allow_headers", &written.allow_headers)?;
        let expose_headers = headers("expose_headers", &written.expose_headers)?;
        let any = |names: &[Box<str>]| names.iter().any(|name| &**name == "*");
        if written.allow_credentials {
            for (key, has_any) in [
                ("allow_origins", allow_origins.contains(&OriginPattern::Any)),
                ("allow_headers", any(&allow_headers)),
                ("expose_headers", any(&expose_headers)),
            ] {
                if has_any {
                    return Err(CorsError::Credentials(key));
                }
            }
        }
        Ok(Self {
            allow_origins,
            allow_methods,
            allow_headers,
            expose_headers,
            allow_credentials: written.allow_credentials,
            max_age: written.max_age.as_deref().map(max_age).transpose()?,
        })
    }

    fn written(&self) -> CorsRulesWritten {
        let texts = |names: &[Box<str>]| names.iter().map(ToString::to_string).collect();
        let methods = self.allow_methods.words().map(str::to_owned);
        CorsRulesWritten {
            allow_origins: self.allow_origins.iter().map(ToString::to_string).collect(),
            allow_methods: Some(methods.collect()),
            allow_headers: texts(&self.allow_headers),
            expose_headers: texts(&self.expose_headers),
            allow_credentials: self.allow_credentials,
            max_age: self.max_age.map(|age| Period(age).to_string()),
        }
    }

    /// Whether all pages may read, without cookies.
    pub fn is_for_all(&self) -> bool {
        self.allow_origins.contains(&OriginPattern::Any)
    }

    /// Whether pages of an origin may read.
    pub fn allows(&self, origin: &Origin) -> bool {
        let mut patterns = self.allow_origins.iter();
        patterns.any(|pattern| pattern.matches(origin))
    }
}

/// Checks the names of a list of headers.
fn headers(key: &'static str, names: &[String]) -> Result<Vec<Box<str>>, CorsError> {
    if names.len() > CORS_HEADERS_MAX {
        return Err(CorsError::TooManyHeaders(key));
    }
    let checked = names.iter().map(|name| {
        // RFC 9110 section 5.6.2. `*` is a token, too.
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let fits = (1..=HEADER_NAME_BYTES_MAX).contains(&name.len());
        if fits && name.bytes().all(letter) {
            return Ok(name.to_ascii_lowercase().into());
        }
        Err(CorsError::Header(key, name.chars().take(80).collect()))
    });
    checked.collect()
}

fn max_age(text: &str) -> Result<Duration, CorsError> {
    let Period(age) = Period::parse(text).map_err(CorsError::Period)?;
    if age > MAX_AGE_MAX || age.subsec_nanos() != 0 {
        return Err(CorsError::MaxAge(Period(age)));
    }
    Ok(age)
}

impl<'de> Deserialize<'de> for CorsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

/// Reads a word or a table, with the errors of each.
struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = CorsWritten;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{FUNCTION_COMPUTE}\" or a table")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<CorsWritten, E> {
        Ok(CorsWritten::Word(word.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CorsWritten, A::Error> {
        let rules = CorsRulesWritten::deserialize(MapAccessDeserializer::new(map))?;
        Ok(CorsWritten::Rules(Box::new(rules)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::cors_hint;

    fn written(json: &str) -> CorsWritten {
        serde_json::from_str(json).unwrap()
    }

    fn check(json: &str) -> Result<Cors, CorsError> {
        Cors::new(&written(json), Methods::new(&["GET", "PUT"]).unwrap())
    }

    #[test]
    fn a_word_or_six_keys() {
        assert_eq!(check("\"function-compute\""), Ok(Cors::FunctionCompute));
        let all = r#"{"allow_origins":["https://a.org","*.b.org:81"],"allow_methods":["PUT"],"allow_headers":["X-A"],"expose_headers":["x-b"],"allow_credentials":true,"max_age":"60 min"}"#;
        let Ok(Cors::Rules(rules)) = check(all) else {
            panic!("{:?}", check(all));
        };
        assert!(rules.allows(&Origin::parse("https://a.org").unwrap()));
        assert!(rules.allows(&Origin::parse("http://x.b.org:81").unwrap()));
        assert!(!rules.allows(&Origin::parse("http://a.org").unwrap()));
        assert!(!rules.allows(&Origin::Null) && !rules.is_for_all());
        assert_eq!(rules.allow_methods.to_string(), "PUT");
        assert_eq!(*rules.allow_headers, ["x-a".into()]);
        assert_eq!(rules.max_age, Some(Duration::from_secs(3600)));
        // What is shown can be written again.
        let shown = Cors::Rules(rules.clone()).written();
        let again = written(&serde_json::to_string(&shown).unwrap());
        let methods = Methods::new(&["GET", "PUT"]).unwrap();
        assert_eq!(Cors::new(&again, methods), Ok(Cors::Rules(rules.clone())));
        // And what is stored is the same afterwards.
        for cors in [Cors::FunctionCompute, Cors::Rules(rules)] {
            let stored = serde_json::to_string(&cors).unwrap();
            assert_eq!(serde_json::from_str::<Cors>(&stored).unwrap(), cors);
        }
        let Ok(Cors::Rules(rules)) = check(r#"{"allow_origins":["*"],"allow_headers":["*"]}"#)
        else {
            panic!("`*` is refused");
        };
        assert!(rules.is_for_all() && rules.allows(&Origin::Null));
        assert_eq!(rules.allow_methods.to_string(), "GET, PUT");
        for bad in ["{}", "1", r#"{"allow_origins":["*"],"origins":[]}"#, "[]"] {
            assert!(serde_json::from_str::<CorsWritten>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_mistake_has_its_words_and_a_hint() {
        let with = |rest: &str| format!(r#"{{"allow_origins":["https://a.org"],{rest}}}"#);
        let all = |rest: &str| format!(r#"{{"allow_origins":["*"],{rest}}}"#);
        for (json, expected) in [
            ("\"*\"".into(), "is not a value of `cors`"),
            (r#"{"allow_origins":[]}"#.into(), "`allow_origins` is empty"),
            (
                r#"{"allow_origins":["https://a.org/"]}"#.into(),
                "is not an origin",
            ),
            (with(r#""allow_methods":[]"#), "`methods` is empty"),
            (with(r#""allow_methods":["*"]"#), "`*` is not a method"),
            (
                with(r#""allow_methods":["GET","POST"]"#),
                "has POST, which the trigger does not take",
            ),
            (with(r#""allow_headers":["a b"]"#), "`a b` is not the name"),
            (with(r#""expose_headers":[""]"#), "is not the name"),
            (with(r#""max_age":"1500 ms""#), "whole seconds"),
            (with(r#""max_age":"86401 s""#), "at most 1 d"),
            (with(r#""max_age":"60""#), "is not a time"),
            (all(r#""allow_credentials":true"#), "`*` in `allow_origins`"),
            (
                with(r#""allow_credentials":true,"allow_headers":["*"]"#),
                "`*` in `allow_headers`",
            ),
            (
                with(r#""allow_credentials":true,"expose_headers":["*"]"#),
                "`*` in `expose_headers`",
            ),
        ] {
            let error = check(&json).unwrap_err();
            assert!(error.to_string().contains(expected), "{json}: {error}");
            assert!(!cors_hint(&error).is_empty());
        }
        assert!(check(&with(r#""max_age":"1 d""#)).is_ok());
    }

    #[test]
    fn lists_at_their_number_and_past_it() {
        let rules = |origins: usize, headers: usize, length: usize| {
            let names = |count: usize| (0..count).map(|n| format!("h{n:0>length$}"));
            let written = CorsRulesWritten {
                allow_origins: names(origins).collect(),
                allow_headers: names(headers).collect(),
                expose_headers: names(headers).collect(),
                ..CorsRulesWritten::default()
            };
            CorsRules::new(&written, Methods::default())
        };
        let longest = HEADER_NAME_BYTES_MAX - 1;
        assert!(rules(ORIGINS_MAX, CORS_HEADERS_MAX, longest).is_ok());
        let past = rules(ORIGINS_MAX + 1, 0, 1);
        assert_eq!(past, Err(CorsError::TooManyOrigins));
        let past = rules(1, CORS_HEADERS_MAX + 1, 1);
        assert_eq!(past, Err(CorsError::TooManyHeaders("allow_headers")));
        let past = rules(1, 1, longest + 1);
        assert!(matches!(past, Err(CorsError::Header("allow_headers", _))));
    }
}
