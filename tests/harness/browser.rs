//! A real browser without a window: Chromium by way of chromedriver.
//!
//! WebDriver (<https://www.w3.org/TR/webdriver2/>) is JSON over HTTP, and a
//! test of the page needs nine of its commands: that is less than a library.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openline_kit::exchange::{Answer, is_whole};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{Mutex, MutexGuard};

use super::within;

/// The name under which WebDriver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Keys as WebDriver writes them.
pub const TAB: &str = "\u{e004}";
pub const ENTER: &str = "\u{e007}";
pub const ESCAPE: &str = "\u{e00c}";

/// The longest that a browser may take to start: cold, from a slow disk.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How often a chromedriver is started that ends before it listens.
const STARTS_MAX: u32 = 5;

/// One browser at a time: it is the largest thing that tests start.
static TURN: Mutex<()> = Mutex::const_new(());

/// A browser with one window; it ends when this is dropped.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    // In the order in which they are let go, after `drop` has ended the
    // browser: the driver is ended by its process, its profile is removed.
    _process: Child,
    _output: Lines<BufReader<ChildStdout>>,
    _profile: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// Starts a browser; `None` when the environment asks to do without.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// The same; it trusts every certificate.
    pub async fn start_that_trusts_all() -> Option<Self> {
        Self::start_with(&["--ignore-certificate-errors"]).await
    }

    /// The same with these arguments.
    pub async fn start_with(more: &[&str]) -> Option<Self> {
        if std::env::var("OPENLINE_SKIP_BROWSER").is_ok_and(|value| value == "1") {
            println!("skipped: OPENLINE_SKIP_BROWSER is 1");
            return None;
        }
        let needs = "the test of the page needs Chromium and chromedriver: install both \
                     (`scripts/browser.sh` does on Debian), or set OPENLINE_SKIP_BROWSER=1";
        let chromedriver = program(&["chromedriver", "chromium.chromedriver"]).expect(needs);
        let chromium = program(&[
            "chromium",
            "chromium-browser",
            "google-chrome",
            "google-chrome-stable",
        ])
        .expect(needs);
        let turn = TURN.lock().await;
        let profile = tempfile::tempdir().unwrap();
        let started = within("chromedriver to listen", driver(&chromedriver, &profile)).await;
        let Driver {
            process,
            output,
            port,
        } = started;
        let mut browser = Self {
            driver: SocketAddr::from(([127, 0, 0, 1], port)),
            session: String::new(),
            _process: process,
            _output: output,
            _profile: profile,
            _turn: turn,
        };
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}/data", browser._profile.path().display()),
        ];
        let arguments: Vec<_> = arguments.iter().chain(more).collect();
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": chromium, "args": arguments},
        }}});
        let starting = browser.ask("POST", "/session", &capabilities);
        let session = tokio::time::timeout(START_TIMEOUT, starting).await;
        let session = session.expect("the browser starts in time").unwrap();
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    /// Opens a page and waits until it is loaded.
    pub async fn goto(&self, url: &str) {
        self.command("/url", json!({"url": url})).await.unwrap();
    }

    /// Waits until there is an element, and names it.
    pub async fn element(&self, css: &str) -> String {
        let query = json!({"using": "css selector", "value": css});
        let looking = async {
            loop {
                match self.command("/element", query.clone()).await {
                    Ok(found) => return found[ELEMENT].as_str().unwrap().to_owned(),
                    Err(error) if error["error"] == "no such element" => {}
                    Err(error) => panic!("{css}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(&format!("an element `{css}`"), looking).await
    }

    pub async fn click(&self, css: &str) {
        let element = self.element(css).await;
        let path = format!("/element/{element}/click");
        self.command(&path, json!({})).await.unwrap();
    }

    /// Replaces what a field holds, by typing.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.element(css).await;
        let path = format!("/element/{element}/clear");
        self.command(&path, json!({})).await.unwrap();
        let path = format!("/element/{element}/value");
        self.command(&path, json!({"text": text})).await.unwrap();
    }

    /// Chooses a file in a field for files, as its dialog does.
    pub async fn choose(&self, css: &str, file: &Path) {
        let element = self.element(css).await;
        let path = format!("/element/{element}/value");
        let file = file.to_str().unwrap();
        self.command(&path, json!({"text": file})).await.unwrap();
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub async fn press(&self, keys: &str) {
        let strokes: Vec<_> = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key})))
            .collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        let actions = json!({"actions": [keyboard]});
        self.command("/actions", actions).await.unwrap();
    }

    /// Runs the body of a function in the page.
    pub async fn script(&self, body: &str, arguments: Value) -> Value {
        let script = json!({"script": body, "args": arguments});
        self.command("/execute/sync", script).await.unwrap()
    }

    /// Waits until the body of a function answers with something that is so.
    pub async fn until(&self, what: &str, body: &str, arguments: Value) {
        let asking = async {
            while self.script(body, arguments.clone()).await != json!(true) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within(what, asking).await;
    }

    /// The browser's complaints since it was last asked: errors of scripts,
    /// refused resources, violations of the content security policy.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.command("/se/log", json!({"type": "browser"})).await;
        let entries = log.unwrap();
        let severe = entries.as_array().unwrap().iter();
        severe
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].to_string())
            .collect()
    }

    /// A command of this session.
    async fn command(&self, path: &str, body: Value) -> Result<Value, Value> {
        let path = format!("/session/{}{path}", self.session);
        let asking = self.ask("POST", &path, &body);
        within(&format!("chromedriver's answer to {path}"), asking).await
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let request = request(self.driver, method, path, &body.to_string());
        let mut socket = TcpStream::connect(self.driver).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        while !is_whole(&response) {
            let read = socket.read_buf(&mut response).await.unwrap();
            assert!(read > 0, "chromedriver hung up");
        }
        let answer = Answer::parse(&response).unwrap();
        let value = answer.value()["value"].take();
        match answer.status {
            200 => Ok(value),
            _ => Err(value),
        }
    }
}

impl Drop for Browser {
    /// Runs when a test panics, too, and so does not wait: the browser is a
    /// process of chromedriver's, and would outlive it.
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let request = request(self.driver, "DELETE", &path, "");
        let Ok(mut socket) = std::net::TcpStream::connect(self.driver) else {
            return;
        };
        let _ = socket.set_read_timeout(Some(Duration::from_secs(10)));
        if socket.write_all(request.as_bytes()).is_ok() {
            // One byte of the answer: the browser has ended.
            let _ = socket.read(&mut [0]);
        }
    }
}

/// A chromedriver that listens.
struct Driver {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    port: u16,
}

/// Starts a chromedriver. It chooses a free port of IPv4 and then takes the same
/// one of IPv6, which another test may have: then it ends, and is started again.
async fn driver(program: &Path, profile: &TempDir) -> Driver {
    for _ in 0..STARTS_MAX {
        let mut process = Command::new(program)
            .arg("--port=0")
            // Files that the two leave behind go with the profile.
            .env("TMPDIR", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
        if let Some(port) = port(&mut output).await {
            return Driver {
                process,
                output,
                port,
            };
        }
    }
    panic!("chromedriver ended {STARTS_MAX} times before it listened");
}

/// The port that chromedriver says it has chosen; none if it has ended.
async fn port(output: &mut Lines<BufReader<ChildStdout>>) -> Option<u16> {
    while let Some(line) = output.next_line().await.unwrap() {
        let told = line.strip_prefix("ChromeDriver was started successfully on port ");
        if let Some(port) = told {
            return Some(port.trim_end_matches('.').parse().unwrap());
        }
    }
    None
}

/// The first of these programs that is on the path.
pub fn program(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let folders: Vec<_> = std::env::split_paths(&folders).collect();
    let mut paths = names
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    paths.find(|path| path.is_file())
}

fn request(driver: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {driver}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}
