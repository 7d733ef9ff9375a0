//! Tests of signatures: vectors of Alibaba Cloud's own clients, what is signed
//! and then verified, and each way in which a signed request can be wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};
use openline_core::authentication::{SignatureConfig, SignatureForm, UnixTime};
use openline_core::path;
use openline_core::units::Period;

use super::canonical::{ACS3, CanonicalError, function_compute, hex, mac, skeleton};
use super::*;
use crate::denied::Denial;
use crate::identity::Identity;
use crate::nonce::Nonces;
use crate::request::Request;
use crate::secret::Secret;

pub(super) const NOW: UnixTime = UnixTime(1_795_000_000);
pub(super) const WINDOW: u64 = 900;
pub(super) const NONCE: &str = "0123456789abcdef";
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn headers(lines: &[(String, String)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}

pub(super) fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = lines
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    owned.collect()
}

/// A request with a target, as the host sees it.
pub(super) fn with_request<T>(
    target: &str,
    lines: &[(String, String)],
    then: impl FnOnce(&Request<'_>) -> T,
) -> T {
    let headers = headers(lines);
    let (written, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    then(&Request {
        method: "GET",
        host: Some("chat.example.org"),
        path: &path::normalise(written).unwrap(),
        query,
        headers: &headers,
        has_body: false,
    })
}

pub(super) fn plain_key() -> AccessKey {
    AccessKey {
        secret: Secret::new(SECRET),
        not_after: None,
        security_token: None,
        subject: "ann".into(),
    }
}

pub(super) fn key(change: impl FnOnce(&mut AccessKey)) -> SignatureVerifier {
    let mut key = plain_key();
    change(&mut key);
    verifier(key, Nonces::new(UnixTime(NOW.0 - 2000)))
}

pub(super) fn verifier(key: AccessKey, nonces: Nonces) -> SignatureVerifier {
    configured(key, nonces, |_| ())
}

pub(super) fn configured(
    key: AccessKey,
    nonces: impl Into<Arc<Nonces>>,
    change: impl FnOnce(&mut SignatureConfig),
) -> SignatureVerifier {
    let mut config = SignatureConfig {
        accept: FORMS.to_vec(),
        window: Period(Duration::from_secs(WINDOW)),
        ..SignatureConfig::default()
    };
    change(&mut config);
    SignatureVerifier::new(&config, AccessKeys::of([("ak".to_owned(), key)]), nonces)
}

pub(super) fn signing<'a>(target: &'a str, secret: &'a Secret) -> Signing<'a> {
    Signing {
        id: "ak",
        secret,
        security_token: None,
        method: "GET",
        host: "chat.example.org",
        target,
        headers: &[],
    }
}

/// The headers of a request that is signed by a form.
pub(super) fn signed(form: SignatureForm, target: &str, date: UnixTime) -> Vec<(String, String)> {
    let secret = Secret::new(SECRET);
    signing(target, &secret).headers(form, date, NONCE).unwrap()
}

pub(super) fn asked(
    verifier: &SignatureVerifier,
    target: &str,
    lines: &[(String, String)],
    now: UnixTime,
) -> Result<Identity, Denial> {
    with_request(target, lines, |request| {
        let asked = verifier.authenticate(request, now);
        let (identity, spending) = asked.map_err(|denied| denied.denial)?;
        spending.commit();
        Ok(identity)
    })
}

pub(super) fn set(lines: &mut [(String, String)], name: &str, value: &str) {
    let line = lines.iter_mut().find(|(it, _)| it == name).unwrap();
    line.1 = value.into();
}

pub(super) const FORMS: [SignatureForm; 3] = [
    SignatureForm::Openline,
    SignatureForm::Fc,
    SignatureForm::Acs3,
];

#[test]
fn vectors_of_function_compute() {
    let sent = lines(&[
        ("content-md5", "ef5b43a0fe1d5b401b62c3ba33a7a3d6"),
        ("content-type", "text/json"),
        ("x-fc-trace-id", "trace-id"),
    ]);
    let target = "/2016-08-15/proxy/service.LATEST/func/abc%20123?x-fc-access-key-id=akID&x-fc-expires=1583221068&x-fc-security-token=stsToken&a=123+45&x=xyz&x=456&x-fc-signature=S";
    let text = with_request(target, &sent, |request| {
        function_compute(request, "1583221068", "x-fc-signature").unwrap()
    });
    let expected = "GET\nef5b43a0fe1d5b401b62c3ba33a7a3d6\ntext/json\n1583221068\nx-fc-trace-id:trace-id\n/2016-08-15/proxy/service.LATEST/func/abc 123\na=123 45\nx-fc-access-key-id=akID\nx-fc-expires=1583221068\nx-fc-security-token=stsToken\nx=456\nx=xyz";
    assert_eq!(text, expected);
    let secret = Secret::new("S9MWOBG0AOWHSO9HPASP216QOPHT5YR4NLH3A");
    let signature = STANDARD.encode(mac(&secret, &text));
    assert_eq!(signature, "QFdNhz0Dl+onUM/MvpX940WFH3H8OHayZHbby1c01aI=");
    for (token, expected) in [
        (None, "6Rc4KxEAv3%2BlHpbNQWceIUqWVWq3ewxhadlJBRzZ0XQ%3D"),
        (
            Some("stsToken"),
            "Yi0jCBQ6cTZc%2BtN8wtYUz9FbYNijx5jDiE3sVNW6XwA%3D",
        ),
    ] {
        let secret = Secret::new("akSec");
        let signing = Signing {
            id: "akid",
            security_token: token,
            ..signing("/2016-08-15/proxy/service/func/", &secret)
        };
        let expires = UnixTime(1_583_339_600);
        let target = signing.presigned(SignatureForm::Fc, expires, None).unwrap();
        let end = format!("&x-fc-signature={expected}");
        assert!(target.ends_with(&end), "{target}");
    }
}

#[test]
fn the_vector_of_acs3() {
    // Two lines in Alibaba's vector, whose text is the same. This host takes one.
    let sent = headers(&lines(&[("x-acs-test", "http,https")]));
    let request = Request {
        method: "GET",
        host: None,
        path: "",
        query: Some("test=ok&empty="),
        headers: &sent,
        has_body: false,
    };
    let hash = "55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23";
    let text = skeleton(&ACS3, &request, &["x-acs-test"], hash, "").unwrap();
    let signature = hex(mac(&Secret::new("secret"), &text).as_ref());
    let expected = "da772425f29289d3460d5fc961455d40c5e8c6afd0888b78a910c991e6a14846";
    assert_eq!(signature, expected);
}

/// The text of our form, written out, so that another client can be tested by
/// it.
#[test]
fn the_vector_of_our_form() {
    let target = "/chat/a%2Fb?b=2&a=x%20y&&a&c=%7E&a=&d=1+2%2b3";
    let sent = signed(SignatureForm::Openline, target, NOW);
    let text = "GET\n/chat/a%2Fb\na=x%20y&a&a=&b=2&c=~&d=1+2%2B3\nhost:chat.example.org\nx-openline-content-sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nx-openline-date:2026-11-18T11:06:40Z\nx-openline-nonce:0123456789abcdef\n\nhost;x-openline-content-sha256;x-openline-date;x-openline-nonce\ne3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let hash = hex(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()).as_ref());
    let text = format!("OPENLINE-HMAC-SHA256\n{hash}");
    let signature = hex(mac(&Secret::new(SECRET), &text).as_ref());
    let (name, value) = sent.last().unwrap();
    assert_eq!(name, "authorization");
    assert_eq!(
        *value,
        format!(
            "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=host;x-openline-content-sha256;x-openline-date;x-openline-nonce,Signature={signature}"
        )
    );
}

#[test]
fn what_is_signed_is_let_in() {
    for form in FORMS {
        let target = "/chat/a%20b?q=a%2Bb&%C3%A9=1";
        let sent = signed(form, target, NOW);
        let ann = asked(&key(|_| ()), target, &sent, NOW).unwrap();
        assert_eq!(ann.subject(), Some("ann"));
        assert_eq!((ann.expires, ann.body_sha256), (None, None));
        let other = key(|key| key.secret = Secret::new("another secret of a key"));
        let denied = asked(&other, target, &sent, NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{form:?}");
    }
}

#[test]
fn a_date_is_good_for_its_window_both_ways() {
    for form in FORMS {
        for (late, expected) in [(WINDOW, None), (WINDOW + 1, Some(Denial::SignatureExpired))] {
            let sent = signed(form, "/", NOW);
            for now in [NOW.0 + late, NOW.0 - late] {
                let denied = asked(&key(|_| ()), "/", &sent, UnixTime(now)).err();
                assert_eq!(denied, expected, "{form:?} {now}");
            }
        }
    }
    for (form, name, bad) in [
        (
            SignatureForm::Openline,
            "x-openline-date",
            "2026-11-18T12:06:40+01:00",
        ),
        (SignatureForm::Acs3, "x-acs-date", "2026-11-18 11:06:40Z"),
        (SignatureForm::Fc, "date", "Wed, 18 Nov 2026 12:06:40 +0100"),
        (SignatureForm::Fc, "date", "1795000000"),
    ] {
        let mut sent = signed(form, "/", NOW);
        set(&mut sent, name, bad);
        let denied = asked(&key(|_| ()), "/", &sent, NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{bad}");
    }
}

#[test]
fn a_signature_is_for_one_request() {
    for form in FORMS {
        let sent = signed(form, "/chat/a?x=1&y=2", NOW);
        for other in [
            "/chat/b?x=1&y=2",
            "/chat/A?x=1&y=2",
            "/chat/a/?x=1&y=2",
            "/chat%2Fa?x=1&y=2",
            "/chat/a",
            "/chat/a?x=1",
            "/chat/a?x=2&y=1",
            "/chat/a?x=1&y=2&y=2",
            "/chat/a%3Fx=1&y=2",
            "/chat/a?x=1%26y=2",
        ] {
            let denied = asked(&key(|_| ()), other, &sent, NOW);
            assert_eq!(denied, Err(Denial::SignatureInvalid), "{form:?} {other}");
        }
        // The order of keys and the spelling of letters mean the same.
        let same = asked(&key(|_| ()), "/chat/%61?y=2&x=%31", &sent, NOW);
        assert!(same.is_ok(), "{form:?}");
    }
}

#[test]
fn the_forms_without_escapes_take_no_text_for_another() {
    let refused = |target: &str| {
        with_request(target, &[], |request| {
            function_compute(request, "d", "").unwrap_err()
        })
    };
    assert_eq!(refused("/p%0Aa=1"), CanonicalError::Control);
    assert_eq!(refused("/p?a=1%0Ab=2"), CanonicalError::Control);
    assert_eq!(refused("/p?a%3Db=1"), CanonicalError::Equals);
    assert_eq!(refused("/p%2Fq"), CanonicalError::Slash);
    assert_eq!(refused("/p?a=%ff"), CanonicalError::Escape);
    assert_eq!(refused("/p?a=%f"), CanonicalError::Escape);
    let acs3 =
        |target: &str| with_request(target, &[], |it| skeleton(&ACS3, it, &[], "", "").err());
    assert_eq!(acs3("/p%2Fq"), Some(CanonicalError::Slash));
    assert_eq!(acs3("/p%0Aa"), None, "it is escaped again");
}

#[test]
fn all_that_matters_is_signed() {
    let without = |name: &str| {
        let mut sent = signed(SignatureForm::Openline, "/", NOW);
        let (_, line) = sent.last_mut().unwrap();
        *line = line
            .replace(&format!("{name};"), "")
            .replace(&format!(";{name}"), "");
        asked(&key(|_| ()), "/", &sent, NOW)
    };
    for name in [
        "host",
        "x-openline-date",
        "x-openline-nonce",
        "x-openline-content-sha256",
    ] {
        assert_eq!(without(name), Err(Denial::SignatureInvalid), "{name}");
    }
    let mut sent = signed(SignatureForm::Openline, "/", NOW);
    sent.push(("x-openline-extra".into(), "1".into()));
    let denied = asked(&key(|_| ()), "/", &sent, NOW);
    assert_eq!(denied, Err(Denial::SignatureInvalid));
    for (name, value) in [
        ("x-openline-date", "2026-11-18T11:06:41Z"),
        ("x-openline-nonce", "0123456789abcdeg"),
        ("x-openline-nonce", "short"),
        ("x-openline-content-sha256", "00"),
    ] {
        let mut sent = signed(SignatureForm::Openline, "/", NOW);
        set(&mut sent, name, value);
        let denied = asked(&key(|_| ()), "/", &sent, NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{name}");
    }
}

/// As a host goes on when its configuration is read again.
#[test]
fn a_longer_window_lets_nothing_pass_twice() {
    let nonces = Arc::new(Nonces::new(UnixTime(NOW.0 - 5000)));
    let with = |seconds: u64| {
        configured(plain_key(), Arc::clone(&nonces), |config| {
            config.window = Period(Duration::from_secs(seconds));
        })
    };
    let secret = Secret::new(SECRET);
    let sent = |date: u64, nonce: &str| {
        let signing = signing("/", &secret);
        let sent = signing.headers(SignatureForm::Openline, UnixTime(date), nonce);
        sent.unwrap()
    };
    let before = with(WINDOW);
    let (ahead, old) = (
        sent(NOW.0 + 600, "ahead-of-us"),
        sent(NOW.0 - 900, "old-one-of-us"),
    );
    assert!(asked(&before, "/", &ahead, NOW).is_ok());
    assert!(asked(&before, "/", &old, NOW).is_ok());
    let later = UnixTime(NOW.0 + 1);
    assert!(asked(&before, "/", &sent(later.0, "a-third-one"), later).is_ok());
    let after = with(3600);
    let end = UnixTime(NOW.0 + 600 + 3600);
    for now in [later, end] {
        let denied = asked(&after, "/", &ahead, now);
        assert_eq!(denied, Err(Denial::SignatureReplayed));
    }
    assert_eq!(
        asked(&after, "/", &old, later),
        Err(Denial::SignatureExpired)
    );
    let next = sent(NOW.0 - 899, "the-next-second");
    assert!(asked(&after, "/", &next, later).is_ok());
}

#[test]
fn credentials_that_are_not_whole_are_refused() {
    let line = |value: &str| lines(&[("authorization", value)]);
    let denied = |sent: &[(String, String)]| asked(&key(|_| ()), "/", sent, NOW).unwrap_err();
    for none in ["", "Bearer a", "Basic OPENLINE-HMAC-SHA256", "acs ak:sig"] {
        assert_eq!(denied(&line(none)), Denial::SignatureMissing, "{none}");
    }
    assert_eq!(denied(&[]), Denial::SignatureMissing);
    let many: Vec<_> = (0..=SIGNED_HEADERS_MAX)
        .map(|it| format!("h{it:03}"))
        .collect();
    for bad in [
        "OPENLINE-HMAC-SHA256".to_owned(),
        "OPENLINE-HMAC-SHA256 Credential=ak".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=host,Signature=a,Signature=b".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=host,Signature=a,Other=b".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=Host,Signature=a".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=host;date,Signature=a".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=host;host,Signature=a".into(),
        "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders=,Signature=a".into(),
        format!(
            "OPENLINE-HMAC-SHA256 Credential=ak,SignedHeaders={},Signature=a",
            many.join(";")
        ),
        "FC ak".into(),
    ] {
        assert_eq!(denied(&line(&bad)), Denial::SignatureInvalid, "{bad}");
    }
    let mut sent = signed(SignatureForm::Openline, "/", NOW);
    sent.push(sent.last().unwrap().clone());
    assert_eq!(
        denied(&sent),
        Denial::SignatureInvalid,
        "two `Authorization`"
    );
    let mut sent = signed(SignatureForm::Openline, "/", NOW);
    let other = sent.last().unwrap().1.replace("=ak,", "=xy,");
    set(&mut sent, "authorization", &other);
    assert_eq!(denied(&sent), Denial::SignatureInvalid, "an unknown key");
    let mut sent = signed(SignatureForm::Fc, "/", NOW);
    sent.retain(|(name, _)| name != "date");
    assert_eq!(denied(&sent), Denial::SignatureMissing, "no `Date`");
}

#[test]
fn a_nonce_passes_once_also_at_the_same_moment_and_after_a_restart() {
    for form in [SignatureForm::Openline, SignatureForm::Acs3] {
        let (verifier, passed) = (key(|_| ()), AtomicUsize::new(0));
        let (sent, barrier) = (signed(form, "/", NOW), Barrier::new(4));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    barrier.wait();
                    match asked(&verifier, "/", &sent, NOW) {
                        Ok(_) => drop(passed.fetch_add(1, Ordering::Relaxed)),
                        Err(denial) => assert_eq!(denial, Denial::SignatureReplayed),
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1, "{form:?}");
        let later = UnixTime(NOW.0 + 5);
        let forgot = self::verifier(plain_key(), Nonces::new(later));
        assert_eq!(
            asked(&forgot, "/", &sent, later),
            Err(Denial::SignatureExpired)
        );
        let exported = verifier.nonces().export(later);
        let knows = self::verifier(plain_key(), Nonces::import(10, exported, later));
        assert_eq!(
            asked(&knows, "/", &sent, later),
            Err(Denial::SignatureReplayed)
        );
        let nonces = Nonces::new(UnixTime(0));
        let small = configured(plain_key(), nonces, |config| config.nonces_max = 1);
        let secret = Secret::new(SECRET);
        let other = signing("/", &secret)
            .headers(form, NOW, "another-nonce")
            .unwrap();
        assert!(asked(&small, "/", &sent, NOW).is_ok());
        assert_eq!(
            asked(&small, "/", &other, NOW),
            Err(Denial::SignatureNonces)
        );
    }
}

#[test]
fn a_bad_signature_uses_no_nonce() {
    let verifier = key(|_| ());
    let mut sent = signed(SignatureForm::Openline, "/", NOW);
    let good = sent.last().unwrap().1.clone();
    set(
        &mut sent,
        "authorization",
        &format!("{}0", &good[..good.len() - 1]),
    );
    let _ = asked(&verifier, "/", &sent, NOW);
    set(
        &mut sent,
        "authorization",
        &format!("{}1", &good[..good.len() - 1]),
    );
    let _ = asked(&verifier, "/", &sent, NOW);
    assert!(verifier.nonces().count() <= 1);
    let other = key(|key| key.secret = Secret::new("another secret of a key"));
    assert!(asked(&other, "/", &sent, NOW).is_err());
    assert_eq!(other.nonces().count(), 0);
}

#[test]
fn keys_end_and_temporary_ones_have_a_token() {
    for form in FORMS {
        let sent = signed(form, "/", NOW);
        let until = |last: u64| key(|key| key.not_after = Some(UnixTime(last)));
        let ann = asked(&until(NOW.0), "/", &sent, NOW).unwrap();
        assert_eq!(
            ann.expires,
            Some(UnixTime(NOW.0 + 1)),
            "and its connection ends then"
        );
        let ended = asked(&until(NOW.0 - 1), "/", &sent, NOW);
        assert_eq!(ended, Err(Denial::SignatureExpired));
        let temporary = key(|key| key.security_token = Some(Secret::new("sts")));
        assert_eq!(
            asked(&temporary, "/", &sent, NOW),
            Err(Denial::SignatureInvalid)
        );
        let secret = Secret::new(SECRET);
        let with = |token| Signing {
            security_token: Some(token),
            ..signing("/", &secret)
        };
        let sent = with("sts").headers(form, NOW, NONCE).unwrap();
        assert!(asked(&temporary, "/", &sent, NOW).is_ok(), "{form:?}");
        let denied = asked(&key(|_| ()), "/", &sent, NOW);
        assert_eq!(
            denied,
            Err(Denial::SignatureInvalid),
            "the key has no token"
        );
        let sent = with("other").headers(form, NOW, "another-nonce").unwrap();
        assert_eq!(
            asked(&temporary, "/", &sent, NOW),
            Err(Denial::SignatureInvalid)
        );
    }
}

#[test]
fn the_hash_of_a_body_is_signed_and_handed_on() {
    let secret = Secret::new(SECRET);
    let sent = signing("/", &secret)
        .headers(SignatureForm::Openline, NOW, NONCE)
        .unwrap();
    let headers = headers(&sent);
    let request = Request {
        method: "GET",
        host: Some("chat.example.org"),
        path: "/",
        query: None,
        headers: &headers,
        has_body: true,
    };
    let identity = key(|_| ()).authenticate(&request, NOW).unwrap().0;
    let hash = ring::digest::digest(&ring::digest::SHA256, b"");
    assert_eq!(identity.body_sha256.unwrap().as_slice(), hash.as_ref());
    let mut without = headers.clone();
    without.remove("x-openline-content-sha256");
    let request = Request {
        headers: &without,
        ..request
    };
    let denied = key(|_| ()).authenticate(&request, NOW).unwrap_err();
    assert_eq!(denied.denial, Denial::SignatureInvalid);
    let end = UnixTime(NOW.0 + 60);
    let url = signing("/", &secret)
        .presigned(SignatureForm::Openline, end, None)
        .unwrap();
    let request = Request {
        query: url.split_once('?').map(|(_, query)| query),
        ..request
    };
    let denied = key(|_| ()).authenticate(&request, NOW).unwrap_err();
    assert_eq!(
        denied.denial,
        Denial::SignatureInvalid,
        "no URL signs a body"
    );
}
