//! The texts that are signed.
//!
//! Ours maps two different requests to two different texts, or refuses one of
//! them: otherwise a signature of one would be good for the other. Requests are
//! the same if they differ only in what clients and proxies spell in their own
//! ways: the escapes of the query, the order of different keys, empty pieces as
//! in `a&&b`, and the port of the host, if it is 80 or 443. The texts of the other
//! forms are Alibaba Cloud's: there, `a` and `a=` are one, as is any order of the
//! values of one key.

use openline_core::alias::begins_like_header;
use openline_core::authentication::SignatureForm;
use percent_encoding::utf8_percent_encode;
use ring::{digest, hmac};

use crate::edits::ESCAPED;
use crate::request::{Request, decoded, pairs, split_pairs};
use crate::secret::Secret;

/// The hash of no body.
pub(super) const EMPTY_SHA256: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Why a request cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CanonicalError {
    #[error("the path or the query has an escape that is broken, or not of UTF-8")]
    Escape,
    #[error("the path has an escaped slash, which this form of signature cannot tell from a slash")]
    Slash,
    #[error(
        "the path or the query has a control character, which this form cannot tell from its own line ends"
    )]
    Control,
    #[error("a key of the query has a `=`, which this form cannot tell from the one after a key")]
    Equals,
    #[error("a signed header is missing")]
    Missing,
    #[error("a signed header occurs more than once")]
    Twice,
    #[error("a signed header is not text")]
    Text,
}

/// The names in one of the two forms that share a skeleton.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    pub(super) form: SignatureForm,
    pub(super) scheme: &'static str,
    /// What all headers of the form begin with. All of them must be signed.
    pub(super) prefix: &'static str,
    pub(super) date: &'static str,
    pub(super) nonce: &'static str,
    pub(super) body_hash: &'static str,
    pub(super) security_token: &'static str,
}

pub(super) const OPENLINE: Names = Names {
    form: SignatureForm::Openline,
    scheme: "OPENLINE-HMAC-SHA256",
    prefix: "x-openline-",
    date: "x-openline-date",
    nonce: "x-openline-nonce",
    body_hash: "x-openline-content-sha256",
    security_token: "x-openline-security-token",
};

pub(super) const ACS3: Names = Names {
    form: SignatureForm::Acs3,
    scheme: "ACS3-HMAC-SHA256",
    prefix: "x-acs-",
    date: "x-acs-date",
    nonce: "x-acs-signature-nonce",
    body_hash: "x-acs-content-sha256",
    security_token: "x-acs-security-token",
};

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// The path as a form signs it.
fn path(form: SignatureForm, path: &str) -> Result<String, CanonicalError> {
    if form == SignatureForm::Openline {
        return Ok(path.into());
    }
    // Alibaba's clients sign the path without escapes.
    let plain = decoded(path).ok_or(CanonicalError::Escape)?;
    if plain.matches('/').count() != path.matches('/').count() {
        return Err(CanonicalError::Slash);
    }
    if form == SignatureForm::Fc {
        return Ok(plain);
    }
    let segments: Vec<_> = plain.split('/').map(escaped).collect();
    Ok(segments.join("/"))
}

/// A key or a value of the query with one spelling of its escapes. In our form a
/// `+` stays one: readers of forms take it for a space, and `%2B` for a plus.
fn spelled(form: SignatureForm, text: &str) -> Result<String, CanonicalError> {
    let spelled = |text| {
        let plain = decoded(text).ok_or(CanonicalError::Escape)?;
        Ok(escaped(&plain))
    };
    if form != SignatureForm::Openline {
        return spelled(text);
    }
    let parts: Result<Vec<_>, _> = text.split('+').map(spelled).collect();
    Ok(parts?.join("+"))
}

/// The query with one spelling of its escapes, sorted by keys, without one key.
fn query(form: SignatureForm, query: &str, without: &str) -> Result<String, CanonicalError> {
    let mut found = Vec::new();
    for (key, value) in split_pairs(query) {
        if decoded(key).ok_or(CanonicalError::Escape)? != without {
            let value = value.map(|value| spelled(form, value)).transpose()?;
            found.push((spelled(form, key)?, value));
        }
    }
    let is_ours = form == SignatureForm::Openline;
    if is_ours {
        // The order of the values of one key means something, and stays.
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
    } else {
        found.sort();
    }
    let pair = |(key, value): (String, Option<String>)| match value {
        Some(value) if is_ours || !value.is_empty() => format!("{key}={value}"),
        _ => key,
    };
    let found: Vec<_> = found.into_iter().map(pair).collect();
    Ok(found.join("&"))
}

/// The host without a port that is the default of `http` or `https`: clients
/// leave it out, and behind a proxy the host does not know which of the two its
/// peer has used.
fn without_default_port(host: &str) -> &str {
    let bare = [":443", ":80", ":"]
        .iter()
        .find_map(|it| host.strip_suffix(it));
    bare.unwrap_or(host)
}

/// The value of a header that occurs once. Two lines joined by a comma would have
/// the text of one line with a comma in it, and a function may read only one of the
/// two. Several lines of cookies became one when the request was normalised.
fn header(
    form: SignatureForm,
    request: &Request<'_>,
    name: &str,
) -> Result<String, CanonicalError> {
    if name == "host" {
        let host = request.host.ok_or(CanonicalError::Missing)?;
        let host = match form {
            SignatureForm::Openline => without_default_port(host),
            _ => host,
        };
        return Ok(host.to_ascii_lowercase());
    }
    let mut values = request.headers.get_all(name).iter();
    let value = values.next().ok_or(CanonicalError::Missing)?;
    if values.next().is_some() {
        return Err(CanonicalError::Twice);
    }
    let value = std::str::from_utf8(value.as_bytes());
    let value = value.map_err(|_| CanonicalError::Text)?;
    // HTTP does not count these (RFC 9110 section 5.5). Other spaces are part of
    // the value.
    Ok(value.trim_matches([' ', '\t']).to_owned())
}

/// The text that is signed in our form and in ACS3's. `signed` are names in
/// lower case, sorted; `without` is a key of the query that is left out.
pub(super) fn skeleton(
    names: &Names,
    request: &Request<'_>,
    signed: &[&str],
    body_hash: &str,
    without: &str,
) -> Result<String, CanonicalError> {
    let path = path(names.form, request.path)?;
    let query = query(names.form, request.query.unwrap_or_default(), without)?;
    let mut text = format!("{}\n{path}\n{query}\n", request.method);
    for name in signed {
        let value = header(names.form, request, name)?;
        text.push_str(&format!("{name}:{value}\n"));
    }
    let signed = signed.join(";");
    text.push_str(&format!("\n{signed}\n{body_hash}"));
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    Ok(format!("{}\n{}", names.scheme, hex(hash.as_ref())))
}

/// The text that is signed for Function Compute 2.0. `date` is the value of
/// `Date`, or when a pre-signed URL ends.
pub(super) fn function_compute(
    request: &Request<'_>,
    date: &str,
    without: &str,
) -> Result<String, CanonicalError> {
    let path = path(SignatureForm::Fc, request.path)?;
    let value = |name: &str| match header(SignatureForm::Fc, request, name) {
        Err(CanonicalError::Missing) => Ok(String::new()),
        other => other,
    };
    let (md5, kind) = (value("content-md5")?, value("content-type")?);
    let mut text = format!("{}\n{md5}\n{kind}\n{date}\n", request.method);
    let names = request.headers.keys().map(http::HeaderName::as_str);
    // With what programs take for such a header, which no client signs.
    let is_signed = |name: &&str| begins_like_header(name, "x-fc-");
    let mut names: Vec<_> = names.filter(is_signed).collect();
    names.sort_unstable();
    for name in names {
        text.push_str(&format!("{name}:{}\n", value(name)?));
    }
    let mut resource = Vec::new();
    for (key, value) in pairs(request.query.unwrap_or_default()) {
        // The form demands it: its clients escape a space as a form does, so `a+b`
        // and `a%20b` are one text. A function that reads a `+` as a plus, which
        // would be `%2B` in a form, sees two values where one was signed.
        let plain = |text: &str| decoded(&text.replace('+', " ")).ok_or(CanonicalError::Escape);
        let (key, value) = (plain(key)?, plain(value)?);
        if key == without {
            continue;
        }
        if key.contains('=') {
            return Err(CanonicalError::Equals);
        }
        resource.push(match value.as_str() {
            "" => key,
            value => format!("{key}={value}"),
        });
    }
    resource.sort_unstable();
    // A line of the text must be what it seems to be.
    let mut parts = resource.iter().chain([&path]);
    if parts.any(|part| part.chars().any(char::is_control)) {
        return Err(CanonicalError::Control);
    }
    text.push_str(&format!("{path}\n{}", resource.join("\n")));
    Ok(text)
}

/// HMAC-SHA256 of a text.
pub(super) fn mac(secret: &Secret, text: &str) -> hmac::Tag {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.bytes());
    hmac::sign(&key, text.as_bytes())
}

/// Digits of 0-9a-f.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The 32 bytes of 64 digits of 0-9a-f.
pub(super) fn sha256_of(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = digit(digits[0])? << 4 | digit(digits[1])?;
    }
    Some(bytes)
}
