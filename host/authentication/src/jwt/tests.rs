//! Tests of tokens: vectors of the RFCs, tokens of other libraries, and each way
//! in which a token or a key set can be wrong.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openline_core::authentication::UnixTime;
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::secret::Secret;

const RFC: &str = include_str!("../../tests/tokens/rfc.json");
pub(super) const PYJWT: &str = include_str!("../../tests/tokens/pyjwt.json");
const JOSE: &str = include_str!("../../tests/tokens/jose.json");
/// Within the time of all tokens in the files.
pub(super) const NOW: UnixTime = UnixTime(1_795_000_000);
const SECRET: &[u8; 32] = b"0123456789abcdef0123456789abcdef";

pub(super) fn read(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

pub(super) fn keys(keys: &Value) -> Result<(KeySet, Vec<KeyWarning>), KeySetError> {
    let text = json!({ "keys": keys }).to_string();
    KeySet::parse(text.as_bytes(), KeySource::Written)
}

pub(super) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token that is signed with a secret by HS256, whatever its header says.
pub(super) fn signed(header: &str, claims: &str, secret: &[u8]) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = encoded(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn hs256(claims: &Value) -> String {
    signed(r#"{"alg":"HS256"}"#, &claims.to_string(), SECRET)
}

fn shared() -> KeySet {
    let secret = Secret::new(*SECRET);
    KeySet::of_secret(&secret, None, &[Algorithm::Hs256])
        .unwrap()
        .0
}

/// Verifies by the shared secret.
fn checked(token: &str, terms: &Terms) -> Result<Verified, TokenError> {
    verify(token, &shared(), terms, NOW)
}

#[test]
fn vectors_of_the_rfcs() {
    let vectors = read(RFC);
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 5);
    for vector in vectors {
        let (set, _) = keys(&json!([vector["key"]])).unwrap();
        let token = vector["token"].as_str().unwrap();
        let verified = verify(token, &set, &Terms::default(), UnixTime(1_300_819_379));
        match verified {
            Ok(verified) => {
                assert_eq!(verified.claims["iss"], "joe");
                assert_eq!(verified.expires, Some(UnixTime(1_300_819_380)));
                let ended = verify(token, &set, &Terms::default(), UnixTime(1_300_819_380));
                assert_eq!(ended, Err(TokenError::Expired { seconds: 0 }));
            }
            // Two of them sign a text that is no claims.
            Err(error) => {
                let expected = TokenError::Form("its claims are not JSON");
                assert_eq!(error, expected, "{token}");
            }
        }
        let (head, signature) = token.rsplit_once('.').unwrap();
        let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        for at in [0, signature.len() / 2, signature.len() - 1] {
            signature[at] ^= 1;
            let forged = format!("{head}.{}", encoded(&signature));
            let error = verify(&forged, &set, &Terms::default(), NOW).unwrap_err();
            assert_eq!(error, TokenError::Signature);
            signature[at] ^= 1;
        }
    }
}

#[test]
fn tokens_of_other_libraries_by_every_algorithm() {
    let pyjwt = read(PYJWT);
    let (set, warnings) = keys(&pyjwt["keys"]).unwrap();
    assert_eq!((set.count(), warnings), (13, Vec::new()));
    let terms = Terms {
        issuers: vec!["https://issuer.example.org".into()],
        audiences: vec!["chat".into()],
        required: vec!["exp".into(), "role".into()],
        ..Terms::default()
    };
    for text in [PYJWT, JOSE] {
        let file = read(text);
        let tokens = file["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), Algorithm::ALL.len());
        for (entry, algorithm) in tokens.iter().zip(Algorithm::ALL) {
            let (alg, token) = (&entry["alg"], entry["token"].as_str().unwrap());
            let verified = verify(token, &set, &terms, NOW).unwrap();
            assert_eq!(verified.claims["sub"], "ann", "{alg}");
            assert_eq!(verified.expires, Some(UnixTime(1_800_000_000)));
            let others = pyjwt["keys"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|key| key["kid"] != *alg);
            let others: Vec<_> = others.cloned().collect();
            let (others, _) = keys(&Value::Array(others)).unwrap();
            let unknown = verify(token, &others, &terms, NOW);
            let name = algorithm.name().to_owned();
            assert_eq!(unknown, Err(TokenError::UnknownKey(name)));
        }
    }
    let typed = Terms {
        token_type: Some("application/AT+JWT".into()),
        ..terms
    };
    let token = |text: &str| {
        read(text)["tokens"][0]["token"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(verify(&token(JOSE), &set, &typed, NOW).is_ok());
    assert_eq!(
        verify(&token(PYJWT), &set, &typed, NOW),
        Err(TokenError::Type)
    );
}

/// Whoever knows a public key, which all do, must not be able to sign with it.
#[test]
fn no_public_key_is_a_secret() {
    let pyjwt = read(PYJWT);
    for key in pyjwt["keys"].as_array().unwrap() {
        if key["kty"] == "oct" {
            continue;
        }
        let mut named = key.clone();
        named.as_object_mut().unwrap().remove("alg");
        let (set, _) = keys(&json!([named])).unwrap();
        let parts = ["n", "x"].into_iter().filter_map(|part| key[part].as_str());
        for part in parts {
            for secret in [part.as_bytes(), &URL_SAFE_NO_PAD.decode(part).unwrap()] {
                let header = json!({"alg": "HS256", "kid": key["kid"]}).to_string();
                let forged = signed(&header, r#"{"sub":"root"}"#, secret);
                let verified = verify(&forged, &set, &Terms::default(), NOW);
                assert_eq!(verified, Err(TokenError::Mismatch("HS256")));
            }
        }
    }
}

#[test]
fn a_header_that_asks_for_something_else_is_refused() {
    let with = |header: &str| checked(&signed(header, "{}", SECRET), &Terms::default());
    assert!(with(r#"{"alg":"HS256","jku":"https://evil.example.org"}"#).is_ok());
    for name in ["none", "None", "NONE", "hs256", "HS1", "", "ES256K"] {
        let header = json!({ "alg": name }).to_string();
        assert_eq!(with(&header), Err(TokenError::Algorithm(name.into())));
    }
    let unsigned = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded("{}"));
    let none = checked(&unsigned, &Terms::default());
    assert_eq!(none, Err(TokenError::Algorithm("none".into())));
    let crit = with(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#);
    assert_eq!(crit, Err(TokenError::Critical("crit")));
    let b64 = with(r#"{"alg":"HS256","b64":false}"#);
    assert_eq!(b64, Err(TokenError::Critical("b64")));
    assert_eq!(
        with(r#"{"alg":"HS256","crit":null}"#),
        Err(TokenError::Critical("crit"))
    );
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"alg":7}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":"HS256","kid":7}"#,
        r#"{"alg":"HS256"}x"#,
    ] {
        assert!(matches!(with(bad), Err(TokenError::Form(_))), "{bad}");
    }
    let kid = |bytes: usize| with(&json!({"alg": "HS256", "kid": "k".repeat(bytes)}).to_string());
    assert!(kid(256).is_ok(), "a secret needs no name");
    assert!(matches!(kid(257), Err(TokenError::Form(_))));
    let only = Terms {
        algorithms: vec![Algorithm::Es256],
        ..Terms::default()
    };
    assert_eq!(
        checked(&hs256(&json!({})), &only),
        Err(TokenError::NotTaken("HS256"))
    );
}

#[test]
fn what_is_no_token_is_refused_before_it_is_read() {
    let is_form = |token: &str| {
        let error = checked(token, &Terms::default()).unwrap_err();
        assert!(matches!(error, TokenError::Form(_)), "{error}");
    };
    let good = hs256(&json!({}));
    for bad in [
        "",
        "a",
        "a.b",
        "..",
        "a.b.c.d.e",
        &format!("{good}.x"),
        &format!("{good}="),
    ] {
        match bad.ends_with('=') {
            true => assert_eq!(checked(bad, &Terms::default()), Err(TokenError::Signature)),
            false => is_form(bad),
        }
    }
    let longer = |bytes: usize| hs256(&json!({"a": "x".repeat(bytes)}));
    let at = (6000..6200)
        .map(longer)
        .find(|token| token.len() == TOKEN_BYTES_MAX);
    let at = at.unwrap();
    assert!(checked(&at, &Terms::default()).is_ok());
    let past = format!("{at}A");
    assert_eq!(past.len(), TOKEN_BYTES_MAX + 1);
    assert_eq!(checked(&past, &Terms::default()), Err(TokenError::Long));
    let huge = "a".repeat(1 << 20);
    assert_eq!(checked(&huge, &Terms::default()), Err(TokenError::Long));
}

#[test]
fn times_are_checked_with_leeway_and_to_the_second() {
    let terms = Terms {
        leeway: Duration::from_secs(30),
        ..Terms::default()
    };
    let with = |claims: Value| checked(&hs256(&claims), &terms);
    let now = NOW.0;
    assert_eq!(
        with(json!({"exp": now - 29})).unwrap().expires,
        Some(UnixTime(now + 1))
    );
    let expired = Err(TokenError::Expired { seconds: 30 });
    assert_eq!(with(json!({"exp": now - 30})), expired);
    assert!(with(json!({"exp": now - 29, "nbf": now + 30, "iat": now + 30})).is_ok());
    for claim in ["nbf", "iat"] {
        let error = with(json!({ claim: now + 31 })).unwrap_err();
        assert_eq!(error, TokenError::Early { claim, seconds: 31 });
    }
    assert!(with(json!({"exp": now as f64 + 0.5})).is_ok());
    assert!(with(json!({"exp": u64::MAX})).is_ok());
    assert!(with(json!({"exp": 1e300})).is_err());
    for bad in [
        json!("1795000100"),
        json!(-1),
        json!(null),
        json!([]),
        json!(true),
    ] {
        let error = with(json!({ "exp": bad })).unwrap_err();
        assert_eq!(error, TokenError::Claim("exp"));
    }
    assert_eq!(with(json!({})).unwrap().expires, None);
}

#[test]
fn claims_are_those_that_the_terms_ask_for() {
    let terms = Terms {
        issuers: vec!["a".into(), "b".into()],
        audiences: vec!["x".into(), "y".into()],
        required: vec!["sub".into()],
        ..Terms::default()
    };
    let with = |claims: Value| checked(&hs256(&claims), &terms);
    assert!(with(json!({"iss": "b", "aud": "y", "sub": "s"})).is_ok());
    assert!(with(json!({"iss": "a", "aud": ["z", "x"], "sub": ""})).is_ok());
    let missing = TokenError::Missing("sub".into());
    for (claims, error) in [
        (json!({"iss": "a", "aud": "x"}), missing),
        (
            json!({"iss": "c", "aud": "x", "sub": "s"}),
            TokenError::Issuer,
        ),
        (json!({"aud": "x", "sub": "s"}), TokenError::Issuer),
        (
            json!({"iss": ["a"], "aud": "x", "sub": "s"}),
            TokenError::Claim("iss"),
        ),
        (
            json!({"iss": "a", "aud": "z", "sub": "s"}),
            TokenError::Audience,
        ),
        (
            json!({"iss": "a", "aud": [], "sub": "s"}),
            TokenError::Audience,
        ),
        (json!({"iss": "a", "sub": "s"}), TokenError::Audience),
        (
            json!({"iss": "a", "aud": ["x", 1], "sub": "s"}),
            TokenError::Claim("aud"),
        ),
        (
            json!({"iss": "a", "aud": {"x": 1}, "sub": "s"}),
            TokenError::Claim("aud"),
        ),
        (
            json!({"iss": "a", "aud": "x", "sub": 7}),
            TokenError::Claim("sub"),
        ),
        (
            json!({"iss": "a", "aud": "x", "sub": "s", "jti": 7}),
            TokenError::Claim("jti"),
        ),
    ] {
        assert_eq!(with(claims.clone()), Err(error), "{claims}");
    }
    let twice = signed(r#"{"alg":"HS256"}"#, r#"{"sub":"a","sub":"root"}"#, SECRET);
    let twice = checked(&twice, &Terms::default());
    assert_eq!(twice, Err(TokenError::Form("its claims are not JSON")));
}

#[test]
fn a_secret_is_replaced_without_a_break() {
    let (new, old) = (Secret::new(*SECRET), Secret::new([7; 32]));
    let until = NOW;
    let all = [Algorithm::Hs256];
    let (set, warnings) = KeySet::of_secret(&new, Some((&old, until)), &all).unwrap();
    assert_eq!(warnings, []);
    let by_old = signed(r#"{"alg":"HS256"}"#, "{}", &[7; 32]);
    let verified = |token: &str, now| verify(token, &set, &Terms::default(), now).is_ok();
    assert!(verified(&by_old, until));
    assert!(!verified(&by_old, UnixTime(until.0 + 1)));
    assert!(verified(&hs256(&json!({})), UnixTime(until.0 + 1)));
    let short = |bytes: usize, algorithm| {
        let secret = Secret::new(vec![1; bytes]);
        KeySet::of_secret(&secret, None, &[algorithm]).map(|(_, warnings)| warnings)
    };
    assert_eq!(short(15, Algorithm::Hs256), Err(KeyError::Short));
    assert!(short(16, Algorithm::Hs256).is_ok());
    for (algorithm, least) in [
        (Algorithm::Hs256, 32),
        (Algorithm::Hs384, 48),
        (Algorithm::Hs512, 64),
    ] {
        assert_eq!(short(least, algorithm).unwrap(), []);
        assert_eq!(short(least - 1, algorithm).unwrap().len(), 1);
    }
}

proptest! {
    /// Whatever is cut, added or changed: no other text is the same token. The
    /// last letter of the signature may differ in bits that mean nothing, which
    /// the decoder refuses.
    #[test]
    fn only_the_token_itself_is_good(at in any::<prop::sample::Index>(), letter in "[A-Za-z0-9_.=-]") {
        let good = hs256(&json!({"sub": "ann"}));
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(at..=at, &letter);
        let is_good = |token: &str| checked(token, &Terms::default()).is_ok();
        prop_assert!(is_good(&good));
        prop_assert!(changed == good || !is_good(&changed));
        prop_assert!(!is_good(&good[..at]));
        let mut more = good.clone();
        more.insert_str(at, &letter);
        prop_assert!(!is_good(&more));
    }

    #[test]
    fn no_text_panics(token in ".{0,200}", body in ".{0,200}") {
        prop_assert!(checked(&token, &Terms::default()).is_err());
        prop_assert!(KeySet::parse(body.as_bytes(), KeySource::Fetched).is_err());
    }
}
