//! Requests to a host's admin interface: finds its address and token, and
//! explains its answers to the user of a command.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use openline_core::name::{AliasName, FunctionName, TriggerName};
use openline_hint::{Hint, Hinted};
use serde_json::Value;

use crate::causes;
use crate::commands::client::{Ask, Client, ClientError, Reply};
use crate::commands::trust::{self, Trust};
use crate::commands::url::{HostUrl, HostUrlError, Interface};
use crate::hints::Refused;
use crate::telemetry::print;

/// The exit code when the host refuses a request.
const EXIT_REFUSED: u8 = 3;
/// How long to wait for a request that needs no compiler.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The variable that holds the token. It is not an argument, because other
/// users can read command lines.
const TOKEN_VARIABLE: &str = "OPENLINE_ADMIN_TOKEN";

/// The end of the commands' help.
pub(crate) const EXIT_CODES: &str = "\
The token of the host, where it has one, comes from the variable OPENLINE_ADMIN_TOKEN
or from --token-file.

Exit codes: 0 success, 1 failure (the host does not answer, say), 3 the host refuses,
64 the command line is wrong.";

/// The host to ask, and how to show its answer.
#[derive(Debug, Args)]
pub(crate) struct RemoteArguments {
    /// The host's admin interface
    #[arg(
        long,
        env = "OPENLINE_ADMIN",
        value_name = "URL",
        default_value = "http://127.0.0.1:18080",
        value_parser = url
    )]
    admin: HostUrl,
    /// A file with the certificates of the authorities to trust, in PEM, for a
    /// host that is asked by https:// [default: those of the system]
    #[arg(long, env = "OPENLINE_ADMIN_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A file that holds the host's token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// A host that commands can ask.
#[derive(Debug)]
pub(crate) struct Remote {
    client: Client,
    pub(crate) json: bool,
}

impl RemoteArguments {
    /// Reads the token.
    pub(crate) fn remote(&self) -> anyhow::Result<Remote> {
        let token = match &self.token_file {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                let shown = path.display();
                let text = text.map_err(|error| {
                    let missing = "name a file that holds the host's `admin_token`";
                    let hint = causes::of_reading(error.kind(), missing);
                    Hinted::new(format!("cannot read {shown}: {error}"), hint)
                })?;
                if text.trim().is_empty() {
                    let what = format!("{shown} is empty");
                    bail!(Hinted::new(what, "it should hold the host's `admin_token`"));
                }
                Some(text.trim().to_owned())
            }
            None => std::env::var(TOKEN_VARIABLE).ok(),
        };
        let token = token.filter(|token| !token.is_empty());
        // Check this before a connection is made: such a token could not be
        // sent.
        if !token.iter().all(|token| is_sendable(token)) {
            return Err(unasked(&ClientError::Token(Interface::Admin)));
        }
        let tls = self.admin.has_tls();
        let tls = tls.then(|| trust::client(Trust::Authorities(self.ca.as_deref())));
        Ok(Remote {
            client: Client::new(self.admin.clone(), token, tls.transpose()?),
            json: self.json,
        })
    }
}

impl Remote {
    /// Reads from the host.
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.send("GET", path, None).await
    }

    /// Asks for a change that needs no compiler.
    pub(crate) async fn send(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(|body| ("application/json", body.to_string().into()));
        let ask = Ask {
            method,
            path: path.into(),
            body,
            timeout: TIMEOUT,
        };
        self.ask(ask, |_| {}).await
    }

    /// Sends any request.
    pub(crate) async fn ask(
        &self,
        ask: Ask,
        sent: impl FnMut(u64) + Send + 'static,
    ) -> anyhow::Result<Value> {
        match self.client.ask(ask, sent).await {
            Ok(reply) if reply.status < 300 => Ok(reply.body),
            Ok(reply) => Err(Refused(words(&reply)).into()),
            Err(error) => Err(unasked(&error)),
        }
    }

    /// Prints an answer: as JSON, or formatted by `show` for people.
    pub(crate) fn print(
        &self,
        answer: &Value,
        show: impl FnOnce(&Value) -> String,
    ) -> anyhow::Result<()> {
        let text = if self.json {
            super::table::plain_json(&serde_json::to_string_pretty(answer)?)
        } else {
            show(answer)
        };
        print(&text)?;
        Ok(())
    }
}

/// Whether a token or a key has only characters that headers have.
pub(crate) fn is_sendable(token: &str) -> bool {
    token
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// The exit code of the process after an error of these commands.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    error.is::<Refused>().then_some(EXIT_REFUSED)
}

/// Why there is no answer.
pub(crate) fn unasked(error: &ClientError) -> anyhow::Error {
    Hinted::about(error.to_string(), error).into()
}

fn words(reply: &Reply) -> Hinted {
    let text = |key: &str| reply.body[key].as_str().map(super::table::plain);
    match (text("message"), text("hint")) {
        (Some(message), Some(hint)) => Hinted::new(message, hint),
        _ => Hinted::new(
            format!("the host answers with status {}", reply.status),
            "is this the admin interface of an Openline host?",
        ),
    }
}

// === arguments ===

fn url(text: &str) -> Result<HostUrl, String> {
    HostUrl::parse(text, Interface::Admin).map_err(|error: HostUrlError| error.explained())
}

/// A function's name, as an argument.
pub(crate) fn function(text: &str) -> Result<FunctionName, String> {
    FunctionName::new(text).map_err(|error| error.to_string())
}

/// An alias, as an argument.
pub(crate) fn alias(text: &str) -> Result<AliasName, String> {
    AliasName::new(text).map_err(|error| error.to_string())
}

/// A trigger, as an argument.
pub(crate) fn trigger(text: &str) -> Result<TriggerName, String> {
    TriggerName::new(text).map_err(|error| error.to_string())
}
