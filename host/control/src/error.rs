//! Why a change was refused, or a host does not start.

use std::borrow::Cow;
use std::fmt;

use openline_admission::keys::KeyError;
use openline_authentication::{RevocationError, TicketError};
use openline_core::config::trigger_hint;
use openline_core::deployment::DeploymentError;
use openline_core::digest::Digest;
use openline_core::name::{FunctionName, KeyName, TriggerName};
use openline_core::trigger::{TriggerError, TriggerPlace};
use openline_engine::LoadError;
use openline_hint::{Hint, Hinted};
use openline_store::StoreError;

use crate::handlers::HandlerError;
use crate::view::TriggerSource;

/// Why a trigger cannot authenticate its requests.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {error}")]
pub struct AuthenticationError {
    place: TriggerPlace,
    error: Hinted,
}

impl AuthenticationError {
    pub(crate) fn new(place: &TriggerPlace, error: Hinted) -> Self {
        Self {
            place: place.clone(),
            error,
        }
    }
}

impl Hint for AuthenticationError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.error.hint()
    }
}

/// Why a function cannot have its secrets. It has no value.
#[derive(Debug, thiserror::Error)]
pub struct SecretsError {
    function: FunctionName,
    /// The name of the secret; none where the error is about all of them.
    name: Option<String>,
    error: Hinted,
}

impl SecretsError {
    pub(crate) fn new(function: FunctionName, name: Option<String>, error: Hinted) -> Self {
        Self {
            function,
            name,
            error,
        }
    }
}

impl fmt::Display for SecretsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function `{}`", self.function)?;
        if let Some(name) = &self.name {
            write!(f, ", `{name}`")?;
        }
        write!(f, ": {}", self.error)
    }
}

impl Hint for SecretsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.error.hint()
    }
}

/// Why a function cannot call what its configuration lets it call.
#[derive(Debug, thiserror::Error)]
#[error("function `{function}`: {error}")]
pub struct OutboundError {
    function: FunctionName,
    error: Hinted,
}

impl OutboundError {
    pub(crate) fn new(function: FunctionName, error: Hinted) -> Self {
        Self { function, error }
    }
}

impl Hint for OutboundError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        self.error.hint()
    }
}

/// Why the keys of a configuration cannot be in force.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A secret cannot be read, or is no key.
    #[error("key `{0}`: {1}")]
    Secret(KeyName, Hinted),
    /// They do not go together.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl Hint for KeysError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Secret(_, error) => error.hint(),
            Self::Keys(error) => Some(key_hint(error).into()),
        }
    }
}

/// What to do about an error of keys.
fn key_hint(error: &KeyError) -> &'static str {
    match error {
        KeyError::Name(_) => {
            "choose another name, or revoke that key: `openline keys list` shows it"
        }
        KeyError::Made(_) => {
            "rename it in the file, or revoke the other one by `openline keys revoke`"
        }
        KeyError::Same(..) => "give each key a secret of its own, so that one can be revoked alone",
        KeyError::Full => {
            "revoke those that nobody needs: `openline keys list` shows which have expired"
        }
        KeyError::None(_) => "`openline keys list` shows all keys",
        KeyError::Configured(_) => "remove its [[key]] from the file, and reload the host",
        KeyError::Expired => "give a later end",
        KeyError::Random(_) => "look at the host's system, then ask again",
    }
}

/// Why a change was not made. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// There is no such function.
    #[error("there is no function `{0}`")]
    NoFunction(FunctionName),
    /// A function that no configuration names needs a route.
    #[error("there is no function `{0}`, and a new one needs a route")]
    NoRoute(FunctionName),
    /// The triggers would not go together.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// A trigger or a rule leads to a component without its handler.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// The configuration names the function.
    #[error("`{0}` is in the host's configuration")]
    Configured(FunctionName),
    /// The trigger cannot authenticate its requests.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// The trigger takes no tickets.
    #[error("{0} takes no tickets")]
    NoTickets(TriggerPlace),
    /// No ticket can be made.
    #[error(transparent)]
    Ticket(#[from] TicketError),
    /// No more can be revoked.
    #[error(transparent)]
    Revocation(RevocationError),
    /// A key cannot be made or revoked.
    #[error(transparent)]
    Key(KeyError),
    /// The trigger is not one that was made in the running host.
    #[error("the trigger `{trigger}` of `{function}` comes from {from}")]
    Fixed {
        /// The function.
        function: FunctionName,
        /// The trigger.
        trigger: TriggerName,
        /// Where it was made.
        from: TriggerSource,
    },
    /// A trigger leads to the alias or the version.
    #[error("the trigger {0} leads to it")]
    Routed(String),
    /// A rule of a firewall names it.
    #[error("{0} names it")]
    Ruled(String),
    /// Connections are pinned to the version.
    #[error("{connections} connections are bound to the version {}", .version.short())]
    Connected {
        /// The version.
        version: Digest,
        /// How many connections.
        connections: u32,
    },
    /// The rules of deployments.
    #[error(transparent)]
    Rule(#[from] DeploymentError),
    /// The component cannot be a version.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A made-up connection made the function fail.
    #[error("the function fails when it is asked about a connection: {0}")]
    Probe(String),
    /// The host drains, and would end before the change was made or soon after.
    #[error("the host is stopping and takes no more changes")]
    Stopping,
    /// The change could not be written, or not in time. A removal that is late is
    /// done when the data directory answers.
    #[error("the change could not be written: {0}")]
    Store(String),
    /// A revocation is in force, and may not be after the process.
    #[error("it is revoked until the process ends, and could not be kept for the next: {0}")]
    NotKept(String),
    /// What is to be revoked has ended, so nothing has changed.
    #[error("`until` is over: such tokens are not good any more")]
    RevocationEnded,
    /// A version's component is missing.
    #[error("the component of version {} is not in the data directory", .0.short())]
    Missing(Digest),
}

impl Hint for ChangeError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::NoFunction(_) => "list the functions, or deploy it with a route",
            Self::NoRoute(_) => "give it one, as in `--route /chat/{room}`",
            Self::Trigger(error) => trigger_hint(error),
            Self::Handler(error) => return error.hint(),
            Self::Fixed { from, .. } => match from {
                TriggerSource::Configuration => {
                    "change it there and reload the host, or choose another name"
                }
                TriggerSource::Deploy | TriggerSource::Interface => {
                    "deploy with another `--route`, or choose another name"
                }
            },
            Self::Configured(_) => "take it out of the configuration and reload the host",
            Self::Routed(_) => {
                "have it lead elsewhere first: in the host's configuration, or by `openline triggers`"
            }
            Self::Ruled(_) => {
                "take it out of the rule in the host's configuration, and reload the host"
            }
            Self::Connected { .. } => {
                "wait until they have ended, or force it: they are closed with 1012"
            }
            Self::Rule(error) => return error.hint(),
            Self::Authentication(error) => return error.hint(),
            Self::NoTickets(_) => "set `auth = \"ticket\"` of the trigger in the configuration",
            Self::Ticket(TicketError::Full) => "raise `tickets_max` of the trigger",
            Self::Ticket(TicketError::Claims) => {
                "send fewer claims: the function can look up the rest"
            }
            Self::Ticket(TicketError::Time(_)) => {
                "give such a time, or raise `time` of the trigger"
            }
            Self::Ticket(TicketError::Random) => "look at the host's system, then ask again",
            Self::Revocation(RevocationError::Full) => {
                "say with `until` when tokens end: their revocations are forgotten after that"
            }
            Self::Revocation(RevocationError::Long | RevocationError::Form) => {
                "give the `jti` or the `sub` as the token has it"
            }
            Self::Key(error) => key_hint(error),
            Self::Load(error) => return error.hint(),
            Self::Probe(_) => "deploy without the probe if `upgrade` needs what a probe has not",
            Self::Stopping => "ask again when it, or the host in its place, has started",
            Self::Store(_) => "look at the host's data directory and its log",
            Self::NotKept(_) => "look at the host's data directory and its log, then revoke again",
            Self::RevocationEnded => {
                "look at the year of `until`; without it, the host does not forget"
            }
            Self::Missing(_) => "deploy the component again",
        };
        Some(hint.into())
    }
}

/// Why a host does not start, or keeps its old configuration.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The triggers do not go together.
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    /// A trigger or a rule leads to a component without its handler.
    #[error(transparent)]
    Handler(#[from] HandlerError),
    /// Components that a configuration names cannot be versions.
    #[error("{} components do not load", .0.len())]
    Load(Vec<(FunctionName, LoadError)>),
    /// A trigger cannot authenticate its requests.
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    /// The API keys of the configuration are not good.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// A function cannot have its secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// A function cannot call what it may.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The rules of deployments.
    #[error("`{0}`: {1}")]
    Rule(FunctionName, DeploymentError),
    /// The data directory failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Trigger(TriggerError::Conflict { .. } | TriggerError::Twice(_)) => Some(
                "change one of them in the file; `openline triggers` removes one that was made in the running host".into(),
            ),
            Self::Trigger(TriggerError::Firewall { .. }) => Some("the trigger was made in the running host: add a [[firewall]] of that name to the configuration, or remove the trigger by `openline triggers`".into()),
            Self::Trigger(error) => Some(trigger_hint(error).into()),
            Self::Handler(error) => error.hint(),
            Self::Load(errors) => match errors.as_slice() {
                [(_, only)] => only.hint(),
                _ => None,
            },
            Self::Rule(_, error) => error.hint(),
            Self::Authentication(error) => error.hint(),
            Self::Keys(error) => error.hint(),
            Self::Secrets(error) => error.hint(),
            Self::Outbound(error) => error.hint(),
            Self::Store(error) => error.hint(),
        }
    }
}

/// Why prepared functions were not put into service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    #[error(transparent)]
    Trigger(#[from] TriggerError),
    #[error(transparent)]
    Handler(#[from] HandlerError),
    #[error(transparent)]
    Authentication(#[from] AuthenticationError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<StoreError> for ChangeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<ApplyError> for ChangeError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Trigger(error) => error.into(),
            ApplyError::Handler(error) => error.into(),
            ApplyError::Authentication(error) => error.into(),
            ApplyError::Store(error) => error.into(),
        }
    }
}

impl From<ApplyError> for StartError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Trigger(error) => error.into(),
            ApplyError::Handler(error) => error.into(),
            ApplyError::Authentication(error) => error.into(),
            ApplyError::Store(error) => error.into(),
        }
    }
}
