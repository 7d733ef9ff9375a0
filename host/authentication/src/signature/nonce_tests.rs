//! Tests of the nonces of signatures: verifiers share them, and requests get them
//! back.

use std::sync::Arc;
use std::time::Duration;

use openline_core::authentication::{SignatureForm, UnixTime};
use openline_core::units::Period;

use super::tests::{NOW, WINDOW, asked, configured, key, plain_key, signed, with_request};
use crate::denied::Denial;
use crate::nonce::Nonces;

#[test]
fn a_request_that_is_refused_later_gives_its_nonce_back() {
    let verifier = key(|_| ());
    let sent = signed(SignatureForm::Openline, "/", NOW);
    let hold = || with_request("/", &sent, |it| verifier.authenticate(it, NOW));
    for _ in 0..2 {
        let spending = hold().unwrap().1;
        // Meanwhile no other request has it.
        let other = asked(&verifier, "/", &sent, NOW);
        assert_eq!(other, Err(Denial::SignatureReplayed));
        drop(spending);
    }
    assert!(asked(&verifier, "/", &sent, NOW).is_ok());
    let again = asked(&verifier, "/", &sent, NOW);
    assert_eq!(again, Err(Denial::SignatureReplayed));
}

/// As triggers that are renamed, or that have the same keys.
#[test]
fn verifiers_with_the_same_nonces_let_a_request_pass_once() {
    let nonces = Arc::new(Nonces::new(UnixTime(NOW.0 - 5000)));
    let with = |seconds: u64, nonces_max: usize| {
        configured(plain_key(), Arc::clone(&nonces), |config| {
            config.window = Period(Duration::from_secs(seconds));
            config.nonces_max = nonces_max;
        })
    };
    let ahead = signed(SignatureForm::Openline, "/", UnixTime(NOW.0 + 60));
    let first = with(WINDOW, 1);
    assert!(asked(&first, "/", &ahead, NOW).is_ok());
    let wider = with(3600, 2);
    let replayed = Err(Denial::SignatureReplayed);
    assert_eq!(asked(&wider, "/", &ahead, NOW), replayed);
    drop(first);
    assert_eq!(asked(&wider, "/", &ahead, NOW), replayed);
    drop(wider);
    assert_eq!(asked(&with(60, 1), "/", &ahead, NOW), replayed);
}
