//! Requests to a host's admin interface: finds its address and token, and
//! explains its answers to the user of a command.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use openline_core::name::{AliasName, FunctionName, TriggerName};
use openline_hint::Hinted;
use serde_json::Value;

use super::client::{Ask, Client, ClientError, Reply};
use super::secret;
use super::table::print_answer;
use super::trust::{self, Trust};
use super::url::{HostUrl, Interface};
use crate::hints::Refused;

/// The exit code when the host refuses a request.
const EXIT_REFUSED: u8 = 3;
/// How long to wait for a request that needs no compiler.
const TIMEOUT: Duration = Duration::from_secs(30);

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
        value_parser = |text: &str| HostUrl::argument(text, Interface::Admin)
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
        let token = secret::read(Interface::Admin, self.token_file.as_deref())?;
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
        print_answer(self.json, answer, || show(answer))
    }
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
