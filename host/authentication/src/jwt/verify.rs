//! Reads a token, verifies its signature, and checks its claims.
//!
//! The order matters: the size, then the header, then the signature, and only
//! then the claims. No parameter of the header leads to a key but `kid`, which
//! names one that the host has: `jku`, `x5u`, `jwk` and `x5c` are ignored, as is
//! `iss` where keys are looked for.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_core::authentication::UnixTime;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::keys::{KID_BYTES_MAX, Key, KeySet};
use crate::json;

/// The longest token: what fits into the 8 KiB of headers that proxies take by
/// default.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// The most keys that one token is tried with. A token without a `kid` is tried
/// with each key of its algorithm, which costs up to a millisecond each, and any
/// peer can send one. Issuers that change their keys have two or three.
pub(super) const KEYS_TRIED_MAX: usize = 8;

/// What a token must be like, beside its signature.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Good algorithms; all that fit the key if empty.
    pub algorithms: Vec<Algorithm>,
    /// Good issuers; any if empty.
    pub issuers: Vec<String>,
    /// Good audiences; any if empty.
    pub audiences: Vec<String>,
    /// Claims that must be there.
    pub required: Vec<String>,
    /// What `typ` must be, without regard to case and to a beginning
    /// `application/`.
    pub token_type: Option<String>,
    /// The most that clocks may differ.
    pub leeway: Duration,
}

/// A token that is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Its claims.
    pub claims: Map<String, Value>,
    /// When it ends, leeway included: then it is no longer good.
    pub expires: Option<UnixTime>,
    /// When it was made (`iat`).
    pub issued: Option<UnixTime>,
}

/// Why a token is not good. The texts are for the log: they may show parts of
/// the token that are not secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    Long,
    /// Not three parts of base64url, with JSON objects in the first two.
    #[error("this is not a signed token: {0}")]
    Form(&'static str),
    /// `none`, or an algorithm that the host does not have.
    #[error("the algorithm `{0}` is not one that verifies")]
    Algorithm(String),
    /// An algorithm that the configuration does not take.
    #[error("the algorithm `{0}` is not one of `algorithms`")]
    NotTaken(&'static str),
    /// `crit` or `b64`, by which a token asks for what the host does not do.
    #[error("the header has `{0}`, which no token for this host needs")]
    Critical(&'static str),
    /// Another `typ`.
    #[error("`typ` is not what `token_type` says")]
    Type,
    /// No key has the name that the token gives.
    #[error("no key has the `kid` `{0}`")]
    UnknownKey(String),
    /// The token names no key, and more than [`KEYS_TRIED_MAX`] could be meant.
    #[error("the token has no `kid`, and more than {KEYS_TRIED_MAX} keys are for its algorithm")]
    NoKey,
    /// The key is for another algorithm.
    #[error("the key is not for the algorithm {0}")]
    Mismatch(&'static str),
    /// The signature is wrong.
    #[error("the signature does not fit the key")]
    Signature,
    /// A claim has another type than RFC 7519 says.
    #[error("the claim `{0}` has the wrong type")]
    Claim(&'static str),
    /// A required claim is missing.
    #[error("the claim `{0}` is missing")]
    Missing(String),
    /// Another issuer.
    #[error("`iss` is not one of `issuer`")]
    Issuer,
    /// Another audience.
    #[error("`aud` has none of `audience`")]
    Audience,
    /// `nbf` or `iat` is in the future.
    #[error("`{claim}` is {seconds} s in the future")]
    Early {
        /// The claim.
        claim: &'static str,
        /// How far.
        seconds: u64,
    },
    /// The token has ended.
    #[error("the token ended {seconds} s ago")]
    Expired {
        /// How long ago.
        seconds: u64,
    },
}

impl TokenError {
    /// Whether newer keys of the issuer could make the token good: it may have
    /// replaced a key under the same name, or under none.
    pub(crate) fn is_about_keys(&self) -> bool {
        matches!(
            self,
            Self::UnknownKey(_) | Self::NoKey | Self::Mismatch(_) | Self::Signature
        )
    }
}

/// The header's parameters that matter.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

/// Verifies a token.
///
/// # Errors
///
/// See [`TokenError`].
pub fn verify(
    token: &str,
    keys: &KeySet,
    terms: &Terms,
    now: UnixTime,
) -> Result<Verified, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Long);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(TokenError::Form("it has not three parts"));
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let header = read_header(header, terms)?;
    check_signature(&header, keys, signed, signature, now)?;
    let claims = object(claims).ok_or(TokenError::Form("its claims are not JSON"))?;
    check_claims(claims, terms, now)
}

fn object(part: &str) -> Option<Map<String, Value>> {
    json::object(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

fn read_header(part: &str, terms: &Terms) -> Result<Header, TokenError> {
    let header = object(part).ok_or(TokenError::Form("its header is not JSON"))?;
    // A reader that does not know an extension must refuse the token (RFC 7515
    // section 4.1.11), and unencoded payloads are an extension (RFC 7797).
    for name in ["crit", "b64"] {
        if header.contains_key(name) {
            return Err(TokenError::Critical(name));
        }
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(TokenError::Form("a parameter of its header is not a text")),
    };
    let name = text("alg")?.ok_or(TokenError::Form("it names no algorithm"))?;
    let algorithm = Algorithm::parse(name).ok_or_else(|| TokenError::Algorithm(shortened(name)))?;
    if !terms.algorithms.is_empty() && !terms.algorithms.contains(&algorithm) {
        return Err(TokenError::NotTaken(algorithm.name()));
    }
    let kid = text("kid")?;
    if kid.is_some_and(|kid| kid.len() > KID_BYTES_MAX) {
        return Err(TokenError::Form("its `kid` is too long"));
    }
    if let Some(expected) = &terms.token_type {
        let bare = |text: &str| {
            let lower = text.to_ascii_lowercase();
            lower
                .strip_prefix("application/")
                .map_or(lower.clone(), str::to_owned)
        };
        if text("typ")?.map(bare) != Some(bare(expected)) {
            return Err(TokenError::Type);
        }
    }
    Ok(Header {
        algorithm,
        kid: kid.map(str::to_owned),
    })
}

fn check_signature(
    header: &Header,
    keys: &KeySet,
    signed: &str,
    signature: &str,
    now: UnixTime,
) -> Result<(), TokenError> {
    let kid = header.kid.as_deref();
    let fitting = |key: &&Key| key.fits(header.algorithm);
    let tried: Vec<_> = keys.candidates(kid, now).filter(fitting).collect();
    // Which of too many are tried must not depend on their order.
    let too_many = tried.len() > KEYS_TRIED_MAX;
    let verifies = |key: &&Key| key.verifies(header.algorithm, signed.as_bytes(), signature);
    if !too_many && tried.iter().any(verifies) {
        return Ok(());
    }
    let unknown = kid.filter(|kid| !kid.is_empty() && !keys.has(kid));
    Err(match unknown {
        // Keys without a name were tried, but another one is meant.
        Some(kid) => TokenError::UnknownKey(shortened(kid)),
        None if too_many => TokenError::NoKey,
        None if tried.is_empty() => TokenError::Mismatch(header.algorithm.name()),
        None => TokenError::Signature,
    })
}

/// A claim that is a moment: seconds since 1970, of which fractions are cut.
fn moment(claims: &Map<String, Value>, name: &'static str) -> Result<Option<UnixTime>, TokenError> {
    /// The whole seconds that a double holds exactly.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    if let Some(seconds) = value.as_u64() {
        return Ok(Some(UnixTime(seconds)));
    }
    match value.as_f64() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the range, and fractions are cut on purpose"
        )]
        Some(seconds) if (0.0..=MOST).contains(&seconds) => Ok(Some(UnixTime(seconds as u64))),
        _ => Err(TokenError::Claim(name)),
    }
}

fn text<'a>(
    claims: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(TokenError::Claim(name)),
    }
}

fn check_claims(
    claims: Map<String, Value>,
    terms: &Terms,
    now: UnixTime,
) -> Result<Verified, TokenError> {
    if let Some(name) = terms
        .required
        .iter()
        .find(|name| !claims.contains_key(*name))
    {
        return Err(TokenError::Missing(name.clone()));
    }
    let issuer = text(&claims, "iss")?;
    for name in ["sub", "jti"] {
        text(&claims, name)?;
    }
    let is_good = |issuer: &str| terms.issuers.iter().any(|good| good == issuer);
    if !terms.issuers.is_empty() && !issuer.is_some_and(is_good) {
        return Err(TokenError::Issuer);
    }
    check_audience(&claims, terms)?;
    let issued = moment(&claims, "iat")?;
    for (claim, begin) in [("nbf", moment(&claims, "nbf")?), ("iat", issued)] {
        if let Some(begin) = begin.filter(|begin| *begin > now.plus(terms.leeway)) {
            let seconds = begin.since(now).as_secs();
            return Err(TokenError::Early { claim, seconds });
        }
    }
    let end = moment(&claims, "exp")?;
    let expires = end.map(|end| end.plus(terms.leeway));
    if let Some(end) = expires.filter(|end| *end <= now) {
        let seconds = now.since(end.minus(terms.leeway)).as_secs();
        return Err(TokenError::Expired { seconds });
    }
    Ok(Verified {
        claims,
        expires,
        issued,
    })
}

fn check_audience(claims: &Map<String, Value>, terms: &Terms) -> Result<(), TokenError> {
    let is_good = |audience: &str| terms.audiences.iter().any(|good| good == audience);
    let found = match claims.get("aud") {
        None => false,
        Some(Value::String(one)) => is_good(one),
        Some(Value::Array(many)) => {
            if !many.iter().all(Value::is_string) {
                return Err(TokenError::Claim("aud"));
            }
            many.iter().filter_map(Value::as_str).any(is_good)
        }
        Some(_) => return Err(TokenError::Claim("aud")),
    };
    if found || terms.audiences.is_empty() {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}
