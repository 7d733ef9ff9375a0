//! Tests of what a signature of our form tells apart, and of what it does not.

use openline_core::authentication::{SignatureForm, UnixTime};

use super::tests::{FORMS, NOW, SECRET, asked, configured, key, plain_key, signed, signing};
use super::tests::{NONCE, with_request};
use super::*;
use crate::denied::Denial;
use crate::nonce::Nonces;
use crate::request::Request;
use crate::secret::Secret;

/// The values of one key in another order, an empty value and none, a plus and a
/// space: a function can read them as different requests.
#[test]
fn a_presigned_url_is_for_one_query() {
    let secret = Secret::new(SECRET);
    let end = UnixTime(NOW.0 + 60);
    let target = "/chat?room=a&x=1&room=b&flag&empty=&sum=1+2";
    let url = signing(target, &secret).presigned(SignatureForm::Openline, end, None);
    let url = url.unwrap();
    for (written, other) in [
        ("room=a&x=1&room=b", "room=b&x=1&room=a"),
        ("room=a&x=1&room=b", "room=b&room=a&x=1"),
        ("&flag&", "&flag=&"),
        ("&empty=&", "&empty&"),
        ("sum=1+2", "sum=1%2B2"),
        ("sum=1+2", "sum=1%202"),
        ("room=a", "room=a&room=a"),
    ] {
        let changed = url.replace(written, other);
        assert_ne!(changed, url);
        let denied = asked(&key(|_| ()), &changed, &[], NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{other}");
    }
    for (written, same) in [
        ("room=a&x=1&room=b", "x=1&room=a&room=b"),
        ("room=a", "r%6Fom=%61"),
        ("&flag&", "&&flag&&"),
    ] {
        let changed = url.replace(written, same);
        assert_ne!(changed, url);
        assert!(asked(&key(|_| ()), &changed, &[], NOW).is_ok(), "{same}");
    }
}

/// The text of Alibaba's form does not tell these apart.
#[test]
fn the_query_of_acs3_is_as_its_clients_sign_it() {
    let sent = signed(SignatureForm::Acs3, "/chat?a=2&a=1&b", NOW);
    for same in ["/chat?a=1&a=2&b", "/chat?a=2&a=1&b="] {
        assert!(asked(&key(|_| ()), same, &sent, NOW).is_ok(), "{same}");
    }
}

/// Whether a signature for one host is good at another one.
fn passes(form: SignatureForm, signed_for: &str, sent: &str) -> bool {
    let secret = Secret::new(SECRET);
    let signing = Signing {
        host: signed_for,
        ..signing("/chat", &secret)
    };
    let lines = signing.headers(form, NOW, NONCE).unwrap();
    with_request("/chat", &lines, |request| {
        let request = Request {
            host: Some(sent),
            ..*request
        };
        key(|_| ()).authenticate(&request, NOW).is_ok()
    })
}

/// Clients leave out the port that is the default of their scheme.
#[test]
fn a_default_port_is_no_part_of_the_host() {
    let ours = SignatureForm::Openline;
    for bare in ["edge.example", "[::443]", "10.0.0.1"] {
        for written in ["", ":443", ":80", ":"] {
            let written = format!("{bare}{written}");
            assert!(passes(ours, &written, bare), "{written}");
            assert!(passes(ours, bare, &written.to_uppercase()), "{written}");
        }
        for other in [":8443", ":4430", ":1443", ":81"] {
            let other = format!("{bare}{other}");
            assert!(passes(ours, &other, &other), "{other}");
            assert!(!passes(ours, &other, bare), "{other}");
            assert!(!passes(ours, bare, &other), "{other}");
        }
    }
    assert!(!passes(ours, "edge.example:443", "edge.example.org"));
    // Its clients sign what they send.
    assert!(passes(SignatureForm::Acs3, "a.org:443", "a.org:443"));
    assert!(!passes(SignatureForm::Acs3, "a.org:443", "a.org"));
}

/// HTTP strips spaces and tabs around a value, and no others.
#[test]
fn other_spaces_are_part_of_a_value() {
    let secret = Secret::new(SECRET);
    let signing = Signing {
        headers: &[("x-user", "ann")],
        ..signing("/", &secret)
    };
    for (sent, is_let_in) in [("ann", true), (" ann\t", true), ("ann\u{a0}", false)] {
        let mut lines = signing
            .headers(SignatureForm::Openline, NOW, NONCE)
            .unwrap();
        lines.push(("x-user".into(), sent.into()));
        assert_eq!(asked(&key(|_| ()), "/", &lines, NOW).is_ok(), is_let_in);
    }
}

/// A program behind CGI reads `X_User` where `X-User` was signed.
#[test]
fn aliases_of_signed_headers_must_be_signed() {
    let secret = Secret::new(SECRET);
    let strict = || {
        configured(plain_key(), Nonces::new(UnixTime(0)), |config| {
            config.signed_headers = vec!["X-User".into()];
        })
    };
    for form in [SignatureForm::Openline, SignatureForm::Acs3] {
        let signing = Signing {
            headers: &[("x-user", "ann")],
            ..signing("/", &secret)
        };
        let mut sent = signing.headers(form, NOW, NONCE).unwrap();
        sent.push(("x-user".into(), "ann".into()));
        assert!(asked(&strict(), "/", &sent, NOW).is_ok());
        sent.push(("x_other".into(), "1".into()));
        assert!(asked(&strict(), "/", &sent, NOW).is_ok());
        sent.push(("x_user".into(), "root".into()));
        let denied = asked(&strict(), "/", &sent, NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{form:?}");
    }
    for (form, alias) in FORMS.into_iter().zip(["x_openline_a", "x_fc-a", "x-acs.a"]) {
        let mut sent = signed(form, "/", NOW);
        sent.push((alias.into(), "1".into()));
        let denied = asked(&key(|_| ()), "/", &sent, NOW);
        assert_eq!(denied, Err(Denial::SignatureInvalid), "{alias}");
        // It was no other part of the request.
        sent.pop();
        assert!(asked(&key(|_| ()), "/", &sent, NOW).is_ok(), "{alias}");
    }
}
