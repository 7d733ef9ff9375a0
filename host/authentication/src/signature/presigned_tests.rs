//! Tests of URLs that were signed before.

use openline_core::authentication::{SignatureForm, UnixTime};

use super::tests::{NONCE, NOW, SECRET, asked, key, plain_key, signed, signing, verifier};
use super::*;
use crate::denied::Denial;
use crate::nonce::Nonces;
use crate::secret::Secret;

#[test]
fn a_presigned_url_is_good_until_its_end() {
    let secret = Secret::new(SECRET);
    for form in [SignatureForm::Openline, SignatureForm::Fc] {
        let end = UnixTime(NOW.0 + 60);
        let url = signing("/chat?room=a%20b", &secret)
            .presigned(form, end, None)
            .unwrap();
        let verifier = key(|_| ());
        for now in [NOW, end] {
            assert!(
                asked(&verifier, &url, &[], now).is_ok(),
                "as often as one likes"
            );
        }
        let after = asked(&verifier, &url, &[], UnixTime(end.0 + 1));
        assert_eq!(after, Err(Denial::SignatureExpired));
        // An hour is the most.
        let early = asked(&verifier, &url, &[], UnixTime(end.0 - 3601));
        assert_eq!(early, Err(Denial::SignatureExpired));
        assert!(asked(&verifier, &url, &[], UnixTime(end.0 - 3600)).is_ok());
        let later = url.replace(&end.0.to_string(), &(end.0 + 1).to_string());
        for bad in [
            &later,
            &url.replace("room=a", "room=b"),
            &url.replace("/chat", "/news"),
        ] {
            assert_eq!(
                asked(&verifier, bad, &[], NOW),
                Err(Denial::SignatureInvalid)
            );
        }
        let twice = format!("{url}&{}", url.split_once('?').unwrap().1);
        assert_eq!(
            asked(&verifier, &twice, &[], NOW),
            Err(Denial::SignatureInvalid)
        );
        let header = signed(SignatureForm::Openline, &url, NOW);
        let both = asked(&verifier, &url, &header, NOW);
        assert_eq!(both, Err(Denial::SignatureInvalid));
        let signed_again = signing(&url, &secret).presigned(form, end, None);
        assert!(matches!(signed_again, Err(SignError::Signed(_))));
    }
    let acs3 = signing("/", &secret).presigned(SignatureForm::Acs3, NOW, None);
    assert_eq!(acs3, Err(SignError::Presigned));
}

#[test]
fn a_presigned_url_with_a_nonce_is_good_once() {
    let (secret, end) = (Secret::new(SECRET), UnixTime(NOW.0 + 60));
    let once = Some((NONCE, NOW));
    let url = signing("/", &secret)
        .presigned(SignatureForm::Openline, end, once)
        .unwrap();
    let verifier = key(|_| ());
    assert!(asked(&verifier, &url, &[], NOW).is_ok());
    assert_eq!(
        asked(&verifier, &url, &[], end),
        Err(Denial::SignatureReplayed)
    );
    let without = url.replace(&format!("&openline-nonce={NONCE}"), "");
    assert_eq!(
        asked(&verifier, &without, &[], NOW),
        Err(Denial::SignatureInvalid)
    );
    let restarted = self::verifier(plain_key(), Nonces::new(UnixTime(NOW.0 + 1)));
    let denied = asked(&restarted, &url, &[], UnixTime(NOW.0 + 2));
    assert_eq!(denied, Err(Denial::SignatureExpired));
}
