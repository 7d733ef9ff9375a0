//! Properties of the texts that are signed: one text is one request, and no cut
//! of a signature is good.

use openline_core::path;
use proptest::prelude::*;

use super::canonical::{ACS3, OPENLINE, function_compute, skeleton};
use super::tests::{FORMS, NONCE, NOW, SECRET, asked, key, signing, with_request};
use crate::secret::Secret;

/// What a request asks for, decoded: two of them are the same request.
fn meaning(target: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plain = |text: &str| crate::request::decoded(text).unwrap();
    let mut pairs: Vec<_> = crate::request::pairs(query)
        .map(|(key, value)| (plain(key), plain(value)))
        .collect();
    pairs.sort();
    (path::normalise(path).unwrap().into_owned(), pairs)
}

/// A key and its value, as readers of URIs and readers of forms understand them.
type Pair = [(String, Option<String>); 2];

/// What a request asks for by our form: also in which order the values of a key
/// are, which values are empty and which are missing, and how readers of forms,
/// to whom a `+` is a space, understand it.
fn strict_meaning(target: &str) -> (String, Vec<Pair>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let plain = |text: &str| crate::request::decoded(text).unwrap();
    let of_form = |text: &str| plain(&text.replace('+', "%20"));
    let mut pairs: Vec<_> = crate::request::split_pairs(query)
        .map(|(key, value)| {
            let value_of_form = value.map(of_form);
            [
                (plain(key), value.map(plain)),
                (of_form(key), value_of_form),
            ]
        })
        .collect();
    let key = |pair: &Pair| pair.each_ref().map(|(key, _)| key.clone());
    pairs.sort_by_key(key);
    (path::normalise(path).unwrap().into_owned(), pairs)
}

fn target() -> impl Strategy<Value = String> {
    let segment = "([a-c]|%2F|%0A|%3D|%20|=|&){0,3}";
    let pair = "([a-b]|%3D|%26|%0A|%20|[+]|%2B){1,2}(=([a-b]|=|%26|%0A|[+]|%2B){0,2})?";
    (
        prop::collection::vec(segment, 1..3),
        prop::collection::vec(pair, 0..3),
    )
        .prop_map(|(segments, pairs)| format!("/{}?{}", segments.join("/"), pairs.join("&")))
        .prop_filter("it has one spelling", |target| {
            path::normalise(target.split_once('?').unwrap().0).is_ok()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Requests with one text are one request: otherwise a signature of one would
    /// be good for the other. The two forms of Alibaba do not tell escapes of
    /// reserved characters from the characters, so their paths are compared
    /// without escapes.
    #[test]
    fn one_text_is_one_request(one in target(), other in target()) {
        let ours = |target: &str| {
            with_request(target, &[], |it| skeleton(&OPENLINE, it, &[], "", ""))
        };
        if let (Ok(a), Ok(b)) = (ours(&one), ours(&other)) {
            prop_assert_eq!(a == b, strict_meaning(&one) == strict_meaning(&other));
        }
        let plain = |target: &str| {
            let (path, query) = meaning(target);
            (crate::request::decoded(&path).unwrap(), query)
        };
        let fc = |target: &str| with_request(target, &[], |it| function_compute(it, "d", ""));
        if let (Ok(a), Ok(b)) = (fc(&one), fc(&other)) {
            let form = |target: &str| plain(&target.replace('+', "%20"));
            prop_assert_eq!(a == b, form(&one) == form(&other));
        }
        let acs3 = |target: &str| with_request(target, &[], |it| skeleton(&ACS3, it, &[], "", ""));
        if let (Ok(a), Ok(b)) = (acs3(&one), acs3(&other)) {
            prop_assert_eq!(a == b, plain(&one) == plain(&other));
        }
    }

    /// What is signed is verified, and nothing that differs in one place.
    #[test]
    fn cuts_and_changes_are_noticed(target in target(), at in any::<prop::sample::Index>()) {
        for form in FORMS {
            let secret = Secret::new(SECRET);
            let Ok(sent) = signing(&target, &secret).headers(form, NOW, NONCE) else {
                continue;
            };
            prop_assert!(asked(&key(|_| ()), &target, &sent, NOW).is_ok());
            let mut cut = sent.clone();
            let line = cut.last().unwrap().1.clone();
            cut.last_mut().unwrap().1 = line[..at.index(line.len())].into();
            prop_assert!(asked(&key(|_| ()), &target, &cut, NOW).is_err());
        }
    }
}
