//! The commands that ask a running host: their output and exit codes. Runs the
//! real binary against a host in this process.

use serde_json::Value;

use crate::harness::{AdminHost, Ended, openline, openline_with};

/// The exit code for a wrong command line, as in BSD's sysexits.
const USAGE: i32 = 64;
/// The exit code when the host refuses.
const REFUSED: i32 = 3;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Runs a command against a host, which must succeed.
async fn done(host: &AdminHost, arguments: &[&str]) -> String {
    let ended = run(host, arguments).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

async fn run(host: &AdminHost, arguments: &[&str]) -> Ended {
    let url = format!("http://{}", host.admin);
    openline_with(&[("OPENLINE_ADMIN", &url)], arguments).await
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("not JSON: {text}"))
}

#[tokio::test]
async fn a_canary_is_deployed_promoted_and_taken_back() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/numbered")
        .start()
        .await;
    let name = "fault-version-a";
    let first = json(&done(&host, &["versions", name, "--json"]).await);
    let first = first[0]["digest"].as_str().unwrap()[..12].to_owned();

    let canary = [
        "deploy",
        name,
        openline_guests::FAULT_VERSION_B,
        "--weight",
        "10",
        "--note",
        "faster joins",
    ];
    let text = done(&host, &canary).await;
    let second = text.split_whitespace().nth(2).unwrap().to_owned();
    let expected =
        format!("version  {name} {second} (new)\nalias    live = {first}=90 {second}=10\n");
    assert_eq!(text, expected);
    let text = done(&host, &canary).await;
    assert!(
        text.contains("(it was there)") && text.contains(", as before"),
        "{text}"
    );

    let text = done(&host, &["versions", name]).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("VERSION       ALIASES"), "{text}");
    assert!(
        lines[1].starts_with(&first) && lines[1].contains("live=90"),
        "{text}"
    );
    assert!(
        lines[2].starts_with(&second) && lines[2].ends_with("faster joins"),
        "{text}"
    );

    let text = done(&host, &["promote", name]).await;
    assert_eq!(text, format!("alias    live = {second}=100\n"));
    assert!(
        host.connect("/numbered")
            .await
            .ask("1")
            .await
            .starts_with('b')
    );
    let text = done(&host, &["rollback", name]).await;
    assert_eq!(text, format!("alias    live = {first}=90 {second}=10\n"));
    let text = done(&host, &["promote", name, &first]).await;
    assert_eq!(text, format!("alias    live = {first}=100\n"));

    an_alias_is_made_listed_and_removed(&host, [&first, &second]).await;
}

async fn an_alias_is_made_listed_and_removed(host: &AdminHost, [first, second]: [&str; 2]) {
    let name = "fault-version-a";
    let split = [
        format!("{}=30", &first[..6]),
        format!("{}=70", &second[..6]),
    ];
    let set = [
        "aliases",
        name,
        "next",
        &split[0],
        &split[1],
        "--migration",
        "pin",
    ];
    let text = done(host, &set).await;
    assert_eq!(text, format!("alias    next = {first}=30 {second}=70\n"));
    let text = done(host, &["aliases", name]).await;
    assert!(text.starts_with("ALIAS  VERSIONS"), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    let one = json(&done(host, &["aliases", name, "next", "--json"]).await);
    assert_eq!(one["next"]["migration"], "pin");

    let text = done(host, &["remove", name, "--alias", "next"]).await;
    assert_eq!(text, format!("removed  {name} next\n"));
}

#[tokio::test]
async fn a_function_comes_and_goes_by_commands_alone() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a")
        .start()
        .await;
    let deploy = ["deploy", "echo", openline_guests::ECHO, "--probe"];
    let ended = run(&host, &deploy).await;
    ended.failed(
        REFUSED,
        &[
            "there is no function `echo`, and a new one needs a route",
            "\nhint: ",
            "--route",
        ],
    );
    let deploy = [&deploy[..], &["--route", "/rooms/{room}", "--json"]].concat();
    let deployed = json(&done(&host, &deploy).await);
    assert_eq!(deployed["version_is_new"], true);
    let text = done(&host, &["functions"]).await;
    assert!(text.starts_with("NAME"), "{text}");
    assert!(
        text.contains("echo") && text.contains("/rooms/{room}"),
        "{text}"
    );

    let mut client = host.connect("/rooms/1").await;
    client.ask("x").await;
    let list = json(&done(&host, &["connections", "echo", "--json"]).await);
    let id = list[0]["id"].as_str().unwrap();
    let text = done(&host, &["connections"]).await;
    assert!(text.starts_with("ID") && text.contains(id), "{text}");
    assert_eq!(done(&host, &["send", id, "grüß dich"]).await, "sent\n");
    assert_eq!(
        client.next().await.into_text().unwrap().as_str(),
        "grüß dich"
    );
    let close = ["close", id, "--code", "4001", "--reason", "signed out"];
    assert_eq!(done(&host, &close).await, "closed\n");
    assert_eq!(client.closed().await.code, 4001);

    assert_eq!(done(&host, &["remove", "echo"]).await, "removed  echo\n");
    let ended = run(&host, &["versions", "echo"]).await;
    ended.failed(REFUSED, &["there is no function `echo`", "\nhint: "]);
}

#[tokio::test]
async fn what_the_host_refuses_is_said_in_its_words() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.wasm");
    std::fs::write(&text, "this is text").unwrap();
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a")
        .start()
        .await;
    let text = text.to_str().unwrap();
    let name = "fault-version-a";
    for (arguments, words) in [
        (&["deploy", name, text][..], "not a WebAssembly file"),
        (
            &[
                "deploy",
                name,
                openline_guests::FAULT_VERSION_B,
                "--weight",
                "130",
            ],
            "1 to 100",
        ),
        (
            &["deploy", name, openline_guests::FAULT_BROKEN_START],
            "does not start",
        ),
        (&["promote", name], "no canary"),
        (&["rollback", name], "before"),
        (&["promote", name, "xyz"], "beginning of a digest"),
        (&["remove", name], "configuration"),
        (&["remove", name, "--alias", "live"], "/a"),
        (&["aliases", name, "live", "abcdef=100"], "abcdef"),
        (&["connections", "--tag", "x", "none"], ""),
        (&["close", "none"], "no connection"),
        (&["send", &"0".repeat(32), "x"], "no connection"),
    ] {
        let ended = run(&host, arguments).await;
        if words.is_empty() {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        } else {
            ended.failed(REFUSED, &[words, "\nhint: "]);
        }
    }
    let ended = run(&host, &["aliases", name, "none"]).await;
    ended.failed(1, &["has no alias `none`", "\nhint: "]);
    let ended = run(&host, &["deploy", name, "missing.wasm"]).await;
    ended.failed(1, &["missing.wasm", "cannot be read", "\nhint: "]);
}

#[tokio::test]
async fn a_token_comes_from_the_environment_or_a_file() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .token(TOKEN)
        .start()
        .await;
    let url = format!("http://{}", host.admin);
    let ended = openline(&["functions", "--admin", &url]).await;
    ended.failed(REFUSED, &["needs its token", "\nhint: "]);
    let variable = [("OPENLINE_ADMIN_TOKEN", TOKEN)];
    let ended = openline_with(&variable, &["functions", "--admin", &url]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let file = file.to_str().unwrap();
    let ended = openline(&["functions", "--admin", &url, "--token-file", file]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let wrong = [("OPENLINE_ADMIN_TOKEN", "not the token")];
    let ended = openline_with(&wrong, &["functions", "--admin", &url]).await;
    ended.failed(REFUSED, &["not the token of this host"]);
    // `--token-file` takes precedence.
    let ended = openline_with(&variable, &["functions", "--token-file", "missing"]).await;
    ended.failed(1, &["missing", "\nhint: "]);
    assert!(!ended.stderr.contains(TOKEN));
}

/// The host answers after the head of a request and closes, while the command
/// still sends.
#[tokio::test]
async fn a_refusal_is_heard_before_a_large_body_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.wasm");
    let bytes = [&b"\0asm\x0d\0\x01\0"[..], &[0; 20 << 20]].concat();
    std::fs::write(&large, bytes).unwrap();
    let deploy = ["deploy", "echo", large.to_str().unwrap()];
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .token(TOKEN)
        .component_bytes(8 << 20)
        .start()
        .await;
    let url = format!("http://{}", host.admin);
    // Whether the refusal arrives between two writes depends on the kernel.
    for _ in 0..5 {
        let ended = openline_with(&[("OPENLINE_ADMIN", &url)], &deploy).await;
        ended.failed(REFUSED, &["needs its token", "\nhint: "]);
        let variables = [("OPENLINE_ADMIN", &*url), ("OPENLINE_ADMIN_TOKEN", TOKEN)];
        let ended = openline_with(&variables, &deploy).await;
        ended.failed(REFUSED, &["component_bytes", "\nhint: "]);
    }
}

#[tokio::test]
async fn a_host_that_is_not_there_and_addresses_that_are_none() {
    // Bound but not listening, so that no other program gets the port
    // meanwhile.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let ended = openline(&["functions", "--admin", &url]).await;
    ended.failed(
        1,
        &["no connection to http://127.0.0.1:", "\nhint: ", "--admin"],
    );
    let ended = openline(&["functions", "--admin", "wss://host.example"]).await;
    ended.failed(USAGE, &["`wss://` is not spoken", "https://host.example"]);
    let ended = openline_with(&[("OPENLINE_ADMIN", "localhost")], &["functions"]).await;
    ended.failed(USAGE, &["http://127.0.0.1:18080"]);
    // The listener for connections is not the admin interface.
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let url = format!("http://{}", host.address);
    let ended = openline(&["functions", "--admin", &url]).await;
    ended.failed(
        1,
        &["does not answer as the admin interface does", "\nhint: "],
    );
}

#[tokio::test]
async fn command_lines_that_are_wrong_are_not_sent() {
    for arguments in [
        &["deploy", "chat"][..],
        &["deploy", "a/b", "x.wasm"],
        &["deploy", "chat", "x.wasm", "--alias", "abcdef12"],
        &["deploy", "chat", "x.wasm", "--route", "chat"],
        &["deploy", "chat", "x.wasm", "--migration", "slowly"],
        &["deploy", "chat", "x.wasm", "--weight", "ten"],
        &["aliases", "chat", "live", "abcdef=many"],
        &["remove", "chat", "--force"],
        &["connections", "--tag", "x"],
        &["send", "id"],
    ] {
        let ended = openline(arguments).await;
        assert_eq!(ended.code, Some(USAGE), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn triggers_are_made_listed_and_removed() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let set = [
        "triggers",
        "set",
        "echo",
        "site",
        "--route",
        "/site/{*path}",
        "--host",
        "127.0.0.1",
        "--host",
        "*.Example.org",
        "--method",
        "GET",
        "--method",
        "POST",
    ];
    let text = done(&host, &set).await;
    let places = "127.0.0.1/site/{*path} *.example.org/site/{*path}";
    assert_eq!(
        text,
        format!("trigger  echo site: {places} leads to live\n")
    );
    // The first request after the command meets it.
    assert_eq!(host.connect("/site/a/b").await.ask("new").await, "new");
    let inner = [
        "triggers",
        "set",
        "echo",
        "inner",
        "--route",
        "/inner",
        "--no-internet",
        "--json",
    ];
    assert_eq!(json(&done(&host, &inner).await)["internet"], false);
    let text = done(&host, &["triggers", "list", "echo"]).await;
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with("TRIGGER  ROUTE"), "{text}");
    assert!(
        lines[1].starts_with("echo") && lines[1].ends_with("configuration"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("inner") && lines[2].contains("private"),
        "{text}"
    );
    assert!(
        lines[3].contains(places) && lines[3].contains("GET POST"),
        "{text}"
    );
    let text = done(&host, &["functions"]).await;
    assert!(text.contains(places), "{text}");

    triggers_that_are_refused(&host).await;
    let text = done(&host, &["triggers", "remove", "echo", "site"]).await;
    assert_eq!(text, "removed  echo site\n");
    assert_eq!(host.refused("/site/a").await.status, 404);
}

#[tokio::test]
async fn a_trigger_says_what_pages_of_other_sites_may_do() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let cors = async |text| {
        let set = ["triggers", "set", "echo", "pages", "--route", "/pages"];
        let words = [&set[..], &["--cors", text, "--json"]].concat();
        run(&host, &words).await
    };
    let wrong = cors("everyone").await;
    assert_eq!(wrong.code, Some(REFUSED), "{}", wrong.stderr);
    for named in ["`everyone` is not a value", "\"function-compute\""] {
        assert!(wrong.stderr.contains(named), "{}", wrong.stderr);
    }
    let right = cors("{allow_origins = [\"https://a.org\"], max_age = \"1 h\"}").await;
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    let shown = json(&right.stdout);
    assert_eq!(
        shown["cors"]["allow_origins"],
        serde_json::json!(["https://a.org"])
    );
    assert_eq!(shown["cors"]["max_age"], "1 h");
}

/// Beside the triggers `echo`, of the configuration, and `inner`.
async fn triggers_that_are_refused(host: &AdminHost) {
    let taken = run(
        host,
        &["triggers", "set", "echo", "more", "--route", "/inner"],
    )
    .await;
    assert_eq!(taken.code, Some(REFUSED));
    for named in [
        "trigger `more` of `echo`",
        "trigger `inner` of `echo`",
        "hint: ",
    ] {
        assert!(taken.stderr.contains(named), "{}", taken.stderr);
    }
    let fixed = run(host, &["triggers", "remove", "echo", "echo"]).await;
    assert_eq!(fixed.code, Some(REFUSED), "{}", fixed.stderr);
    for words in [
        &["triggers", "set", "echo", "x"][..],
        &["triggers", "set", "echo", "-", "--route", "/x"],
        &[
            "triggers", "set", "echo", "x", "--route", "/x", "--method", "TRACE",
        ],
        &["triggers"],
        &["triggers", "set", "echo", "x", "--route=/x", "--cors={}"],
        &["triggers", "set", "echo", "x", "--route=/x", "--cors={a=1}"],
    ] {
        let wrong = run(host, words).await;
        assert_eq!(wrong.code, Some(USAGE), "{words:?}: {}", wrong.stderr);
    }
}
