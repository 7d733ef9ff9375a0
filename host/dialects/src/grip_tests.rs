//! Requests as libraries send them, errors as Pushpin words them.

use super::*;

fn one(body: &str) -> Item {
    let mut items = read(body.as_bytes()).unwrap();
    assert_eq!(items.len(), 1, "{body}");
    items.remove(0)
}

fn action_of(format: &str) -> Result<Action, String> {
    let body = format!(r#"{{"items":[{{"channel":"c","ws-message":{format}}}]}}"#);
    let items = read(body.as_bytes()).map_err(|error| error.to_string())?;
    Ok(items[0].action.clone())
}

fn refused(body: &str) -> String {
    read(body.as_bytes()).unwrap_err().to_string()
}

#[test]
fn both_forms_of_items() {
    let library = r#"{"items": [{"channel": "test", "id": "2", "prev-id": "1",
        "meta": {"k": "v"}, "ws-message": {"content": "hello"},
        "http-stream": {"content": "hello\n"}}]}"#;
    let expected = Item {
        channel: "test".into(),
        id: Some("2".into()),
        previous_id: Some("1".into()),
        tags: vec![("k".into(), "v".into())],
        action: Action::Text("hello".into()),
    };
    assert_eq!(one(library), expected);
    let documented = r#"{"items":[{"channel":"test","id":"2","prev-id":"1","meta":{"k":"v"},
        "formats":{"ws-message":{"content":"hello"}}}]}"#;
    assert_eq!(one(documented), expected);
    let stream = r#"{"items":[{"channel":"test","http-stream":{"content":"hello\n"}}]}"#;
    assert_eq!(one(stream).action, Action::Text("hello\n".into()));
    let response = r#"{"items":[{"channel":"test","http-response":{"body":"x"}}]}"#;
    assert_eq!(one(response).action, Action::Nothing);
    assert_eq!(read(br#"{"items":[]}"#), Ok(Vec::new()));
}

#[test]
fn contents_and_actions() {
    let binary = |bytes: &'static [u8]| Ok(Action::Binary(Bytes::from_static(bytes)));
    assert_eq!(action_of(r#"{"content-bin":"AP8="}"#), binary(&[0, 255]));
    assert_eq!(action_of(r#"{"content-bin":"AP8"}"#), binary(&[0, 255]));
    assert_eq!(
        action_of(r#"{"content":"a","type":"binary"}"#),
        binary(b"a")
    );
    let text = Ok(Action::Text("a".into()));
    assert_eq!(
        action_of(r#"{"content-bin":"YQ==","type":"text","action":"send"}"#),
        text
    );
    for nothing in [
        r#"{"action":"refresh"}"#,
        r#"{"action":"hint"}"#,
        r#"{"type":"ping"}"#,
    ] {
        assert_eq!(action_of(nothing), Ok(Action::Nothing), "{nothing}");
    }
    let close = |code, reason: &str| {
        Ok(Action::Close {
            code,
            reason: reason.into(),
        })
    };
    assert_eq!(action_of(r#"{"action":"close"}"#), close(None, ""));
    assert_eq!(
        action_of(r#"{"action":"close","code":4009,"reason":"bye"}"#),
        close(Some(4009), "bye")
    );
    for code in [0, 999, 1005, 1006, 1015, 5000, 65_536] {
        let body = format!(r#"{{"action":"close","code":{code}}}"#);
        assert_eq!(action_of(&body), close(None, ""), "{code}");
    }
    let long = format!(r#"{{"action":"close","reason":"a{}"}}"#, "é".repeat(100));
    let expected = format!("a{}", "é".repeat(61));
    assert_eq!(action_of(&long), close(None, &expected));
}

#[test]
fn errors_are_pushpins() {
    for (body, expected) in [
        ("", "Body is not valid JSON."),
        ("{", "Body is not valid JSON."),
        ("[]", "Invalid format."),
        ("{}", "Invalid format: object does not contain 'items'"),
        (
            r#"{"items":{}}"#,
            "Invalid format: object contains 'items' with wrong type",
        ),
        (
            r#"{"items":[1]}"#,
            "Invalid format: publish item object is not an object",
        ),
        (
            r#"{"items":[{}]}"#,
            "Invalid format: publish item object does not contain 'channel'",
        ),
        (
            r#"{"items":[{"channel":1}]}"#,
            "Invalid format: publish item object contains 'channel' with wrong type",
        ),
        (
            r#"{"items":[{"channel":"c","meta":{"a":1}}]}"#,
            "Invalid format: 'meta' contains 'a' with wrong type",
        ),
        (
            r#"{"items":[{"channel":"c","meta":{"a":"1","a":"1"}}]}"#,
            "Invalid format: 'meta' contains a name twice",
        ),
        (
            r#"{"items":[{"channel":"c","formats":[]}]}"#,
            "Invalid format: 'formats' is not an object",
        ),
    ] {
        assert_eq!(refused(body), expected, "{body}");
    }
}

#[test]
fn errors_of_formats_are_pushpins() {
    for (format, expected) in [
        ("1", "'ws-message' is not an object"),
        (
            "{}",
            "'ws-message' does not contain 'content' or 'content-bin'",
        ),
        (
            r#"{"content":1}"#,
            "'ws-message' contains 'content' with wrong type",
        ),
        (
            r#"{"content-bin":"*"}"#,
            "'ws-message' contains 'content-bin' with invalid value",
        ),
        (
            r#"{"content-bin":"/w==","type":"text"}"#,
            "'ws-message' contains 'content-bin' with invalid value",
        ),
        (
            r#"{"content":"a","type":"x"}"#,
            "'ws-message' contains 'type' with unknown value",
        ),
        (
            r#"{"action":"x"}"#,
            "'ws-message' contains 'action' with invalid value",
        ),
        (
            r#"{"action":"close","code":"x"}"#,
            "'ws-message' contains 'code' with wrong type",
        ),
        (
            r#"{"action":"close","code":-1}"#,
            "'ws-message' contains 'code' with invalid value",
        ),
    ] {
        assert_eq!(
            action_of(format),
            Err(format!("Invalid format: {expected}")),
            "{format}"
        );
    }
    let answer = read(b"").unwrap_err().answer();
    assert_eq!(
        (answer.status, &*answer.body),
        (400, "Body is not valid JSON.\n")
    );
}

#[test]
fn each_bound_has_its_last_and_its_first_too_many() {
    let items = |count: usize| {
        let items = vec![r#"{"channel":"c"}"#; count].join(",");
        read(format!(r#"{{"items":[{items}]}}"#).as_bytes()).is_ok()
    };
    assert!(items(ITEMS_MAX) && !items(ITEMS_MAX + 1));
    let with = |name: &str, bytes: usize| {
        let value = "a".repeat(bytes);
        let body = format!(r#"{{"items":[{{"{name}":"{value}","channel":"c"}}]}}"#);
        read(
            body.replace(
                r#","channel":"c""#,
                if name == "channel" {
                    ""
                } else {
                    r#","channel":"c""#
                },
            )
            .as_bytes(),
        )
        .is_ok()
    };
    assert!(with("channel", CHANNEL_BYTES_MAX) && !with("channel", CHANNEL_BYTES_MAX + 1));
    assert!(with("id", KEY_BYTES_MAX) && !with("id", KEY_BYTES_MAX + 1));
    assert!(with("prev-id", KEY_BYTES_MAX) && !with("prev-id", KEY_BYTES_MAX + 1));
    let meta = |count: usize, name: usize, value: usize| {
        let members: Vec<_> = (0..count)
            .map(|number| format!(r#""{number:0name$}":"{}""#, "v".repeat(value)))
            .collect();
        let body = format!(
            r#"{{"items":[{{"channel":"c","meta":{{{}}}}}]}}"#,
            members.join(",")
        );
        read(body.as_bytes()).is_ok()
    };
    assert!(meta(TAGS_MAX, 3, 1) && !meta(TAGS_MAX + 1, 3, 1));
    assert!(meta(1, TAG_BYTES_MAX, 1) && !meta(1, TAG_BYTES_MAX + 1, 1));
    assert!(meta(1, 3, TAG_BYTES_MAX) && !meta(1, 3, TAG_BYTES_MAX + 1));
}

#[test]
fn answers_are_in_the_accepted_type() {
    for (accept, expected) in [
        (None, Some(Accepted::Text)),
        (Some("*/*"), Some(Accepted::Text)),
        (Some("application/json"), Some(Accepted::Json)),
        (Some("text/html, application/*;q=0.5"), Some(Accepted::Json)),
        (Some("text/html"), None),
        (Some(""), None),
    ] {
        assert_eq!(Accepted::of(accept), expected, "{accept:?}");
    }
    assert_eq!(Accepted::Text.published().body, "Published\n");
    assert_eq!(
        Accepted::Json.published().body,
        "{\"message\":\"Published\"}\n"
    );
    assert_eq!(not_acceptable().status, 406);
    assert_eq!(method_not_allowed().header, Some(("allow", "POST")));
}

/// What gripcontrol 4.4.0 sends.
#[test]
fn requests_of_gripcontrol() {
    let text = r#"{"items": [{"id": "2", "prev-id": "1", "meta": {"k": "v"}, "ws-message": {"content": "hello \u00e9"}, "channel": "test"}]}"#;
    let item = one(text);
    assert_eq!(item.action, Action::Text("hello é".into()));
    assert_eq!(
        (item.id.as_deref(), item.previous_id.as_deref()),
        (Some("2"), Some("1"))
    );
    let binary = r#"{"items": [{"ws-message": {"content-bin": "YWI="}, "http-stream": {"content": "a\n"}, "channel": "test"}]}"#;
    assert_eq!(
        one(binary).action,
        Action::Binary(Bytes::from_static(b"ab"))
    );
    // It closes streams of another kind.
    let close = r#"{"items": [{"http-stream": {"action": "close"}, "channel": "test"}]}"#;
    assert_eq!(one(close).action, Action::Nothing);
}
