//! The environment of functions and their secrets: what they read, when changes
//! arrive, and that nothing shows a secret. Runs the real binary.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use openline_core::environment::{ENVIRONMENT_BYTES_MAX, NAMES_MAX};
use openline_kit::exchange;
use tempfile::TempDir;

use crate::harness::{Client, Serving, openline, openline_with};

/// The value of a secret.
const VALUE: &str = "hunter2-correct-horse";

/// The exit code for a wrong configuration, as in BSD's sysexits.
const CONFIG: i32 = 78;

/// A folder with a configuration and the files of its secrets.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// Writes a configuration with these functions.
    fn configure(&self, functions: &str) {
        let head = "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n";
        self.write("openline.toml", format!("{head}{functions}"));
    }

    fn config(&self) -> PathBuf {
        self.0.path().join("openline.toml")
    }

    async fn serve(&self) -> Serving {
        let config = self.config();
        let arguments = ["serve", "--config", config.to_str().unwrap()];
        Serving::start(&[&arguments[..], &["--log", "trace"]].concat()).await
    }

    async fn start(&self) -> (Serving, SocketAddr) {
        let mut host = self.serve().await;
        let admin = host.admin().await.parse().unwrap();
        (host, admin)
    }

    async fn check(&self) -> crate::harness::Ended {
        openline(&["check", "--config", self.config().to_str().unwrap()]).await
    }
}

/// One function, and the tables of its environment.
fn function(name: &str, component: &str, tables: &str) -> String {
    format!(
        "[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"/{name}\"\n{tables}\n"
    )
}

async fn connect(host: &Serving, path: &str) -> Client {
    Client::open(host.address, path, &[]).await.unwrap()
}

async fn reload(host: &mut Serving, told: &str) {
    host.signal("HUP").await;
    host.told(told).await;
}

const BOTH: [(&str, &str); 2] = [
    ("plain", openline_guests::FAULT_ENVIRON),
    ("asynchronous", openline_guests::FAULT_ENVIRON_ASYNC),
];

#[tokio::test]
async fn functions_read_values_and_secrets_by_both_interfaces() {
    let folder = Folder::new();
    folder.write("token", format!("{VALUE}\r\n"));
    let tables = "[function.environment]\nGREETING = \"héllo\\nyou\"\nEMPTY = \"\"\n\
                  [function.secrets]\nTOKEN = \"file:token\"\n";
    let others = function("others", openline_guests::FAULT_ENVIRON, "");
    let [one, two] = BOTH.map(|(name, component)| function(name, component, tables));
    folder.configure(&format!("{one}{two}{others}"));
    let (host, _) = folder.start().await;
    for (name, _) in BOTH {
        let mut client = connect(&host, &format!("/{name}")).await;
        for interface in ["env", "config"] {
            for (variable, value) in [
                ("GREETING", "héllo\nyou"),
                ("EMPTY", ""),
                ("TOKEN", VALUE),
                ("PATH", "no PATH"),
                ("greeting", "no greeting"),
            ] {
                let answer = client.ask(&format!("{interface} {variable}")).await;
                assert_eq!(answer, value, "{name} {interface} {variable}");
            }
            let bytes = "GREETINGhéllo\nyouEMPTYTOKEN".len() + VALUE.len();
            let expected = format!("3 names, {bytes} bytes");
            assert_eq!(client.ask(interface).await, expected, "{name}");
        }
    }
    // Nothing of it is there for others.
    let mut client = connect(&host, "/others").await;
    assert_eq!(client.ask("env").await, "0 names, 0 bytes");
    assert_eq!(client.ask("config").await, "0 names, 0 bytes");
}

#[tokio::test]
async fn the_largest_environment_reaches_functions_and_one_byte_more_is_refused() {
    let folder = Folder::new();
    let mut tables = "[function.environment]\n".to_owned();
    let mut bytes = "TOKEN".len();
    for at in 1..NAMES_MAX {
        let _ = writeln!(tables, "N{at:03} = \"\"");
        bytes += 4;
    }
    let most = ENVIRONMENT_BYTES_MAX - bytes;
    tables += "[function.secrets]\nTOKEN = \"file:token\"\n";
    folder.write("token", "x".repeat(most));
    folder.configure(&BOTH.map(|(name, it)| function(name, it, &tables)).concat());
    let (host, _) = folder.start().await;
    for (name, _) in BOTH {
        let mut client = connect(&host, &format!("/{name}")).await;
        for interface in ["env", "config"] {
            let expected = format!("{NAMES_MAX} names, {ENVIRONMENT_BYTES_MAX} bytes");
            assert_eq!(client.ask(interface).await, expected, "{name} {interface}");
        }
    }
    folder.write("token", "x".repeat(most + 1));
    let ended = folder.check().await;
    let words = [
        "function `plain`: names and values of a function have 65537 bytes",
        "hint: build large data",
    ];
    ended.failed(1, &words);
}

#[tokio::test]
async fn a_rotated_secret_arrives_without_a_deploy_and_connections_stay() {
    let folder = Folder::new();
    folder.write("token", "first");
    let tables = "[function.secrets]\nTOKEN = \"file:token\"\n";
    folder.configure(&BOTH.map(|(name, it)| function(name, it, tables)).concat());
    let (mut host, admin) = folder.start().await;
    let mut clients = Vec::new();
    for (name, _) in BOTH {
        let mut client = connect(&host, &format!("/{name}")).await;
        assert_eq!(client.ask("env TOKEN").await, "first");
        clients.push(client);
    }
    // What has not changed ends no instance.
    reload(&mut host, "functions changed: none;").await;
    for client in &mut clients {
        assert_eq!(client.ask("messages").await, "2");
    }
    folder.write("token", "second");
    for client in &mut clients {
        assert_eq!(client.ask("env TOKEN").await, "first", "until a reload");
    }
    reload(&mut host, "functions changed: asynchronous, plain;").await;
    for client in &mut clients {
        assert_eq!(client.ask("env TOKEN").await, "second");
        assert_eq!(client.ask("config TOKEN").await, "second");
        assert_eq!(client.ask("messages").await, "3", "of another instance");
    }
    // A version that is deployed gets what was read last, whatever is in the file.
    folder.write("token", "third");
    let url = format!("http://{admin}");
    let deploy = ["deploy", "plain", openline_guests::FAULT_ENVIRON_ASYNC];
    let ended = openline_with(&[("OPENLINE_ADMIN", &url)], &deploy).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(clients[0].ask("env TOKEN").await, "second");
    reload(&mut host, "functions changed: asynchronous, plain;").await;
    assert_eq!(clients[0].ask("env TOKEN").await, "third");
    // A name that leaves the file leaves the function.
    folder.configure(&BOTH.map(|(name, it)| function(name, it, "")).concat());
    reload(&mut host, "functions changed: asynchronous, plain;").await;
    for client in &mut clients {
        assert_eq!(client.ask("env TOKEN").await, "no TOKEN");
    }
}

#[tokio::test]
async fn a_function_may_read_its_environment_when_it_starts() {
    let folder = Folder::new();
    let start = openline_guests::FAULT_ENVIRON_START;
    let with = "[function.environment]\nMAY_START = \"\"\n";
    folder.configure(&function("f", start, ""));
    folder.check().await.failed(CONFIG, &["it may not start"]);
    folder.configure(&function("f", start, with));
    assert_eq!(folder.check().await.code, Some(0));
    let (mut host, _) = folder.start().await;
    let mut client = connect(&host, "/f").await;
    assert_eq!(client.ask("hello").await, "hello");
    // The trial of a reload finds that the function would not start any more.
    folder.configure(&function("f", start, ""));
    reload(&mut host, "not reloaded").await;
    assert_eq!(client.ask("still here").await, "still here");
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_is_named_without_its_value() {
    let folder = Folder::new();
    folder.write("good", VALUE);
    folder.write("empty", "\n");
    folder.write("binary", [VALUE.as_bytes(), &[0xff]].concat());
    folder.write("nul", format!("{VALUE}\0"));
    folder.write(
        "long",
        VALUE.repeat(ENVIRONMENT_BYTES_MAX / VALUE.len() + 1),
    );
    let configure = |place: &str| {
        let tables = format!("[function.secrets]\nGOOD = \"file:good\"\nTOKEN = \"{place}\"\n");
        folder.configure(&function("f", openline_guests::FAULT_ENVIRON, &tables));
    };
    configure("file:good");
    let (mut host, _) = folder.start().await;
    let mut client = connect(&host, "/f").await;
    for (place, words) in [
        (
            "env:OPENLINE_NO_SUCH_SECRET",
            ["is not set", "set the variable"],
        ),
        ("file:missing", ["cannot be read", "name a file"]),
        ("file:.", ["cannot be read", "name a file"]),
        ("file:empty", ["is empty", "write the secret there"]),
        ("file:binary", ["is not UTF-8", "in base64"]),
        ("file:nul", ["NUL", "in base64"]),
        ("file:long", ["longer than 65536 bytes", "right place"]),
    ] {
        configure(place);
        // The data directory is the other host's.
        let text = fs::read_to_string(folder.config()).unwrap();
        folder.write("other.toml", text.replace("data = \"data\"\n", ""));
        let other = folder.0.path().join("other.toml");
        let serve = openline(&["serve", "--config", other.to_str().unwrap()]).await;
        for ended in [folder.check().await, serve] {
            ended.failed(1, &["function `f`, `TOKEN`: the secret `", "hint: "]);
            ended.failed(1, &words);
            assert!(!ended.stderr.contains(VALUE), "{}", ended.stderr);
        }
        host.signal("HUP").await;
        let mut told = String::new();
        while !told.contains("not reloaded") {
            told += &(host.line().await + "\n");
        }
        for word in ["`f`, `TOKEN`: "].iter().chain(&words) {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert!(!told.contains(VALUE), "{told}");
        assert_eq!(client.ask("env TOKEN").await, VALUE, "as before");
    }
}

/// Everything that the admin interface shows, and the page.
const SHOWN: [&str; 9] = [
    "/v1/config",
    "/v1/functions",
    "/v1/functions/f",
    "/v1/functions/f/versions",
    "/v1/functions/f/triggers",
    "/v1/connections",
    "/v1/host",
    "/v1/keys",
    "/v1/channels",
];

#[tokio::test]
async fn nothing_that_a_host_prints_or_answers_has_a_secret() {
    let folder = Folder::new();
    folder.write("token", VALUE);
    let tables = "[function.environment]\nGREETING = \"not-a-secret\"\n\
                  [function.secrets]\nTOKEN = \"file:token\"\n";
    folder.configure(&function("f", openline_guests::FAULT_ENVIRON, tables));
    let mut host = folder.serve().await;
    let mut seen = until(&mut host, "admin ").await;
    let admin = seen.trim_end().rsplit("http://").next().unwrap();
    let admin = admin.trim_end_matches('/').parse().unwrap();
    let mut client = connect(&host, "/f").await;
    let expected = format!(
        "2 names, {} bytes",
        "GREETINGTOKENnot-a-secret".len() + VALUE.len()
    );
    for interface in ["env", "config"] {
        assert_eq!(client.ask(interface).await, expected);
    }
    seen += &answers(&host, admin).await;
    let checked = folder.check().await;
    seen += &format!("{}{}", checked.stdout, checked.stderr);
    // A fault, a reload that fails, and one that does not.
    client.text("trap").await;
    client.closed().await;
    folder.configure(&function("f", "missing.wasm", tables));
    host.signal("HUP").await;
    seen += &until(&mut host, "not reloaded").await;
    folder.configure(&function("f", openline_guests::FAULT_ENVIRON, ""));
    host.signal("HUP").await;
    seen += &until(&mut host, "reloaded: ").await;
    host.signal("TERM").await;
    seen += &host.rest().await.join("\n");
    assert!(seen.contains("TRACE"), "the log has everything");
    assert!(
        seen.contains("this is the trap that was asked for"),
        "{seen}"
    );
    let line = seen.lines().find(|line| line.contains(VALUE));
    assert_eq!(line, None);
    // What is kept on the disk has none, either.
    for entry in fs::read_dir(folder.0.path().join("data")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() {
            fs::read(&path).unwrap()
        } else {
            continue;
        };
        let mut windows = bytes.windows(VALUE.len());
        let has_it = windows.any(|it| it == VALUE.as_bytes());
        assert!(!has_it, "{}", path.display());
    }
}

/// What the interfaces, the page and the commands of a host answer.
async fn answers(host: &Serving, admin: SocketAddr) -> String {
    let mut seen = String::new();
    for path in SHOWN {
        let answer = exchange::ask(admin, "GET", path, None).await.unwrap();
        assert_eq!(answer.status, 200, "{path}: {}", answer.head);
        let body = String::from_utf8(answer.body).unwrap();
        if path == "/v1/config" {
            let config: serde_json::Value = serde_json::from_str(&body).unwrap();
            let shown = &config["functions"][0];
            assert_eq!(shown["environment"]["GREETING"], "not-a-secret");
            assert_eq!(shown["secrets"], serde_json::json!(["TOKEN"]));
        }
        seen += &body;
    }
    for path in ["/.openline/", "/.openline/state", "/.openline/functions"] {
        let page = exchange::ask(host.address, "GET", path, None).await;
        let page = page.unwrap();
        assert_eq!(page.status, 200, "{path}");
        seen += &String::from_utf8_lossy(&page.body);
    }
    let url = format!("http://{admin}");
    for words in [
        &["functions"][..],
        &["versions", "f"],
        &["triggers", "list", "f"],
        &["connections"],
        &["limits"],
    ] {
        let ended = openline_with(&[("OPENLINE_ADMIN", &url)], words).await;
        seen += &format!("{}{}", ended.stdout, ended.stderr);
    }
    seen
}

/// All that is told up to a line with a word.
async fn until(host: &mut Serving, word: &str) -> String {
    let mut told = String::new();
    loop {
        let line = host.line().await;
        told += &(line.clone() + "\n");
        if line.contains(word) {
            return told;
        }
    }
}

#[tokio::test]
async fn a_secret_that_is_written_into_the_file_is_not_repeated() {
    let folder = Folder::new();
    for (line, words) in [
        (
            format!("TOKEN = \"{VALUE}\""),
            "a secret is not written into",
        ),
        ("TOKEN = 5551234".into(), "a secret is not written into"),
        (
            "TOKEN = [\"5551234\"]".into(),
            "a secret is not written into",
        ),
        (format!("TOKEN = {VALUE}"), "line "),
        (format!("TOKEN = \"{VALUE}"), "line "),
        (format!("TOKEN = \"env:{VALUE}\""), "needs the name"),
    ] {
        let tables = format!("[function.secrets]\n{line}\n");
        folder.configure(&function("f", openline_guests::FAULT_ENVIRON, &tables));
        let ended = folder.check().await;
        ended.failed(CONFIG, &[words, "hint: "]);
        let shown = &ended.stderr;
        assert!(
            !shown.contains(VALUE) && !shown.contains("5551234"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn components_on_the_command_line_get_an_environment() {
    let run = [
        "run",
        openline_guests::FAULT_ENVIRON,
        "--listen",
        "127.0.0.1:0",
    ];
    let given = ["--env", "GREETING=a=b", "--env", "TOKEN"];
    let under = format!("export TOKEN={VALUE}");
    let host = Serving::under(&under, &[&run[..], &given].concat()).await;
    let mut client = connect(&host, "/fault-environ").await;
    assert_eq!(client.ask("env GREETING").await, "a=b");
    assert_eq!(client.ask("config TOKEN").await, VALUE);

    for (given, words) in [
        (&["--env", "OPENLINE_NO_SUCH"][..], "is not set"),
        (&["--env", "A=1", "--env", "A"], "the name `A` twice"),
        (&["--env", "A-B=hunter2"], "`A-B`: a name has"),
        (&["--env", "=hunter2"], "a name has"),
    ] {
        let ended = openline(&[&run[..], given].concat()).await;
        ended.failed(1, &[words, "hint: "]);
        assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    }
}
