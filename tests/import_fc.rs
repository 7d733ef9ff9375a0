//! `openline import fc`: the host takes what it writes, and it reports everything
//! that it leaves out, with the line.

use std::fs;
use std::path::Path;

use crate::harness::{openline, openline_with};

/// The secrets that the configuration names.
const SECRETS: [(&str, &str); 3] = [
    ("FC_ACCESS_KEY_SECRET", "0123456789abcdef0123456789abcdef"),
    ("API_TOKEN", "hunter2"),
    ("SMTP_URL", "smtp://localhost"),
];

/// A text of the example and its replacement, the text in whose line the error
/// is, and words of the error; without words there is no error.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "authType: jwt\n            disable",
        "authType: basic\n            disable",
        "authType: jwt",
        "`basic` is no `authType`",
    ),
    (
        "timeout: 3600",
        "timeout: an hour",
        "timeout: 3600",
        "`timeout` is not a whole number",
    ),
    (
        "functionName: ${env('ROOMS', 'rooms')}",
        "functionName: ${env('ROOMS')}",
        "ROOMS",
        "only `s` can evaluate",
    ),
    (
        "functionName: ${env('ROOMS', 'rooms')}",
        "functionName: ${vars.rooms}",
        "ROOMS",
        "only `s` can evaluate",
    ),
    (
        "region: cn-hangzhou",
        "region: ${vars.region}",
        "domainName",
        "",
    ),
    ("cpu: 0.5", "cpu: [0.5", "", "this is not YAML"),
    (
        "cpu: 0.5",
        "timeout: 5",
        "cpu: 0.5",
        "the key `timeout` is also in line",
    ),
    (
        "memorySize: *memory",
        "memorySize: *other",
        "*memory",
        "this is not YAML",
    ),
    (
        "whiteList:",
        "blackList:\n                - /a\n              whiteList:",
        "jwks:",
        "a whitelist and a blacklist",
    ),
    (
        "tokenLookup: 'header:Authorization",
        "tokenLookup: 'body:Authorization",
        "tokenLookup: 'header",
        "`tokenLookup`:",
    ),
    (
        "disableURLInternet: true",
        "disableURLInternet: maybe",
        "disableURLInternet: true",
        "neither `true` nor `false`",
    ),
    ("methods: [GET]\n", "methods: ['GET IT']\n", "", "GET IT"),
    (
        "instanceConcurrency: 20",
        "instanceConcurrency: 20\n      concurrency: 1",
        "",
        "",
    ),
    (
        "functionName: backend",
        "functionName: rooms",
        "functionName: backend",
        "two functions are named `rooms`",
    ),
    (
        "resources:\n",
        "services:\n",
        "edition:",
        "the file has no `resources`",
    ),
];

/// The files beside these tests.
fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/import");
    folder.join(name).display().to_string()
}

#[tokio::test]
async fn what_it_writes_is_what_the_host_takes() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("openline.toml");
    let written = output.to_str().unwrap();
    let import = ["import", "fc", &example("chat.yaml"), "--output", written];
    let ended = openline(&import).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.stdout.trim(), written);
    let golden = example("chat.toml");
    let text = fs::read_to_string(&output).unwrap();
    if std::env::var_os("OPENLINE_WRITE_GOLDEN").is_some() {
        fs::write(&golden, &text).unwrap();
        let notes = ended.stderr.replace(&example("chat.yaml"), "chat.yaml");
        fs::write(example("chat.notes"), notes).unwrap();
    }
    assert_eq!(text, fs::read_to_string(golden).unwrap());
    let notes = ended.stderr.replace(&example("chat.yaml"), "chat.yaml");
    assert_eq!(notes, fs::read_to_string(example("chat.notes")).unwrap());
    let checked = openline_with(&SECRETS, &["check", "--config", written]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!text.contains("hunter2") && !notes.contains("hunter2"));
    // It is printed without `--output`, and no file is replaced.
    let printed = openline(&import[..3]).await;
    assert_eq!(printed.stdout.trim_end(), text.trim_end());
    let again = openline(&import).await;
    again.failed(1, &["cannot be written", "hint: name another file"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), text);
}

#[tokio::test]
async fn an_error_says_the_line_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.yaml");
    let file = path.to_str().unwrap();
    let good = fs::read_to_string(example("chat.yaml")).unwrap();
    let at = |text: &str| {
        let found = good.lines().position(|line| line.contains(text));
        found.unwrap() + 1
    };
    for (from, to, beside, what) in WRONG {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        fs::write(&path, text).unwrap();
        let ended = openline(&["import", "fc", file]).await;
        if what.is_empty() {
            // It has a note, or nothing needs the value.
            assert_eq!(ended.code, Some(0), "{to}: {ended:?}");
            continue;
        }
        ended.failed(1, &[what, "hint: "]);
        if !beside.is_empty() {
            let line = format!("s.yaml: line {}: ", at(beside));
            assert!(ended.stderr.contains(&line), "{to}: {line}: {ended:?}");
        }
    }
    fs::write(&path, "").unwrap();
    openline(&["import", "fc", file])
        .await
        .failed(1, &["the file is empty"]);
    fs::write(&path, "\u{0}\u{1}").unwrap();
    openline(&["import", "fc", file])
        .await
        .failed(1, &["s.yaml: line 1"]);
    fs::write(&path, [0xff, 0xfe]).unwrap();
    openline(&["import", "fc", file])
        .await
        .failed(1, &["cannot be read"]);
    fs::write(&path, " ".repeat((4 << 20) + 1)).unwrap();
    openline(&["import", "fc", file])
        .await
        .failed(1, &["more than 4 MiB"]);
    let missing = folder.path().join("none").display().to_string();
    openline(&["import", "fc", &missing])
        .await
        .failed(1, &["hint: give the path"]);
}
