//! The addresses of a host's interfaces, as people write them.

use std::borrow::Cow;
use std::fmt;

use http::Uri;
use openline_hint::Hint;

/// An interface of a host that commands ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    /// That which deploys and inspects.
    Admin,
    /// That for publishers outside: `[server.api]`.
    Publishers,
}

/// Where an interface is: `http://127.0.0.1:18080`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostUrl {
    interface: Interface,
    has_tls: bool,
    host: String,
    port: u16,
    /// Comes before all paths; does not end in a slash.
    prefix: String,
}

/// Why a text is not the address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostUrlError {
    /// A scheme other than http and https.
    #[error("`{0}://` is not spoken: {1} is asked over HTTP")]
    Scheme(String, Interface),
    /// Not an address, or an address with more than host, port and path.
    #[error("`{0}` is not the address of {1}")]
    Form(String, Interface),
}

impl Interface {
    /// The option of the commands that names its address, and the variable.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Admin => "`--admin URL` or OPENLINE_ADMIN",
            Self::Publishers => "`--url URL` or OPENLINE_URL",
        }
    }
}

/// With its article, for sentences.
impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "the admin interface",
            Self::Publishers => "the interface for publishers",
        })
    }
}

impl Hint for HostUrlError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let (Self::Scheme(_, interface) | Self::Form(_, interface)) = self;
        let port = match interface {
            Interface::Admin => 18080,
            Interface::Publishers => 8081,
        };
        let hint = match self {
            Self::Scheme(..) => format!(
                "write it as in http://127.0.0.1:{port}, or with TLS as in https://host.example:{port}"
            ),
            Self::Form(..) => {
                format!("write it as in http://127.0.0.1:{port} or https://host.example:{port}")
            }
        };
        Some(hint.into())
    }
}

impl HostUrl {
    /// Reads the address of an interface.
    pub(crate) fn parse(text: &str, interface: Interface) -> Result<Self, HostUrlError> {
        let form = || HostUrlError::Form(text.chars().take(80).collect(), interface);
        let uri: Uri = text.parse().map_err(|_| form())?;
        let scheme = uri.scheme_str().ok_or_else(form)?;
        let has_tls = match scheme {
            "http" => false,
            "https" => true,
            other => return Err(HostUrlError::Scheme(other.into(), interface)),
        };
        let authority = uri.authority().ok_or_else(form)?;
        // Otherwise a port that is not a number would be taken for 80.
        let port = authority.as_str().strip_prefix(authority.host());
        let odd = port.is_none_or(|port| !port.is_empty() && authority.port_u16().is_none())
            || uri.query().is_some();
        if odd || authority.host().is_empty() {
            return Err(form());
        }
        Ok(Self {
            interface,
            has_tls,
            host: authority.host().into(),
            port: authority
                .port_u16()
                .unwrap_or(if has_tls { 443 } else { 80 }),
            prefix: uri.path().trim_end_matches('/').into(),
        })
    }

    /// The same for an argument of a command: an error has its hint.
    pub(crate) fn argument(text: &str, interface: Interface) -> Result<Self, String> {
        Self::parse(text, interface).map_err(|error| error.explained())
    }

    /// What is there.
    pub(crate) fn interface(&self) -> Interface {
        self.interface
    }

    /// Whether TLS is spoken there.
    pub(crate) fn has_tls(&self) -> bool {
        self.has_tls
    }

    /// The host without the brackets of an IPv6 address, and the port.
    pub(crate) fn place(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }

    /// The host and the port as a header has them.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What comes before all paths.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for HostUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            has_tls,
            host,
            port,
            prefix,
            ..
        } = self;
        let scheme = if *has_tls { "https" } else { "http" };
        write!(f, "{scheme}://{host}:{port}{prefix}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_as_people_write_them() {
        let parse = |text| HostUrl::parse(text, Interface::Admin);
        for (text, shown) in [
            ("http://127.0.0.1:18080", "http://127.0.0.1:18080"),
            ("http://localhost:8081/", "http://localhost:8081"),
            ("http://host.example", "http://host.example:80"),
            ("http://[::1]:9/admin/", "http://[::1]:9/admin"),
            ("https://host.example", "https://host.example:443"),
            ("https://[::1]:9", "https://[::1]:9"),
        ] {
            assert_eq!(parse(text).unwrap().to_string(), shown);
        }
        for text in ["wss://127.0.0.1:18080", "ws://127.0.0.1:18080"] {
            let error = parse(text).unwrap_err();
            assert!(matches!(error, HostUrlError::Scheme(..)), "{text}");
        }
        for text in [
            "",
            "127.0.0.1:18080",
            "localhost",
            "/v1",
            "http://",
            "http://:8081",
            "http://a@b:1",
            "http://host:99999",
            "http://host:",
            "http://host:1/?x=1",
        ] {
            assert!(matches!(parse(text), Err(HostUrlError::Form(..))), "{text}");
        }
        let error = HostUrl::parse("x", Interface::Publishers).unwrap_err();
        assert!(error.to_string().contains("for publishers") && error.hint().is_some());
    }
}
