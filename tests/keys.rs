//! API keys of the real binary: made, listed, kept over a restart, revoked, and
//! read from the configuration. What they open is told elsewhere.

use std::fs;
use std::path::Path;

use openline_control::ConfiguredComponent;
use openline_core::authentication::UnixTime;
use openline_core::close::CloseReason;
use openline_core::config::Config;
use openline_core::key::{KeyTerms, Scope, Scopes};
use openline_core::name::{ChannelName, FunctionName, KeyName};
use openline_firewall::rules::Firewalls;
use openline_store::Store;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authentication::now;
use crate::harness::{AdminHost, Ended, Host, Serving, openline, openline_with, within};

/// A text of a key, as an operator makes one.
const TEXT: &str = "sec_0123456789abcdef0123456789abcdef";

/// A configuration with a function, these lines of `[server]`, and these tables.
fn configuration(server: &str, tables: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{server}\n\
         [[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n{tables}",
        openline_guests::ECHO
    )
}

/// A `[[key]]` whose text is in a file.
fn table(name: &str, more: &str) -> String {
    format!(
        "[[key]]\nname = \"{name}\"\nscopes = [\"publish\"]\nsecret = \"file:{name}\"\n{more}\n"
    )
}

/// Writes the file of a host with a data directory and these tables.
fn write(folder: &Path, tables: &str) {
    let text = configuration("data = \"data\"", tables);
    fs::write(folder.join("openline.toml"), text).unwrap();
}

/// A host that reads `openline.toml` of a folder.
struct Keyed {
    host: Serving,
    admin: String,
}

impl Keyed {
    async fn start(folder: &Path) -> Self {
        let path = folder.join("openline.toml");
        let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
        let admin = format!("http://{}", host.admin().await);
        Self { host, admin }
    }

    /// `openline keys` with these words.
    async fn keys(&self, words: &[&str]) -> Ended {
        let words = [&["keys"], words, &["--admin", &self.admin]].concat();
        openline(&words).await
    }

    /// All keys, as JSON.
    async fn list(&self) -> Vec<Value> {
        let listed = self.keys(&["list", "--json"]).await;
        assert_eq!(listed.code, Some(0), "{listed:?}");
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        listed["keys"].as_array().unwrap().clone()
    }

    /// Makes a pair for AWS's tools that is named `aws`.
    async fn make_pair(&self) -> (String, String) {
        let made = self
            .keys(&["make", "aws", "--scope", "manage", "--aws"])
            .await;
        assert_eq!(made.code, Some(0), "{made:?}");
        let mut lines = made.stdout.lines();
        let mut value = |name: &str| {
            let value = lines.next().and_then(|line| line.strip_prefix(name));
            value.unwrap().to_owned()
        };
        let pair = (value("AWS_ACCESS_KEY_ID="), value("AWS_SECRET_ACCESS_KEY="));
        assert_eq!((pair.0.len(), pair.1.len()), (20, 40), "{made:?}");
        assert_eq!(lines.next(), None);
        pair
    }

    /// Reads the configuration again, and returns the line that says how it went
    /// with those before it.
    async fn read_again(&mut self) -> String {
        self.host.signal("HUP").await;
        let mut lines = String::new();
        loop {
            let line = self.host.line().await;
            lines += &format!("{line}\n");
            if line.contains("reloaded: ") {
                return lines;
            }
        }
    }

    async fn kill(self) {
        self.host.signal("KILL").await;
        self.host.ended().await;
    }
}

fn names(keys: &[Value]) -> Vec<&str> {
    keys.iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_key_is_shown_once_listed_kept_and_revoked() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "");
    let keyed = Keyed::start(folder.path()).await;
    let words = "make web --scope subscribe --channel room:* --function echo --expires 30d";
    let make: Vec<_> = words.split(' ').collect();
    let made = keyed.keys(&make).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let key = made.stdout.trim();
    assert!(key.starts_with("pub_") && key.len() == 44, "{key}");
    assert!(
        made.stderr
            .contains("made  web: subscribe on room:* of echo, until 20"),
        "{made:?}"
    );
    assert!(made.stderr.contains("shown only now"), "{made:?}");
    assert!(!made.stderr.contains(key) && !made.stderr.contains("no data directory"));

    let (id, secret) = keyed.make_pair().await;
    let before = keyed.list().await;
    assert_eq!(names(&before), ["aws", "web"]);
    let web = &before[1];
    assert_eq!(web["scopes"], json!(["subscribe"]));
    assert_eq!(
        (&web["channels"], &web["functions"]),
        (&json!(["room:*"]), &json!(["echo"]))
    );
    assert_eq!(
        (&web["source"], &web["state"]),
        (&json!("interface"), &json!("in_force"))
    );
    assert_eq!(before[0]["access_key_id"], *id);
    let listed = keyed.keys(&["list"]).await;
    let line = listed
        .stdout
        .lines()
        .find(|line| line.starts_with("web "))
        .unwrap();
    assert!(
        line.contains("room:*") && line.contains("in force"),
        "{listed:?}"
    );
    assert!(!listed.stdout.contains(key) && !listed.stdout.contains(&secret));

    // Nothing secret is in the folder, either, and the next process has the rest.
    keyed.kill().await;
    let database = fs::read(folder.path().join("data/store.redb")).unwrap();
    for hidden in [key, &*secret] {
        let mut windows = database.windows(hidden.len());
        assert!(!windows.any(|window| window == hidden.as_bytes()));
    }

    let keyed = Keyed::start(folder.path()).await;
    assert_eq!(keyed.list().await, before);
    let revoked = keyed.keys(&["revoke", "web"]).await;
    assert_eq!(
        (revoked.code, revoked.stdout.trim()),
        (Some(0), "revoked  web: 0 closed")
    );
    keyed
        .keys(&["revoke", "web"])
        .await
        .failed(3, &["there is no key `web`", "hint: "]);
    keyed.kill().await;
    let keyed = Keyed::start(folder.path()).await;
    assert_eq!(names(&keyed.list().await), ["aws"]);
}

#[tokio::test]
async fn a_host_without_a_data_directory_says_that_keys_end_with_it() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("openline.toml"), configuration("", "")).unwrap();
    let keyed = Keyed::start(folder.path()).await;
    let made = keyed
        .keys(&["make", "web", "--scope", "publish", "--json"])
        .await;
    assert!(
        made.stderr.contains("the host has no data directory"),
        "{made:?}"
    );
    let answer: Value = serde_json::from_str(&made.stdout).unwrap();
    assert_eq!(answer["kept"], false);
    assert!(answer["text"].as_str().unwrap().starts_with("sec_"));
    assert_eq!(answer["secret_access_key"], Value::Null);
    keyed.kill().await;
    let keyed = Keyed::start(folder.path()).await;
    assert!(keyed.list().await.is_empty());
}

#[tokio::test]
async fn keys_of_the_file_are_replaced_with_it_and_not_revoked_by_command() {
    let folder = TempDir::new().unwrap();
    let secret = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    secret("web", &format!("{TEXT}\n"));
    secret("other", "sec_another0123456789abcdef");
    write(folder.path(), &table("web", ""));
    let mut keyed = Keyed::start(folder.path()).await;
    let listed = keyed.list().await;
    assert_eq!(names(&listed), ["web"]);
    assert_eq!(
        (&listed[0]["source"], &listed[0]["created"]),
        (&json!("configuration"), &Value::Null)
    );
    let words = [
        "the key `web` is in the host's configuration",
        "hint: remove its [[key]]",
    ];
    keyed.keys(&["revoke", "web"]).await.failed(3, &words);
    let words = ["there is a key `web` already", "hint: choose another name"];
    keyed
        .keys(&["make", "web", "--scope", "read"])
        .await
        .failed(3, &words);

    let more = "channels = [\"lobby\"]\nfunctions = [\"ehco\"]";
    write(
        folder.path(),
        &(table("web", more) + &table("other", "expires = \"2020-01-01T00:00:00Z\"")),
    );
    let told = keyed.read_again().await;
    assert!(
        told.contains("warning: the key `other` has expired"),
        "{told}"
    );
    assert!(
        told.contains("for the function `ehco`, which is not there"),
        "{told}"
    );
    let listed = keyed.list().await;
    assert_eq!(names(&listed), ["other", "web"]);
    assert_eq!(
        (&listed[0]["state"], &listed[1]["channels"]),
        (&json!("expired"), &json!(["lobby"]))
    );

    write(folder.path(), "");
    assert!(!keyed.read_again().await.contains("not reloaded"));
    assert!(keyed.list().await.is_empty());
}

#[tokio::test]
async fn whatever_is_wrong_with_the_next_file_the_keys_stay() {
    let folder = TempDir::new().unwrap();
    let secret = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    secret("web", TEXT);
    write(folder.path(), &table("web", ""));
    let mut keyed = Keyed::start(folder.path()).await;
    keyed.keys(&["make", "made", "--scope", "read"]).await;
    secret("short", "sec_0123456789");
    secret("twice", TEXT);
    secret("made", "sec_made0123456789abcdef");
    for (tables, words) in [
        (
            table("short", ""),
            "a key has 20 to 256 characters, this one has 14",
        ),
        (table("absent", ""), "the secret `file:"),
        (
            table("made", ""),
            "has the name of one that was made in the running host",
        ),
        (
            table("web", "") + &table("twice", ""),
            "the keys `web` and `twice` have the same text",
        ),
    ] {
        write(folder.path(), &tables);
        let told = keyed.read_again().await;
        assert!(told.contains(words) && told.contains("hint: "), "{told}");
        assert!(told.contains("not reloaded"), "{told}");
        assert!(!told.contains("sec_"), "{told}");
        assert_eq!(names(&keyed.list().await), ["made", "web"]);
    }
    write(folder.path(), "");
    assert!(!keyed.read_again().await.contains("not reloaded"));
    assert_eq!(names(&keyed.list().await), ["made"]);
    // A file that takes the name of a key that is kept does not start.
    write(folder.path(), &table("made", ""));
    keyed.kill().await;
    let path = folder.path().join("openline.toml");
    let started = openline(&["serve", "--config", path.to_str().unwrap()]).await;
    started.failed(
        1,
        &[
            "the key `made` of the configuration has the name",
            "hint: rename it",
        ],
    );
}

#[tokio::test]
async fn a_file_is_checked_with_its_secrets() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    let key = "[[key]]\nname = \"web\"\nscopes = [\"publish\"]\nsecret = \"env:WEB_KEY\"\n";
    fs::write(&path, configuration("", key)).unwrap();
    let check = ["check", "--config", path.to_str().unwrap()];
    let with = async |text: &str| openline_with(&[("WEB_KEY", text)], &check).await;
    openline(&check)
        .await
        .failed(1, &["key `web`", "the variable is not set", "hint: "]);
    with("sec_0123456789abcde")
        .await
        .failed(1, &["20 to 256 characters, this one has 19"]);
    with("sec_0123456789 abcdef")
        .await
        .failed(1, &["visible ASCII"]);
    with(&"a".repeat(257))
        .await
        .failed(1, &["this one has 257"]);
    for good in ["sec_0123456789abcdef", &"a".repeat(256)] {
        let checked = with(good).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        assert!(!checked.stdout.contains(good) && !checked.stderr.contains(good));
    }
}

#[tokio::test]
async fn wrong_words_are_explained() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await;
    let admin = format!("http://{}", host.admin);
    let make = ["keys", "make", "web", "--admin", &admin];
    for (words, told) in [
        (&[][..], "--scope"),
        (&["--scope", "all"], "subscribe, publish, read, manage"),
        (
            &["--scope", "read", "--channel", "a*b"],
            "the last character of a pattern",
        ),
        (&["--scope", "read", "--channel", ""], "pattern"),
        (&["--scope", "read", "--expires", "soon"], "30d"),
        (&["--scope", "read", "--expires", "0"], "1 s"),
        (
            &["--scope", "read", "--function", "a/b"],
            "is not a function name",
        ),
    ] {
        let ended = openline(&[&make[..], words].concat()).await;
        ended.failed(64, &[told]);
    }
    openline(&["keys", "make", "a b", "--scope", "read"])
        .await
        .failed(64, &["is not the name of a key"]);
    let past = [
        &make[..],
        &["--scope", "read", "--expires", "2020-01-01T00:00:00Z"],
    ]
    .concat();
    openline(&past)
        .await
        .failed(3, &["would have expired already", "hint: give a later end"]);

    let key = |more: Value| {
        let mut key = json!({"name": "web", "scopes": ["publish"]});
        key.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key
    };
    for (body, status, word) in [
        (key(json!({"channels": vec!["a"; 65]})), 422, "key"),
        (key(json!({"functions": []})), 422, "key"),
        (
            key(json!({"seconds": 1, "expires": "2099-01-01T00:00:00Z"})),
            422,
            "key",
        ),
        (key(json!({"seconds": 0})), 422, "key"),
        (key(json!({"scopes": ["admin"]})), 400, "bad_json"),
        (key(json!({"text": TEXT})), 400, "bad_json"),
        (key(json!({"name": "../x"})), 400, "bad_json"),
    ] {
        let got = host.json("POST", "/v1/keys", &body).await;
        got.refused(status, word);
    }
    // The longest that there is: no moment overflows.
    let got = host
        .json("POST", "/v1/keys", &key(json!({"seconds": u64::MAX})))
        .await;
    assert_eq!(
        got.value()["key"]["expires"],
        "9999-12-31T23:59:59Z",
        "{got:?}"
    );
    for bad in ["a%20b", "%2e%2e", "-a"] {
        let got = host.ask("DELETE", &format!("/v1/keys/{bad}"), None).await;
        got.refused(400, "bad_name");
    }
}

fn terms(name: &str) -> KeyTerms {
    KeyTerms {
        name: KeyName::new(name).unwrap(),
        scopes: Scopes::new([Scope::Publish]).unwrap(),
        channels: KeyTerms::all_channels(),
        functions: None,
        expires: None,
    }
}

/// One that is written is in force, of many that ask at once for one name.
#[tokio::test]
async fn of_many_keys_of_one_name_one_is_made() {
    let store = Store::memory(1 << 20);
    let host = Host::with(openline_guests::ECHO, "/echo")
        .store(&store)
        .start()
        .await;
    let making = (0..16).map(|_| {
        let deployer = host.deployer.clone();
        tokio::spawn(async move { deployer.make_key(terms("web"), false).await })
    });
    let mut made = Vec::new();
    for making in making.collect::<Vec<_>>() {
        match making.await.unwrap() {
            Ok(key) => made.push(key),
            Err(error) => assert_eq!(error.to_string(), "there is a key `web` already"),
        }
    }
    assert_eq!(made.len(), 1);
    let text = made[0].text.as_ref().unwrap();
    let keys = host.deployer.services().keys();
    let key = keys.authenticate(text, UnixTime(now())).unwrap();
    let (channel, function) = (
        ChannelName::new("a").unwrap(),
        FunctionName::new("f").unwrap(),
    );
    assert!(key.allows(Scope::Publish, &channel, &function));
    assert_eq!(store.keys().await.unwrap().len(), 1);

    // A key ends, and what waits for that learns of it.
    let waiting = tokio::spawn(async move { key.ended().await });
    host.deployer.revoke_key(&terms("web").name).await.unwrap();
    let ended = within("the key to end", waiting).await.unwrap();
    assert_eq!(ended, CloseReason::Revoked);
    assert!(keys.authenticate(text, UnixTime(now())).is_err());
    assert!(store.keys().await.unwrap().is_empty());
    // The name is free.
    host.deployer.make_key(terms("web"), true).await.unwrap();
}

/// Keys that were made stay when a configuration is read that has none.
#[tokio::test]
async fn a_reload_without_keys_leaves_those_that_were_made() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let made = host.deployer.make_key(terms("web"), false).await.unwrap();
    let config = Config {
        channels: Vec::new(),
        server: host.server(),
        functions: Vec::new(),
        keys: Vec::new(),
    };
    let components: Vec<ConfiguredComponent> = Vec::new();
    let reloaded = host
        .deployer
        .reload((config, Firewalls::default()), components);
    reloaded.await.unwrap();
    let text = made.text.unwrap();
    let keys = host.deployer.services().keys();
    assert!(keys.authenticate(&text, UnixTime(now())).is_ok());
    let warnings = host.deployer.key_warnings();
    assert!(warnings.is_empty(), "{warnings:?}");
}
