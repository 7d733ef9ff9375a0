//! Signature Version 4 of requests with an `Authorization` header, as a host
//! verifies it: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
//!
//! A signature covers the method, the path, the query, the headers that it
//! names, and the body. It is good for [`WINDOW_S`] seconds before and after its
//! date and can be repeated in that time, as at AWS: TLS keeps it from others.
//! Not here: signatures in queries, unsigned payloads, and payloads in chunks.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use ring::digest::{SHA256, digest};
use ring::hmac;
use subtle::ConstantTimeEq;

use super::answer::Failure;
use crate::time::of_basic;

/// The service that SDKs sign for.
pub const SERVICE: &str = "execute-api";

/// How far a signature's date may be from now: what AWS allows.
pub const WINDOW_S: u64 = 300;

/// The most headers that a signature may name. SDKs name three to eight.
pub const SIGNED_HEADERS_MAX: usize = 32;

/// The most bytes of the `Authorization` header.
const AUTHORIZATION_BYTES_MAX: usize = 4 << 10;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is encoded in paths and queries: all but the unreserved letters of
/// RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A request as its signature sees it.
#[derive(Clone, Copy, Debug)]
pub struct SignedRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path, as it was sent.
    pub path: &'a str,
    /// The query, as it was sent, without `?`.
    pub query: &'a str,
    /// The headers with `host` (in HTTP/2, the authority), in the order in which
    /// they came; names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// What an `Authorization` header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization<'a> {
    access_key: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Why a signature is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The header is of another form.
    #[error("`Authorization` is not a signature of version 4")]
    Malformed,
    /// It is for another service.
    #[error("the signature is not for `{SERVICE}`")]
    Service,
    /// It does not cover `host` and `x-amz-date`, or it covers headers that are
    /// not there.
    #[error("the signature does not cover `host` and `x-amz-date` as they are")]
    Headers,
    /// Its date is more than [`WINDOW_S`] seconds from now.
    #[error("the signature's date is more than {WINDOW_S} seconds from now")]
    Expired,
    /// It is of another request, or made with another secret.
    #[error("the signature does not match the request")]
    Wrong,
}

impl SignatureError {
    /// What the SDK is told.
    pub const fn failure(self) -> Failure {
        match self {
            Self::Malformed | Self::Service | Self::Headers | Self::Wrong => Failure::Signature,
            Self::Expired => Failure::Expired,
        }
    }
}

impl<'a> Authorization<'a> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// When it is of another form.
    pub fn read(header: &'a str) -> Result<Self, SignatureError> {
        Self::parts(header).ok_or(SignatureError::Malformed)
    }

    fn parts(header: &'a str) -> Option<Self> {
        if header.len() > AUTHORIZATION_BYTES_MAX {
            return None;
        }
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        let parts = header.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        for part in parts.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return None,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let (signed_headers, signature): (&str, &str) = (signed_headers?, signature?);
        let mut scope = credential?.split('/');
        let authorization = Self {
            access_key: scope.next().filter(|key| !key.is_empty())?,
            date: scope.next()?,
            region: scope.next()?,
            service: scope.next()?,
            signed_headers,
            signature,
        };
        let ends = scope.next() == Some("aws4_request") && scope.next().is_none();
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_signature = signature.len() == 64 && signature.bytes().all(is_hex);
        let names = signed_headers.split(';');
        let few = names.clone().count() <= SIGNED_HEADERS_MAX;
        // In order and each once, so that there is one text to sign.
        let sorted = names.clone().is_sorted_by(|one, next| one < next);
        let lower = !signed_headers.bytes().any(|byte| byte.is_ascii_uppercase());
        (ends && is_signature && few && sorted && lower).then_some(authorization)
    }

    /// The name of the key, whose secret the host looks up.
    pub fn access_key(&self) -> &'a str {
        self.access_key
    }

    /// Verifies the signature, in a time that does not depend on how much of it
    /// is right. `service` is [`SERVICE`]; `now_s` is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// See [`SignatureError`].
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        secret: &[u8],
        service: &str,
        now_s: u64,
    ) -> Result<(), SignatureError> {
        if self.service != service {
            return Err(SignatureError::Service);
        }
        let signs = |name| self.signed_headers.split(';').any(|signed| signed == name);
        let date = header(request, "x-amz-date").ok_or(SignatureError::Headers)?;
        if !signs("host") || !signs("x-amz-date") {
            return Err(SignatureError::Headers);
        }
        let moment = of_basic(&date).ok_or(SignatureError::Headers)?;
        if !date.starts_with(self.date) || self.date.len() != 8 {
            return Err(SignatureError::Headers);
        }
        if moment.abs_diff(now_s) > WINDOW_S {
            return Err(SignatureError::Expired);
        }
        let headers = self.canonical_headers(request)?;
        let key = self.signing_key(secret);
        // SDKs encode the path that they send once more. Some send `@` in it,
        // and some sign the path as if they had sent `%40`.
        let twice = canonical_path(request.path, |segment| segment.as_bytes().to_vec());
        let once = canonical_path(request.path, |segment| {
            percent_decode_str(segment).collect()
        });
        let good = [twice, once].into_iter().any(|path| {
            let text = self.string_to_sign(request, &path, &headers, &date);
            let expected = hex(hmac::sign(&key, text.as_bytes()).as_ref());
            expected.as_bytes().ct_eq(self.signature.as_bytes()).into()
        });
        if good {
            Ok(())
        } else {
            Err(SignatureError::Wrong)
        }
    }

    fn canonical_headers(&self, request: &SignedRequest<'_>) -> Result<String, SignatureError> {
        let mut headers = String::new();
        for name in self.signed_headers.split(';') {
            let value = header(request, name).ok_or(SignatureError::Headers)?;
            headers.push_str(name);
            headers.push(':');
            headers.push_str(&value);
            headers.push('\n');
        }
        Ok(headers)
    }

    fn string_to_sign(
        &self,
        request: &SignedRequest<'_>,
        path: &str,
        headers: &str,
        date: &str,
    ) -> String {
        let canonical = [
            request.method,
            path,
            &canonical_query(request.query),
            headers,
            self.signed_headers,
            &hex(digest(&SHA256, request.body).as_ref()),
        ]
        .join("\n");
        let hash = hex(digest(&SHA256, canonical.as_bytes()).as_ref());
        let Self {
            date: day,
            region,
            service,
            ..
        } = self;
        format!("{ALGORITHM}\n{date}\n{day}/{region}/{service}/aws4_request\n{hash}")
    }

    fn signing_key(&self, secret: &[u8]) -> hmac::Key {
        let first = [b"AWS4", secret].concat();
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &first);
        for part in [self.date, self.region, self.service, "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(hmac::HMAC_SHA256, tag.as_ref());
        }
        key
    }
}

/// A header's values, joined by commas, each with single spaces and none at its
/// ends.
fn header(request: &SignedRequest<'_>, name: &str) -> Option<String> {
    let mut values = request
        .headers
        .iter()
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
    let first = values.next()?;
    Some(values.fold(first, |joined, value| joined + "," + &value))
}

fn canonical_path(path: &str, bytes: impl Fn(&str) -> Vec<u8>) -> String {
    let segments = path.split('/');
    let encoded = segments.map(|segment| percent_encode(&bytes(segment), RESERVED).to_string());
    encoded.collect::<Vec<_>>().join("/")
}

fn canonical_query(query: &str) -> String {
    let encoded = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, RESERVED).to_string()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<_> = pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encoded(name), encoded(value))
        })
        .collect();
    pairs.sort();
    let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}
