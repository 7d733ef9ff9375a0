//! What a host tells its operator: the addresses to give away, and warnings
//! about what it lets others do.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Raw, Serving, openline};

/// A configuration with three triggers in a folder of its own; `server` are
/// lines of `[server]`.
struct Configured {
    folder: TempDir,
    path: String,
}

impl Configured {
    fn new(server: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("openline.toml");
        let path = path.to_str().unwrap().to_owned();
        let configured = Self { folder, path };
        configured.write(server, "");
        configured
    }

    fn write(&self, server: &str, trigger: &str) {
        let echo = openline_guests::ECHO;
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{server}\n\
             [[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo/{{room}}\"\n\
             [[function.trigger]]\nname = \"site\"\nroute = \"/\"\n\
             hosts = [\"chat.example.org\", \"*.example.com\"]\n{trigger}\n"
        );
        fs::write(self.folder.path().join("openline.toml"), text).unwrap();
    }

    async fn serve(&self) -> Serving {
        Serving::start(&["serve", "--config", &self.path]).await
    }
}

/// The lines up to the address of the admin interface, and that address.
async fn introduction(host: &mut Serving) -> (Vec<String>, String) {
    let mut lines = Vec::new();
    loop {
        let line = host.line().await;
        if let Some(url) = line.strip_prefix("admin ") {
            return (lines, url.trim().trim_end_matches('/').to_owned());
        }
        lines.push(line);
    }
}

/// Has the host read its configuration again: the lines before it has.
async fn read_again(host: &mut Serving) -> Vec<String> {
    host.signal("HUP").await;
    let mut lines = Vec::new();
    loop {
        let line = host.line().await;
        if line.contains("reloaded: ") {
            assert!(!line.contains("not reloaded"), "{lines:#?}");
            return lines;
        }
        lines.push(line);
    }
}

/// What a command prints.
async fn printed(admin: &str, words: &[&str]) -> String {
    let ended = openline(&[words, &["--admin", admin]].concat()).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[tokio::test]
async fn the_address_to_give_away_is_shown_wherever_a_trigger_is() {
    let configured = Configured::new("public_url = \"https://edge.example.org:8443/base/\"");
    let mut host = configured.serve().await;
    let (lines, admin) = introduction(&mut host).await;
    let room = "wss://edge.example.org:8443/base/echo/{room}";
    let exact = "wss://chat.example.org:8443/base/";
    let below = "wss://*.example.com:8443/base/";
    for url in [room, exact, below] {
        let line = format!("function at   {url}");
        assert!(lines.contains(&line), "{url}: {lines:#?}");
    }
    // Others do not see the page, so it is shown where they cannot ask.
    let page = format!("page          http://{}/.openline/", host.address);
    assert!(lines.contains(&page), "{lines:#?}");

    let text = printed(&admin, &["functions"]).await;
    let rows: Vec<_> = text.lines().collect();
    assert!(rows[0].ends_with("  ADDRESS"), "{text}");
    assert!(rows[1].ends_with(&format!("  {room}")), "{text}");
    assert!(rows[2].ends_with(&format!("  {exact} {below}")), "{text}");
    let listed = printed(&admin, &["triggers", "list", "echo", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["urls"][0], room);
    assert_eq!(listed[1]["urls"].as_array().unwrap().len(), 2);
    let set = ["triggers", "set", "echo", "beta", "--route", "/beta"];
    let set = printed(&admin, &set).await;
    let line = "address  wss://edge.example.org:8443/base/beta";
    assert!(set.lines().any(|it| it == line), "{set}");
    let request =
        "GET /.openline/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut raw = Raw::connect(host.address).await;
    raw.send(request.as_bytes()).await;
    assert_eq!(raw.answer().await.value()["functions"][0]["urls"][0], room);

    // It changes with the file, and without it there is no column.
    configured.write("public_url = \"http://[::1]\"", "");
    read_again(&mut host).await;
    let text = printed(&admin, &["triggers", "list", "echo"]).await;
    assert!(text.contains("  ws://[::1]/echo/{room}\n"), "{text}");
    configured.write("", "");
    read_again(&mut host).await;
    let text = printed(&admin, &["triggers", "list", "echo"]).await;
    assert!(
        !text.contains("ADDRESS") && !text.contains("ws://"),
        "{text}"
    );
}

#[tokio::test]
async fn triggers_that_anyone_can_use_are_warned_of_once() {
    const PUBLIC: &str = "public_url = \"https://edge.example.org\"";
    const OPEN: &str = "warning: anyone who reaches https://edge.example.org can use trigger `echo-room` of `echo` and 1 more";
    let configured = Configured::new(PUBLIC);
    let checked = openline(&["check", "--config", &configured.path]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(checked.stderr.contains(OPEN), "{}", checked.stderr);
    assert!(checked.stderr.contains("\nhint: "), "{}", checked.stderr);
    assert!(checked.stdout.ends_with("no errors, 1 warning(s)\n"));

    let mut host = configured.serve().await;
    let (lines, _) = introduction(&mut host).await;
    let place = lines.iter().position(|line| line == OPEN);
    let place = place.unwrap_or_else(|| panic!("{lines:#?}"));
    assert!(lines[place + 1].starts_with("hint: "), "{lines:#?}");

    // Nothing has changed.
    assert_eq!(read_again(&mut host).await, [""; 0]);
    configured.write(PUBLIC, "methods = [\"POST\"]");
    let told = read_again(&mut host).await;
    let only = "warning: trigger `site` of `echo` takes POST only, and opens no WebSocket";
    assert_eq!(told.len(), 2, "{told:#?}");
    assert_eq!(told[0], only);
    configured.write("", "");
    assert_eq!(read_again(&mut host).await, [""; 0]);
    // What comes back is told again.
    configured.write(PUBLIC, "");
    assert_eq!(read_again(&mut host).await[0], OPEN);
}

/// What speaks to any WebSocket has nothing to say to a trigger with a dialect.
#[tokio::test]
async fn examples_are_shown_for_triggers_that_take_any_message() {
    let configured = Configured::new("");
    let spoken = "[[function]]\nname = \"live\"\n[[function.trigger]]\nroute = \"/live\"\n\
                  dialect = \"centrifugo\"\n";
    let tries = |lines: &[String]| lines.iter().any(|line| line.starts_with("try "));
    for (others, is_shown) in [(true, true), (false, false)] {
        let file = configured.folder.path().join("openline.toml");
        let mut text =
            String::from("[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n");
        if others {
            let echo = openline_guests::ECHO;
            text += &format!(
                "[[function]]\nname = \"echo\"\ncomponent = {echo:?}\nroute = \"/echo\"\n"
            );
        }
        fs::write(file, text + spoken).unwrap();
        let mut host = configured.serve().await;
        let (lines, _) = introduction(&mut host).await;
        assert_eq!(tries(&lines), is_shown, "{lines:#?}");
        let is_told = |line: &String| line.ends_with("/live, for clients of centrifugo");
        assert!(lines.iter().any(is_told), "{lines:#?}");
        let is_tried = |line: &String| line.starts_with("try ") && line.contains("/live");
        assert!(!lines.iter().any(is_tried), "{lines:#?}");
    }
}

/// A trigger that names no methods takes only GET, so the methods are shown
/// where they matter: at a function that answers requests.
#[tokio::test]
async fn the_methods_of_a_function_that_answers_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openline.toml");
    let notify = openline_guests::NOTIFY;
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\
         [[function]]\nname = \"notify\"\ncomponent = {notify:?}\n\
         [[function.trigger]]\nroute = \"/notify/{{channel}}\"\nmethods = [\"GET\", \"POST\"]\n\
         [[function.trigger]]\nname = \"read\"\nroute = \"/read/{{channel}}\"\n"
    );
    fs::write(&file, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", file.to_str().unwrap()]).await;
    let (lines, _) = introduction(&mut host).await;
    let address = host.address;
    for at in [
        format!("function at   ws://{address}/notify/{{channel}}, answers GET, POST"),
        format!("function at   ws://{address}/read/{{channel}}, answers GET"),
    ] {
        assert!(lines.contains(&at), "{at}: {lines:#?}");
    }
    // What is to be tried works as it is shown.
    let tried = format!("npx wscat -c ws://{address}/notify/channel ");
    assert!(lines.iter().any(|line| line.contains(&tried)), "{lines:#?}");
    let request = "GET /notify/channel HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut raw = Raw::connect(address).await;
    raw.send(request.as_bytes()).await;
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}
