//! Tests of the tables of authentication: what is read from TOML, and each rule
//! between their keys.

use openline_hint::Hint;

use super::*;

fn read(text: &str) -> Result<Authentication, String> {
    toml::from_str(text).map_err(|error| error.message().to_owned())
}

fn checked(text: &str) -> Result<(), TableError> {
    read(text).unwrap().check()
}

/// The key that is to blame, if one is.
fn blamed(text: &str) -> Option<&'static str> {
    let error = checked(text).err()?;
    assert!(!error.to_string().is_empty());
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
    Some(error.key)
}

const JWT: &str = "method = \"jwt\"\n[jwt]\nsecret = \"env:S\"\n";
const SIGNATURE: &str = "method = \"signature\"\n[signature]\n";
const KEY: &str = "[[signature.keys]]\nid = \"a\"\nsecret = \"env:A\"\n";

#[test]
fn a_whole_table_is_read_kept_and_read_again() {
    let text = r#"
        method = "jwt"
        [jwt]
        jwks_url = "https://issuer.example.org/jwks.json"
        issuer = "https://issuer.example.org"
        audience = ["a", "b"]
        leeway = "1 min"
        lookup = "header:Authorization:Bearer ,subprotocol:bearer."
        claims = "header:sub:x-user"
        unchecked = ["/login", "/public/*"]
        renewal_prefix = "token:"
    "#;
    let read = read(text).unwrap();
    assert_eq!(read.check(), Ok(()));
    let jwt = read.jwt.as_ref().unwrap();
    assert_eq!(jwt.issuer, ["https://issuer.example.org"]);
    assert_eq!(jwt.required, ["exp"]);
    assert!(!jwt.checks("/public/x") && !jwt.checks("/login") && jwt.checks("/"));
    let kept = serde_json::to_string(&read).unwrap();
    assert_eq!(read, serde_json::from_str(&kept).unwrap());
    let only = "method = \"jwt\"\n[jwt]\nsecret = \"env:S\"\nchecked = [\"/a/*\"]";
    let only = self::read(only).unwrap().jwt.unwrap();
    assert!(only.checks("/a/b") && !only.checks("/b"));
}

#[test]
fn inline_keys_show_no_secret() {
    let text = "method = \"jwt\"\n[jwt]\nkeys = [{ kty = \"oct\", k = \"c2VjcmV0\", use = \"sig\", x5c = [\"a\"] }]";
    let read = read(text).unwrap();
    assert_eq!(read.check(), Ok(()));
    assert!(!format!("{read:?}").contains("c2VjcmV0"));
}

#[test]
fn unknown_keys_and_values_are_errors() {
    for bad in [
        "method = \"basic\"",
        "method = \"jwt\"\n[jwt]\nsecrets = \"env:A\"",
        "method = \"jwt\"\n[jwt]\nsecret = \"hunter2\"",
        "method = \"jwt\"\n[jwt]\nlookup = \"form:t\"",
        "method = \"jwt\"\n[jwt]\nvalid_until = \"tomorrow\"",
        "method = \"signature\"\n[signature]\naccept = [\"acs\"]",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_method_has_its_table_and_no_other() {
    assert_eq!(checked(""), Ok(()));
    assert_eq!(checked("method = \"ticket\""), Ok(()));
    assert_eq!(checked(JWT), Ok(()));
    assert_eq!(
        checked(&JWT.replace("\"jwt\"", "\"first-message\"")),
        Ok(())
    );
    assert_eq!(checked(&format!("{SIGNATURE}{KEY}")), Ok(()));
    assert_eq!(blamed("method = \"jwt\""), Some("auth"));
    assert_eq!(blamed("method = \"first-message\""), Some("auth"));
    assert_eq!(blamed("method = \"signature\""), Some("auth"));
    assert_eq!(blamed(&JWT.replace("\"jwt\"", "\"none\"")), Some("jwt"));
    assert_eq!(blamed(&format!("{JWT}[ticket]\n")), Some("ticket"));
    assert_eq!(
        blamed(&format!("{JWT}[first_message]\n")),
        Some("first_message")
    );
}

#[test]
fn keys_of_tokens_come_from_one_place() {
    let jwt = |keys: &str| blamed(&format!("method = \"jwt\"\n[jwt]\n{keys}"));
    assert_eq!(jwt(""), Some("jwt.keys"));
    assert_eq!(
        jwt("secret = \"env:A\"\nkeys_file = \"b\""),
        Some("jwt.keys")
    );
    assert_eq!(jwt("keys_file = \"b\""), None);
    let keys = |count: usize| format!("keys = [{}]", "{ kty = \"oct\" },".repeat(count));
    assert_eq!(jwt(&keys(JWK_KEYS_MAX)), None);
    assert_eq!(jwt(&keys(JWK_KEYS_MAX + 1)), Some("jwt.keys"));
    let until = "valid_until = \"2027-01-01T00:00:00Z\"";
    let both = "secret = \"env:A\"\nprevious_secret = \"env:B\"";
    assert_eq!(jwt(&format!("{both}\n{until}")), None);
    assert_eq!(jwt(both), Some("jwt.previous_secret"));
    assert_eq!(
        jwt(&format!("secret = \"env:A\"\n{until}")),
        Some("jwt.valid_until")
    );
    let alone = "keys_file = \"b\"\nprevious_secret = \"env:B\"";
    assert_eq!(jwt(alone), Some("jwt.previous_secret"));
}

#[test]
fn a_key_set_is_fetched_from_an_authentic_place() {
    let url = |url: &str| blamed(&format!("method = \"jwt\"\n[jwt]\njwks_url = \"{url}\""));
    for good in [
        "https://a.example.org/jwks",
        "https://a.example.org:8443?set=1",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/",
        "http://localhost/",
    ] {
        assert_eq!(url(good), None, "{good}");
    }
    for bad in [
        "",
        "a.example.org",
        "https://",
        "https:///jwks",
        "http://a.example.org/",
        "http://127.0.0.1.example.org/",
        "http://localhost@evil.example.org/",
        "https://user:pw@a.example.org/",
        "https://a.example.org/#x",
        "https://a.example.org/ b",
        "file:///etc/passwd",
    ] {
        assert_eq!(url(bad), Some("jwt.jwks_url"), "{bad}");
    }
    let long = |bytes: usize| url(&format!("https://a/{}", "b".repeat(bytes - 10)));
    assert_eq!([long(2048), long(2049)], [None, Some("jwt.jwks_url")]);
    let times = |times: &str| {
        blamed(&format!(
            "method = \"jwt\"\n[jwt]\njwks_url = \"https://a/\"\n{times}"
        ))
    };
    assert_eq!(
        times("jwks_refresh = \"30 s\"\njwks_stale = \"30 s\""),
        None
    );
    assert_eq!(times("jwks_refresh = \"29 s\""), Some("jwt.jwks_refresh"));
    assert_eq!(times("jwks_refresh = \"24 h\""), None);
    assert_eq!(
        times("jwks_refresh = \"86401 s\"\njwks_stale = \"30 d\""),
        Some("jwt.jwks_refresh")
    );
    assert_eq!(times("jwks_stale = \"9 min\""), Some("jwt.jwks_stale"));
    assert_eq!(times("jwks_stale = \"30 d\""), None);
    assert_eq!(times("jwks_stale = \"721 h\""), Some("jwt.jwks_stale"));
}

#[test]
fn numbers_and_lists_have_their_ranges() {
    let jwt = |line: &str| blamed(&format!("{JWT}{line}"));
    assert_eq!(jwt("leeway = \"5 min\""), None);
    assert_eq!(jwt("leeway = \"301 s\""), Some("jwt.leeway"));
    for good in [1008, 3000, 4999] {
        assert_eq!(jwt(&format!("expired_close_code = {good}")), None);
    }
    for bad in [1000, 2999, 5000] {
        let line = format!("expired_close_code = {bad}");
        assert_eq!(jwt(&line), Some("jwt.expired_close_code"));
    }
    assert_eq!(jwt("algorithms = [\"ES512\", \"EdDSA\"]"), None);
    for bad in ["none", "None", "hs256", "ES256K"] {
        let line = format!("algorithms = [\"{bad}\"]");
        assert_eq!(jwt(&line), Some("jwt.algorithms"));
    }
    let list = |count: usize| format!("audience = [{}]", "\"a\",".repeat(count));
    assert_eq!(jwt(&list(NAMES_MAX)), None);
    assert_eq!(jwt(&list(NAMES_MAX + 1)), Some("jwt.audience"));
    assert_eq!(jwt("issuer = \"\""), Some("jwt.issuer"));
    let word = |bytes: usize| format!("issuer = \"{}\"", "a".repeat(bytes));
    assert_eq!(jwt(&word(WORD_BYTES_MAX)), None);
    assert_eq!(jwt(&word(WORD_BYTES_MAX + 1)), Some("jwt.issuer"));
    let prefix = |bytes: usize| format!("renewal_prefix = \"{}\"", "a".repeat(bytes));
    assert_eq!([jwt(&prefix(1)), jwt(&prefix(128))], [None, None]);
    for bytes in [0, 129] {
        assert_eq!(jwt(&prefix(bytes)), Some("jwt.renewal_prefix"));
    }
    assert_eq!(
        jwt("checked = [\"/a\"]\nunchecked = [\"/b\"]"),
        Some("jwt.checked")
    );
    let paths = |count: usize| format!("unchecked = [{}]", "\"/a\",".repeat(count));
    assert_eq!(jwt(&paths(CHECKED_PATHS_MAX)), None);
    assert_eq!(jwt(&paths(CHECKED_PATHS_MAX + 1)), Some("jwt.unchecked"));
}

#[test]
fn from_outside_come_the_hosts_own_paths_and_no_secrets() {
    let blamed = |text: &str| {
        let read = read(text).unwrap();
        assert_eq!(read.check(), Ok(()), "{text}");
        let error = read.check_remote().err()?;
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
        Some(error.key)
    };
    let jwt = |keys: &str| blamed(&format!("method = \"jwt\"\n[jwt]\n{keys}"));
    let until = "valid_until = \"2027-01-01T00:00:00Z\"";
    assert_eq!(jwt("secret = \"env:A\""), None);
    assert_eq!(jwt("secret = \"file:/run/a\""), None);
    assert_eq!(jwt("secret = \"file:a\""), Some("jwt.secret"));
    let both = format!("secret = \"env:A\"\nprevious_secret = \"file:a\"\n{until}");
    assert_eq!(jwt(&both), Some("jwt.secret"));
    assert_eq!(jwt("keys_file = \"/etc/keys\""), None);
    assert_eq!(jwt("keys_file = \"keys\""), Some("jwt.keys_file"));
    assert_eq!(jwt("keys = [{ kty = \"RSA\" }]"), None);
    for secret in ["{ kty = \"oct\" }", "{ kty = \"RSA\", k = \"a\" }"] {
        assert_eq!(jwt(&format!("keys = [{secret}]")), Some("jwt.keys"));
    }
    let signature = |key: &str| blamed(&format!("{SIGNATURE}{key}"));
    assert_eq!(signature(KEY), None);
    let file = KEY.replace("env:A", "file:a");
    assert_eq!(signature(&file), Some("signature.keys"));
    let token = format!("{KEY}security_token = \"file:a\"\n");
    assert_eq!(signature(&token), Some("signature.keys"));
    assert_eq!(blamed("method = \"ticket\""), None);
}

#[test]
fn access_keys_are_few_and_distinct() {
    let with = |line: &str, keys: &str| blamed(&format!("{SIGNATURE}{line}\n{keys}"));
    assert_eq!(with("", ""), Some("signature.keys"));
    assert_eq!(with("", &KEY.repeat(2)), Some("signature.keys"));
    let keys = |count: usize| -> String {
        let key = |it: usize| KEY.replace("\"a\"", &format!("\"a{it}\""));
        (0..count).map(key).collect()
    };
    assert_eq!(with("", &keys(ACCESS_KEYS_MAX)), None);
    assert_eq!(with("", &keys(ACCESS_KEYS_MAX + 1)), Some("signature.keys"));
    for bad in ["", "a b", "a,b", "a=b", "a/b", "a:b"] {
        let key = KEY.replace("\"a\"", &format!("\"{bad}\""));
        assert_eq!(with("", &key), Some("signature.keys"), "{bad}");
    }
    let id = |bytes: usize| {
        with(
            "",
            &KEY.replace("\"a\"", &format!("\"{}\"", "a".repeat(bytes))),
        )
    };
    assert_eq!([id(128), id(129)], [None, Some("signature.keys")]);
    assert_eq!(with("accept = []", KEY), Some("signature.accept"));
    assert_eq!(with("window = \"1 h\"", KEY), None);
    assert_eq!(with("window = \"3601 s\"", KEY), Some("signature.window"));
    assert_eq!(with("window = \"0\"", KEY), Some("signature.window"));
    assert_eq!(with("nonces_max = 16777216", KEY), None);
    assert_eq!(
        with("nonces_max = 16777217", KEY),
        Some("signature.nonces_max")
    );
    assert_eq!(with("nonces_max = 0", KEY), Some("signature.nonces_max"));
    assert_eq!(with("presigned_time_max = \"7 d\"", KEY), None);
    let week = "presigned_time_max = \"169 h\"";
    assert_eq!(with(week, KEY), Some("signature.presigned_time_max"));
    assert_eq!(with("presigned_time_max = \"1 s\"", KEY), None);
    let nothing = "presigned_time_max = \"0\"";
    assert_eq!(with(nothing, KEY), Some("signature.presigned_time_max"));
    assert_eq!(with("window = \"1 s\"", KEY), None);
    let header = "signed_headers = [\"a b\"]";
    assert_eq!(with(header, KEY), Some("signature.signed_headers"));
    let both = |forms: &str, headers: &str| {
        with(
            &format!("accept = [{forms}]\nsigned_headers = [{headers}]"),
            KEY,
        )
    };
    assert_eq!(both("\"openline\", \"acs3\"", "\"x-user\""), None);
    assert_eq!(both("\"openline\", \"fc\"", ""), None);
    for fc in ["\"fc\"", "\"openline\", \"fc\""] {
        assert_eq!(both(fc, "\"x-user\""), Some("signature.signed_headers"));
    }
}

#[test]
fn tickets_and_first_messages_are_short() {
    let ticket = |line: &str| blamed(&format!("method = \"ticket\"\n[ticket]\n{line}"));
    assert_eq!(ticket("time = \"10 min\"\ntickets_max = 1"), None);
    assert_eq!(ticket("time = \"1 s\""), None);
    assert_eq!(ticket("time = \"601 s\""), Some("ticket.time"));
    assert_eq!(ticket("time = \"0\""), Some("ticket.time"));
    assert_eq!(ticket("tickets_max = 0"), Some("ticket.tickets_max"));
    assert_eq!(ticket("tickets_max = 1048576"), None);
    assert_eq!(ticket("tickets_max = 1048577"), Some("ticket.tickets_max"));
    let first = |line: &str| {
        let jwt = JWT.replace("\"jwt\"", "\"first-message\"");
        blamed(&format!("{jwt}[first_message]\n{line}"))
    };
    let most = "timeout = \"1 h\"\nmessage_bytes_max = \"16 KiB\"";
    let least = "timeout = \"100 ms\"\nmessage_bytes_max = \"1 KiB\"";
    assert_eq!([first(most), first(least)], [None, None]);
    for timeout in ["99 ms", "3601 s"] {
        let line = format!("timeout = \"{timeout}\"");
        assert_eq!(first(&line), Some("first_message.timeout"));
    }
    for bytes in ["16385 B", "1023 B"] {
        let line = format!("message_bytes_max = \"{bytes}\"");
        assert_eq!(first(&line), Some("first_message.message_bytes_max"));
    }
    let longest = "a".repeat(128);
    for good in ["token", "connect.token", "a.b.c", &longest] {
        assert_eq!(first(&format!("field = \"{good}\"")), None, "{good}");
    }
    for bad in ["", ".", "a.", ".a", "a..b", &format!("{longest}a")] {
        let line = format!("field = \"{bad}\"");
        assert_eq!(first(&line), Some("first_message.field"), "{bad}");
    }
    assert_eq!(first(&format!("prefix = \"{longest}\"")), None);
    for bad in ["", &format!("{longest}a")] {
        let line = format!("prefix = \"{bad}\"");
        assert_eq!(first(&line), Some("first_message.prefix"), "{bad}");
    }
    let subprotocols = |count: usize| format!("subprotocols = [{}]", "\"a\",".repeat(count));
    assert_eq!(first(&subprotocols(NAMES_MAX)), None);
    for bad in [
        &*subprotocols(NAMES_MAX + 1),
        "subprotocols = [\"\"]",
        "subprotocols = [\"a b\"]",
    ] {
        assert_eq!(first(bad), Some("first_message.subprotocols"), "{bad}");
    }
    let lookup = JWT.replace("\"jwt\"", "\"first-message\"") + "lookup = \"query:t\"";
    assert_eq!(blamed(&lookup), Some("jwt.lookup"));
}
