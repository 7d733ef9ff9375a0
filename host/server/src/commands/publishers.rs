//! Requests to a host's interface for publishers: finds its address and a key,
//! and explains its answers to the user of a command.
//!
//! What the command line and the environment do not say is in `openline.toml`
//! of the folder: the address, and the texts of keys that the file names places
//! for. Keys that a running host has made are in no file.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use bytes::Bytes;
use clap::Args;
use openline_admission::authenticate::now;
use openline_core::config::{Config, Listener, ServerConfig};
use openline_core::key::{KeyTable, Scope};
use openline_core::name::{ChannelName, FunctionName};
use openline_hint::{Hint, Hinted};
use serde::Deserialize;

use super::client::{Answer, Ask, Client, ClientError, encoded};
use super::remote::{function, is_sendable, unasked};
use super::table::{plain, plain_json};
use super::trust::{self, Trust};
use super::url::{HostUrl, HostUrlError, Interface};
use crate::hints::Refused;
use crate::telemetry::print;
use crate::{assemble, causes};

/// How long to wait for the answer to a request.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The variable that holds the key.
const KEY_VARIABLE: &str = "OPENLINE_KEY";
/// The configuration that is looked for.
const CONFIG: &str = "openline.toml";

/// The end of the commands' help.
pub(crate) const EXIT_CODES: &str = "\
The address and the key, where they are not given, come from openline.toml of this
folder: `listen` in [server.api], and a [[key]] with the scope that is needed. Of a key
that `openline keys make` has made, only you have the text: give it with OPENLINE_KEY or
--key-file.

Exit codes: 0 success, 1 failure (the host does not answer, say), 3 the host refuses,
64 the command line is wrong, 78 the configuration is wrong.";

/// The host to ask, and as whom.
#[derive(Debug, Args)]
pub(crate) struct PublisherArguments {
    /// The host's interface for publishers, such as http://127.0.0.1:8081
    /// [default: that of the configuration]
    #[arg(long, env = "OPENLINE_URL", value_name = "URL", value_parser = url)]
    url: Option<HostUrl>,
    /// The API key. Other users of this machine can read command lines: the
    /// variable OPENLINE_KEY and --key-file hide it from them
    #[arg(long, value_name = "KEY", value_parser = key, conflicts_with = "key_file")]
    key: Option<KeyText>,
    /// A file that holds the API key
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The function whose channels are meant [default: that of `[server.api]`, or
    /// the only one that the key is for]
    #[arg(long, value_name = "NAME", value_parser = function)]
    function: Option<FunctionName>,
    /// The host's configuration, which has what is not given here [default:
    /// openline.toml of this folder, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A file with the certificates of the authorities to trust, in PEM, for a
    /// host that is asked by https:// [default: those of the system]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the answers as JSON
    #[arg(long)]
    json: bool,
}

/// The text of a key, which is not for logs.
#[derive(Clone)]
struct KeyText(String);

/// A host that commands can ask.
#[derive(Debug)]
pub(crate) struct Publishers {
    client: Client,
    /// `function=NAME`, or nothing.
    function: Option<String>,
    pub(crate) json: bool,
}

/// An error of the interface.
#[derive(Debug, Deserialize)]
struct ErrorBody {
    error: ErrorWords,
}

/// Its words: one for programs, and a sentence.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorWords {
    code: String,
    message: String,
    #[serde(default)]
    position: Option<String>,
}

impl PublisherArguments {
    /// Finds the host and a key that has a scope on these channels. Waits for
    /// files.
    pub(crate) fn publishers(
        &self,
        scope: Scope,
        channels: &[ChannelName],
    ) -> anyhow::Result<Publishers> {
        let mut found = Found::new(self.config.as_deref());
        let key = match self.given()? {
            Some(key) => key,
            None => found.key(self, scope, channels)?,
        };
        let url = match &self.url {
            Some(url) => url.clone(),
            None => found.url()?,
        };
        let tls = url.has_tls();
        let tls = tls.then(|| trust::client(Trust::Authorities(self.ca.as_deref())));
        let function = self.function.as_ref();
        Ok(Publishers {
            client: Client::new(url, Some(key.0), tls.transpose()?),
            function: function.map(|name| format!("function={name}")),
            json: self.json,
        })
    }

    /// The key of the command line or of the environment.
    fn given(&self) -> anyhow::Result<Option<KeyText>> {
        let text = match (&self.key, &self.key_file) {
            (Some(key), _) => Some(key.0.clone()),
            (None, Some(path)) => {
                let shown = path.display();
                let text = fs::read_to_string(path).map_err(|error| {
                    let hint = causes::of_reading(error.kind(), "name a file that holds a key");
                    Hinted::new(format!("cannot read {shown}: {error}"), hint)
                })?;
                if text.trim().is_empty() {
                    bail!(Hinted::new(
                        format!("{shown} is empty"),
                        "it should hold an API key"
                    ));
                }
                Some(text.trim().to_owned())
            }
            (None, None) => std::env::var(KEY_VARIABLE).ok(),
        };
        let text = text.filter(|text| !text.is_empty());
        if !text.iter().all(|text| is_sendable(text)) {
            return Err(unasked(&ClientError::Token(Interface::Publishers)));
        }
        Ok(text.map(KeyText))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

// === the configuration ===

/// The configuration, which is read when something is missing.
struct Found<'a> {
    named: Option<&'a Path>,
    config: Option<Option<Config>>,
}

impl<'a> Found<'a> {
    fn new(named: Option<&'a Path>) -> Self {
        Self {
            named,
            config: None,
        }
    }

    fn path(&self) -> &'a Path {
        self.named.unwrap_or(Path::new(CONFIG))
    }

    /// The configuration; none if none is named and the folder has none.
    fn config(&mut self) -> anyhow::Result<Option<&Config>> {
        let path = self.path();
        if self.config.is_none() {
            let is_there = self.named.is_some() || path.exists();
            let read = is_there.then(|| assemble::read_config(path)).transpose()?;
            self.config = Some(read.map(|read| read.config));
        }
        Ok(self.config.as_ref().and_then(Option::as_ref))
    }

    fn url(&mut self) -> anyhow::Result<HostUrl> {
        let path = self.path();
        match self.config()? {
            Some(config) => Ok(url_of(&config.server, path)?),
            None => bail!(Hinted::new(
                "where is the host? this folder has no openline.toml",
                "name the interface for publishers with `--url URL` or OPENLINE_URL; the host says at its start where it is",
            )),
        }
    }

    /// The text of a key that gives a scope on channels.
    fn key(
        &mut self,
        arguments: &PublisherArguments,
        scope: Scope,
        channels: &[ChannelName],
    ) -> anyhow::Result<KeyText> {
        let shown = self.path().display().to_string();
        let on = match channels {
            [] => String::new(),
            [channel] => format!(" on `{}`", channel.as_str()),
            [channel, ..] => format!(" on `{}` and the others", channel.as_str()),
        };
        let config = self.config()?;
        let function = arguments
            .function
            .as_ref()
            .or_else(|| config?.server.api.function.as_ref());
        let keys = config.map_or(&[][..], |config| &config.keys);
        let mut unread = None;
        for key in keys
            .iter()
            .filter(|key| fits(key, scope, channels, function))
        {
            match openline_control::key_text(key) {
                Ok(text) => return Ok(KeyText(text)),
                Err(error) => {
                    unread.get_or_insert(error);
                }
            }
        }
        let what = match (unread, config) {
            (Some(error), _) => format!("{shown}: {error}"),
            (None, None) => "there is no key".to_owned(),
            (None, Some(_)) => format!("no key of {shown} gives `{scope}`{on}"),
        };
        let hint = format!(
            "give one with OPENLINE_KEY or `--key-file FILE`. `openline keys make NAME --scope {scope}` makes one and shows it once: the host keeps only its hash, so one that is lost has to be made anew"
        );
        bail!(Hinted::new(what, hint))
    }
}

/// Whether a key of the configuration may be what is needed. The host decides.
fn fits(
    key: &KeyTable,
    scope: Scope,
    channels: &[ChannelName],
    function: Option<&FunctionName>,
) -> bool {
    let terms = &key.terms;
    let of_function = match (&terms.functions, function) {
        (Some(functions), Some(function)) => functions.contains(function),
        _ => true,
    };
    let is_on = |name| terms.channels.iter().any(|it| it.matches(name));
    // A pair signs, and has no text.
    key.access_key_id.is_none()
        && terms.scopes.has(scope)
        && !terms.has_expired(now().wall)
        && of_function
        && channels.iter().all(is_on)
}

/// Where a configuration says that the interface is.
fn url_of(server: &ServerConfig, path: &Path) -> Result<HostUrl, Hinted> {
    let shown = path.display();
    let (address, listener) = match (server.api.listen, server.api.hosts.all) {
        (Some(address), _) => (address, Listener::Api),
        (None, true) => (server.listen, Listener::Listen),
        (None, false) => {
            let hosts = server.api.hosts.texts();
            return Err(match hosts.first() {
                None => Hinted::new(
                    format!("{shown} does not turn the interface for publishers on"),
                    "set `listen` in [server.api], and start the host again; or name another host with `--url URL` or OPENLINE_URL",
                ),
                Some(host) => Hinted::new(
                    format!("{shown} has the interface for publishers for some hosts only"),
                    format!(
                        "name one of them with `--url URL` or OPENLINE_URL, as in `--url http://{host}:{}`",
                        server.listen.port()
                    ),
                ),
            });
        }
    };
    if address.port() == 0 {
        return Err(Hinted::new(
            format!("{shown} lets the system choose the port of the interface for publishers"),
            "the host says at its start where it is: name it with `--url URL` or OPENLINE_URL",
        ));
    }
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = match server.has_tls(listener) {
        true => "https",
        false => "http",
    };
    let text = format!("{scheme}://{}", SocketAddr::new(ip, address.port()));
    HostUrl::parse(&text, Interface::Publishers)
        .map_err(|error| Hinted::about(error.to_string(), &error))
}

// === requests ===

impl Publishers {
    /// A request for a path, with these parts of a query.
    pub(crate) fn request(&self, path: &str, query: &[(&str, String)]) -> Ask {
        let parts = query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)));
        let parts: Vec<_> = self.function.iter().cloned().chain(parts).collect();
        let path = match parts.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", parts.join("&")),
        };
        Ask {
            method: "GET",
            path,
            body: None,
            timeout: TIMEOUT,
        }
    }

    /// A request that publishes this JSON.
    pub(crate) fn publication(&self, body: impl Into<Bytes>) -> Ask {
        Ask {
            method: "POST",
            body: Some(("application/json", body.into())),
            ..self.request("/v1/publish", &[])
        }
    }

    /// Sends a request: its answer, whatever its status is.
    pub(crate) async fn answer(&self, ask: Ask) -> Result<Answer, ClientError> {
        self.client.answer(ask, |_| {}).await
    }

    /// Sends a request: the body of its answer. `scope` is the one that it needs.
    pub(crate) async fn ask(&self, ask: Ask, scope: Scope) -> anyhow::Result<Bytes> {
        match self.answer(ask).await {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(refused(&answer, scope).into()),
            Err(error) => Err(unasked(&error)),
        }
    }

    /// The client, for answers that flow.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Prints an answer: as JSON, or what `show` makes of it for people.
    pub(crate) fn print(
        &self,
        answer: &serde_json::Value,
        show: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = match self.json {
            true => plain_json(&serde_json::to_string_pretty(answer)?),
            false => show(),
        };
        Ok(print(&text)?)
    }
}

/// What an answer that is not 200 says.
pub(crate) fn refused(answer: &Answer, scope: Scope) -> Refused {
    let Ok(ErrorBody { error }) = serde_json::from_slice(&answer.body) else {
        return Refused(Hinted::new(
            format!("the host answers with status {}", answer.status),
            "is this the interface for publishers of an Openline host? it says at its start where that is: `publishers at`",
        ));
    };
    Refused(error.explained(scope))
}

impl ErrorWords {
    /// What is wrong, and what to do.
    pub(crate) fn explained(&self, scope: Scope) -> Hinted {
        let what = match &self.position {
            Some(position) => format!("{}: it is at {position}", self.message),
            None => self.message.clone(),
        };
        Hinted::new(plain(&what), self.advice(scope))
    }

    fn advice(&self, scope: Scope) -> String {
        let said = self.message.as_str();
        match self.code.as_str() {
            "unauthorized" => format!(
                "`openline keys list` shows which keys there are, and `openline keys make NAME --scope {scope}` makes one; a host without a data directory forgets those that it has made when it ends"
            ),
            "denied" if scope == Scope::Subscribe => "the key needs the scope `subscribe` and a pattern that matches the channel (`openline keys list`), and the channel has to let keys subscribe: `subscribe = \"key\"` or `\"peers\"` in its table".to_owned(),
            "denied" => format!(
                "the key needs the scope `{scope}` and a pattern that matches the channel, and has to be for the function: `openline keys list` shows what it has"
            ),
            "not-found" if said.contains("function") => "`openline functions` lists those of the host".to_owned(),
            "not-found" if said.contains("presence") => "set `presence = true` in the table of the channel".to_owned(),
            "not-found" => "the host may not take our own requests: look at `protocols` in [server.api]".to_owned(),
            "invalid" if said.contains("`function`") => "name the function whose channel it is with `--function NAME`".to_owned(),
            "conflict" => "read what has come since, and publish with the new position".to_owned(),
            "unrecoverable" => "leave out `--since`: what is kept is read from its beginning".to_owned(),
            "too-large" => "`message_bytes` of the function, `history.bytes` of the channel and `body_bytes` in [server.api] bound it".to_owned(),
            "rate-limited" => "wait, or publish several at once with `--lines`; `requests_per_second` in [server.api] is the limit of each key".to_owned(),
            "full" => "the limits of [server.api], `subscribers` of the channel and `channel_bytes` bound what there is room for".to_owned(),
            "unavailable" | "internal" => "the log of the host says why".to_owned(),
            _ => "`--help` says what this command takes".to_owned(),
        }
    }
}

// === arguments ===

fn url(text: &str) -> Result<HostUrl, String> {
    HostUrl::parse(text, Interface::Publishers).map_err(|error: HostUrlError| error.explained())
}

fn key(text: &str) -> Result<KeyText, String> {
    match text.is_empty() {
        true => Err("it is empty".to_owned()),
        false => Ok(KeyText(text.to_owned())),
    }
}

/// A channel, as an argument.
pub(crate) fn channel(text: &str) -> Result<ChannelName, String> {
    ChannelName::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> Result<String, String> {
        let text = format!("[server]\ndata = \"data\"\n{lines}");
        let config = Config::parse(&text).unwrap();
        let found = url_of(&config.server, Path::new("openline.toml"));
        found
            .map(|url| url.to_string())
            .map_err(|error| error.explained())
    }

    #[test]
    fn the_address_is_that_of_the_configuration() {
        for (lines, expected) in [
            (
                "[server.api]\nlisten = \"127.0.0.1:8081\"",
                "http://127.0.0.1:8081",
            ),
            (
                "[server.api]\nlisten = \"0.0.0.0:8081\"",
                "http://127.0.0.1:8081",
            ),
            ("[server.api]\nlisten = \"[::]:8081\"", "http://[::1]:8081"),
            (
                "listen = \"127.0.0.1:9\"\n[server.api]\nhosts = [\"*\"]",
                "http://127.0.0.1:9",
            ),
        ] {
            assert_eq!(of(lines).as_deref(), Ok(expected), "{lines}");
        }
        for (lines, words) in [
            ("listen = \"127.0.0.1:9\"", "does not turn"),
            (
                "[server.api]\nlisten = \"127.0.0.1:0\"",
                "lets the system choose",
            ),
            (
                "listen = \"127.0.0.1:9\"\n[server.api]\nhosts = [\"push.example.org\"]",
                "--url http://push.example.org:9",
            ),
        ] {
            let said = of(lines).unwrap_err();
            assert!(said.contains(words) && said.contains("hint: "), "{said}");
        }
    }

    #[test]
    fn a_key_fits_by_scope_channel_function_and_time() {
        let parse = |lines: &str| {
            let text = format!(
                "[server]\ndata = \"data\"\n[[key]]\nname = \"a\"\nscopes = [\"publish\"]\nsecret = \"env:A\"\n{lines}\n"
            );
            Config::parse(&text).unwrap().keys.remove(0)
        };
        let name = |text| ChannelName::new(text).unwrap();
        let function = |text| FunctionName::new(text).unwrap();
        let (news, chat) = ([name("news")], function("chat"));
        let fits = |key: &KeyTable| fits(key, Scope::Publish, &news, Some(&chat));
        assert!(fits(&parse("")));
        assert!(fits(&parse(
            "channels = [\"new*\"]\nfunctions = [\"chat\"]"
        )));
        assert!(!fits(&parse("channels = [\"room:*\"]")));
        assert!(!fits(&parse("functions = [\"other\"]")));
        assert!(!fits(&parse("expires = \"2001-01-01T00:00:00Z\"")));
        assert!(!fits(&parse("access_key_id = \"EXAMPLE0123456789ABC\"")));
        let key = parse("");
        assert!(!super::fits(&key, Scope::Read, &news, None));
        assert!(super::fits(&key, Scope::Publish, &[], None));
        let both = [name("news"), name("room:1")];
        assert!(!super::fits(
            &parse("channels = [\"news\"]"),
            Scope::Publish,
            &both,
            None
        ));
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", KeyText("sec_x".into())), "KeyText");
    }
}
