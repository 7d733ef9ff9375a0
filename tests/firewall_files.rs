//! The firewall in a configuration file: errors with their lines, reading it
//! again, and lists whose files change while the host serves. Runs the real
//! binary.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

use crate::harness::{Client, Ended, HANDSHAKE, Raw, Serving, frame, openline, within};

/// Reading two million addresses takes seconds where nothing is optimised.
const READING: Duration = Duration::from_secs(180);

struct Configured {
    folder: TempDir,
}

impl Configured {
    fn new(rules: &str) -> Self {
        let configured = Self {
            folder: TempDir::new().unwrap(),
        };
        configured.write(rules);
        configured
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration: a function, and rules.
    fn write(&self, rules: &str) {
        let echo = openline_guests::ECHO;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\nfirewall = \"edge\"\n\
             [[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo\"\n{rules}"
        );
        fs::write(self.path("openline.toml"), text).unwrap();
    }

    /// Replaces a file at once, as tools do.
    fn replace(&self, name: &str, text: &str) {
        let new = self.path(&format!("{name}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(name)).unwrap();
    }

    async fn serve(&self) -> Serving {
        let path = self.path("openline.toml");
        Serving::start(&["serve", "--config", path.to_str().unwrap()]).await
    }

    async fn run(&self, words: &[&str]) -> Ended {
        let path = self.path("openline.toml");
        let mut all = words.to_vec();
        all.extend(["--config", path.to_str().unwrap()]);
        openline(&all).await
    }
}

/// The lines before the rules of [`Configured::write`].
const HEAD_LINES: usize = 8;

/// A firewall with one rule for all requests with `stop` in the query.
fn rules(behavior: &str) -> String {
    format!(
        "[[firewall]]\nname = \"edge\"\n[[firewall.rule]]\nname = \"stop\"\n\
         criteria = [\"if arg_stop exists\"]\nbehaviors = [{behavior}]\n"
    )
}

/// A firewall that drops the peers of a list in a file.
const LISTED: &str = "[[list]]\nname = \"blocked\"\ntype = \"networks\"\nfile = \"blocked.txt\"\n\
    [[firewall]]\nname = \"edge\"\n[[firewall.rule]]\nname = \"blocked\"\n\
    criteria = [\"if remote_addr is_in_list blocked\"]\nbehaviors = [\"drop\"]\n";

/// Whether a peer at this address of the machine gets a connection. The other
/// outcome is an end without an answer.
async fn passes(host: &Serving, source: [u8; 4]) -> bool {
    let mut raw = Raw::connect_from(source, host.address).await;
    let request = HANDSHAKE.replace("{path}", "/echo");
    raw.send(request.as_bytes()).await;
    let head = raw.head().await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 101 "),
        "{head}"
    );
    !head.is_empty()
}

async fn status(host: &Serving, path: &str) -> u16 {
    match Client::open(host.address, path, &[]).await {
        Ok(_) => 101,
        Err(refused) => refused.status,
    }
}

#[tokio::test]
async fn a_wrong_rule_is_told_with_its_line_and_changes_nothing() {
    let configured = Configured::new(&rules("\"deny\""));
    let mut host = configured.serve().await;
    assert_eq!(status(&host, "/echo?stop").await, 403);

    // Two errors, of which one is in line 300, and one is another package's.
    let mut text = rules("\"deny\"");
    while HEAD_LINES + text.lines().count() < 297 {
        text += "# nothing\n";
    }
    text += "[[firewall.rule]]\nname = \"wrong\"\ncriteria = [\"if uri begins_with /x\"]\n\
             behaviors = [\"deny\"]\n[[function]]\nname = \"other\"\n";
    configured.write(&text);
    let checked = configured.run(&["check"]).await;
    checked.failed(
        78,
        &[
            "2 error(s)",
            "line 300",
            "begins_with",
            "no route",
            "hint: ",
        ],
    );
    host.signal("HUP").await;
    host.told("begins_with").await;
    host.told("not reloaded").await;
    assert_eq!(status(&host, "/echo?stop").await, 403);
    assert_eq!(status(&host, "/echo").await, 101);

    configured.write(&rules("{ deny = { status_code = 410 } }"));
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    assert_eq!(status(&host, "/echo?stop").await, 410);
}

#[tokio::test]
async fn a_firewall_that_is_not_there_is_an_error_wherever_it_is_named() {
    let configured = Configured::new("[[firewall]]\nname = \"egde\"\n");
    let checked = configured.run(&["check"]).await;
    checked.failed(
        78,
        &["line 4", "no firewall `edge`", "did you mean `egde`?"],
    );
    configured.write(&format!(
        "[[function.trigger]]\nroute = \"/x\"\nfirewall = \"none\"\n{}",
        rules("\"deny\"")
    ));
    let checked = configured.run(&["check"]).await;
    checked.failed(78, &["no firewall `none`"]);
    // A rule names functions of the same file.
    configured.write(&rules("{ run_function = \"ehco\" }"));
    let checked = configured.run(&["check"]).await;
    let expected = [
        "rule `stop` of firewall `edge`",
        "`ehco`",
        "did you mean `echo`?",
    ];
    checked.failed(78, &expected);
}

#[tokio::test]
async fn rates_survive_that_the_configuration_is_read_again() {
    let limit = "{ set_rate_limit = { type = \"minute\", limit_by = \"global\", average_rate_limit = 1, maximum_burst_size = 3 } }";
    let configured = Configured::new(&rules(limit));
    let mut host = configured.serve().await;
    for _ in 0..2 {
        assert_eq!(status(&host, "/echo?stop").await, 101);
    }
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    assert_eq!(status(&host, "/echo?stop").await, 101);
    assert_eq!(status(&host, "/echo?stop").await, 429);
}

#[tokio::test]
async fn a_list_is_read_again_when_its_file_changes_and_kept_when_it_is_wrong() {
    let configured = Configured::new(LISTED);
    let missing = configured.run(&["check"]).await;
    missing.failed(78, &["list `blocked`", "blocked.txt", "hint: "]);
    configured.replace("blocked.txt", "127.0.0.8\n");
    let mut host = configured.serve().await;
    let (eight, nine) = ([127, 0, 0, 8], [127, 0, 0, 9]);
    assert!(!passes(&host, eight).await && passes(&host, nine).await);

    configured.replace("blocked.txt", "127.0.0.9 # instead\n");
    host.told("read the lists of firewalls again").await;
    assert!(passes(&host, eight).await && !passes(&host, nine).await);

    configured.replace("blocked.txt", "127.0.0.8\n127.0.0.300\n");
    host.told("line 2").await;
    host.told("lists not replaced").await;
    assert!(passes(&host, eight).await && !passes(&host, nine).await);
    // Nor does the whole configuration take effect with it.
    let other = LISTED.replace("\"drop\"", "\"deny\"");
    configured.write(&other);
    host.signal("HUP").await;
    host.told("not reloaded").await;
    assert!(passes(&host, eight).await && !passes(&host, nine).await);

    configured.write(LISTED);
    configured.replace("blocked.txt", "127.0.0.8\n127.0.0.30\n");
    host.told("read the lists of firewalls again").await;
    assert!(!passes(&host, eight).await && passes(&host, nine).await);
}

#[tokio::test]
async fn a_list_that_shrinks_is_told_and_a_change_of_the_same_size_and_time_is_seen() {
    let configured = Configured::new(LISTED);
    configured.replace("blocked.txt", "127.0.0.7\n127.0.0.9\n127.0.0.11\n");
    let mut host = configured.serve().await;
    let (path, nine) = (configured.path("blocked.txt"), [127, 0, 0, 9]);
    assert!(!passes(&host, nine).await);

    // One that is emptied is told aloud.
    fs::write(&path, "").unwrap();
    host.told("warning: the list `blocked` has 0 ranges").await;
    host.told("read the lists of firewalls again").await;
    assert!(passes(&host, nine).await);

    // The same size and time say nothing.
    fs::write(&path, "127.0.0.8\n").unwrap();
    host.told("read the lists of firewalls again").await;
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "127.0.0.9\n").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    host.told("read the lists of firewalls again").await;
    assert!(!passes(&host, nine).await);
}

/// Two million networks of one address each, none of them of this machine, and
/// one more.
fn millions(last: &str) -> String {
    let mut text = String::with_capacity(32 << 20);
    for number in 0..2_000_000_u32 {
        let [_, a, b, c] = (number * 8).to_be_bytes();
        let _ = writeln!(text, "10.{a}.{b}.{c}");
    }
    text + last + "\n"
}

#[tokio::test]
async fn a_list_of_two_million_addresses_is_replaced_while_the_host_serves() {
    let configured = Configured::new(LISTED);
    configured.replace("blocked.txt", "127.0.0.8\n");
    let mut host = configured.serve().await;
    let mut open = Raw::upgraded(host.address, "/echo").await;
    let text = millions("127.0.0.9");
    configured.replace("blocked.txt", &text);
    // Peers are served meanwhile.
    let address = host.address;
    let mut rounds = 0;
    let serving = async {
        loop {
            open.send(&frame(0x81, b"hello")).await;
            let mut reply = [0; 7];
            let read = open.socket.read_exact(&mut reply);
            within("an echo", read).await.unwrap();
            Raw::connect_from([127, 0, 0, 7], address)
                .await
                .upgrade("/echo")
                .await;
            rounds += 1;
        }
    };
    tokio::select! {
        biased;
        () = host.told_within("read the lists of firewalls again", READING) => {}
        () = serving => {}
    }
    assert!(rounds > 0);
    assert!(passes(&host, [127, 0, 0, 8]).await);
    assert!(!passes(&host, [127, 0, 0, 9]).await);

    // One wrong line of two million.
    configured.replace("blocked.txt", &millions("127.0.0.1O"));
    host.told_within("line 2000001", READING).await;
    assert!(!passes(&host, [127, 0, 0, 9]).await);
}

#[tokio::test]
async fn the_log_has_the_rules_that_log_and_those_that_ran() {
    let more = "\n[[firewall.rule]]\nname = \"last\"\nbehaviors = [\"log\"]\n";
    let text = rules("\"log\", { deny = { status_code = 410 } }") + more;
    let text = text.replace("name = \"edge\"\n", "name = \"edge\"\ndebug_rules = true\n");
    let configured = Configured::new(&text);
    let mut host = configured.serve().await;
    assert_eq!(status(&host, "/echo?stop=secret-of-a-query").await, 410);
    assert_eq!(status(&host, "/echo").await, 101);
    host.signal("TERM").await;
    let told = host.rest().await.join("\n");
    for words in [
        "a rule logs a request",
        "rule `stop` of firewall `edge`",
        "rules ran",
        "edge/stop",
        "edge/last",
    ] {
        assert!(told.contains(words), "`{words}` in:\n{told}");
    }
    assert!(!told.contains("secret-of-a-query"), "{told}");
}

#[tokio::test]
async fn what_rules_log_about_a_request_without_a_good_token_is_not_lost() {
    let configured = Configured::new(
        "[[function.trigger]]\nroute = \"/staff\"\nauth = \"jwt\"\n\
         [function.trigger.jwt]\nsecret = \"file:secret\"\n\
         [[firewall]]\nname = \"edge\"\n\
         [[firewall.rule]]\nname = \"seen\"\nbehaviors = [\"log\"]\n\
         [[firewall.rule]]\nname = \"staff\"\n\
         criteria = [\"if claim_role is_not_equal staff\"]\nbehaviors = [\"deny\"]\n",
    );
    configured.replace("secret", "0123456789abcdef0123456789abcdef");
    let mut host = configured.serve().await;
    assert_eq!(status(&host, "/staff").await, 401);
    assert_eq!(status(&host, "/echo").await, 403);
    host.signal("TERM").await;
    let told = host.rest().await;
    let seen = told.iter().filter(|it| it.contains("rule `seen`")).count();
    assert_eq!(seen, 2, "{told:?}");
}

#[tokio::test]
async fn a_described_request_is_judged_as_the_host_would() {
    let configured = Configured::new(&rules("{ deny = { status_code = 410 } }"));
    let test = ["firewall", "test"];
    let judged = async |words: &[&str]| configured.run(&[&test[..], words].concat()).await;
    let passed = judged(&["https://example.org/echo", "--peer", "192.0.2.1"]).await;
    assert_eq!(passed.code, Some(0), "{}", passed.stderr);
    assert!(
        passed.stdout.contains("leads to trigger `echo` of `echo`"),
        "{}",
        passed.stdout
    );
    let denied = judged(&["/echo?stop", "--header", "x-a: b"]).await;
    assert_eq!(denied.code, Some(3), "{}", denied.stderr);
    for words in [
        "arg_stop exists",
        "deny 410",
        "rule `stop` of firewall `edge`",
    ] {
        assert!(denied.stdout.contains(words), "{}", denied.stdout);
    }
    let nowhere = judged(&["/nowhere?stop", "--json"]).await;
    assert_eq!(nowhere.code, Some(3), "{}", nowhere.stderr);
    let value: Value = serde_json::from_str(&nowhere.stdout).unwrap();
    assert_eq!(value["trigger"], Value::Null);
    assert_eq!(
        (&value["decision"], &value["status"]),
        (&"deny".into(), &410.into())
    );
    let request = r#"{"url": "/echo?stop", "headers": [["origin", "https://a.example"]]}"#;
    fs::write(configured.path("request.json"), request).unwrap();
    let file = configured.path("request.json");
    let described = judged(&["--request", file.to_str().unwrap()]).await;
    assert_eq!(described.code, Some(3), "{}", described.stderr);
    judged(&["/a%zz"]).await.failed(1, &["hint: "]);
    judged(&["/echo", "--firewall", "none"])
        .await
        .failed(1, &["`none`", "`edge`"]);
    judged(&["/echo", "--header", "nonsense"])
        .await
        .failed(64, &["--header"]);
    judged(&[]).await.failed(64, &["URL"]);
}

#[tokio::test]
async fn firewalls_of_azion_are_imported_and_serve() {
    let folder = TempDir::new().unwrap();
    let addresses: Vec<String> = (0..40).map(|it| format!("10.0.0.{it}")).collect();
    let document = serde_json::json!({
        "networkList": [{"name": "office", "type": "ip_cidr", "items": addresses}],
        "firewall": [{"name": "mine", "rules": [{
            "name": "out", "behaviors": [{"deny": true}],
            "criteria": [{
                "variable": "network", "conditional": "if",
                "operator": "is_in_list", "argument": "office"
            }]
        }]}]
    });
    let file = folder.path().join("azion.json");
    fs::write(&file, document.to_string()).unwrap();
    let (file, into) = (file.to_str().unwrap(), folder.path().join("out"));
    let into = into.to_str().unwrap();
    // A list of 40 addresses needs a file.
    openline(&["import", "azion", file])
        .await
        .failed(1, &["--output"]);
    let imported = openline(&["import", "azion", file, "--output", into]).await;
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(imported.stdout.lines().count(), 2, "{}", imported.stdout);
    let text = fs::read_to_string(format!("{into}/firewall.toml")).unwrap();
    let name = text.split("[[firewall]]").nth(1).unwrap();
    assert!(name.contains("name = \"mine\""), "{text}");
    // What exists is not overwritten.
    let again = openline(&["import", "azion", file, "--output", into]).await;
    again.failed(1, &["firewall.toml", "hint: "]);
    let wrong = folder.path().join("wrong.json");
    fs::write(&wrong, "<html>").unwrap();
    let wrong = openline(&["import", "azion", wrong.to_str().unwrap()]).await;
    wrong.failed(1, &["is not JSON", "hint: "]);
    let checked = format!("{into}/checked.toml");
    let function = format!(
        "[server]\nfirewall = \"mine\"\n[[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n{text}",
        openline_guests::ECHO
    );
    fs::write(&checked, function).unwrap();
    let words = ["firewall", "test", "--config", &checked, "/echo", "--peer"];
    let inside = openline(&[&words[..], &["10.0.0.7"]].concat()).await;
    assert_eq!(inside.code, Some(3), "{}", inside.stderr);
    let outside = openline(&[&words[..], &["192.0.2.7"]].concat()).await;
    assert_eq!(outside.code, Some(0), "{}", outside.stderr);
}
