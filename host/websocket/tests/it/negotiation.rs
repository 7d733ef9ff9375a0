//! Offers and answers of `permessage-deflate`, by the book.

use openline_websocket::Role;
use openline_websocket::deflate::{Agreed, MalformedExtensions, NegotiationError, Settings};
use proptest::prelude::*;

use crate::oracle::extensions;

const SMALL: Settings = Settings {
    server_window_bits: 10,
    client_window_bits: 11,
    ..Settings::DEDICATED
};

fn answer(settings: Settings, offers: &[&str]) -> Option<String> {
    let agreed = settings.accept(offers.iter().copied()).unwrap();
    agreed.map(|agreed| agreed.to_string())
}

#[test]
fn a_server_answers_an_offer() {
    for (settings, offer, wanted) in [
        (Settings::DEDICATED, "", ""),
        (
            Settings::SHARED,
            "",
            "; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            Settings::DEDICATED,
            "; server_no_context_takeover",
            "; server_no_context_takeover",
        ),
        (
            Settings::DEDICATED,
            "; client_no_context_takeover",
            "; client_no_context_takeover",
        ),
        // Windows: named where they were offered, and not otherwise.
        (
            Settings::DEDICATED,
            "; server_max_window_bits=15",
            "; server_max_window_bits=15",
        ),
        (
            Settings::DEDICATED,
            "; server_max_window_bits=\"9\"",
            "; server_max_window_bits=9",
        ),
        (
            SMALL,
            "; server_max_window_bits=12",
            "; server_max_window_bits=10",
        ),
        (SMALL, "", ""),
        (Settings::DEDICATED, "; client_max_window_bits", ""),
        (
            Settings::DEDICATED,
            "; client_max_window_bits=9",
            "; client_max_window_bits=9",
        ),
        (
            Settings::DEDICATED,
            "; client_max_window_bits=8",
            "; client_max_window_bits=8",
        ),
        (
            SMALL,
            "; client_max_window_bits",
            "; client_max_window_bits=11",
        ),
        (
            SMALL,
            "; client_max_window_bits=15",
            "; client_max_window_bits=11",
        ),
        (
            SMALL,
            "; client_max_window_bits=9",
            "; client_max_window_bits=9",
        ),
        // The offer of Chromium, Firefox and Safari.
        (
            SMALL,
            "; client_max_window_bits",
            "; client_max_window_bits=11",
        ),
    ] {
        let offer = format!("permessage-deflate{offer}");
        let wanted = format!("permessage-deflate{wanted}");
        assert_eq!(answer(settings, &[&offer]), Some(wanted), "{offer}");
    }
}

#[test]
fn a_server_declines_an_offer_and_takes_the_next() {
    for parameters in [
        "server_max_window_bits=8",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=010",
        "server_max_window_bits=+9",
        "server_max_window_bits=300",
        "server_max_window_bits",
        "client_max_window_bits=16",
        "client_max_window_bits=x",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits; client_max_window_bits=9",
        "unknown",
        "unknown=9",
        "Server_no_context_takeover",
    ] {
        let bad = format!("permessage-deflate; {parameters}");
        assert_eq!(answer(Settings::DEDICATED, &[&bad]), None, "{bad}");
        let good = "permessage-deflate; client_max_window_bits=10";
        let list = format!("{bad}, x-other; y=z, {good}, permessage-deflate");
        assert_eq!(
            answer(Settings::DEDICATED, &[&list]).as_deref(),
            Some(good),
            "{bad}"
        );
        // In lines of their own.
        let lines = [bad.as_str(), good];
        assert_eq!(
            answer(Settings::DEDICATED, &lines).as_deref(),
            Some(good),
            "{bad}"
        );
    }
    for none in [
        "",
        "x-webkit-deflate-frame",
        "permessage-bzip2, permessage-deflatee",
    ] {
        assert_eq!(answer(Settings::DEDICATED, &[none]), None, "{none}");
    }
    assert_eq!(answer(Settings::DEDICATED, &[]), None);
}

#[test]
fn a_list_that_is_none_is_malformed_wherever_it_is() {
    for line in [
        "permessage-deflate; =",
        "permessage-deflate, ;",
        "permessage-deflate; a=\"",
    ] {
        assert_eq!(
            Settings::SHARED.accept([line]),
            Err(MalformedExtensions),
            "{line}"
        );
        let lines = ["permessage-deflate", line];
        assert_eq!(
            Settings::SHARED.accept(lines),
            Err(MalformedExtensions),
            "{line}"
        );
        let answered = Settings::SHARED.answered([line]);
        assert_eq!(
            answered,
            Err(NegotiationError::Malformed(MalformedExtensions))
        );
    }
}

#[test]
fn a_client_checks_the_answer() {
    let fits = |settings: Settings, answer: &str| settings.answered([answer]).map(Option::unwrap);
    for (settings, answer) in [
        (Settings::DEDICATED, ""),
        (
            Settings::DEDICATED,
            "; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            Settings::DEDICATED,
            "; server_max_window_bits=8; client_max_window_bits=8",
        ),
        (
            SMALL,
            "; server_max_window_bits=10; client_max_window_bits=11",
        ),
        (
            SMALL,
            "; server_max_window_bits=9; client_max_window_bits=9",
        ),
        (Settings::SHARED, "; server_no_context_takeover"),
    ] {
        let answer = format!("permessage-deflate{answer}");
        let agreed = fits(settings, &answer).unwrap();
        assert!(
            agreed.client_window_bits <= settings.client_window_bits,
            "{answer}"
        );
        assert!(
            agreed.server_window_bits <= settings.server_window_bits,
            "{answer}"
        );
        assert_eq!(agreed.server_takeover, !answer.contains("server_no"));
    }
    for (settings, answer) in [
        // Asked for, but not granted.
        (Settings::SHARED, ""),
        (Settings::SHARED, "; client_no_context_takeover"),
        (SMALL, ""),
        (SMALL, "; server_max_window_bits=11"),
        (
            SMALL,
            "; server_max_window_bits=10; client_max_window_bits=12",
        ),
        (Settings::DEDICATED, "; client_max_window_bits"),
        (Settings::DEDICATED, "; server_max_window_bits"),
        (Settings::DEDICATED, "; server_max_window_bits=7"),
        (Settings::DEDICATED, "; unknown"),
        (
            Settings::DEDICATED,
            "; server_max_window_bits=9; server_max_window_bits=9",
        ),
    ] {
        let answer = format!("permessage-deflate{answer}");
        assert_eq!(
            fits(settings, &answer),
            Err(NegotiationError::Parameters),
            "{answer}"
        );
    }
    for answer in [
        "x-other",
        "permessage-deflate, permessage-deflate",
        "permessage-deflate, x",
    ] {
        let answered = Settings::DEDICATED.answered([answer]);
        assert_eq!(answered, Err(NegotiationError::NotOffered), "{answer}");
    }
    assert_eq!(Settings::DEDICATED.answered([]), Ok(None));
}

proptest! {
    #[test]
    fn any_header_is_read(
        pieces in prop::collection::vec(
            prop_oneof![
                Just("permessage-deflate".to_owned()),
                prop::sample::select(vec![
                    "; server_no_context_takeover",
                    "; client_no_context_takeover",
                    "; server_max_window_bits",
                    "; client_max_window_bits",
                    "=9", "=\"15\"", "=8", ",", ";", "\n", "\"", "\\",
                ]).prop_map(str::to_owned),
                "[ -~]{0,4}",
            ],
            0..12,
        ),
    ) {
        extensions(pieces.concat().as_bytes());
    }
}

#[test]
fn both_ends_come_to_the_same() {
    let ends = |agreed: &Agreed| {
        (
            (agreed.server_takeover, agreed.server_window_bits),
            (agreed.client_takeover, agreed.client_window_bits),
        )
    };
    let all = |bits: [u8; 3]| {
        let takeovers = [(false, false), (false, true), (true, false), (true, true)];
        let mut all = Vec::new();
        for (server_takeover, client_takeover) in takeovers {
            for server_window_bits in bits {
                for client_window_bits in bits {
                    all.push(Settings {
                        server_takeover,
                        client_takeover,
                        server_window_bits,
                        client_window_bits,
                    });
                }
            }
        }
        all
    };
    for client in all([9, 12, 15]) {
        for server in all([9, 11, 15]) {
            let agreed = server.accept([client.offer().as_str()]).unwrap().unwrap();
            let answer = agreed.to_string();
            let answered = client.answered([answer.as_str()]).unwrap().unwrap();
            let (mut ours, theirs) = (ends(&agreed), ends(&answered));
            // A server may use a smaller window than it was offered.
            if !answer.contains("server_max_window_bits") {
                ours.0.1 = 15;
            }
            assert_eq!(ours, theirs, "{} / {answer}", client.offer());
        }
    }
}

#[test]
fn an_end_that_cannot_keep_to_the_window_does_not_compress() {
    let answer = "permessage-deflate; client_max_window_bits=8; server_max_window_bits=8";
    let agreed = Settings::DEDICATED.answered([answer]).unwrap().unwrap();
    assert!(agreed.deflater(Role::Client, 1).is_none());
    let mut inflater = agreed.inflater(Role::Client);
    assert_eq!(
        inflater.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\0", 5).unwrap(),
        b"Hello"
    );
}
