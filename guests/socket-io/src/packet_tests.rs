//! Tests of [`super`]: the examples of the protocol, what is refused, each limit
//! at it and one past it, and round trips of random packets.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The place in a packet's data of the attachment with an index.
fn placeholder(index: usize) -> Value {
    json!({"_placeholder": true, "num": index})
}

fn whole(text: &str) -> Packet {
    match decode(text) {
        Ok(Decoded::Whole(packet)) => packet,
        other => panic!("{text}: {other:?}"),
    }
}

fn part(text: &str) -> Partial {
    match decode(text) {
        Ok(Decoded::Part(partial)) => partial,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn the_examples_of_the_protocol_are_read_and_written() {
    let event = || Packet::new(Kind::Event, "/");
    for (text, packet) in [
        ("0", Packet::new(Kind::Connect, "/")),
        (
            r#"0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}"#,
            Packet::new(Kind::Connect, "/admin").with(json!({"sid": "oSO0OpakMV_3jnilAAAA"})),
        ),
        (
            r#"4{"message":"Not authorized"}"#,
            Packet::new(Kind::ConnectError, "/").with(json!({"message": "Not authorized"})),
        ),
        (r#"2["foo"]"#, event().with(json!(["foo"]))),
        (
            r#"2/admin,["bar"]"#,
            Packet::new(Kind::Event, "/admin").with(json!(["bar"])),
        ),
        (r#"212["foo"]"#, event().with_id(12).with(json!(["foo"]))),
        (
            r#"3/admin,13["bar"]"#,
            Packet::new(Kind::Ack, "/admin")
                .with_id(13)
                .with(json!(["bar"])),
        ),
        ("1/admin,", Packet::new(Kind::Disconnect, "/admin")),
    ] {
        assert_eq!(whole(text), packet, "{text}");
        assert_eq!(packet.encode(), text);
    }
}

#[test]
fn binary_packets_are_joined_from_their_messages() {
    let text =
        r#"62-/admin,789["baz",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]"#;
    let Ok(Decoded::Part(partial)) = part(text).attach(vec![1, 2]) else {
        panic!("one more is missing");
    };
    assert_eq!(partial.bytes(), text.len() + 2);
    let Ok(Decoded::Whole(packet)) = partial.attach(vec![]) else {
        panic!("none is missing");
    };
    assert_eq!(packet.kind, Kind::Ack);
    assert_eq!(packet.id, Some(789));
    assert_eq!(packet.attachments, [vec![1, 2], vec![]]);
    assert_eq!(
        packet.data,
        Some(json!(["baz", placeholder(0), [placeholder(1)]]))
    );
    assert_eq!(packet.encode(), text);
    // Labelled as binary, and has nothing binary.
    assert_eq!(whole(r#"50-["a"]"#), whole(r#"2["a"]"#));
}

#[test]
fn a_namespace_may_end_with_the_message() {
    assert_eq!(whole("0/custom").namespace, "/custom");
    assert_eq!(whole("0/custom,").namespace, "/custom");
    assert_eq!(whole("0/a?b=1/ä").namespace, "/a?b=1/ä");
    assert_eq!(whole("0").namespace, "/");
    assert_eq!(whole("0/").namespace, "/");
}

#[test]
fn what_the_reference_refuses_is_refused() {
    for (text, invalid) in [
        ("", Invalid::Type),
        ("7", Invalid::Type),
        ("abc", Invalid::Type),
        ("ä", Invalid::Type),
        ("0[]", Invalid::Payload),
        (r#"0"token""#, Invalid::Payload),
        ("0/admin,null", Invalid::Payload),
        ("1{}", Invalid::Payload),
        ("2", Invalid::Payload),
        ("2{}", Invalid::Payload),
        ("2[]", Invalid::Payload),
        ("2[null]", Invalid::Payload),
        ("2[{}]", Invalid::Payload),
        ("2abc[\"a\"]", Invalid::Payload),
        ("2[\"a\"", Invalid::Payload),
        ("2[\"a\"]]", Invalid::Payload),
        ("2[\"\\ud800\"]", Invalid::Payload),
        ("3{}", Invalid::Payload),
        ("4[]", Invalid::Payload),
        ("5", Invalid::Attachments),
        ("5[\"a\"]", Invalid::Attachments),
        ("5-[\"a\"]", Invalid::Attachments),
        ("5a-[\"a\"]", Invalid::Attachments),
        ("5+1-[\"a\"]", Invalid::Attachments),
        ("5-1-[\"a\"]", Invalid::Attachments),
        ("51.5-[\"a\"]", Invalid::Attachments),
        ("599999999999999999999-[\"a\"]", Invalid::Attachments),
    ] {
        assert_eq!(decode(text), Err(invalid), "{text}");
    }
    for name in RESERVED_EVENTS {
        assert_eq!(decode(&format!("2[\"{name}\"]")), Err(Invalid::Payload));
    }
    // An event may have a number for a name, of which no client knows.
    assert_eq!(whole("2[1]").data, Some(json!([1])));
}

#[test]
fn a_placeholder_without_an_attachment_is_refused() {
    for number in ["1", "-1", "0.5", "\"0\"", "null", "18446744073709551616"] {
        let text = format!("51-[\"a\",{{\"_placeholder\":true,\"num\":{number}}}]");
        let attached = part(&text).attach(vec![]);
        assert_eq!(attached, Err(Invalid::Attachments), "{number}");
    }
    let none = part(r#"51-["a",{"b":[{"_placeholder":true}]}]"#);
    assert_eq!(none.attach(vec![]), Err(Invalid::Attachments));
    // One that nothing stands for is no mistake of the peer, nor is data that
    // only looks like a placeholder.
    let text = r#"51-["a",{"_placeholder":false,"num":7}]"#;
    assert!(matches!(part(text).attach(vec![]), Ok(Decoded::Whole(_))));
    whole(r#"2["a",{"_placeholder":true,"num":7}]"#);
}

#[test]
fn each_limit_holds_at_it_and_not_past_it() {
    part(&format!("5{ATTACHMENTS_MAX}-[\"a\"]"));
    let more = format!("5{}-[\"a\"]", ATTACHMENTS_MAX + 1);
    assert_eq!(decode(&more), Err(Invalid::Attachments));

    assert_eq!(whole(&format!("2{ID_MAX}[\"a\"]")).id, Some(ID_MAX));
    for id in [ID_MAX + 1, u64::MAX] {
        assert_eq!(decode(&format!("2{id}[\"a\"]")), Err(Invalid::Id));
    }

    let nested = |depth| format!("2[\"a\",{}{}]", "[".repeat(depth), "]".repeat(depth));
    whole(&nested(126));
    assert_eq!(decode(&nested(127)), Err(Invalid::Payload));
    assert_eq!(decode(&nested(100_000)), Err(Invalid::TooLarge));

    let values = |count| format!("2[\"a\"{}]", ",0".repeat(count));
    whole(&values(VALUES_MAX - 1));
    assert_eq!(decode(&values(VALUES_MAX)), Err(Invalid::TooLarge));
    // What is in a string is one value.
    whole(&format!("2[\"\\\"{}\"]", ",".repeat(VALUES_MAX + 1)));

    let text = "51-[\"a\"]";
    let room = PACKET_BYTES_MAX - text.len();
    assert!(part(text).attach(vec![0; room]).is_ok());
    let more = part(text).attach(vec![0; room + 1]);
    assert_eq!(more, Err(Invalid::TooLarge));
}

/// Any JSON, a few levels deep. Floats would not come back exactly.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z]{0,3}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

fn arrays() -> impl Strategy<Value = Value> {
    let name = "[a-z]{1,5}".prop_filter("no reserved name", |name| {
        !RESERVED_EVENTS.contains(&name.as_str())
    });
    (name, vec(values(), 0..3)).prop_map(|(name, arguments)| {
        let mut array = vec![Value::from(name)];
        array.extend(arguments);
        Value::Array(array)
    })
}

fn packets() -> impl Strategy<Value = Packet> {
    let namespaces = prop_oneof![Just("/".to_owned()), "/[^,]{0,8}"];
    let id = proptest::option::of(0..=ID_MAX);
    let objects = vec(("[a-z]{0,3}", values()), 0..3)
        .prop_map(|pairs| Value::Object(pairs.into_iter().collect()))
        .boxed();
    let contents = prop_oneof![
        Just((Kind::Connect, None, 0)),
        objects
            .clone()
            .prop_map(|data| (Kind::Connect, Some(data), 0)),
        Just((Kind::Disconnect, None, 0)),
        objects.prop_map(|data| (Kind::ConnectError, Some(data), 0)),
        (arrays(), 0..=ATTACHMENTS_MAX).prop_map(|(data, count)| (Kind::Event, Some(data), count)),
        (arrays(), 0..=ATTACHMENTS_MAX).prop_map(|(data, count)| (Kind::Ack, Some(data), count)),
    ];
    (namespaces, id, contents, vec(any::<u8>(), 0..20)).prop_map(
        |(namespace, id, (kind, mut data, count), bytes)| {
            if let Some(Value::Array(array)) = &mut data {
                array.extend((0..count).map(placeholder));
            }
            Packet {
                kind,
                namespace,
                id,
                data,
                attachments: vec![bytes; count],
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(packet in packets()) {
        let mut decoded = decode(&packet.encode());
        for attachment in &packet.attachments {
            let Ok(Decoded::Part(partial)) = decoded else {
                return Err(TestCaseError::fail("it ended early"));
            };
            decoded = partial.attach(attachment.clone());
        }
        prop_assert_eq!(decoded, Ok(Decoded::Whole(packet)));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = decode(&text);
    }

    /// Texts that are nearly right reach further.
    #[test]
    fn no_text_of_the_alphabet_panics(text in r#"[0-6][0-9]{0,3}-?(/[a-z]{0,3},?)?[0-9]{0,20}[\[\]{}",:a-z0-9\\_ä]{0,30}"#) {
        if let Ok(Decoded::Whole(packet)) = decode(&text) {
            prop_assert!(decode(&packet.encode()).is_ok());
        }
    }

    #[test]
    fn no_attachments_panic(count in 0_usize..20, pieces in vec(vec(any::<u8>(), 0..9), 0..20)) {
        let mut decoded = decode(&format!("5{count}-[\"a\",{}]", placeholder(3)));
        for piece in pieces {
            match decoded {
                Ok(Decoded::Part(partial)) => decoded = partial.attach(piece),
                _ => break,
            }
        }
    }
}
