//! Requests to a host's interface for publishers: finds its address and a key,
//! and explains its answers to the user of a command.
//!
//! What the command line and the environment do not say, `found` looks for in
//! `openline.toml` of the folder: the address, and the texts of keys that the
//! file names places for.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use openline_core::key::Scope;
use openline_core::name::{ChannelName, FunctionName};
use openline_hint::Hinted;
use serde::Deserialize;

use super::client::{Answer, Ask, Client, ClientError, encoded};
use super::found::Configured;
use super::remote::{function, unasked};
use super::secret;
use super::table::{plain, print_answer};
use super::trust::{self, Trust};
use super::url::{HostUrl, Interface};
use crate::hints::Refused;

/// How long to wait for the answer to a request.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The end of the commands' help.
pub(crate) const EXIT_CODES: &str = "\
The address and the key, where they are not given, come from openline.toml of this
folder: `listen` in [server.api], or that of [server] with hosts = [\"*\"] in [server.api];
and the first [[key]] that gives the needed scope on the channels. The host does not keep
the text of a key that `openline keys make` has made: give it with OPENLINE_KEY or
--key-file.

Exit codes: 0 success, 1 failure (the host does not answer, say), 3 the host refuses,
64 the command line is wrong, 78 the configuration is wrong.";

/// The host to ask, and as whom.
#[derive(Debug, Args)]
pub(crate) struct PublisherArguments {
    /// The host's interface for publishers, such as http://127.0.0.1:8081
    /// [default: that of the configuration]
    #[arg(long, env = "OPENLINE_URL", value_name = "URL", value_parser = |text: &str| HostUrl::argument(text, Interface::Publishers))]
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

/// Its words: one for programs, what that is about, and a sentence.
#[derive(Debug, Deserialize)]
pub(crate) struct ErrorWords {
    code: String,
    #[serde(default)]
    name: Option<String>,
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
        let mut configured = Configured::new(self.config.as_deref());
        let key = match self.given()? {
            Some(key) => key,
            None => configured.key(scope, channels, self.function.as_ref())?,
        };
        let url = match &self.url {
            Some(url) => url.clone(),
            None => configured.url()?,
        };
        let tls = url.has_tls();
        let tls = tls.then(|| trust::client(Trust::Authorities(self.ca.as_deref())));
        let function = self.function.as_ref();
        Ok(Publishers {
            client: Client::new(url, Some(key), tls.transpose()?),
            function: function.map(|name| format!("function={name}")),
            json: self.json,
        })
    }

    /// The key of the command line or of the environment.
    fn given(&self) -> anyhow::Result<Option<String>> {
        match &self.key {
            Some(KeyText(key)) => secret::sendable(Interface::Publishers, key.clone()).map(Some),
            None => secret::read(Interface::Publishers, self.key_file.as_deref()),
        }
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
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
        print_answer(self.json, answer, show)
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
        let name = self.name.as_deref();
        match self.code.as_str() {
            "unauthorized" => format!(
                "`openline keys list` shows which keys there are, and `openline keys make NAME --scope {scope}` makes one; a host without a data directory forgets those that it has made when it ends"
            ),
            "denied" if scope == Scope::Subscribe => "the key needs the scope `subscribe` and a pattern that matches the channel (`openline keys list`), and the channel has to let keys subscribe: `subscribe = \"key\"` or `\"peers\"` in its table".to_owned(),
            "denied" => format!(
                "the key needs the scope `{scope}` and a pattern that matches the channel, and has to be for the function: `openline keys list` shows what it has"
            ),
            "not-found" if name == Some("function") => "`openline functions` lists those of the host".to_owned(),
            "not-found" if name == Some("presence") => "set `presence = true` in the table of the channel".to_owned(),
            "not-found" => "the host may not take our own requests: look at `protocols` in [server.api]".to_owned(),
            "invalid" if name == Some("function") => "name the function whose channel it is with `--function NAME`".to_owned(),
            "malformed" => "JSON may be nested 128 levels deep: publish what is deeper as text with `--text`, or in the form that `--help` shows".to_owned(),
            "too-many" => "publish in several requests: one has 1,000 publications at most".to_owned(),
            "slow" => "send again when its peer has read, or close the connection".to_owned(),
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

    /// Words may change, and those of others may occur in them.
    #[test]
    fn advice_goes_by_codes_and_names() {
        let advice = |code: &str, name: Option<&str>| {
            let error = ErrorWords {
                code: code.to_owned(),
                name: name.map(str::to_owned),
                message: "the `function` has no presence".to_owned(),
                position: None,
            };
            error.advice(Scope::Publish)
        };
        for (code, name, expected) in [
            ("not-found", Some("function"), "`openline functions`"),
            ("not-found", Some("presence"), "`presence = true`"),
            ("not-found", Some("path"), "`protocols`"),
            ("not-found", None, "`protocols`"),
            ("invalid", Some("function"), "`--function NAME`"),
            ("invalid", Some("since"), "`--help`"),
            ("malformed", None, "128 levels"),
            ("too-many", None, "1,000 publications"),
            ("slow", None, "its peer"),
        ] {
            let said = advice(code, name);
            assert!(said.contains(expected), "{code} {name:?}: {said}");
        }
    }

    #[test]
    fn a_key_is_not_shown() {
        assert_eq!(format!("{:?}", KeyText("sec_x".into())), "KeyText");
    }
}
