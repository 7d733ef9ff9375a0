//! The variables of criteria: which facts of a request a name stands for, and
//! how many values a request has for it.
//!
//! A variable has no value or one; only a claim may have several, the elements of
//! an array. The lines of a header are one value, joined as RFC 9110 section 5.3
//! says, and as functions read it. A key of the query or a cookie that occurs
//! twice has no value that is safe to compare: which of them a function takes is
//! its own business, so [`Found::Repeated`] says that there are several. Reading
//! a value copies nothing, unless it has escapes, is not UTF-8, or has several
//! lines.

use std::borrow::Cow;
use std::fmt::{self, Write};

use http::HeaderMap;
use http::header::{COOKIE, HOST, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::request::{Certificate, Claims, Request, Tls, Verification};

/// What a criterion looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// `remote_addr`: the peer's address.
    Address,
    /// One of the facts that every name but the dynamic ones stands for.
    Fixed(Fixed),
    /// `arg_{n}`: the values of a key of the query, decoded. Names are compared
    /// without regard to case, as nginx does.
    Argument(Box<str>),
    /// `http_{n}`: a header. Several lines are joined by `, `, those of `Cookie`
    /// by `; `.
    Header(HeaderName),
    /// `cookie_{n}`: a cookie. Names are compared without regard to case, as
    /// nginx does.
    Cookie(Box<str>),
    /// `claim_{n}`: a claim of the peer's verified token. The elements of an
    /// array are several values.
    Claim(Box<str>),
}

/// A fact with one value at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// The peer's port.
    Port,
    /// The method.
    Method,
    /// The scheme.
    Scheme,
    /// The host, without its port.
    Host,
    /// The path in its one spelling, without the query.
    Path,
    /// The whole query, as it was sent.
    Query,
    /// The version of TLS.
    Protocol,
    /// The host name of the TLS handshake.
    ServerName,
    /// nginx's word for the check of the client's certificate.
    Verify,
    /// Azion's word for it.
    VerificationStatus,
    /// The certificate's fingerprint.
    Fingerprint,
    /// The certificate's subject.
    Subject,
    /// The certificate's issuer.
    Issuer,
    /// The certificate's serial number.
    Serial,
}

/// The names of fixed facts; the first of a fact is its own, the others are
/// Azion's and nginx's for the same.
const FIXED: [(&str, Fixed); 17] = [
    ("remote_port", Fixed::Port),
    ("request_method", Fixed::Method),
    ("scheme", Fixed::Scheme),
    ("host", Fixed::Host),
    ("uri", Fixed::Path),
    // Azion's firewall compares the normalised path without the query, which
    // nginx calls `uri`.
    ("request_uri", Fixed::Path),
    ("args", Fixed::Query),
    ("request_args", Fixed::Query),
    ("query_string", Fixed::Query),
    ("ssl_protocol", Fixed::Protocol),
    ("ssl_server_name", Fixed::ServerName),
    ("ssl_client_verify", Fixed::Verify),
    ("ssl_verification_status", Fixed::VerificationStatus),
    ("ssl_client_fingerprint", Fixed::Fingerprint),
    ("ssl_client_s_dn", Fixed::Subject),
    ("ssl_client_i_dn", Fixed::Issuer),
    ("ssl_client_serial", Fixed::Serial),
];

/// The names of the peer's address; the second is Azion's.
const ADDRESS: [&str; 2] = ["remote_addr", "network"];

/// Short names of headers.
const HEADERS: [(&str, HeaderName); 2] = [
    ("user_agent", http::header::USER_AGENT),
    ("origin", http::header::ORIGIN),
];

/// How dynamic names begin. `header_` is what Azion's console writes.
const DYNAMIC: [&str; 5] = ["arg_", "http_", "header_", "cookie_", "claim_"];

/// The longest name after `arg_` and its kind, in bytes.
const NAME_BYTES_MAX: usize = 128;

/// Whether a variable has a value that passes a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It has no value.
    Missing,
    /// It has values, and none passes.
    No,
    /// One passes.
    Yes,
    /// A key of the query, or a cookie, occurs more than once.
    Repeated,
}

impl Found {
    fn of(passes: bool) -> Self {
        if passes { Self::Yes } else { Self::No }
    }

    fn first(value: Option<&str>, test: impl FnOnce(&str) -> bool) -> Self {
        value.map_or(Self::Missing, |value| Self::of(test(value)))
    }
}

// === impl Variable ===

impl Variable {
    /// Reads the name of a variable, with or without `${}` around it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inner = text.strip_prefix("${").and_then(|it| it.strip_suffix('}'));
        let name = inner.unwrap_or(text);
        if ADDRESS.contains(&name) {
            return Some(Self::Address);
        }
        if let Some((_, fixed)) = FIXED.iter().find(|(known, _)| *known == name) {
            return Some(Self::Fixed(*fixed));
        }
        if let Some((_, header)) = HEADERS.iter().find(|(known, _)| *known == name) {
            return Some(Self::Header(header.clone()));
        }
        let begin = DYNAMIC.iter().find(|begin| name.starts_with(**begin))?;
        let rest = &name[begin.len()..];
        if rest.is_empty() || rest.len() > NAME_BYTES_MAX {
            return None;
        }
        let is_word = |it: u8| it.is_ascii_alphanumeric() || b"_-.".contains(&it);
        match *begin {
            "claim_" => {
                let is_visible = rest.bytes().all(|it| it.is_ascii_graphic());
                is_visible.then(|| Self::Claim(rest.into()))
            }
            _ if !rest.bytes().all(is_word) => None,
            "arg_" => Some(Self::Argument(rest.into())),
            "cookie_" => Some(Self::Cookie(rest.into())),
            _ => {
                let header = HeaderName::try_from(rest.replace(['_', '.'], "-"));
                header.ok().map(|header| match header {
                    // The header has several spellings, and HTTP/2 may have it in
                    // the target: rules see the host that the function sees.
                    HOST => Self::Fixed(Fixed::Host),
                    header => Self::Header(header),
                })
            }
        }
    }

    /// The names that are known, for hints.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let fixed = FIXED.iter().map(|(name, _)| *name);
        let headers = HEADERS.iter().map(|(name, _)| *name);
        ADDRESS.into_iter().chain(fixed).chain(headers)
    }

    /// Whether its value is only known when a token has been checked.
    pub(crate) fn is_claim(&self) -> bool {
        matches!(self, Self::Claim(_))
    }

    /// Shows each value, those of a key or a cookie that is repeated, too.
    pub(crate) fn each(&self, request: &Request<'_>, mut show: impl FnMut(&str)) {
        match self {
            Self::Argument(name) => {
                let values = arguments(request.query, name).flatten();
                values.for_each(|value| show(&decoded(value)));
            }
            Self::Cookie(name) => {
                let values = cookies(request.headers, name).flatten();
                values.for_each(|value| show(&String::from_utf8_lossy(value)));
            }
            _ => {
                self.find(request, |value| {
                    show(value);
                    false
                });
            }
        }
    }

    /// How many bytes of a request are read to find its values.
    pub(crate) fn reads(&self, request: &Request<'_>) -> usize {
        match self {
            Self::Address => 0,
            Self::Fixed(fixed) => fixed.reads(request),
            Self::Argument(_) => request.query.map_or(0, str::len),
            Self::Header(name) => lines_len(request.headers, name),
            Self::Cookie(_) => lines_len(request.headers, &COOKIE),
            // A token is bounded, and its claims were read before.
            Self::Claim(_) => 0,
        }
    }

    /// Tests each value until one passes.
    pub(crate) fn find(&self, request: &Request<'_>, mut test: impl FnMut(&str) -> bool) -> Found {
        match self {
            Self::Address if request.peer_is_unnamed => Found::Missing,
            Self::Address => Found::of(test(Short::of(request.peer.to_canonical()).as_str())),
            Self::Fixed(fixed) => fixed.find(request, test),
            Self::Argument(name) => argument(request.query, name, test),
            Self::Header(name) => header(request.headers, name, test),
            Self::Cookie(name) => cookie(request.headers, name, test),
            Self::Claim(name) => match request.claims {
                Claims::Verified(claims) => match claim(claims, name) {
                    None | Some(Value::Null) => Found::Missing,
                    Some(Value::Array(each)) => any(each, |value| Some(test(&text_of(value)))),
                    Some(value) => Found::of(test(&text_of(value))),
                },
                Claims::Pending | Claims::Absent => Found::Missing,
            },
        }
    }
}

/// Tests the values among some items; `None` is no value.
fn any<T>(items: impl IntoIterator<Item = T>, mut test: impl FnMut(T) -> Option<bool>) -> Found {
    let mut found = Found::Missing;
    for item in items {
        match test(item) {
            None => {}
            Some(true) => return Found::Yes,
            Some(false) => found = Found::No,
        }
    }
    found
}

/// The one value among some items, if there is one: `None` is none.
fn only<T>(items: impl IntoIterator<Item = Option<T>>, test: impl FnOnce(T) -> bool) -> Found {
    let mut values = items.into_iter().flatten();
    match (values.next(), values.next()) {
        (None, _) => Found::Missing,
        (Some(value), None) => Found::of(test(value)),
        (Some(_), Some(_)) => Found::Repeated,
    }
}

/// The value of a key of a query. Names and values are decoded as forms are:
/// `%41` and `+`.
fn argument(query: Option<&str>, name: &str, test: impl FnOnce(&str) -> bool) -> Found {
    only(arguments(query, name), |value| test(&decoded(value)))
}

/// The values of a key of a query as they were sent; `None` for other keys.
fn arguments<'r>(query: Option<&'r str>, name: &'r str) -> impl Iterator<Item = Option<&'r str>> {
    query.unwrap_or_default().split('&').map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        decoded(key).eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The value of a header, of all its lines.
fn header(headers: &HeaderMap, name: &HeaderName, test: impl FnOnce(&str) -> bool) -> Found {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let Some(first) = lines.next() else {
        return Found::Missing;
    };
    let Some(second) = lines.next() else {
        return Found::of(test(&String::from_utf8_lossy(first)));
    };
    // RFC 9113 section 8.2.3 joins these otherwise.
    let between: &[u8] = if *name == COOKIE { b"; " } else { b", " };
    let mut joined = first.to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(between);
        joined.extend_from_slice(line);
    }
    Found::of(test(&String::from_utf8_lossy(&joined)))
}

fn lines_len(headers: &HeaderMap, name: &HeaderName) -> usize {
    let lines = headers.get_all(name).iter();
    lines.map(|line| line.len() + 2).sum()
}

fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn cookie(headers: &HeaderMap, name: &str, test: impl FnOnce(&str) -> bool) -> Found {
    only(cookies(headers, name), |value| {
        test(&String::from_utf8_lossy(value))
    })
}

/// The values of a cookie; `None` for other cookies.
fn cookies<'r>(headers: &'r HeaderMap, name: &'r str) -> impl Iterator<Item = Option<&'r [u8]>> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.map(move |pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        // Quotes belong to the syntax (RFC 6265 section 4.1.1), as authentication
        // reads them.
        let bare = value
            .strip_prefix(b"\"")
            .and_then(|it| it.strip_suffix(b"\""));
        let is_ours = key.eq_ignore_ascii_case(name.as_bytes());
        is_ours.then_some(bare.unwrap_or(value))
    })
}

/// A claim by its name, or by its path: `realm.role` is `role` in `realm`, if
/// no claim has the whole name.
fn claim<'a>(claims: &'a serde_json::Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut path = name.split('.');
    let first = claims.get(path.next()?)?;
    path.try_fold(first, |value, part| value.as_object()?.get(part))
}

impl Claims<'_> {
    /// A claim as one text, which is empty if the peer has none.
    pub(crate) fn text(&self, name: &str) -> Cow<'_, str> {
        let value = match self {
            Claims::Verified(claims) => claim(claims, name),
            Claims::Pending | Claims::Absent => None,
        };
        value.map_or(Cow::Borrowed(""), text_of)
    }
}

fn text_of(value: &Value) -> Cow<'_, str> {
    match value.as_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(value.to_string()),
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str(ADDRESS[0]),
            Self::Fixed(fixed) => f.write_str(fixed.name()),
            Self::Argument(name) => write!(f, "arg_{name}"),
            Self::Header(name) => {
                f.write_str("http_")?;
                let letters = name.as_str().chars();
                letters
                    .map(|it| if it == '-' { '_' } else { it })
                    .try_for_each(|it| f.write_char(it))
            }
            Self::Cookie(name) => write!(f, "cookie_{name}"),
            Self::Claim(name) => write!(f, "claim_{name}"),
        }
    }
}

// === impl Fixed ===

impl Fixed {
    fn name(self) -> &'static str {
        let found = FIXED.iter().find(|(_, fixed)| *fixed == self);
        found.map_or("", |(name, _)| *name)
    }

    fn find(self, request: &Request<'_>, test: impl FnOnce(&str) -> bool) -> Found {
        let tls = |of: fn(Tls<'_>) -> Option<&str>| request.tls.and_then(of);
        let client = |of: fn(Certificate<'_>) -> &str| {
            let certificate = request.tls.and_then(|tls| tls.client);
            certificate.map(of)
        };
        let value = match self {
            Self::Port => {
                let port = request.peer_port.map(Short::of);
                return Found::first(port.as_ref().map(Short::as_str), test);
            }
            Self::Method => Some(request.method),
            Self::Scheme => Some(request.scheme),
            Self::Host => request.host,
            Self::Path => Some(request.path),
            Self::Query => request.query,
            Self::Protocol => tls(|it| Some(it.protocol)),
            Self::ServerName => tls(|it| it.server_name),
            Self::Verify => tls(|it| Some(it.verification.of_nginx())),
            Self::VerificationStatus => tls(|it| Some(it.verification.of_azion())),
            Self::Fingerprint => client(|it| it.fingerprint),
            Self::Subject => client(|it| it.subject),
            Self::Issuer => client(|it| it.issuer),
            Self::Serial => client(|it| it.serial),
        };
        Found::first(value, test)
    }

    /// How long its value may be: only what peers choose counts.
    fn reads(self, request: &Request<'_>) -> usize {
        match self {
            Self::Path => request.path.len(),
            Self::Query => request.query.map_or(0, str::len),
            Self::Method => request.method.len(),
            // A name of DNS, or words of the host's own.
            Self::Host | Self::ServerName | Self::Port | Self::Scheme | Self::Protocol => 0,
            Self::Verify | Self::VerificationStatus | Self::Fingerprint => 0,
            // Issued by an authority that the operator has named.
            Self::Subject | Self::Issuer | Self::Serial => 0,
        }
    }

    /// Whether its values are in lower case, so that an argument has to be.
    pub(crate) fn is_lower_case(self) -> bool {
        matches!(self, Self::Host | Self::ServerName)
    }
}

impl Verification {
    fn of_nginx(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Missing => "NONE",
            Self::Failed => "FAILED",
        }
    }

    fn of_azion(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Missing => "MISSING_CLIENT_CERTIFICATE",
            Self::Failed => "CERTIFICATE_VERIFICATION_ERROR",
        }
    }
}

/// The text of an address or a port, on the stack.
struct Short {
    bytes: [u8; 48],
    len: usize,
}

impl Short {
    fn of(value: impl fmt::Display) -> Self {
        let mut short = Self {
            bytes: [0; 48],
            len: 0,
        };
        // The longest address has 45 bytes.
        let written = write!(short, "{value}");
        debug_assert!(written.is_ok());
        short
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes[self.len..].get_mut(..text.len());
        room.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}
