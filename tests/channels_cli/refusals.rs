//! Hosts and keys that are not there, or not enough, and text that is hostile.

use std::fs;

use super::{READER, Told, WRITER, free, write};
use crate::harness::{Serving, openline, openline_in, openline_with};

#[tokio::test]
async fn a_key_that_is_unknown_or_lacks_a_scope_is_refused() {
    let told = Told::start().await;
    let unknown = "sec_00000000000000000000000000000000";
    told.run(&["publish", "news", "1", "--key", unknown])
        .await
        .failed(
            3,
            &[
                "the key is missing or not known",
                "openline keys make NAME --scope publish",
            ],
        );
    for (words, key, scope) in [
        (&["publish", "news", "1"][..], READER, "`publish`"),
        (&["subscribe", "news"], WRITER, "`subscribe`"),
        (&["history", "news"], READER, "`read`"),
        (&["presence", "lobby"], READER, "`read`"),
    ] {
        let ended = told.run(&[words, &["--key", key]].concat()).await;
        ended.failed(3, &["the key may not do this", "hint: ", scope]);
    }
    // A key reads what it may: nothing.
    let listed = told.json(&["channels", "--key", READER]).await;
    assert_eq!(listed, serde_json::json!([]));
    // A channel whose subscribers the function chooses.
    told.run(&["subscribe", "values"])
        .await
        .failed(3, &["the key may not do this", "let keys subscribe"]);
    told.run(&["history", "news", "--key", WRITER, "--function", "other"])
        .await
        .failed(3, &["has to be for the function", "`openline keys list`"]);
    told.run(&["subscribe", "news", "--since", "here"])
        .await
        .failed(3, &["not a position"]);
    told.publish("news", "1").await;
    told.run(&["history", "news", "--since", "1-7"])
        .await
        .failed(3, &["are not kept", "leave out `--since`"]);
    told.run(&["subscribe", "news", "plain", "--since", "1-7"])
        .await
        .failed(64, &["a position is one of a channel", "hint: ", "Usage: "]);
}

#[tokio::test]
async fn keys_come_from_where_they_are_said_to_be() {
    let told = Told::start().await;
    fs::write(told.path("mine"), format!("{WRITER}\n")).unwrap();
    let config = told.path("openline.toml");
    let found = fs::read_to_string(&config).unwrap();
    // That of `[server.api]` is behind that of `[server]`.
    let (_, url) = found.rsplit_once("\nlisten = \"").unwrap();
    let url = format!("http://{}", url.split('"').next().unwrap());
    let words = ["publish", "news", "1", "--url", &url];
    let with =
        async |words: &[&str], key: &str| openline_with(&[("OPENLINE_KEY", key)], words).await;
    assert_eq!(with(&words, WRITER).await.code, Some(0));
    // The command line comes first.
    let mine = told.path("mine");
    let file = [&words[..], &["--key-file", &mine]].concat();
    assert_eq!(with(&file, READER).await.code, Some(0));
    let option = [&words[..], &["--key", WRITER]].concat();
    assert_eq!(with(&option, READER).await.code, Some(0));
    with(&words, READER).await.failed(3, &["may not do this"]);
    with(&words, "a\nkey")
        .await
        .failed(1, &["the key has characters", "OPENLINE_KEY"]);
    let variables = [("OPENLINE_URL", &*url), ("OPENLINE_KEY", WRITER)];
    let ended = openline_with(&variables, &["publish", "news", "1"]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let missing = told.path("missing");
    told.run(&["publish", "news", "1", "--key-file", &missing])
        .await
        .failed(1, &["missing", "hint: name a file that holds an API key"]);
    fs::write(told.path("mine"), "\n").unwrap();
    told.run(&["publish", "news", "1", "--key-file", &mine])
        .await
        .failed(1, &["mine is empty"]);
}

#[tokio::test]
async fn a_configuration_without_a_usable_key_or_address_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let publish = ["publish", "news", "1"];
    let ended = openline_in(folder.path(), &publish).await;
    ended.failed(
        1,
        &["there is no key", "keeps only its hash", "OPENLINE_KEY"],
    );
    let with_key = ["publish", "news", "1", "--key", WRITER];
    let ended = openline_in(folder.path(), &with_key).await;
    ended.failed(1, &["where is the host?", "--url URL"]);

    write(folder.path(), &free().await, "");
    let ended = openline_in(folder.path(), &with_key).await;
    ended.failed(1, &["no connection to http://127.0.0.1:", "OPENLINE_URL"]);
    for words in [
        &["subscribe", "news"][..],
        &["channels"],
        &["history", "news"],
    ] {
        let ended = openline_in(folder.path(), words).await;
        ended.failed(1, &["no connection to http://127.0.0.1:"]);
    }
    // The secret is on another machine.
    fs::remove_file(folder.path().join("writer")).unwrap();
    let ended = openline_in(folder.path(), &publish).await;
    ended.failed(1, &["key `writer`", "--key-file FILE"]);
    let text = fs::read_to_string(folder.path().join("openline.toml")).unwrap();
    let text = text.replace("scopes = [\"publish\", \"read\"]", "scopes = [\"manage\"]");
    fs::write(folder.path().join("openline.toml"), text).unwrap();
    let ended = openline_in(folder.path(), &publish).await;
    ended.failed(1, &["no key of openline.toml gives `publish` on `news`"]);
    fs::write(folder.path().join("openline.toml"), "[server]\nlisen = 1\n").unwrap();
    let ended = openline_in(folder.path(), &publish).await;
    ended.failed(78, &["line 2", "`lisen`"]);
    // Nothing of it is needed.
    let words = [
        "publish",
        "news",
        "1",
        "--key",
        WRITER,
        "--url",
        "http://127.0.0.1:1",
    ];
    openline_in(folder.path(), &words)
        .await
        .failed(1, &["no connection"]);
}

#[tokio::test]
async fn what_is_no_interface_for_publishers_is_said_to_be_none() {
    let mut host = Serving::start(&["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"]).await;
    let listen = format!("http://{}", host.address);
    let admin = format!("http://{}", host.admin().await);
    for url in [&listen, &admin] {
        for words in [&["publish", "news", "1"][..], &["subscribe", "news"]] {
            let words = [words, &["--key", WRITER, "--url", url]].concat();
            let ended = openline(&words).await;
            ended.failed(3, &["hint: is this the interface for publishers"]);
        }
    }
    for url in ["ws://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1:1/?x"] {
        let ended = openline(&["channels", "--key", WRITER, "--url", url]).await;
        ended.failed(64, &["--url", "hint: write it as in http://127.0.0.1:8081"]);
    }
    for words in [
        &["publish"][..],
        &["publish", "a\u{1b}[2J", "1"],
        &["publish", "news", "1", "--tag", "x"],
        &["publish", "news", "1", "--lines"],
        &["publish", "news", "--remove"],
        &["subscribe", "news", "--count", "0"],
        &["channels", "--pattern", "a*b"],
        &["history", "news", "--limit", "x"],
    ] {
        openline(words).await.failed(64, &["--help"]);
    }
    // As many channels as one command has, and one more.
    let names: Vec<_> = (0..65).map(|number| format!("c{number}")).collect();
    let subscribe = |most: usize| {
        let names = names[..most].iter().map(String::as_str);
        let url = ["--key", READER, "--url", "http://127.0.0.1:1"];
        ["subscribe"]
            .into_iter()
            .chain(names)
            .chain(url)
            .collect::<Vec<_>>()
    };
    openline(&subscribe(64)).await.failed(1, &["no connection"]);
    openline(&subscribe(65)).await.failed(64, &["64"]);
}

/// Publishers choose data, events and tags, and peers are no friends.
#[tokio::test]
async fn no_text_of_a_publication_is_obeyed_by_a_terminal() {
    let told = Told::start().await;
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\nerror: forged";
    let json = serde_json::to_string(&serde_json::json!({ "a": hostile })).unwrap();
    // JSON may have such letters as they are, but for the first of them.
    let raw = "{\"a\":\t\"\u{9b}2J\u{202e}\"}";
    for data in [hostile, &json, raw] {
        told.done(&[
            "publish",
            "news",
            data,
            "--event",
            "e\u{9b}",
            "--tag",
            "t\u{202e}=\u{1b}",
        ])
        .await;
    }
    let mut subscribed = told
        .run(&[
            "subscribe",
            "news",
            "--since",
            &begin(&told).await,
            "--count",
            "2",
        ])
        .await;
    assert_eq!(subscribed.stdout.lines().count(), 2, "{subscribed:?}");
    let since = begin(&told).await;
    let all = [
        "subscribe",
        "news",
        "--json",
        "--count",
        "2",
        "--since",
        &since,
    ];
    subscribed.stdout += &told.done(&all).await;
    subscribed.stdout += &told.done(&["history", "news"]).await;
    subscribed.stdout += &told.done(&["history", "news", "--json"]).await;
    for letter in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\t', '\r'] {
        assert!(
            !subscribed.stdout.contains(letter),
            "{letter:?}: {subscribed:?}"
        );
    }
    let forged = |line: &str| line.starts_with("error");
    assert!(!subscribed.stdout.lines().any(forged), "{subscribed:?}");
    for line in told.done(&["history", "news", "--json"]).await.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["event"], "e\u{9b}", "{line}");
    }
    // What a host answers is not obeyed, either: a channel that is repeated.
    let ended = told.run(&["history", "news", "--since", "\u{1b}[2J"]).await;
    ended.failed(3, &["not a position"]);
}

/// The position of the first publication.
async fn begin(told: &Told) -> String {
    let history = told
        .done(&["history", "news", "--json", "--limit", "1"])
        .await;
    let first: serde_json::Value = serde_json::from_str(history.lines().next().unwrap()).unwrap();
    first["position"].as_str().unwrap().to_owned()
}
