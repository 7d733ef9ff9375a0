//! Tables of channels, good and bad.

use openline_hint::Hint;

use super::*;

#[derive(Deserialize)]
struct File {
    channel: Vec<ChannelWritten>,
}

fn shared(text: &str) -> Result<Vec<ChannelTable>, (usize, TableError)> {
    let file: File = toml::from_str(text).unwrap();
    ChannelTable::check_shared(file.channel)
}

fn own(text: &str) -> Result<ChannelTerms, TableError> {
    let text = format!("pattern = 'a:{{sub}}'\n{text}");
    let table = toml::from_str(&text).unwrap();
    match ChannelTable::check_own(vec![table]) {
        Ok(mut tables) => Ok(tables.remove(0).terms),
        Err((_, error)) => Err(error),
    }
}

#[test]
fn a_table_with_all_keys() {
    let tables = shared(
        r#"
        [[channel]]
        pattern = "chat:*"
        functions = ["chat", "moderation"]
        history = { count = 50, time = "1 h", bytes = "64 KiB" }
        position_time = "2 d"
        recovery = false
        latest = true
        presence = true
        join_leave = "users"
        durable = true
        subscribe = "claim:channels"
        publish = "peers"
        filters = true
        [[channel]]
        pattern = "cursors:{document}"
        keyed = { keys = 10, bytes = "1 KiB", time = "30 s" }
        "#,
    );
    let tables = tables.unwrap();
    let functions = ["chat", "moderation"].map(|name| FunctionName::new(name).unwrap());
    assert_eq!(tables[0].functions.as_deref(), Some(&functions[..]));
    assert_eq!(
        tables[0].terms,
        ChannelTerms {
            history: Some(HistoryTerms {
                count: 50,
                time: Some(Duration::from_secs(3600)),
                bytes: 64 << 10,
            }),
            position_time: Duration::from_secs(2 * 86_400),
            recovery: false,
            latest: true,
            keyed: None,
            presence: true,
            join_leave: JoinLeave::Users,
            durable: true,
            subscribe: Access::Claim("channels".into()),
            publish: Access::Peers,
            filters: true,
        }
    );
    let keyed = tables[1].terms.keyed.unwrap();
    assert_eq!((keyed.keys, keyed.bytes), (10, 1024));
    assert_eq!(keyed.time, Some(Duration::from_secs(30)));
    assert_eq!(tables[1].functions, None);
}

#[test]
fn the_defaults() {
    assert_eq!(own("").unwrap(), ChannelTerms::default());
    let terms = own("history = {}").unwrap();
    assert_eq!(terms.history, Some(HistoryTerms::default()));
    assert!(terms.recovery, "where there is something to recover");
    assert_eq!(
        own("history = { time = '0' }")
            .unwrap()
            .history
            .unwrap()
            .time,
        None
    );
    // The position is kept as long as what it counts.
    let week = Duration::from_secs(7 * 86_400);
    assert_eq!(
        own("history = { time = '7 d' }").unwrap().position_time,
        week
    );
    assert_eq!(own("keyed = { time = '7 d' }").unwrap().position_time, week);
}

#[test]
fn numbers_at_their_ends_and_past_them() {
    for (good, bad, key) in [
        (
            "history = { count = 1 }",
            "history = { count = 0 }",
            "history.count",
        ),
        (
            "history = { count = 100000 }",
            "history = { count = 100001 }",
            "history.count",
        ),
        (
            "history = { time = '1 s' }",
            "history = { time = '999 ms' }",
            "history.time",
        ),
        (
            "history = { time = '365 d' }",
            "history = { time = '366 d' }",
            "history.time",
        ),
        (
            "history = { bytes = '1 KiB' }",
            "history = { bytes = '1023 B' }",
            "history.bytes",
        ),
        (
            "history = { bytes = '1 GiB' }",
            "history = { bytes = '1025 MiB' }",
            "history.bytes",
        ),
        ("keyed = { keys = 1 }", "keyed = { keys = 0 }", "keyed.keys"),
        (
            "keyed = { keys = 100000 }",
            "keyed = { keys = 100001 }",
            "keyed.keys",
        ),
        (
            "keyed = { bytes = '1 GiB' }",
            "keyed = { bytes = '2 GiB' }",
            "keyed.bytes",
        ),
        (
            "keyed = { time = '1 s' }",
            "keyed = { time = '1 ms' }",
            "keyed.time",
        ),
        (
            "position_time = '1 s'",
            "position_time = '1 ms'",
            "position_time",
        ),
        (
            "position_time = '365 d'",
            "position_time = '366 d'",
            "position_time",
        ),
        (
            "history = {}\nposition_time = '5 min'",
            "history = {}\nposition_time = '299 s'",
            "position_time",
        ),
    ] {
        assert!(own(good).is_ok(), "{good}");
        let error = own(bad).unwrap_err();
        assert_eq!(error.key, key, "{bad}");
        assert!(!error.to_string().is_empty() && error.hint().is_some());
    }
}

#[test]
fn keys_that_do_not_fit_each_other() {
    for (bad, key) in [
        ("latest = true\nkeyed = {}", "latest"),
        ("recovery = true", "recovery"),
        ("durable = true", "durable"),
        ("join_leave = 'connections'", "join_leave"),
        ("subscribe = 'own:user'", "subscribe"),
        ("publish = 'own:user'", "publish"),
        ("functions = ['chat']", "functions"),
    ] {
        assert_eq!(own(bad).unwrap_err().key, key, "{bad}");
    }
    assert!(own("publish = 'own:sub'").is_ok());
    assert!(own("join_leave = 'users'\npresence = true").is_ok());
}

#[test]
fn lists_with_their_bound_and_without_doubles() {
    let list = |count: usize| {
        let tables = (0..count).map(|it| format!("[[channel]]\npattern = 'a{it}:*'\n"));
        shared(&tables.collect::<String>())
    };
    assert_eq!(
        list(CHANNEL_PATTERNS_MAX).unwrap().len(),
        CHANNEL_PATTERNS_MAX
    );
    assert_eq!(
        list(CHANNEL_PATTERNS_MAX + 1).unwrap_err().0,
        CHANNEL_PATTERNS_MAX
    );
    let double = "[[channel]]\npattern = 'a:{b}'\n[[channel]]\npattern = 'a:{c}'";
    let (at, error) = shared(double).unwrap_err();
    assert_eq!((at, error.key), (1, "pattern"));
    let (_, error) = shared("[[channel]]\npattern = 'a'\nfunctions = []").unwrap_err();
    assert_eq!(error.key, "functions");
}

#[test]
fn what_is_not_a_table_is_refused_by_serde() {
    for bad in [
        "pattern = ''",
        "pattern = 'a*b'",
        "pattern = 'a'\nunknown = 1",
        "pattern = 'a'\nhistory = { counts = 1 }",
        "pattern = 'a'\nsubscribe = 'all'",
        "pattern = 'a'\njoin_leave = 'yes'",
        "pattern = 'a'\nhistory = { bytes = 100 }",
        "history = {}",
    ] {
        assert!(toml::from_str::<ChannelWritten>(bad).is_err(), "{bad}");
    }
}
