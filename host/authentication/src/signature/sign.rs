//! Makes signatures: for `openline sign`, for clients in Rust, and for tests.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::authentication::{SignatureForm, UnixTime};
use openline_core::path::{self, PathError};
use percent_encoding::utf8_percent_encode;
use ring::rand::{SecureRandom, SystemRandom};

use super::canonical::{
    ACS3, CanonicalError, EMPTY_SHA256, OPENLINE, function_compute, hex, mac, skeleton,
};
use super::credentials::PresignedNames;
use crate::edits::ESCAPED;
use crate::request::Request;
use crate::secret::Secret;

/// A request without a body that is to be signed, with a caller's key.
#[derive(Clone)]
pub struct Signing<'a> {
    /// The key's id.
    pub id: &'a str,
    /// The key's secret.
    pub secret: &'a Secret,
    /// The key's token, if it is temporary.
    pub security_token: Option<&'a str>,
    /// The method.
    pub method: &'a str,
    /// The host as the client sends it, without user information: with its port,
    /// unless that is the default of the URL's scheme.
    pub host: &'a str,
    /// Path and query, escaped.
    pub target: &'a str,
    /// Headers that are signed as well.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The path has no spelling that everybody would agree on.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The form cannot sign such a path or query.
    #[error("{0}")]
    Form(String),
    /// A name or a value cannot be a header.
    #[error("`{0}` cannot be a header with this value")]
    Header(String),
    /// Only our form and Function Compute's have pre-signed URLs.
    #[error("this form has no pre-signed URLs")]
    Presigned,
    /// The URL is signed already.
    #[error("the URL has the key `{0}` already")]
    Signed(&'static str),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

impl fmt::Debug for Signing<'_> {
    /// Without the token, which is as good as a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing")
            .field("id", &self.id)
            .field("method", &self.method)
            .field("host", &self.host)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl From<CanonicalError> for SignError {
    fn from(error: CanonicalError) -> Self {
        Self::Form(error.to_string())
    }
}

/// A nonce that no other request has: 22 characters.
///
/// # Errors
///
/// When the system gives no random numbers.
pub fn fresh_nonce() -> Result<String, SignError> {
    let mut random = [0; 16];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| SignError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

impl Signing<'_> {
    /// The headers that sign the request at a moment, to be sent with it. The
    /// nonce is not part of Function Compute's form.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn headers(
        &self,
        form: SignatureForm,
        date: UnixTime,
        nonce: &str,
    ) -> Result<Vec<(String, String)>, SignError> {
        let mut added: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: &str| added.push((name.into(), value.into()));
        let names = match form {
            SignatureForm::Openline => Some(&OPENLINE),
            SignatureForm::Acs3 => Some(&ACS3),
            SignatureForm::Fc => None,
        };
        if let Some(names) = names {
            add(names.date, &date.to_string());
            add(names.nonce, nonce);
            add(names.body_hash, EMPTY_SHA256);
            self.security_token
                .into_iter()
                .for_each(|token| add(names.security_token, token));
        } else {
            add("date", &http_date(date));
            self.security_token
                .into_iter()
                .for_each(|token| add("x-fc-security-token", token));
        }
        let mut headers = HeaderMap::new();
        let own = self.headers.iter().map(|(name, value)| (*name, *value));
        let all = added.iter().map(|(name, value)| (&**name, &**value));
        for (name, value) in own.chain(all) {
            let bad = || SignError::Header(name.to_owned());
            let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
            headers.append(key, value);
        }
        let signed = self.with_request(&headers, |request| match names {
            Some(names) => {
                let keys = headers.keys().map(HeaderName::as_str);
                let mut signed: Vec<&str> = keys.chain(["host"]).collect();
                signed.sort_unstable();
                signed.dedup();
                let text = skeleton(names, request, &signed, EMPTY_SHA256, "")?;
                let signature = hex(mac(self.secret, &text).as_ref());
                let (scheme, id, signed) = (names.scheme, self.id, signed.join(";"));
                Ok(format!(
                    "{scheme} Credential={id},SignedHeaders={signed},Signature={signature}"
                ))
            }
            None => {
                let text = function_compute(request, &http_date(date), "")?;
                let signature = STANDARD.encode(mac(self.secret, &text));
                Ok(format!("FC {}:{signature}", self.id))
            }
        })?;
        added.push(("authorization".into(), signed));
        Ok(added)
    }

    /// The target of a pre-signed URL that is good until a moment. With a nonce
    /// and the date of now, which only our form has, it is good once.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn presigned(
        &self,
        form: SignatureForm,
        expires: UnixTime,
        once: Option<(&str, UnixTime)>,
    ) -> Result<String, SignError> {
        let names = PresignedNames::of(form).ok_or(SignError::Presigned)?;
        let expires = expires.0.to_string();
        let once = once.filter(|_| !names.nonce.is_empty());
        let date = once.map(|(_, date)| date.0.to_string());
        let mut target = self.target.to_owned();
        let keys = [
            (names.id, Some(self.id)),
            (names.expires, Some(&*expires)),
            (names.security_token, self.security_token),
            (names.nonce, once.map(|(nonce, _)| nonce)),
            (names.date, date.as_deref()),
        ];
        for name in keys
            .map(|(name, _)| name)
            .into_iter()
            .chain([names.signature])
        {
            let query = target.split_once('?').map_or("", |(_, query)| query);
            let mut keys = crate::request::pairs(query);
            if !name.is_empty() && keys.any(|(key, _)| key == name) {
                return Err(SignError::Signed(name));
            }
        }
        for (name, value) in keys {
            if let Some(value) = value {
                push(&mut target, name, value);
            }
        }
        let with_keys = Signing {
            target: &target,
            ..self.clone()
        };
        let signature = with_keys.with_request(&HeaderMap::new(), |request| match form {
            SignatureForm::Fc => {
                let text = function_compute(request, &expires, names.signature)?;
                Ok(STANDARD.encode(mac(self.secret, &text)))
            }
            _ => {
                let text = skeleton(&OPENLINE, request, &["host"], EMPTY_SHA256, names.signature)?;
                Ok(hex(mac(self.secret, &text).as_ref()))
            }
        })?;
        push(&mut target, names.signature, &signature);
        Ok(target)
    }

    /// Calls a function with the request as the host will see it.
    fn with_request<T>(
        &self,
        headers: &HeaderMap,
        sign: impl FnOnce(&Request<'_>) -> Result<T, SignError>,
    ) -> Result<T, SignError> {
        let (written, query) = match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (self.target, None),
        };
        let path = path::normalise(written)?;
        sign(&Request {
            method: self.method,
            host: Some(self.host),
            path: &path,
            query,
            headers,
            has_body: false,
        })
    }
}

fn push(target: &mut String, name: &str, value: &str) {
    target.push(if target.contains('?') { '&' } else { '?' });
    let value = utf8_percent_encode(value, ESCAPED);
    target.push_str(&format!("{name}={value}"));
}

fn http_date(date: UnixTime) -> String {
    let since = std::time::Duration::from_secs(date.0);
    httpdate::fmt_http_date(std::time::SystemTime::UNIX_EPOCH + since)
}
