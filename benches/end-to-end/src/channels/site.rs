//! The servers that are measured: the host with a function that has no component,
//! and Centrifugo with its engine in memory. Both let everyone subscribe and
//! publish, on the same channels.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::Context;
use openline_kit::process::{Ready, Running, START_TIMEOUT, unused_address};
use openline_kit::programs::Programs;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::pinning;

/// The variable that the host reads its key from.
const KEY_VARIABLE: &str = "CHANNELS_KEY";

/// What a publisher from outside shows.
const KEY: &str = "a-key-of-this-benchmark-alone";

/// The host's configuration: its defaults, with room for what is measured.
const HOST: &str = r#"
[server]
listen = "127.0.0.1:0"
data = "data"
channel_bytes = "4 GiB"
connections = 20000

[server.api]
hosts = ["*"]
function = "channels"
requests_per_second = 1000000

[[key]]
name = "backend"
scopes = ["publish", "read"]
secret = "env:CHANNELS_KEY"

[[function]]
name = "channels"

[[function.trigger]]
name = "centrifugo"
route = "/connection/websocket"
dialect = "centrifugo"

[[function.channel]]
pattern = "plain:*"
subscribe = "peers"
publish = "peers"

[[function.channel]]
pattern = "kept:*"
subscribe = "peers"
publish = "peers"
history = { count = 100 }

[[function.channel]]
pattern = "durable:*"
subscribe = "peers"
publish = "peers"
history = { count = 100 }
durable = true

[function.limit]
connections = 20000

[function.instance]
concurrency = 1000
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Server {
    Openline,
    Centrifugo,
}

impl Server {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Openline => "openline",
            Self::Centrifugo => "Centrifugo",
        }
    }
}

/// Where everything is.
pub(super) struct Site {
    host: PathBuf,
    centrifugo: Option<PathBuf>,
}

/// A server that listens; dropping it kills it.
pub(super) struct Started {
    pub(super) running: Running,
    /// Its configuration and its data.
    folder: TempDir,
}

impl Site {
    pub(super) fn new(programs: Programs, centrifugo: Option<&Path>) -> anyhow::Result<Self> {
        let centrifugo = centrifugo.map(std::path::absolute).transpose();
        Ok(Self {
            host: std::path::absolute(programs.host).context("no current folder")?,
            centrifugo: centrifugo.context("no current folder")?,
        })
    }

    pub(super) fn servers(&self) -> Vec<Server> {
        let mut all = vec![Server::Openline];
        all.extend(self.centrifugo.is_some().then_some(Server::Centrifugo));
        all
    }

    pub(super) fn key(&self) -> &'static str {
        KEY
    }

    /// Starts a server on these CPUs, which knows nothing yet.
    pub(super) async fn start(
        &self,
        server: Server,
        cpus: Option<&str>,
    ) -> anyhow::Result<Started> {
        let folder = TempDir::new()?;
        match (server, &self.centrifugo) {
            (Server::Centrifugo, Some(program)) => centrifugo(program, folder, cpus).await,
            _ => {
                fs::write(folder.path().join("openline.toml"), HOST)?;
                self.host(folder, cpus).await
            }
        }
    }

    async fn host(&self, folder: TempDir, cpus: Option<&str>) -> anyhow::Result<Started> {
        let mut command = pinning::command(&self.host, cpus);
        command.args(["serve", "--log", "error", "--config", "openline.toml"]);
        command.env(KEY_VARIABLE, KEY);
        start(command, Ready::Says, folder).await
    }
}

impl Started {
    /// Kills the host, and starts it again with the same data.
    pub(super) async fn again(self, site: &Site, cpus: Option<&str>) -> anyhow::Result<Self> {
        self.running.kill().await?;
        site.host(self.folder, cpus).await
    }
}

async fn centrifugo(
    program: &Path,
    folder: TempDir,
    cpus: Option<&str>,
) -> anyhow::Result<Started> {
    let address = unused_address()?;
    let rights = json!({
        "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
        "allow_publish_for_client": true, "allow_publish_for_anonymous": true,
    });
    let mut kept = rights.clone();
    kept["history_size"] = json!(100);
    kept["history_ttl"] = json!("300s");
    kept["allow_recovery"] = json!(true);
    kept["force_recovery"] = json!(true);
    let named = |name: &str, mut of: serde_json::Value| {
        of["name"] = json!(name);
        of
    };
    let configuration = json!({
        "http_server": { "address": "127.0.0.1", "port": address.port().to_string() },
        "http_api": { "key": KEY },
        "client": {
            "allow_anonymous_connect_without_token": true,
            "allowed_origins": ["*"],
            "channel_limit": 1000,
        },
        "log": { "level": "error" },
        "channel": { "namespaces": [
            named("plain", rights), named("kept", kept.clone()), named("durable", kept),
        ] },
    });
    fs::write(folder.path().join("config.json"), configuration.to_string())?;
    let mut command = pinning::command(program, cpus);
    command.args(["--config", "config.json"]);
    start(command, Ready::Accepts(address), folder).await
}

async fn start(mut command: Command, ready: Ready, folder: TempDir) -> anyhow::Result<Started> {
    command.current_dir(folder.path()).stderr(Stdio::null());
    let running = Running::start_until(ready, command, START_TIMEOUT).await?;
    Ok(Started { running, folder })
}
