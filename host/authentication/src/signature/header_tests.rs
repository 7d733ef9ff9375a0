//! Tests of the headers that are signed, or have to be.

use openline_core::authentication::{SignatureForm, UnixTime};

use super::canonical::CanonicalError;
use super::tests::{
    NONCE, NOW, SECRET, asked, configured, key, lines, plain_key, set, signed, signing,
    with_request,
};
use super::*;
use crate::denied::Denial;
use crate::nonce::Nonces;
use crate::secret::Secret;

#[test]
fn a_header_of_the_callers_choice_is_signed_and_may_have_to_be() {
    let (secret, user) = (Secret::new(SECRET), [("x-user", "ann")]);
    let signing = Signing {
        headers: &user,
        ..signing("/", &secret)
    };
    let mut sent = signing
        .headers(SignatureForm::Openline, NOW, NONCE)
        .unwrap();
    sent.push(("x-user".into(), "ann".into()));
    assert!(asked(&key(|_| ()), "/", &sent, NOW).is_ok());
    set(&mut sent, "x-user", "bob");
    assert_eq!(
        asked(&key(|_| ()), "/", &sent, NOW),
        Err(Denial::SignatureInvalid)
    );
    let strict = configured(plain_key(), Nonces::new(UnixTime(0)), |config| {
        config.signed_headers = vec!["X-User".into()];
    });
    set(&mut sent, "x-user", "ann");
    assert!(asked(&strict, "/", &sent, NOW).is_ok());
    let plain = signed(SignatureForm::Openline, "/", NOW);
    assert_eq!(
        asked(&strict, "/", &plain, NOW),
        Err(Denial::SignatureInvalid)
    );
}

/// A peer could add the header to a request that somebody else has signed.
#[test]
fn where_headers_must_be_signed_no_form_without_them_is_taken() {
    let user = lines(&[("x-user", "root")]);
    let secret = Secret::new(SECRET);
    let end = UnixTime(NOW.0 + 60);
    let url = |form| signing("/", &secret).presigned(form, end, None).unwrap();
    let (ours, theirs) = (url(SignatureForm::Openline), url(SignatureForm::Fc));
    let fc = [signed(SignatureForm::Fc, "/", NOW), user.clone()].concat();
    let strict = configured(plain_key(), Nonces::new(UnixTime(0)), |config| {
        config.signed_headers = vec!["x-user".into()];
    });
    for (target, sent) in [(&*ours, &user), (&*theirs, &user), ("/", &fc)] {
        assert!(asked(&key(|_| ()), target, sent, NOW).is_ok(), "{target}");
        for sent in [sent, &sent[..sent.len() - 1].to_vec()] {
            let denied = with_request(target, sent, |it| strict.authenticate(it, NOW));
            let denied = denied.unwrap_err();
            assert_eq!(denied.denial, Denial::SignatureInvalid, "{target}");
            assert!(denied.detail.contains("signs no headers"), "{denied:?}");
        }
    }
    let acs3 = Signing {
        headers: &[("x-user", "ann")],
        ..signing("/", &secret)
    };
    let mut sent = acs3.headers(SignatureForm::Acs3, NOW, NONCE).unwrap();
    sent.push(("x-user".into(), "ann".into()));
    assert!(asked(&strict, "/", &sent, NOW).is_ok());
}

/// `ann,root` and two lines would be one text.
#[test]
fn a_signed_header_occurs_once() {
    let secret = Secret::new(SECRET);
    for (form, name) in [
        (SignatureForm::Openline, "x-user"),
        (SignatureForm::Acs3, "x-user"),
        (SignatureForm::Fc, "x-fc-user"),
        (SignatureForm::Fc, "content-type"),
    ] {
        let (one, two) = ([(name, "ann,root")], [(name, "ann"), (name, "root")]);
        let signed = |headers: &[(&str, &str)]| {
            let signing = Signing {
                headers,
                ..signing("/", &secret)
            };
            signing.headers(form, NOW, NONCE)
        };
        let sent = signed(&one).unwrap();
        let sent = |headers: &[(&str, &str)]| {
            asked(
                &key(|_| ()),
                "/",
                &[sent.clone(), lines(headers)].concat(),
                NOW,
            )
        };
        assert!(sent(&one).is_ok(), "{form:?}");
        assert_eq!(sent(&two), Err(Denial::SignatureInvalid), "{form:?}");
        let refused = SignError::Form(CanonicalError::Twice.to_string());
        assert_eq!(signed(&two), Err(refused), "{form:?}");
    }
}
