//! Where the load goes: a `ws://` or `wss://` URL, checked once, here.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use openline_hint::Hint;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::http::Uri;

/// The ports of `ws://` and `wss://` where the URL names none (RFC 6455,
/// section 3).
const PORTS_DEFAULT: (u16, u16) = (80, 443);

/// A valid `ws://` or `wss://` URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    uri: Uri,
    host: String,
    port: u16,
}

/// Why a text is not a [`Target`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TargetError {
    /// Not a URL at all, or one without a scheme or a host.
    #[error("`{0}` is not a URL of the form `ws://HOST:PORT/PATH`")]
    Malformed(String),
    /// A scheme other than `ws` and `wss`.
    #[error("`{url}` has the scheme `{scheme}`, not `ws` or `wss`")]
    Scheme {
        /// The whole text.
        url: String,
        /// The scheme found in it.
        scheme: String,
    },
    /// RFC 6455, section 3, forbids fragments.
    #[error("`{0}` has a fragment, which a WebSocket URL must not have")]
    Fragment(String),
}

impl Hint for TargetError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(match self {
            Self::Malformed(_) => "for example `ws://127.0.0.1:8080/echo`".into(),
            Self::Scheme { url, scheme } if scheme == "http" => {
                format!("write `{}`", url.replacen("http://", "ws://", 1)).into()
            }
            Self::Scheme { url, scheme } if scheme == "https" => {
                format!("write `{}`", url.replacen("https://", "wss://", 1)).into()
            }
            Self::Scheme { .. } => "use a URL that starts with `ws://` or `wss://`".into(),
            Self::Fragment(_) => "leave out `#` and what follows it".into(),
        })
    }
}

impl Target {
    /// The host to connect to, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether messages go through TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.uri.scheme_str() == Some("wss")
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || TargetError::Malformed(text.to_owned());
        if text.contains('#') {
            return Err(TargetError::Fragment(text.to_owned()));
        }
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let scheme = uri.scheme_str().ok_or_else(malformed)?;
        match scheme {
            "ws" | "wss" => {}
            other => {
                return Err(TargetError::Scheme {
                    url: text.to_owned(),
                    scheme: other.to_owned(),
                });
            }
        }
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.ok_or_else(malformed)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = host.to_owned();
        let (plain, secure) = PORTS_DEFAULT;
        let port = if scheme == "wss" { secure } else { plain };
        let port = uri.port_u16().unwrap_or(port);
        Ok(Self { uri, host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(formatter)
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

#[cfg(test)]
mod tests {
    use openline_hint::Hint;

    use super::{Target, TargetError};

    #[test]
    fn host_port_and_path_are_kept() {
        let target: Target = "ws://127.0.0.1:8080/chat/lobby?nick=a".parse().unwrap();
        assert_eq!((target.host(), target.port()), ("127.0.0.1", 8080));
        assert_eq!(target.to_string(), "ws://127.0.0.1:8080/chat/lobby?nick=a");
        let target: Target = "ws://[::1]/echo".parse().unwrap();
        assert_eq!((target.host(), target.port()), ("::1", 80));
        assert!(!target.has_tls());
        let target: Target = "wss://edge.example.org/echo".parse().unwrap();
        assert_eq!((target.port(), target.has_tls()), (443, true));
    }

    #[test]
    fn wrong_urls_are_told_apart() {
        let error = |text: &str| text.parse::<Target>().unwrap_err();
        for text in ["", "/echo", "127.0.0.1:8080", "ws://", "ws:///echo", "a b"] {
            assert_eq!(error(text), TargetError::Malformed(text.to_owned()));
        }
        assert!(matches!(error("https://a/"), TargetError::Scheme { .. }));
        assert!(matches!(error("ftp://a/"), TargetError::Scheme { .. }));
        assert!(matches!(error("ws://a/#x"), TargetError::Fragment(_)));
    }

    #[test]
    fn hints_name_the_url_to_write() {
        let error = "http://a:1/echo".parse::<Target>().unwrap_err();
        assert_eq!(error.hint().unwrap(), "write `ws://a:1/echo`");
        let error = "https://a:1/echo".parse::<Target>().unwrap_err();
        assert_eq!(error.hint().unwrap(), "write `wss://a:1/echo`");
    }
}
