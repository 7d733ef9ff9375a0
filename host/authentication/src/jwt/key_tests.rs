//! Tests of key sets: the keys that they refuse, and the keys that a token means.

use openline_core::authentication::JWK_KEYS_MAX;
use serde_json::{Value, json};

use super::tests::{NOW, PYJWT, encoded, keys, read, signed};
use super::verify::KEYS_TRIED_MAX;
use super::*;

const ONE: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const TWO: &str = "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE";

fn rsa(n: Vec<u8>, e: &str) -> Value {
    json!({"kty": "RSA", "n": encoded(n), "e": e})
}

/// Keys that are wrong, and what is wrong with each.
fn wrong_keys() -> Vec<(Value, KeyError)> {
    let (x, y) = (encoded([1; 32]), encoded([2; 32]));
    let ed = |name: &str, value: Value| {
        let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        key[name] = value;
        key
    };
    vec![
        (json!(7), KeyError::Form),
        (json!({}), KeyError::Type),
        (json!({"kty": "DSA"}), KeyError::Type),
        (
            json!({"kty": "EC", "x": x, "y": y}),
            KeyError::Missing("crv"),
        ),
        (
            json!({"kty": "EC", "crv": "secp256k1", "x": x, "y": y}),
            KeyError::Curve,
        ),
        (
            json!({"kty": "OKP", "crv": "Ed448", "x": x}),
            KeyError::Curve,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": x}),
            KeyError::Missing("y"),
        ),
        (
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": y}),
            KeyError::Parameter("x"),
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "!", "y": y}),
            KeyError::Parameter("x"),
        ),
        (
            json!({"kty": "EC", "crv": "P-521", "x": encoded([1; 66]), "y": encoded([1; 66])}),
            KeyError::Point,
        ),
        (
            json!({"kty": "EC", "crv": "P-384", "x": encoded([1; 48]), "y": encoded([1; 48])}),
            KeyError::Point,
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}),
            KeyError::Point,
        ),
        (rsa(vec![255; 255], "AQAB"), KeyError::Bits),
        (rsa(vec![255; 1025], "AQAB"), KeyError::Bits),
        (
            rsa([vec![0; 9], vec![255; 255]].concat(), "AQAB"),
            KeyError::Bits,
        ),
        (rsa(vec![254; 256], "AQAB"), KeyError::Parameter("n")),
        (rsa(vec![255; 256], "AQ"), KeyError::Parameter("e")),
        (rsa(vec![255; 256], "Ag"), KeyError::Parameter("e")),
        (rsa(vec![255; 256], "AQAAAAE"), KeyError::Parameter("e")),
        (
            json!({"kty": "RSA", "n": encoded([255; 256])}),
            KeyError::Missing("e"),
        ),
        (ed("alg", json!("ES256")), KeyError::Mismatch),
        (ed("alg", json!("RSA-OAEP")), KeyError::Algorithm),
        (ed("use", json!("enc")), KeyError::Use),
        (ed("key_ops", json!(["sign"])), KeyError::Use),
        (ed("d", json!(y)), KeyError::Private),
        (ed("kid", json!("k".repeat(257))), KeyError::Name),
    ]
}

#[test]
fn a_key_set_with_a_wrong_key_is_refused_or_has_it_left_out() {
    let good = json!({"kty": "OKP", "crv": "Ed25519", "kid": "good",
        "x": ONE});
    for (bad, why) in wrong_keys() {
        let text = json!({"keys": [bad, good]}).to_string();
        let written = KeySet::parse(text.as_bytes(), KeySource::Written);
        let Err(KeySetError::Key { why: found, .. }) = written else {
            panic!("{bad} is taken");
        };
        assert_eq!(found, why, "{bad}");
        let (fetched, warnings) = KeySet::parse(text.as_bytes(), KeySource::Fetched).unwrap();
        assert_eq!((fetched.count(), warnings.len()), (1, 1), "{bad}");
        assert!(warnings[0].to_string().contains(&why.to_string()));
    }
    for good in [
        rsa(vec![255; 256], "AQAB"),
        rsa(vec![255; 1024], "Aw"),
        rsa(vec![255; 256], "AQAAAQ"),
        json!({"kty": "OKP", "crv": "Ed25519", "kid": "k".repeat(256), "x": ONE}),
    ] {
        assert!(keys(&json!([good])).is_ok());
    }
}

/// A coordinate that belongs to another point.
#[test]
fn a_point_off_its_curve_is_no_key() {
    let file = read(PYJWT);
    let all = file["keys"].as_array().unwrap();
    for name in ["ES256", "ES384", "ES512"] {
        let key = all.iter().find(|key| key["kid"] == name).unwrap();
        assert_eq!(keys(&json!([key])).unwrap().0.count(), 1);
        let mut off = key.clone();
        off["y"] = off["x"].clone();
        let why = KeyError::Point;
        let place = format!("`{name}`");
        let error = keys(&json!([off])).unwrap_err();
        assert_eq!(error, KeySetError::Key { place, why });
    }
}

#[test]
fn the_keys_of_a_set_are_few_and_a_name_means_one_for_each_algorithm() {
    let key =
        |kid: Option<&str>, x: &str| json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
    let set = |list: Vec<Value>| keys(&Value::Array(list)).map(|(set, _)| set.count());
    let (a, b) = (Some("a"), Some("b"));
    assert_eq!(set(vec![key(a, ONE), key(b, ONE), key(None, ONE)]), Ok(3));
    // Twins are one key.
    assert_eq!(set(vec![key(a, ONE), key(a, ONE)]), Ok(1));
    assert_eq!(set(vec![key(None, ONE), key(Some(""), ONE)]), Ok(1));
    let twice = Err(KeySetError::Twice("a".into()));
    assert_eq!(set(vec![key(a, ONE), key(a, TWO)]), twice);
    let mut with_algorithm = key(a, TWO);
    with_algorithm["alg"] = json!("EdDSA");
    assert_eq!(set(vec![key(a, ONE), with_algorithm.clone()]), twice);
    with_algorithm["x"] = json!(ONE);
    assert_eq!(set(vec![key(a, ONE), with_algorithm]), Ok(2));
    assert_eq!(set(vec![key(None, ONE), key(None, TWO)]), Ok(2));
    assert_eq!(set(vec![]), Err(KeySetError::Empty));
    let few = |count: usize| {
        let names: Vec<_> = (0..count).map(|it| it.to_string()).collect();
        set(names.iter().map(|name| key(Some(name), ONE)).collect())
    };
    assert_eq!(few(JWK_KEYS_MAX), Ok(JWK_KEYS_MAX));
    assert_eq!(few(JWK_KEYS_MAX + 1), Err(KeySetError::TooMany));
    let text = json!({ "keys": [key(None, ONE)] }).to_string();
    let padded = |bytes: usize| {
        let text = format!("{text}{}", " ".repeat(bytes - text.len()));
        KeySet::parse(text.as_bytes(), KeySource::Written).map(|(set, _)| set.count())
    };
    assert_eq!(padded(JWKS_BYTES_MAX), Ok(1));
    assert_eq!(padded(JWKS_BYTES_MAX + 1), Err(KeySetError::Long));
}

/// Issuers publish one RSA key under each of its algorithms, or keys of several
/// sorts under one name.
#[test]
fn keys_of_one_name_are_told_apart_by_the_algorithm() {
    let file = read(PYJWT);
    let find = |list: &str, name: &str, value: &str| {
        let all = file[list].as_array().unwrap();
        let found = all.iter().find(|entry| entry[name] == value).unwrap();
        found.clone()
    };
    let rsa = |algorithm: &str| {
        let mut key = find("keys", "kid", "RS256");
        (key["kid"], key["alg"]) = (json!("RS256"), json!(algorithm));
        key
    };
    let mut ec = find("keys", "kid", "ES256");
    ec["kid"] = json!("RS256");
    let list = json!([rsa("RS256"), rsa("RS512"), rsa("PS256"), ec]);
    let text = json!({ "keys": list }).to_string();
    for source in [KeySource::Written, KeySource::Fetched] {
        let (set, _) = KeySet::parse(text.as_bytes(), source).unwrap();
        assert_eq!(set.count(), 4);
        let token = find("tokens", "alg", "RS256");
        let token = token["token"].as_str().unwrap();
        assert!(verify(token, &set, &Terms::default(), NOW).is_ok());
    }
}

/// A token without a `kid` means any key of its algorithm; one with an unknown
/// `kid` only those without one.
#[test]
fn a_token_without_a_name_means_each_key_of_its_algorithm() {
    let key = |kid: Option<&str>, secret: u8| json!({"kty": "oct", "kid": kid, "k": encoded([secret; 32])});
    let token = |header: &str, secret: u8| signed(header, "{}", &[secret; 32]);
    let (plain, named) = (r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"c"}"#);
    let verified = |set: Value, token: String| {
        let (set, _) = keys(&set).unwrap();
        verify(&token, &set, &Terms::default(), NOW).map(|_| ())
    };
    let two = || json!([key(Some("a"), 1), key(None, 2)]);
    assert_eq!(verified(two(), token(plain, 2)), Ok(()));
    assert_eq!(verified(two(), token(plain, 1)), Ok(()));
    assert_eq!(verified(two(), token(plain, 3)), Err(TokenError::Signature));
    assert_eq!(verified(two(), token(named, 2)), Ok(()));
    let unknown = Err(TokenError::UnknownKey("c".into()));
    assert_eq!(verified(two(), token(named, 1)), unknown);
    let one = json!([key(Some("a"), 1)]);
    assert_eq!(verified(one, token(plain, 1)), Ok(()));
    let unnamed = json!([key(None, 1), key(None, 2)]);
    assert_eq!(verified(unnamed, token(named, 2)), Ok(()));
}

#[test]
fn a_token_is_tried_with_few_keys() {
    let token = |header: &str| signed(header, "{}", &[1; 32]);
    let verified = |count: usize, header: &str| {
        let key = |number: usize| {
            let secret = u8::try_from(number).unwrap();
            json!({"kty": "oct", "kid": number.to_string(), "k": encoded([secret; 32])})
        };
        // The one that fits is the last.
        let list = (1..=count).rev().map(key).collect();
        let mut list: Vec<Value> = list;
        // Keys of other algorithms do not count.
        list.push(json!({"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": ONE}));
        let (set, _) = keys(&Value::Array(list)).unwrap();
        verify(&token(header), &set, &Terms::default(), NOW).map(|_| ())
    };
    let (plain, named) = (r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","kid":"1"}"#);
    assert_eq!(verified(KEYS_TRIED_MAX, plain), Ok(()));
    assert_eq!(verified(KEYS_TRIED_MAX + 1, plain), Err(TokenError::NoKey));
    assert_eq!(verified(KEYS_TRIED_MAX + 1, named), Ok(()));
}
