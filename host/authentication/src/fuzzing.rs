//! The code that reads credentials of strangers, as functions of bytes for the
//! fuzz targets: none may panic, whatever the bytes, and none may let in what is
//! not signed.

use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::authentication::{SignatureConfig, SignatureForm, UnixTime};
use openline_core::path;

use crate::jwt::{KeySet, KeySource, Terms, TokenError, verify};
use crate::nonce::Nonces;
use crate::request::Request;
use crate::secret::Secret;
use crate::signature::{AccessKey, AccessKeys, SignatureVerifier};

/// The moment of all inputs.
const NOW: UnixTime = UnixTime(1_800_000_000);
/// Keys of every kind; their private parts have been thrown away.
static KEYS: LazyLock<KeySet> = LazyLock::new(|| {
    let text = include_bytes!("fuzzing.json");
    let set = KeySet::parse(text, KeySource::Written);
    set.expect("the file has a key of each sort").0
});

/// A token: the bytes are what `Authorization` would carry.
pub fn token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let terms = Terms {
        issuers: vec!["issuer".into()],
        required: vec!["exp".into()],
        leeway: Duration::from_secs(30),
        ..Terms::default()
    };
    let verified = verify(&text, &KEYS, &terms, NOW);
    assert!(verified.is_err(), "a token that nobody signed is good");
    let long = text.len() > crate::jwt::TOKEN_BYTES_MAX;
    assert_eq!(long, verified == Err(TokenError::Long));
}

/// A key set, as an issuer would answer.
pub fn key_set(bytes: &[u8]) {
    for source in [KeySource::Written, KeySource::Fetched] {
        if let Ok((keys, _)) = KeySet::parse(bytes, source) {
            assert!(keys.count() > 0, "an empty set is good");
            let _ = verify("e30.e30.AA", &keys, &Terms::default(), NOW);
        }
    }
}

/// A signed request: method, target and headers, a line each.
pub fn signature(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let (method, target) = (
        lines.next().unwrap_or_default(),
        lines.next().unwrap_or_default(),
    );
    let (written, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let Ok(path) = path::normalise(written) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim().as_bytes())) {
            headers.append(name, value);
        }
    }
    let key = AccessKey {
        secret: Secret::new([7; 32]),
        not_after: None,
        security_token: None,
        subject: "fuzz".into(),
    };
    let config = SignatureConfig {
        accept: vec![
            SignatureForm::Openline,
            SignatureForm::Fc,
            SignatureForm::Acs3,
        ],
        ..SignatureConfig::default()
    };
    let keys = AccessKeys::of([("fuzz".to_owned(), key)]);
    let verifier = SignatureVerifier::new(&config, keys, Nonces::new(UnixTime(0)));
    let request = Request {
        method,
        host: Some("a.example.org"),
        path: &path,
        query,
        headers: &headers,
        has_body: bytes.len().is_multiple_of(2),
    };
    let verified = verifier.authenticate(&request, NOW);
    assert!(verified.is_err(), "a request that nobody signed is good");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_takes_what_it_is_for() {
        let files = [
            include_str!("../tests/tokens/pyjwt.json"),
            include_str!("../tests/tokens/jose.json"),
        ];
        for file in files {
            let file: serde_json::Value = serde_json::from_str(file).unwrap();
            for entry in file["tokens"].as_array().unwrap() {
                token(entry["token"].as_str().unwrap().as_bytes());
            }
        }
        token(&[b'a'; 10_000]);
        key_set(include_bytes!("fuzzing.json"));
        key_set(b"<html>");
        signature(b"GET\n/a?openline-signature=1&openline-access-key-id=fuzz&openline-expires=1800000060\n");
        signature(b"GET\n/\nauthorization: FC fuzz:AA\ndate: Fri, 15 Jan 2027 08:00:00 GMT\n");
    }
}
