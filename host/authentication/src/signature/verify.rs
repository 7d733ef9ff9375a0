//! Decides about the signature of a request.
//!
//! Everything that costs nothing comes first, then the signature, and the nonce
//! last: only a request whose signature is good uses one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::DATE;
use openline_core::alias::{are_header_aliases, begins_like_header};
use openline_core::authentication::{SignatureConfig, SignatureForm, UnixTime};
use serde_json::{Map, Value};

use super::canonical::{
    ACS3, EMPTY_SHA256, Names, OPENLINE, function_compute, hex, mac, sha256_of, skeleton,
};
use super::credentials::{self, Credentials, CredentialsError, PresignedNames, is_nonce};
use super::keys::{AccessKey, AccessKeys};
use crate::denied::{Denial, Denied};
use crate::identity::Identity;
use crate::nonce::{Kept, Nonce, NonceError, Nonces, Share};
use crate::request::Request;
use crate::secret::same;
use crate::spending::Spending;

/// Verifies the signatures of one trigger.
#[derive(Debug)]
pub struct SignatureVerifier {
    config: SignatureConfig,
    keys: AccessKeys,
    nonces: Share,
}

/// A signature that is good, before its nonce is used.
struct Good<'a> {
    id: &'a str,
    key: &'a AccessKey,
    body_sha256: Option<[u8; 32]>,
    nonce: Option<Nonce<'a>>,
}

fn invalid(why: impl ToString) -> Denied {
    Denial::SignatureInvalid.because(why)
}

impl SignatureVerifier {
    /// A verifier of a table that was checked, with its keys and the nonces of its
    /// function, which it shares with others.
    pub fn new(config: &SignatureConfig, keys: AccessKeys, nonces: impl Into<Arc<Nonces>>) -> Self {
        Self {
            config: config.clone(),
            keys,
            nonces: Share::new(nonces.into(), config.window.0, config.nonces_max),
        }
    }

    /// The nonces, to export them.
    pub fn nonces(&self) -> &Nonces {
        self.nonces.nonces()
    }

    /// Notes that another one is in force, or none: its window and its
    /// `nonces_max` do not count any more. It may end what it has begun.
    pub fn retire(&self) {
        self.nonces.leave();
    }

    /// Authenticates a request, and uses up its nonce, unless the request gives it
    /// back.
    ///
    /// # Errors
    ///
    /// When it has no good signature, or one that was used before.
    pub fn authenticate(
        &self,
        request: &Request<'_>,
        now: UnixTime,
    ) -> Result<(Identity, Spending), Denied> {
        let credentials = credentials::read(request).map_err(|error| match error {
            CredentialsError::None => Denial::SignatureMissing.because(error),
            _ => invalid(error),
        })?;
        let form = match &credentials {
            Credentials::Skeleton { form, .. } | Credentials::Presigned { form, .. } => *form,
            Credentials::FunctionCompute { .. } => SignatureForm::Fc,
        };
        if !self.config.accept.contains(&form) {
            let why = "this form of signature is not one of `accept`";
            return Err(Denial::SignatureMissing.because(why));
        }
        // A pre-signed URL and Function Compute's form have no `SignedHeaders`: a
        // peer could add a header to a request that somebody else has signed.
        let signs_headers = matches!(credentials, Credentials::Skeleton { .. });
        if !signs_headers && !self.config.signed_headers.is_empty() {
            let why =
                "`signed_headers` must be signed, and this form of signature signs no headers";
            return Err(invalid(why));
        }
        let good = match &credentials {
            Credentials::Skeleton { .. } => self.skeleton(request, &credentials, now),
            Credentials::FunctionCompute { id, signature } => {
                self.function_compute(request, id, signature, now)
            }
            Credentials::Presigned { .. } => self.presigned(request, &credentials, now),
        }?;
        if good.key.not_after.is_some_and(|last| last < now) {
            let why = format!("the key `{}` has expired", good.id);
            return Err(Denial::SignatureExpired.because(why));
        }
        let spending = match good.nonce {
            None => Spending::nothing(),
            Some(nonce) => {
                let taken = self.nonces.take(&nonce, now).map_err(|error| match error {
                    NonceError::Used => Denial::SignatureReplayed.because(error),
                    NonceError::Full => Denial::SignatureNonces.because(error),
                    NonceError::BeforeStart | NonceError::Forgotten => {
                        Denial::SignatureExpired.because(error)
                    }
                })?;
                Spending::nonce(self.nonces.nonces(), taken)
            }
        };
        let subject = Value::String(good.key.subject.clone());
        let identity = Identity {
            claims: Map::from_iter([("sub".to_owned(), subject)]),
            expires: good
                .key
                .not_after
                .map(|last| last.plus(Duration::from_secs(1))),
            body_sha256: good.body_sha256,
            ..Identity::default()
        };
        Ok((identity, spending))
    }

    fn key(&self, id: &str) -> Result<&AccessKey, Denied> {
        let key = self.keys.get(id);
        key.ok_or_else(|| invalid(format!("there is no key `{}`", id.escape_debug())))
    }

    /// Checks that a date is near enough.
    fn check_date(&self, date: UnixTime, now: UnixTime) -> Result<(), Denied> {
        let difference = date.since(now).max(now.since(date));
        if difference <= self.config.window.0 {
            return Ok(());
        }
        let (seconds, window) = (difference.as_secs(), self.config.window);
        let why = format!("the date differs from now by {seconds} s, and `window` is {window}");
        Err(Denial::SignatureExpired.because(why))
    }

    fn skeleton<'a>(
        &'a self,
        request: &Request<'a>,
        credentials: &'a Credentials,
        now: UnixTime,
    ) -> Result<Good<'a>, Denied> {
        let Credentials::Skeleton {
            id,
            signed,
            signature,
            form,
        } = credentials
        else {
            return Err(invalid("these are other credentials"));
        };
        let names = if *form == SignatureForm::Acs3 {
            &ACS3
        } else {
            &OPENLINE
        };
        let signed: Vec<&str> = signed.iter().map(String::as_str).collect();
        self.check_signed(names, request, &signed)?;
        let date = one(request, names.date)?.ok_or_else(|| invalid("there is no date"))?;
        let date =
            UnixTime::parse(date).map_err(|error| invalid(format!("the date is {error}")))?;
        self.check_date(date, now)?;
        let nonce = one(request, names.nonce)?.filter(|nonce| is_nonce(nonce));
        let nonce =
            nonce.ok_or_else(|| invalid("there is no nonce of 8 to 128 visible characters"))?;
        let (body_hash, body_sha256) = body(names, request)?;
        let key = self.key(id)?;
        if !key.has_token(one(request, names.security_token)?) {
            return Err(invalid("the security token is not the key's"));
        }
        let text = skeleton(names, request, &signed, body_hash, "").map_err(invalid)?;
        let expected = hex(mac(&key.secret, &text).as_ref());
        if !same(expected.as_bytes(), signature.as_bytes()) {
            return Err(invalid(
                "the signature does not fit the key and the request",
            ));
        }
        let nonce = Nonce {
            key: id,
            text: nonce,
            date,
            kept: Kept::Window,
        };
        Ok(Good {
            id,
            key,
            body_sha256,
            nonce: Some(nonce),
        })
    }

    /// All that the form and the configuration want signed must be signed, and
    /// whatever programs would take for such a header: a peer could add that to a
    /// request that somebody else has signed.
    fn check_signed(
        &self,
        names: &Names,
        request: &Request<'_>,
        signed: &[&str],
    ) -> Result<(), Denied> {
        let is_wanted = |name: &&str| {
            let mut wanted = self.config.signed_headers.iter();
            begins_like_header(name, names.prefix)
                || wanted.any(|wanted| are_header_aliases(wanted, name))
        };
        let sent = request.headers.keys().map(http::HeaderName::as_str);
        let sent = sent.filter(is_wanted).map(str::to_owned);
        let wanted = self
            .config
            .signed_headers
            .iter()
            .map(|name| name.to_ascii_lowercase());
        let form = ["host", names.date, names.nonce].map(str::to_owned);
        for name in sent.chain(wanted).chain(form) {
            if !signed.contains(&&*name) {
                return Err(invalid(format!("the header `{name}` is not signed")));
            }
        }
        Ok(())
    }

    fn function_compute<'a>(
        &'a self,
        request: &Request<'a>,
        id: &'a str,
        signature: &str,
        now: UnixTime,
    ) -> Result<Good<'a>, Denied> {
        let date = one(request, DATE.as_str())?
            .ok_or_else(|| Denial::SignatureMissing.because("there is no `Date`"))?;
        let read = httpdate::parse_http_date(date).ok();
        let read = read.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
        let read = read.ok_or_else(|| invalid("`Date` is not as RFC 9110 writes it, in GMT"))?;
        self.check_date(UnixTime(read.as_secs()), now)?;
        let key = self.key(id)?;
        if !key.has_token(one(request, "x-fc-security-token")?) {
            return Err(invalid("the security token is not the key's"));
        }
        let text = function_compute(request, date, "").map_err(invalid)?;
        check_base64(key, &text, signature)?;
        Ok(Good {
            id,
            key,
            body_sha256: None,
            nonce: None,
        })
    }

    fn presigned<'a>(
        &'a self,
        request: &Request<'a>,
        credentials: &'a Credentials,
        now: UnixTime,
    ) -> Result<Good<'a>, Denied> {
        let Credentials::Presigned {
            form,
            id,
            expires,
            signature,
            nonce,
            security_token,
        } = credentials
        else {
            return Err(invalid("these are other credentials"));
        };
        let names = PresignedNames::of(*form).ok_or_else(|| invalid("it has no such URLs"))?;
        if request.has_body {
            return Err(invalid("a pre-signed URL is for requests without a body"));
        }
        let end = seconds(expires).ok_or_else(|| invalid("its end is not a number of seconds"))?;
        let expired = |why: &str| Err(Denial::SignatureExpired.because(why));
        if end < now {
            return expired("the pre-signed URL has expired");
        }
        if end.since(now) > self.config.presigned_time_max.0 {
            return expired("the pre-signed URL is valid for longer than `presigned_time_max`");
        }
        let nonce = match nonce {
            None => None,
            Some((nonce, date)) if is_nonce(nonce) => {
                let date = seconds(date).filter(|date| *date <= now.plus(self.config.window.0));
                let date =
                    date.ok_or_else(|| invalid("its date is no number, or in the future"))?;
                Some(Nonce {
                    key: id,
                    text: nonce,
                    date,
                    kept: Kept::Until(end.plus(Duration::from_secs(1))),
                })
            }
            Some(_) => return Err(invalid("its nonce has not 8 to 128 visible characters")),
        };
        let key = self.key(id)?;
        if !key.has_token(security_token.as_deref()) {
            return Err(invalid("the security token is not the key's"));
        }
        if *form == SignatureForm::Fc {
            let text = function_compute(request, expires, names.signature).map_err(invalid)?;
            check_base64(key, &text, signature)?;
        } else {
            let text = skeleton(&OPENLINE, request, &["host"], EMPTY_SHA256, names.signature);
            let expected = hex(mac(&key.secret, &text.map_err(invalid)?).as_ref());
            if !same(expected.as_bytes(), signature.as_bytes()) {
                return Err(invalid("the signature does not fit the key and the URL"));
            }
        }
        Ok(Good {
            id,
            key,
            body_sha256: None,
            nonce,
        })
    }
}

/// A number of seconds, which has only digits.
fn seconds(text: &str) -> Option<UnixTime> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(UnixTime)
}

/// A header that occurs at most once.
fn one<'a>(request: &Request<'a>, name: &str) -> Result<Option<&'a str>, Denied> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            let text = value.to_str();
            text.map(Some)
                .map_err(|_| invalid(format!("`{name}` is not text")))
        }
        _ => Err(invalid(format!("`{name}` occurs more than once"))),
    }
}

/// The hash of the body that is signed, and the one that the caller must check.
fn body<'a>(names: &Names, request: &Request<'a>) -> Result<(&'a str, Option<[u8; 32]>), Denied> {
    let given = one(request, names.body_hash)?;
    match (given, request.has_body) {
        (None, false) => Ok((EMPTY_SHA256, None)),
        (Some(given), false) if given == EMPTY_SHA256 => Ok((given, None)),
        (Some(_), false) => Err(invalid("the hash is not that of an empty body")),
        (None, true) => Err(invalid(format!("`{}` is missing", names.body_hash))),
        (Some(given), true) => {
            let bytes = sha256_of(given).ok_or_else(|| invalid("the hash is not a SHA-256"))?;
            Ok((given, Some(bytes)))
        }
    }
}

fn check_base64(key: &AccessKey, text: &str, signature: &str) -> Result<(), Denied> {
    let expected = STANDARD.encode(mac(&key.secret, text));
    if same(expected.as_bytes(), signature.as_bytes()) {
        Ok(())
    } else {
        Err(invalid(
            "the signature does not fit the key and the request",
        ))
    }
}
