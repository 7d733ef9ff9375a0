//! Authentication of triggers that are set in a running host: checked like those
//! of a configuration, kept with the deployment, and never shown with a secret.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::authentication::{Files, SECRET, bearer, now, token};
use crate::harness::{AdminHost, Answer, Client, Serving, openline, openline_with};

const PATH: &str = "/v1/functions/fault-reject/triggers/t";

async fn host() -> AdminHost {
    AdminHost::with(openline_guests::FAULT_REJECT, "/reject")
        .start()
        .await
}

async fn set(host: &AdminHost, mut with: Value) -> Answer {
    with["route"] = json!("/t/{*rest}");
    host.json("PUT", PATH, &with).await
}

/// The status of a handshake, with a token or without.
async fn status(host: &AdminHost, token: Option<&str>) -> u16 {
    let authorization = token.map(bearer).unwrap_or_default();
    let headers = [("authorization", &*authorization)];
    let headers = if token.is_some() { &headers[..] } else { &[] };
    let opened = Client::open(host.address, "/t/a", headers).await;
    opened.map_or_else(|refused| refused.status, |_| 101)
}

#[tokio::test]
async fn a_trigger_authenticates_from_the_first_request_on() {
    let host = host().await;
    let files = Files::new();
    let secret = files.0.path().join("secret").display().to_string();
    let good = token(&json!({"sub": "ann", "exp": now() + 600}));
    let jwt = json!({"secret": format!("file:{secret}"), "leeway": "1 s"});
    let made = set(&host, json!({"auth": "jwt", "jwt": jwt})).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.value()["auth"], "jwt");
    assert_eq!(
        (status(&host, None).await, status(&host, Some(&good)).await),
        (401, 101)
    );
    // No answer has the secret or its place.
    let shown = host.ask("GET", PATH, None).await;
    for answer in [made, shown] {
        let text = answer.value().to_string();
        assert!(!text.contains(&secret) && !text.contains("file:"), "{text}");
    }
    // A change counts from the next request on.
    for (with, without_token, word) in [
        (json!({"auth": "ticket"}), 401, "ticket"),
        (json!({"auth": "none"}), 101, "none"),
        (json!({}), 101, "none"),
    ] {
        let changed = set(&host, with).await;
        assert_eq!(changed.status, 200, "{changed:?}");
        assert_eq!(changed.value()["auth"], word);
        assert_eq!(status(&host, None).await, without_token, "{word}");
    }
    let first = json!({"auth": "first-message", "jwt": {"secret": format!("file:{secret}")},
        "first_message": {"timeout": "1 h"}});
    assert_eq!(set(&host, first).await.status, 200);
    let mut client = host.connect("/t/a").await;
    client.text(&good).await;
    assert_eq!(client.ask("hello").await, "hello");
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_key_and_changes_nothing() {
    let host = host().await;
    assert_eq!(set(&host, json!({})).await.status, 201);
    let jwt = |table: Value| json!({"auth": "jwt", "jwt": table});
    let key = json!({"id": "a", "secret": "file:key"});
    for (with, word) in [
        (json!({"auth": "jwt"}), "auth"),
        (json!({"jwt": {"secret": "env:A"}}), "jwt"),
        (jwt(json!({})), "jwt.keys"),
        (jwt(json!({"secret": "file:relative"})), "jwt.secret"),
        (jwt(json!({"keys_file": "relative"})), "jwt.keys_file"),
        (
            jwt(json!({"keys": [{"kty": "oct", "k": "aHVudGVyMg"}]})),
            "jwt.keys",
        ),
        (
            jwt(json!({"secret": "env:A", "leeway": "6 min"})),
            "jwt.leeway",
        ),
        (
            json!({"auth": "signature", "signature": {"keys": [key]}}),
            "signature.keys",
        ),
        (
            json!({"auth": "ticket", "ticket": {"time": "1 h"}}),
            "ticket.time",
        ),
        (
            json!({"auth": "first-message", "jwt": {"secret": "env:A"}, "first_message": {"timeout": "1 ms"}}),
            "first_message.timeout",
        ),
        // Its secret is read before anything changes.
        (
            jwt(json!({"secret": "env:OPENLINE_NO_SUCH_SECRET"})),
            "env:OPENLINE_NO_SUCH_SECRET",
        ),
        (
            jwt(json!({"secret": "file:/no/such/secret"})),
            "file:/no/such/secret",
        ),
    ] {
        let answer = set(&host, with.clone()).await;
        answer.refused(422, "authentication");
        let value = answer.value();
        assert!(value["message"].as_str().unwrap().contains(word), "{value}");
        assert!(
            value["hint"].as_str().is_some_and(|hint| !hint.is_empty()),
            "{value}"
        );
        assert!(!value.to_string().contains("aHVudGVyMg"), "{value}");
    }
    for with in [
        json!({"auth": "basic"}),
        jwt(json!({"secret": "hunter2hunter2"})),
        jwt(json!({"secrets": "env:A"})),
        jwt(json!("env:A")),
    ] {
        let answer = set(&host, with).await;
        answer.refused(400, "bad_json");
        assert!(!answer.value().to_string().contains("hunter2"));
    }
    assert_eq!(status(&host, None).await, 101, "nothing has changed");
}

/// A file whose trigger at `/a` takes its secret from the environment.
fn configured(folder: &Path) -> String {
    let path = folder.join("openline.toml");
    let component = openline_guests::FAULT_REJECT;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n\
         [[function]]\nname = \"f\"\ncomponent = {component:?}\n\
         [[function.trigger]]\nroute = \"/a\"\nauth = \"jwt\"\n\
         [function.trigger.jwt]\nsecret = \"env:CHAT_SECRET\"\n"
    );
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_file_is_good_only_where_its_variable_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let secret = std::str::from_utf8(SECRET).unwrap();
    let check = ["check", "--config", &config];
    let words = ["env:CHAT_SECRET", "the variable is not set", "hint:"];
    openline(&check).await.failed(1, &words);
    let checked = openline_with(&[("CHAT_SECRET", "short")], &check).await;
    checked.failed(1, &["at least 16 bytes"]);
    let checked = openline_with(&[("CHAT_SECRET", secret)], &check).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!checked.stdout.contains(secret) && !checked.stderr.contains(secret));
}

/// The command sets one, the data directory keeps it, and secrets come from the
/// host's environment.
#[tokio::test]
async fn it_is_kept_with_the_deployment_and_read_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let config = configured(folder.path());
    let secret = std::str::from_utf8(SECRET).unwrap();
    let export = format!("export CHAT_SECRET={secret}");
    let serve = ["serve", "--config", &config];
    let good = token(&json!({"sub": "ann", "exp": now() + 600}));
    let headers = [("authorization", &*bearer(&good))];
    let opens = async |host: &Serving, target: &str| {
        let with = Client::open(host.address, target, &headers).await;
        let without = Client::open(host.address, target, &[]).await;
        (
            with.is_ok(),
            without.map_err(|refused| refused.status).err(),
        )
    };
    let mut host = Serving::under(&export, &serve).await;
    let admin = format!("http://{}", host.admin().await);
    assert_eq!(opens(&host, "/a").await, (true, Some(401)));
    let words = [
        "triggers", "set", "f", "more", "--route", "/more", "--admin", &admin,
    ];
    let table = ["--auth", "jwt", "--jwt", "{secret = \"env:CHAT_SECRET\"}"];
    let ended = openline(&[&words[..], &table].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for (wrong, words) in [
        (
            ["--auth", "jwt", "--jwt", "{secret = \"hunter2\"}"],
            ["--jwt", "not written into"],
        ),
        (
            ["--auth", "jwt", "--jwt", "{secret = \"file:a\"}"],
            ["jwt.secret", "from `/` on"],
        ),
        (
            ["--auth", "basic", "--jwt", "{}"],
            ["--auth", "first-message"],
        ),
        (["--auth", "jwt", "--jwt", "secret"], ["--jwt", "in braces"]),
    ] {
        let ended = openline(
            &[
                &[
                    "triggers", "set", "f", "more", "--route", "/more", "--admin", &admin,
                ],
                &wrong[..],
            ]
            .concat(),
        )
        .await;
        assert!(ended.code.is_some_and(|code| code > 0), "{ended:?}");
        for word in words {
            assert!(ended.stderr.contains(word), "{word}: {ended:?}");
        }
    }
    let listed = openline(&["triggers", "list", "f", "--admin", &admin]).await;
    let line = listed
        .stdout
        .lines()
        .find(|line| line.starts_with("more"))
        .unwrap();
    assert!(line.contains(" jwt "), "{listed:?}");
    assert!(!listed.stdout.contains("CHAT_SECRET"));
    assert_eq!(opens(&host, "/more").await, (true, Some(401)));
    host.signal("KILL").await;
    drop(host);
    let host = Serving::under(&export, &serve).await;
    assert_eq!(opens(&host, "/more").await, (true, Some(401)));
}
