//! `openline publish`, `subscribe`, `channels`, `presence` and `history`: the real
//! binary against a real host, whose configuration has the address and the keys.

mod publishing;
mod refusals;
mod subscribing;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::harness::{Ended, Serving, openline_in, spawned, within};

/// Channels of the function.
const CHANNELS: &str = r#"
[[function.channel]]
pattern = "news"
subscribe = "key"
durable = true
history = { time = "0" }

[[function.channel]]
pattern = "bulk"
subscribe = "key"
history = { count = 10000, bytes = "200 MiB" }

[[function.channel]]
pattern = "brief"
subscribe = "key"
history = { count = 2, time = "0" }

[[function.channel]]
pattern = "plain"
subscribe = "key"

[[function.channel]]
pattern = "room:*"
subscribe = "key"
history = {}

[[function.channel]]
pattern = "lobby"
subscribe = "key"
presence = true

[[function.channel]]
pattern = "values"
keyed = { keys = 10 }

[[function.channel]]
pattern = "prices"
subscribe = "key"
keyed = { keys = 10 }
history = {}
"#;

/// The texts of the keys, which the configuration has in files.
const READER: &str = "pub_0123456789abcdef0123456789abcdef";
const WRITER: &str = "sec_0123456789abcdef0123456789abcdef";

/// A folder with a configuration, and the host that serves it.
struct Told {
    folder: TempDir,
    host: Serving,
}

/// An address of this machine that was free just now. A host that starts again
/// has to be where its clients look for it.
async fn free() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Writes a configuration with these lines of `[server.api]`.
fn write(folder: &Path, address: &str, api: &str) {
    let key = |name: &str, scopes: &str| {
        format!(
            "[[key]]\nname = \"{name}\"\nscopes = {scopes}\nfunctions = [\"chat\"]\nsecret = \"file:{name}\"\n"
        )
    };
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\noutbox_bytes = \"2 MiB\"\n\
         [server.api]\nlisten = {address:?}\n{api}\n\
         [[function]]\nname = \"chat\"\ncomponent = {:?}\nroute = \"/chat\"\n{CHANNELS}\n{}{}",
        openline_guests::ECHO,
        key("reader", r#"["subscribe"]"#),
        key("writer", r#"["publish", "read"]"#),
    );
    fs::write(folder.join("openline.toml"), text).unwrap();
    fs::write(folder.join("reader"), READER).unwrap();
    fs::write(folder.join("writer"), WRITER).unwrap();
}

impl Told {
    async fn start() -> Self {
        Self::with("").await
    }

    async fn with(api: &str) -> Self {
        let folder = TempDir::new().unwrap();
        write(folder.path(), &free().await, api);
        let host = Self::serve(folder.path()).await;
        Self { folder, host }
    }

    async fn serve(folder: &Path) -> Serving {
        let path = folder.join("openline.toml");
        Serving::start(&["serve", "--config", path.to_str().unwrap()]).await
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Kills the host, and starts it again.
    async fn restart(&mut self) {
        self.host.signal("KILL").await;
        within("the host to end", self.host.process.wait())
            .await
            .unwrap();
        self.host = Self::serve(self.folder.path()).await;
    }

    /// Runs a command in the folder.
    async fn run(&self, words: &[&str]) -> Ended {
        openline_in(self.folder.path(), words).await
    }

    /// The same; what it prints, when it succeeds.
    async fn done(&self, words: &[&str]) -> String {
        let ended = self.run(words).await;
        assert_eq!(ended.code, Some(0), "{words:?}: {ended:?}");
        ended.stdout
    }

    /// The same as JSON.
    async fn json(&self, words: &[&str]) -> Value {
        let printed = self.done(&[words, &["--json"]].concat()).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{printed}: {error}"))
    }

    async fn publish(&self, channel: &str, data: &str) -> Value {
        self.json(&["publish", channel, data]).await
    }

    /// Begins `openline subscribe` with these words, and waits until the host
    /// knows as many subscribers of the channel.
    async fn subscribe(&self, words: &[&str], channel: &str, subscribers: u64) -> Subscribed {
        let config = self.path("openline.toml");
        let words = [&["subscribe"], words, &["--config", &config]].concat();
        let subscribed = Subscribed::new(spawned(&words, Stdio::piped()));
        self.known(channel, subscribers).await;
        subscribed
    }

    async fn known(&self, channel: &str, subscribers: u64) {
        let knowing = async {
            loop {
                let listed = self.json(&["channels", "--pattern", channel]).await;
                if listed[0]["subscribers"] == subscribers {
                    return;
                }
            }
        };
        within("the subscribers to be known", knowing).await;
    }
}

/// A command that subscribes.
struct Subscribed {
    process: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Subscribed {
    fn new(mut process: Child) -> Self {
        let stdout = BufReader::new(process.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(process.stderr.take().unwrap()).lines();
        Self {
            process,
            stdout,
            stderr,
        }
    }

    /// The next line of data.
    async fn next(&mut self) -> String {
        let line = within("a publication", self.stdout.next_line()).await;
        line.unwrap().expect("it has not ended")
    }

    /// Reads what it tells people, up to a line with these words.
    async fn told(&mut self, words: &str) -> String {
        loop {
            let line = within(words, self.stderr.next_line()).await.unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended without {words:?}"));
            if line.contains(words) {
                return line;
            }
        }
    }

    async fn signal(&self, name: &str) {
        crate::harness::signal(&self.process, name).await;
    }

    /// Waits for its end: its exit code, and the rest of what it printed and told.
    async fn ended(mut self) -> Ended {
        let status = within("its end", self.process.wait()).await.unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let mut rest = self.stdout.into_inner();
        rest.read_to_string(&mut stdout).await.unwrap();
        let mut rest = self.stderr.into_inner();
        rest.read_to_string(&mut stderr).await.unwrap();
        Ended {
            code: status.code(),
            stdout,
            stderr,
        }
    }
}
