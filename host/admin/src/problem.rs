//! The errors of the admin interface: a status, a stable word, a sentence, and
//! a hint. This is the only mapping from errors to answers.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use openline_admission::keys::KeyError;
use openline_core::deployment::DeploymentError;
use openline_core::name::{NameError, TriggerName};
use openline_core::trigger::TriggerError;
use openline_engine::LoadError;
use openline_hint::Hint;
use serde::Serialize;
use utoipa::ToSchema;

use crate::json::json;
use openline_authentication::{RevocationError, TicketError};
use openline_control::ChangeError;
use openline_gateway::reserved::Answer;

/// An error with its status, stable word, sentence and hint.
#[derive(Debug)]
pub(crate) struct Problem {
    status: u16,
    error: &'static str,
    message: String,
    hint: Cow<'static, str>,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Written<'a> {
    /// A stable word, for programs.
    #[schema(pattern = "^[a-z0-9_]+$")]
    error: &'a str,
    /// What is wrong.
    message: &'a str,
    /// How to fix it.
    hint: &'a str,
}

impl Problem {
    pub(crate) fn new(status: u16, error: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            error,
            message: message.into(),
            hint: "`/v1/openapi.json` describes the interface".into(),
            header: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = hint.into();
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some(Box::new((name, value)));
        self
    }

    /// A part of the path or the query that is not valid.
    pub(crate) fn bad(error: &'static str, cause: impl ToString) -> Self {
        Self::new(400, error, cause.to_string())
    }

    pub(crate) fn no_trigger(name: &TriggerName) -> Self {
        let error = DeploymentError::NoTrigger(name.clone());
        ChangeError::from(error).into()
    }

    pub(crate) fn no_connection() -> Self {
        Self::new(404, "no_connection", "there is no connection with this id")
            .hint("it may have ended; `/v1/connections` lists those that are open")
    }

    /// A part of the host has panicked.
    pub(crate) fn internal() -> Self {
        Self::new(500, "internal", "the host failed to make the change").hint("see the host's log")
    }

    #[cfg(test)]
    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    #[cfg(test)]
    pub(crate) fn error(&self) -> &'static str {
        self.error
    }

    pub(crate) fn answer(self) -> Answer {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let written = Written {
            error: self.error,
            message: &self.message,
            hint: &self.hint,
        };
        let mut answer = json(status, &written);
        if let Some((name, value)) = self.header.map(|header| *header) {
            answer.headers_mut().insert(name, value);
        }
        answer
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::bad("bad_name", error)
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let (status, word) = match &error {
            ChangeError::NoFunction(_) => (404, "no_function"),
            ChangeError::NoRoute(_) => (422, "no_route"),
            ChangeError::Trigger(error) => trigger(error),
            ChangeError::Handler(_) => (422, "handler"),
            ChangeError::Fixed { .. } => (409, "fixed_trigger"),
            ChangeError::Configured(_) => (409, "configured"),
            ChangeError::Routed(_) => (409, "routed"),
            ChangeError::Ruled(_) => (409, "ruled"),
            ChangeError::Connected { .. } => (409, "connected"),
            ChangeError::Authentication(_) => (422, "authentication"),
            ChangeError::NoTickets(_) => (409, "no_tickets"),
            ChangeError::Ticket(TicketError::Full) => (503, "tickets_max"),
            ChangeError::Ticket(_) => (422, "ticket"),
            ChangeError::Revocation(RevocationError::Full) => (409, "revocations"),
            ChangeError::Revocation(_) | ChangeError::RevocationEnded => (422, "revocation"),
            ChangeError::Key(error) => key(error),
            ChangeError::Rule(error) => rule(error),
            ChangeError::Load(error) => load(error),
            ChangeError::Probe(_) => (422, "probe"),
            ChangeError::Stopping => (503, "draining"),
            ChangeError::Store(_) => (503, "store"),
            ChangeError::NotKept(_) => (503, "store"),
            ChangeError::Missing(_) => (409, "missing"),
        };
        let problem = Self::new(status, word, error.to_string());
        match error.hint() {
            Some(hint) => problem.hint(hint.into_owned()),
            None => problem,
        }
    }
}

fn trigger(error: &TriggerError) -> (u16, &'static str) {
    match error {
        TriggerError::Conflict { .. } => (409, "conflict"),
        TriggerError::Twice(_) => (409, "trigger_name"),
        TriggerError::TooMany(_) => (409, "triggers"),
        TriggerError::Parameter { .. } | TriggerError::Claim { .. } => (422, "affinity"),
        TriggerError::Firewall { .. } => (422, "firewall"),
    }
}

fn key(error: &KeyError) -> (u16, &'static str) {
    match error {
        KeyError::None(_) => (404, "no_key"),
        KeyError::Name(_) | KeyError::Made(_) => (409, "key_name"),
        KeyError::Configured(_) => (409, "configured"),
        KeyError::Full => (409, "keys"),
        KeyError::Same(..) | KeyError::Expired => (422, "key"),
        KeyError::Random(_) => (503, "host"),
    }
}

fn rule(error: &DeploymentError) -> (u16, &'static str) {
    match error {
        DeploymentError::NoAlias(_) => (404, "no_alias"),
        DeploymentError::NoVersion(_) | DeploymentError::NotFound(_) => (404, "no_version"),
        DeploymentError::NotPrefix(_) => (400, "bad_version"),
        DeploymentError::Ambiguous { .. } => (409, "ambiguous_version"),
        DeploymentError::Note(_) => (422, "note"),
        DeploymentError::Pace(_) => (422, "drain_connections_per_second"),
        DeploymentError::Weight(_) | DeploymentError::Sum(_) | DeploymentError::ShareTwice(_) => {
            (422, "weights")
        }
        DeploymentError::NoTrigger(_) => (404, "no_trigger"),
        DeploymentError::TooManyTriggers => (409, "triggers"),
        DeploymentError::TooManyAliases => (409, "aliases"),
        DeploymentError::LastAlias(_) => (409, "last_alias"),
        DeploymentError::NothingBeside { .. } => (409, "nothing_beside"),
        DeploymentError::NoCanary(_) => (409, "no_canary"),
        DeploymentError::NoBefore(_) => (409, "no_before"),
        DeploymentError::InUse { .. } => (409, "in_use"),
        DeploymentError::Format(_)
        | DeploymentError::VersionTwice(_)
        | DeploymentError::TriggerTwice(_)
        | DeploymentError::History => (500, "damaged"),
    }
}

fn load(error: &LoadError) -> (u16, &'static str) {
    match error {
        LoadError::TooBig { .. } => (413, "component_bytes"),
        LoadError::CompileTimeout(_) => (422, "compile_timeout"),
        LoadError::CompileMemory(_) => (422, "compile_memory_bytes"),
        LoadError::Host(_) | LoadError::AddressSpace(_) | LoadError::NotExecutable(_) => {
            (503, "host")
        }
        LoadError::NotWasm
        | LoadError::CoreModule
        | LoadError::Damaged(_)
        | LoadError::NoHandler(_)
        | LoadError::NotCalled(_)
        | LoadError::BothHandlers
        | LoadError::WrongTypes(_)
        | LoadError::UnknownImport(_)
        | LoadError::TooComplex { .. }
        | LoadError::NotContained
        | LoadError::TooManyPlaces { .. }
        | LoadError::CompilerEnded(_)
        | LoadError::Compile(_)
        | LoadError::Start(_) => (422, "component"),
    }
}

/// An answer without a body.
pub(crate) fn nothing() -> Answer {
    let mut answer = Answer::new(Bytes::new().into());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// The answer of an endpoint.
pub(crate) type Answered = Result<Answer, Problem>;

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.answer().into_response()
    }
}
