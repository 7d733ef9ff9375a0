//! Tests of authentication by a token, from the table of a trigger to the
//! identity.

use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::authentication::{FirstMessageConfig, SecretSource};
use openline_core::units::ByteSize;
use openline_hint::Hint;
use ring::hmac;
use serde_json::{Value, json};

use super::*;
use crate::jwt::{Answer, TOKEN_BYTES_MAX};
use crate::revocation::Revocation;

const NOW: Now = Now {
    wall: UnixTime(1_795_000_000),
    steady: Duration::from_secs(100),
};
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const PYJWT: &str = include_str!("../tests/tokens/pyjwt.json");

fn read(place: &SecretSource) -> Result<Vec<u8>, String> {
    match place.to_string().as_str() {
        "env:SECRET" => Ok(format!("{SECRET}\n").into_bytes()),
        "env:SHORT" => Ok(b"short".to_vec()),
        _ => Err("it is not set".into()),
    }
}

fn made(table: &str, file: Option<&[u8]>) -> Result<TokenVerifier, Hinted> {
    let config: JwtConfig = toml::from_str(table).unwrap();
    let revoked = Arc::new(RwLock::new(Revocations::new(NOW)));
    let verifier = TokenVerifier::new(&config, file, &read, revoked, NOW, Box::new(|| ()));
    verifier.map(|(verifier, _)| verifier)
}

fn verifier(table: &str) -> TokenVerifier {
    made(&format!("secret = \"env:SECRET\"\n{table}"), None).unwrap()
}

fn token(claims: &Value) -> String {
    let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let text = format!(
        "{}.{}",
        encoded(r#"{"alg":"HS256"}"#),
        encoded(&claims.to_string())
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    format!("{text}.{signature}")
}

fn ann() -> String {
    token(&json!({"sub": "ann", "exp": NOW.wall.0 + 60}))
}

fn asked(
    verifier: &TokenVerifier,
    target: &str,
    lines: &[(&str, &str)],
) -> Result<Identity, Denial> {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let request = Request {
        method: "GET",
        host: None,
        path,
        query,
        headers: &headers,
        has_body: false,
    };
    let asked = verifier.authenticate(&request, NOW);
    asked.map_err(|denied| {
        assert!(!denied.detail.is_empty());
        denied.denial
    })
}

#[test]
fn a_request_with_a_good_token_is_from_its_subject() {
    let verifier = verifier("lookup = \"header:Authorization:Bearer ,subprotocol:bearer.\"");
    let bearer = format!("Bearer {}", ann());
    let identity = asked(&verifier, "/", &[("authorization", &bearer)]).unwrap();
    assert_eq!(identity.subject(), Some("ann"));
    assert_eq!(identity.claim("sub").as_deref(), Some("ann"));
    assert_eq!(
        identity.expires,
        Some(UnixTime(NOW.wall.0 + 90)),
        "leeway included"
    );
    assert!(identity.edits.subprotocols().is_empty());
    let entry = format!("bearer.{}", ann());
    let offered = format!("chat, {entry}");
    let identity = asked(&verifier, "/", &[("sec-websocket-protocol", &offered)]).unwrap();
    assert_eq!(identity.edits.subprotocols(), [entry]);
    assert_eq!(asked(&verifier, "/", &[]), Err(Denial::TokenMissing));
    let invalid = [("authorization", "Bearer a.b.c")];
    assert_eq!(asked(&verifier, "/", &invalid), Err(Denial::TokenInvalid));
    let twice = [("authorization", &*bearer), ("authorization", &*bearer)];
    assert_eq!(asked(&verifier, "/", &twice), Err(Denial::TokenInvalid));
    let old = format!("Bearer {}", token(&json!({"exp": NOW.wall.0 - 30})));
    assert_eq!(
        asked(&verifier, "/", &[("authorization", &old)]),
        Err(Denial::TokenExpired)
    );
    let endless = format!("Bearer {}", token(&json!({"sub": "ann"})));
    let denied = asked(&verifier, "/", &[("authorization", &endless)]);
    assert_eq!(
        denied,
        Err(Denial::TokenInvalid),
        "`exp` is required by default"
    );
}

/// The function could echo an entry that it sees, and with it the token.
#[test]
fn tokens_among_the_subprotocols_are_removed_whichever_place_wins() {
    let places = "lookup = \"query:token,subprotocol:bearer.\"\nunchecked = [\"/public/*\"]";
    let verifier = verifier(places);
    let (one, two) = (format!("bearer.{}", ann()), "bearer.other");
    let offered = format!("chat, {one},{two}, news");
    let lines = [("sec-websocket-protocol", &*offered)];
    let target = format!("/?token={}", ann());
    for target in [&*target, "/public/a"] {
        let identity = asked(&verifier, target, &lines).unwrap();
        assert_eq!(identity.edits.subprotocols(), [&one, two], "{target}");
        let mut headers = HeaderMap::new();
        headers.insert(lines[0].0, HeaderValue::from_str(&offered).unwrap());
        identity.edits.apply(&mut headers, None);
        assert_eq!(headers[lines[0].0], "chat, news", "{target}");
    }
    let twice = asked(&verifier, "/", &lines);
    assert_eq!(twice, Err(Denial::TokenInvalid), "no place has one token");
}

/// A path that is not checked must not become a way to write claims.
#[test]
fn paths_that_are_not_checked_have_no_claims() {
    let verifier = verifier(
        "unchecked = [\"/public/*\"]\nclaims = \"header:sub:x-user\"\nlookup = \"subprotocol:bearer.\"",
    );
    assert_eq!(asked(&verifier, "/", &[]), Err(Denial::TokenMissing));
    let offered = ("sec-websocket-protocol", "bearer.nonsense");
    let identity = asked(&verifier, "/public/a", &[("x-user", "root"), offered]).unwrap();
    assert!(identity.claims.is_empty() && identity.claims_json().is_none());
    let mut headers = HeaderMap::new();
    headers.insert("x-user", HeaderValue::from_static("root"));
    headers.insert(offered.0, HeaderValue::from_static(offered.1));
    identity.edits.apply(&mut headers, None);
    assert!(headers.is_empty(), "{headers:?}");
    let entry = format!("bearer.{}", ann());
    let identity = asked(&verifier, "/", &[("sec-websocket-protocol", &entry)]).unwrap();
    identity.edits.apply(&mut headers, None);
    assert_eq!(headers["x-user"], "ann");
}

#[test]
fn a_revoked_token_is_told_from_an_invalid_one() {
    let verifier = verifier("");
    let now = NOW.wall;
    let claims = json!({"sub": "ann", "jti": "t1", "iat": now.0 - 5, "exp": now.0 + 60});
    let token = token(&claims);
    let identity = verifier.token(&token, NOW).unwrap();
    assert_eq!(
        (identity.token_id(), identity.issued),
        (Some("t1"), Some(UnixTime(now.0 - 5)))
    );
    let entry = Revocation::Token {
        id: "t1".into(),
        expires: UnixTime(now.0 + 60),
    };
    verifier.revocations.write().revoke(&entry, NOW).unwrap();
    let denied = verifier.token(&token, NOW).unwrap_err();
    assert_eq!(denied.denial, Denial::TokenRevoked);
}

/// An operator who revokes it until its `exp` means it: no leeway makes it good
/// again.
#[test]
fn a_revoked_token_is_not_good_again_while_the_leeway_lasts() {
    let later = |seconds: u64| Now {
        wall: UnixTime(NOW.wall.0 + seconds),
        steady: NOW.steady + Duration::from_secs(seconds),
    };
    for leeway in [0, 30, 300] {
        let verifier = verifier(&format!("leeway = \"{leeway} s\""));
        let end = UnixTime(NOW.wall.0 + 60);
        let token = token(&json!({"sub": "ann", "jti": "t1", "exp": end.0}));
        let entry = Revocation::Token {
            id: "t1".into(),
            expires: end,
        };
        verifier.revocations.write().revoke(&entry, NOW).unwrap();
        let denial = |seconds| verifier.token(&token, later(seconds)).unwrap_err().denial;
        for seconds in 0..60 + leeway {
            assert_eq!(denial(seconds), Denial::TokenRevoked, "{seconds}");
        }
        assert_eq!(denial(60 + leeway), Denial::TokenExpired);
    }
}

/// Some issuers write fractions of a second (RFC 7519 section 2 allows them).
#[test]
fn a_fraction_in_iat_says_when_a_token_was_made() {
    let verifier = verifier("");
    let now = NOW.wall;
    let made = |second: f64| token(&json!({"sub": "ann", "iat": second, "exp": now.0 + 60}));
    #[expect(clippy::cast_precision_loss, reason = "the second is small enough")]
    let second = now.0 as f64;
    let (old, new) = (made(second - 0.5), made(second + 0.5));
    let identity = verifier.token(&new, NOW).unwrap();
    assert_eq!(identity.issued, Some(now));
    let before = Revocation::Before(now);
    verifier.revocations.write().revoke(&before, NOW).unwrap();
    assert!(verifier.token(&new, NOW).is_ok());
    let denied = verifier.token(&old, NOW).unwrap_err();
    assert_eq!(denied.denial, Denial::TokenRevoked);
}

#[test]
fn a_message_renews_a_token_of_the_same_subject_only() {
    let verifier = verifier("renewal_prefix = \"token:\"");
    assert_eq!(verifier.renewal("token:abc"), Some("abc"));
    assert_eq!(verifier.renewal("tokens"), None);
    assert_eq!(self::verifier("").renewal("token:abc"), None);
    let old = verifier.token(&ann(), NOW).unwrap();
    let later = NOW.wall.0 + 600;
    let new = token(&json!({"sub": "ann", "exp": later}));
    let renewed = verifier.renew(&old, &new, NOW).unwrap();
    assert_eq!(renewed.expires, Some(UnixTime(later + 30)));
    for other in [
        json!({"sub": "bob", "exp": later}),
        json!({"exp": later}),
        json!({"sub": "ann", "iss": "x", "exp": later}),
    ] {
        let denied = verifier.renew(&old, &token(&other), NOW).unwrap_err();
        assert_eq!(denied.denial, Denial::TokenInvalid, "{other}");
    }
}

/// Any two of them would be equal, whoever they were made for.
#[test]
fn tokens_that_name_no_subject_renew_nothing() {
    let verifier = verifier("");
    let exp = NOW.wall.0 + 60;
    for claims in [
        json!({"iss": "x", "exp": exp}),
        json!({"iss": "x", "sub": "", "exp": exp}),
    ] {
        let token = token(&claims);
        let old = verifier.token(&token, NOW).unwrap();
        let denied = verifier.renew(&old, &token, NOW).unwrap_err();
        assert_eq!(denied.denial, Denial::TokenInvalid, "{claims}");
    }
}

#[test]
fn the_first_message_is_a_token_or_has_one() {
    let bare = FirstMessageConfig::default();
    let field = FirstMessageConfig {
        field: Some("token".into()),
        ..FirstMessageConfig::default()
    };
    let found = |config: &FirstMessageConfig, message: &str| {
        first_token(config, message).map_err(|denied| denied.denial)
    };
    assert_eq!(found(&bare, " a.b.c\n"), Ok("a.b.c".into()));
    assert_eq!(
        found(&field, r#"{"type": "hi", "token": "a.b.c"}"#),
        Ok("a.b.c".into())
    );
    let deep = FirstMessageConfig {
        field: Some("connect.token".into()),
        prefix: Some("Bearer ".into()),
        ..FirstMessageConfig::default()
    };
    let message = r#"{"id": 1, "connect": {"token": "Bearer  a.b.c"}}"#;
    assert_eq!(found(&deep, message), Ok("a.b.c".into()));
    for missing in [
        r#"{"connect": {"token": "a.b.c"}}"#,
        r#"{"connect": {"token": "bearer a.b.c"}}"#,
        r#"{"connect": {"token": "Bearer "}}"#,
        r#"{"connect": "Bearer a.b.c"}"#,
        r#"{"connect": {"token": {"a": 1}}}"#,
        r#"{"connect.token": "Bearer a.b.c"}"#,
    ] {
        assert_eq!(
            found(&deep, missing),
            Err(Denial::TokenMissing),
            "{missing}"
        );
    }
    for missing in [
        "",
        "{}",
        "[]",
        "a.b.c",
        r#"{"token": 7}"#,
        r#"{"token": "a", "token": "b"}"#,
    ] {
        assert_eq!(
            found(&field, missing),
            Err(Denial::TokenMissing),
            "{missing}"
        );
    }
    assert_eq!(found(&bare, " "), Err(Denial::TokenMissing));
    let most = "a".repeat(TOKEN_BYTES_MAX);
    assert!(found(&bare, &most).is_ok());
    assert_eq!(found(&bare, &format!("{most}a")), Err(Denial::TokenInvalid));
    let small = FirstMessageConfig {
        message_bytes_max: ByteSize(1024),
        ..bare
    };
    assert!(found(&small, &most[..1024]).is_ok());
    assert_eq!(found(&small, &most[..1025]), Err(Denial::TokenInvalid));
    assert_eq!(
        found(&small, &"a".repeat(6 << 20)),
        Err(Denial::TokenInvalid)
    );
}

#[test]
fn keys_that_are_fetched_are_waited_for_and_hastened() {
    let woken = Arc::new(AtomicUsize::new(0));
    let config = "jwks_url = \"https://issuer.example.org/jwks\"";
    let config: JwtConfig = toml::from_str(config).unwrap();
    let revoked = Arc::new(RwLock::new(Revocations::new(NOW)));
    let wake = Arc::clone(&woken);
    let wake = Box::new(move || {
        wake.fetch_add(1, Ordering::Relaxed);
    });
    let (verifier, _) = TokenVerifier::new(&config, None, &read, revoked, NOW, wake).unwrap();
    let file: Value = serde_json::from_str(PYJWT).unwrap();
    let token = |alg: &str| {
        let all = file["tokens"].as_array().unwrap();
        let found = all.iter().find(|token| token["alg"] == alg).unwrap();
        found["token"].as_str().unwrap().to_owned()
    };
    let is = |alg: &str| {
        verifier
            .token(&token(alg), NOW)
            .map_err(|denied| denied.denial)
    };
    assert_eq!(is("ES256"), Err(Denial::KeysUnavailable));
    let fetched = verifier.fetched().unwrap();
    let answer = |kid: &str| {
        let all = file["keys"].as_array().unwrap().iter();
        let keys: Vec<_> = all.filter(|key| key["kid"] == kid).collect();
        let body = json!({ "keys": keys }).to_string();
        let mut fetched = fetched.lock();
        fetched.begin(NOW.steady);
        let answer = Answer {
            status: 200,
            body: body.as_bytes(),
            tag: None,
        };
        fetched.answered(answer, NOW.steady).unwrap();
    };
    answer("ES256");
    assert!(is("ES256").is_ok());
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    for _ in 0..3 {
        assert_eq!(is("RS256"), Err(Denial::TokenInvalid));
    }
    assert_eq!(
        woken.load(Ordering::Relaxed),
        1,
        "many ask, one fetch is planned"
    );
    let due = fetched.lock().due();
    assert_eq!(due, Some(NOW.steady + Duration::from_secs(30)));
    answer("RS256");
    assert!(is("RS256").is_ok());
}

/// Whether a token makes the host fetch the keys anew, and how often three such
/// tokens do.
fn hastens(keys: &Value, token: &str) -> usize {
    let woken = Arc::new(AtomicUsize::new(0));
    let config: JwtConfig = toml::from_str("jwks_url = \"https://issuer.example.org\"").unwrap();
    let revoked = Arc::new(RwLock::new(Revocations::new(NOW)));
    let wake = Arc::clone(&woken);
    let wake = Box::new(move || {
        wake.fetch_add(1, Ordering::Relaxed);
    });
    let (verifier, _) = TokenVerifier::new(&config, None, &read, revoked, NOW, wake).unwrap();
    let fetched = verifier.fetched().unwrap();
    fetched.lock().begin(NOW.steady);
    let body = json!({ "keys": keys }).to_string();
    let answer = Answer {
        status: 200,
        body: body.as_bytes(),
        tag: None,
    };
    fetched.lock().answered(answer, NOW.steady).unwrap();
    let planned = fetched.lock().due().unwrap();
    for _ in 0..3 {
        assert!(verifier.token(token, NOW).is_err());
    }
    let woken = woken.load(Ordering::Relaxed);
    let due = match woken {
        0 => planned,
        _ => NOW.steady + Duration::from_secs(30),
    };
    assert_eq!(fetched.lock().due(), Some(due));
    woken
}

/// An issuer may replace a key under its old name or under none. Forged tokens
/// look the same, so that many ask and one fetch is planned.
#[test]
fn whatever_newer_keys_could_verify_hastens_a_fetch_once() {
    let file: Value = serde_json::from_str(PYJWT).unwrap();
    let find = |list: &str, name: &str, value: &str| {
        let all = file[list].as_array().unwrap();
        let found = all.iter().find(|entry| entry[name] == value).unwrap();
        found.clone()
    };
    let named = find("tokens", "alg", "EdDSA");
    let named = named["token"].as_str().unwrap();
    let own = find("keys", "kid", "EdDSA");
    let other = |kid: Option<&str>| {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid,
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    };
    let mut elliptic = find("keys", "kid", "ES256");
    elliptic["kid"] = json!("EdDSA");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let forged = |header: &str| format!("{}.{}.{}", part(header), part("{}"), "A".repeat(86));
    let nameless = forged(r#"{"alg":"EdDSA"}"#);
    for (what, keys, token) in [
        ("another name", json!([other(Some("a"))]), named),
        ("another key", json!([other(Some("EdDSA"))]), named),
        ("another sort", json!([elliptic]), named),
        ("no name, one key", json!([other(None)]), &*nameless),
        (
            "no name, two keys",
            json!([other(Some("a")), own]),
            &*nameless,
        ),
        (
            "no name, too many keys",
            (0..9).map(|it| other(Some(&it.to_string()))).collect(),
            &*nameless,
        ),
    ] {
        assert_eq!(hastens(&keys, token), 1, "{what}");
    }
    let unsigned = forged(r#"{"alg":"none"}"#);
    for token in ["a.b.c", "", &*unsigned] {
        assert_eq!(hastens(&json!([own]), token), 0, "{token}");
    }
}

/// Neither an issuer nor an address in a token leads to keys.
#[test]
fn keys_are_fetched_from_one_address_whatever_a_token_says() {
    let url = "https://issuer.example.org/jwks";
    let verifier = made(&format!("jwks_url = \"{url}\""), None).unwrap();
    let fetched = verifier.fetched().unwrap();
    let file: Value = serde_json::from_str(PYJWT).unwrap();
    let body = json!({"keys": [file["keys"][12]]}).to_string();
    fetched.lock().begin(NOW.steady);
    let answer = Answer {
        status: 200,
        body: body.as_bytes(),
        tag: None,
    };
    fetched.lock().answered(answer, NOW.steady).unwrap();
    let header = json!({"alg": "RS256", "kid": "evil", "jku": "https://evil.example.org/",
        "x5u": "https://evil.example.org/", "jwk": file["keys"][3]});
    let claims = json!({"iss": "https://evil.example.org/", "exp": NOW.wall.0 + 60});
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.AAAA", encoded(header), encoded(claims));
    let denied = verifier.token(&token, NOW).unwrap_err();
    assert_eq!(denied.denial, Denial::TokenInvalid);
    assert_eq!(fetched.lock().begin(NOW.steady).url, url);
}

#[test]
fn keys_that_are_not_good_have_an_error_and_a_hint() {
    assert!(made("keys_file = \"keys.json\"", Some(PYJWT.as_bytes())).is_ok());
    for (table, file, why) in [
        (
            "secret = \"env:NONE\"",
            None,
            "`env:NONE` cannot be read: it is not set",
        ),
        (
            "secret = \"env:SHORT\"",
            None,
            "`secret`: a secret has at least 16 bytes",
        ),
        (
            "keys_file = \"keys.json\"",
            None,
            "`keys_file` keys.json was not read",
        ),
        (
            "keys_file = \"keys.json\"",
            Some("<html>"),
            "this is not a key set",
        ),
        (
            "keys = [{ kty = \"RSA\" }]",
            None,
            "`keys`: key 1: `n` is missing",
        ),
    ] {
        let error = made(table, file.map(str::as_bytes)).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
    }
}
