//! Authentication by the first command of a dialect: a token or an API key in
//! Centrifugo's `connect`, or the key in the address that a client of PushFlo
//! asks for.
//!
//! The handshake is accepted first, because these clients read what is wrong from
//! a frame or a close code. Waiting is [`first_message`](super::first_message)'s,
//! with its bounds; one whose peer is told and does not close is closed after
//! [`LEAVE_TIME`].

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use http::request::Parts;
use openline_admission::authenticate::now;
use openline_admission::keys::Key;
use openline_authentication::key::KeyDenial;
use openline_authentication::{Denial, Denied};
use openline_channels::budget::FunctionBudget;
use openline_core::authentication::FirstMessageConfig;
use openline_core::close::CloseReason;
use openline_core::dialect::DialectName;
use openline_core::key::Scope;
use openline_core::message::Message;
use openline_dialects::{Connect, Session, pushflo};

use super::first_message::{Awaited, Ended};
use super::handover::Handover;
use super::{Candidate, Shown};
use crate::connection::Unproven;
use crate::dialect::{Greeting, first, words};

/// How long a peer has to leave by itself once it was told why.
const LEAVE_TIME: Duration = Duration::from_secs(5);

/// How the texts of API keys begin: what begins so is no other token.
const KEY_PREFIXES: [&str; 3] = ["pub_", "sec_", "mgmt_"];

/// What a peer has said in its dialect before it is connected.
#[derive(Debug)]
pub(super) struct Spoken {
    pub(super) session: Session,
    connect: Box<Connect>,
}

impl Spoken {
    pub(super) fn new(dialect: DialectName, parts: &Parts) -> Self {
        let session = match dialect {
            // No trigger speaks the last two.
            DialectName::Centrifugo | DialectName::Events | DialectName::HeldEvents => {
                Session::centrifugo()
            }
            DialectName::Pushflo => {
                let query = parts.uri.query().unwrap_or_default();
                let key = pushflo::key_of_query(query).unwrap_or_default();
                Session::pushflo(ByteString::from(key.into_owned()))
            }
        };
        Self {
            session,
            connect: Box::default(),
        }
    }

    /// What answers the peer.
    pub(super) fn greeting(&mut self) -> Greeting<'_> {
        Greeting {
            spoken: &mut self.session,
            connect: &self.connect,
        }
    }

    /// Tells the peer that it is not welcome, and answers with the close frame that
    /// it gets. One that is to close by itself has time for that.
    pub(super) async fn refuse<S: Handover>(
        mut self: Box<Self>,
        unproven: &mut Unproven<S>,
        (reason, denial): (CloseReason, Option<Denial>),
        budget: &Arc<FunctionBudget>,
    ) -> CloseReason {
        let dialect = match self.session.dialect() {
            openline_dialects::Dialect::Centrifugo => DialectName::Centrifugo,
            openline_dialects::Dialect::Pushflo => DialectName::Pushflo,
        };
        let is_refused = matches!(
            reason,
            CloseReason::Refused { .. } | CloseReason::Rejected { .. }
        );
        let spoken = words::closing(dialect, &reason);
        if !is_refused {
            return spoken;
        }
        let refusal = denial.map_or_else(|| words::refused(&reason), words::denied);
        // It has said nothing yet that could be answered.
        let Some(rejection) = self.session.refused(&refusal) else {
            return spoken;
        };
        if let Some(frame) = rejection.frame
            && !unproven.say(frame).await
        {
            return CloseReason::Lost;
        }
        if let Some(close) = rejection.close {
            return words::ending(close);
        }
        let leaving = async {
            loop {
                if let Err(reason) = unproven.message(budget).await {
                    return reason;
                }
            }
        };
        let left = tokio::time::timeout(LEAVE_TIME, leaving).await;
        left.unwrap_or(words::STALE)
    }
}

impl Awaited {
    /// Waits for the first command, and finds out who the peer is.
    pub(super) async fn command<S: Handover>(
        &self,
        unproven: &mut Unproven<S>,
        spoken: &mut Spoken,
    ) -> Result<Shown, Ended> {
        if spoken.session.is_ready() {
            let time = FirstMessageConfig::default().timeout.0;
            let message = self.message(unproven, time).await?;
            let message = message.ok_or(Ended::Closed(words::STALE))?;
            let frame = match message {
                Message::Text(text) => text.into_bytes(),
                Message::Binary(bytes) => bytes,
            };
            // It is ready, as was asked above.
            let _ = spoken.session.receive(frame);
        }
        spoken.connect = first(&mut spoken.session).map_err(Ended::Closed)?;
        let token = &*spoken.connect.token;
        let shown = self.prove(token, spoken.session.dialect());
        shown.map_err(|denied| self.denied(denied))
    }

    /// Who a peer is that shows this, which may be nothing.
    fn prove(&self, token: &str, dialect: openline_dialects::Dialect) -> Result<Shown, Denied> {
        let Candidate {
            service,
            identity,
            request,
            ..
        } = &self.candidate;
        if let Some(key) = self.key(token)? {
            return Ok(Shown {
                identity: None,
                key: Some(key),
            });
        }
        if dialect == openline_dialects::Dialect::Pushflo {
            return Err(denied(Denial::TokenMissing, "there is no API key"));
        }
        let by_request = || Shown {
            identity: identity.clone(),
            key: None,
        };
        // Without a credential that is asked for, everybody is welcome.
        let path = request.uri.split('?').next().unwrap_or_default();
        let authenticator = service.authenticator.as_ref();
        let asks = authenticator.is_none_or(|authenticator| authenticator.asks(path));
        if !(service.trigger.authenticates() && asks) {
            return Ok(Shown::default());
        }
        let verified = match token.is_empty() {
            true => None,
            false => service.post.authenticate_token(token),
        };
        match verified {
            Some(verified) => Ok(Shown {
                identity: Some(verified?),
                key: None,
            }),
            None if identity.is_some() => Ok(by_request()),
            None => Err(denied(
                Denial::TokenMissing,
                "the first command has no token",
            )),
        }
    }

    /// The API key with this text; none if it is another token.
    fn key(&self, text: &str) -> Result<Option<Arc<Key>>, Denied> {
        if text.is_empty() {
            return Ok(None);
        }
        let services = self.gateway.services();
        match services.keys().authenticate(text, now().wall) {
            Ok(key) => {
                let function = self.candidate.service.alias.function();
                let is_its = Scope::ALL
                    .into_iter()
                    .any(|it| key.allows_any(it, function));
                let denied = || denied(Denial::TokenInvalid, "the key is not for this function");
                is_its.then_some(Some(key)).ok_or_else(denied)
            }
            Err(unknown)
                if unknown.denial == KeyDenial::Unknown
                    && !KEY_PREFIXES.iter().any(|it| text.starts_with(it)) =>
            {
                Ok(None)
            }
            Err(key) => {
                let denial = match key.denial {
                    KeyDenial::Expired => Denial::TokenExpired,
                    KeyDenial::Revoked => Denial::TokenRevoked,
                    KeyDenial::Unknown => Denial::TokenInvalid,
                };
                let name = key
                    .name
                    .map_or_else(|| "unknown".to_owned(), |it| it.to_string());
                Err(denied(denial, &format!("the API key is refused: {name}")))
            }
        }
    }
}

fn denied(denial: Denial, detail: &str) -> Denied {
    Denied {
        denial,
        detail: detail.into(),
    }
}
