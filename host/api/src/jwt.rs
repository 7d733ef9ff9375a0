//! Tokens as GRIP's publishers make them: a JWT with HS256, whose `iss` is the
//! access key id of a pair and whose secret is the pair's secret access key. Of
//! other keys the host knows the digest alone, and can verify nothing with it;
//! publishers send those as they are.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openline_admission::keys::{Key, Keys};
use openline_core::authentication::UnixTime;
use ring::hmac;

/// How far ahead a token may end, in seconds: libraries make them for an hour.
const LIFE_S_MAX: u64 = 24 * 60 * 60;

/// Whether a text has the form of a token. No key has.
pub(crate) fn may_be(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

/// The key that has signed a token; none if it is not good.
pub(crate) fn verify(keys: &Keys, token: &str, now: UnixTime) -> Option<Arc<Key>> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let read = |text: &str| -> Option<serde_json::Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    };
    if read(header)?.get("alg")?.as_str()? != "HS256" {
        return None;
    }
    let claims = read(claims)?;
    let (key, secret) = keys.secret_of(claims.get("iss")?.as_str()?, now).ok()?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    // Libraries take a secret as text, or in base64 as the text of its bytes.
    let decoded = STANDARD.decode(secret.bytes()).ok();
    let secrets = [Some(secret.bytes()), decoded.as_deref()];
    let is_signed = secrets.into_iter().flatten().any(|secret| {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::verify(&secret, signed.as_bytes(), &signature).is_ok()
    });
    let end = claims.get("exp")?.as_u64()?;
    let is_now = (now.0 + 1..=now.0 + LIFE_S_MAX).contains(&end);
    (is_signed && is_now).then_some(key)
}

#[cfg(test)]
mod tests {
    use openline_core::key::{KeyTerms, Scope, Scopes};
    use openline_core::name::KeyName;

    use super::*;

    #[test]
    fn tokens_are_told_from_keys() {
        assert!(may_be("eyJhbGciOiJIUzI1NiJ9.e30.c2ln"));
        for other in [
            "sec_0123456789abcdef0123",
            "eyJ.a",
            "a.b.c",
            "eyJ.a.b.c",
            "",
        ] {
            assert!(!may_be(other), "{other}");
        }
        let keys = Keys::default();
        for wrong in [
            "eyJ.a.b",
            "eyJhbGciOiJIUzI1NiJ9.e30.c2ln",
            "eyJ..",
            "eyJ.\u{e4}.c",
        ] {
            assert!(verify(&keys, wrong, UnixTime(1)).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_good_until_its_end_which_is_within_a_day() {
        let keys = Keys::default();
        keys.derive_from([7; 32]);
        let terms = KeyTerms {
            name: KeyName::new("grip").unwrap(),
            scopes: Scopes::new([Scope::Publish]).unwrap(),
            channels: KeyTerms::all_channels(),
            functions: None,
            expires: None,
        };
        let now = UnixTime(1_000);
        let made = keys.make(terms, true, now).unwrap();
        let id = made
            .record
            .credential
            .access_key_id()
            .unwrap()
            .as_str()
            .to_owned();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, made.secret.bytes());
        keys.take(made.record).unwrap();
        let is_good = |algorithm: &str, end: u64| {
            let part = |json: String| URL_SAFE_NO_PAD.encode(json);
            let head = part(format!("{{\"alg\":\"{algorithm}\"}}"));
            let claims = part(format!("{{\"iss\":\"{id}\",\"exp\":{end}}}"));
            let signed = format!("{head}.{claims}");
            let signature = hmac::sign(&secret, signed.as_bytes());
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
            verify(&keys, &token, now).is_some()
        };
        assert!(is_good("HS256", now.0 + 1) && !is_good("HS256", now.0));
        let last = now.0 + LIFE_S_MAX;
        assert!(is_good("HS256", last) && !is_good("HS256", last + 1));
        assert!(!is_good("none", last) && !is_good("HS512", last));
    }
}
