//! Firewall functions: the calls between two parts of the evaluation of a
//! firewall.
//!
//! A function that fails denies the request: with 503, because it says nothing
//! about the peer. The seats of the function's instances bound how many requests
//! wait for it, and its `upgrade_timeout` how long each does.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;

use http::header::{HOST, HeaderMap};
use openline_core::event::Headers;
use openline_core::fault::Blame;
use openline_core::inspection::Inspection;
use openline_engine::alias::Alias;
use openline_engine::version::InspectError;
use openline_firewall::function::{BadVerdict, Bounds, FunctionRef, Ruling};
use openline_firewall::request::{Claims, Request};

use crate::firewall::Edits;
use crate::normalise::Normal;
use crate::peer::Peer;
use crate::services::Service;

/// The functions that the rules of a configuration name, with the aliases that
/// pick their versions. An alias that does not exist yet is not in it.
#[derive(Debug, Default)]
pub struct Inspectors(HashMap<FunctionRef, Arc<Alias>>);

/// What a firewall function is told about a request, beside what rules see.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) inspectors: &'a Inspectors,
    pub(crate) normal: &'a Normal,
    pub(crate) peer: &'a Peer,
    /// The id of the request.
    pub(crate) id: &'a (dyn Display + Sync),
    /// The trigger that takes it.
    pub(crate) led: Option<&'a Service>,
}

/// Why a function has not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The host lacks something that it has checked to be there, such as the
    /// firewall that its configuration names.
    #[error("the host lacks what the firewall needs")]
    Host,
    /// The function has no such alias, or no version yet.
    #[error("the function is not deployed")]
    NotDeployed,
    /// The call gave no verdict.
    #[error(transparent)]
    Call(#[from] InspectError),
    /// The verdict is not valid.
    #[error("its answer is not valid: {0}")]
    Answer(#[from] BadVerdict),
}

// === impl Inspectors ===

impl Inspectors {
    /// These functions.
    pub fn new(functions: impl IntoIterator<Item = (FunctionRef, Arc<Alias>)>) -> Self {
        Self(functions.into_iter().collect())
    }

    /// Whether no request has to wait for a function.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The aliases that pick the versions.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &Arc<Alias>> {
        self.0.values()
    }
}

impl Told<'_> {
    /// Has a function decide about a request, which has the changes that rules
    /// and functions have made so far.
    ///
    /// # Errors
    ///
    /// When there is no valid verdict.
    pub(crate) async fn ask(
        &self,
        function: &FunctionRef,
        request: &Request<'_>,
        edits: &Edits,
    ) -> Result<Ruling, Undecided> {
        let alias = self.inspectors.0.get(function);
        let alias = alias.ok_or(Undecided::NotDeployed)?;
        let inspection = self.inspection(request, edits);
        let limits = alias.limits();
        let bounds = Bounds {
            body_bytes: limits.rejection_body_bytes,
            header_bytes: limits.response_header_bytes,
        };
        let verdict = alias.inspect(inspection).await?;
        Ok(Ruling::check(verdict, bounds)?)
    }

    fn inspection(&self, request: &Request<'_>, edits: &Edits) -> Inspection {
        Inspection {
            method: request.method.to_owned(),
            scheme: if request.scheme == "https" {
                "https"
            } else {
                "http"
            },
            host: request.host.map(str::to_owned),
            path: request.path.to_owned(),
            query: request.query.map(str::to_owned),
            headers: self.headers(request.headers, edits),
            peer: request.peer,
            peer_port: request.peer_port,
            tls: self.peer.tls().cloned(),
            id: self.id.to_string(),
            target: self.led.map(Service::place),
            claims: match request.claims {
                Claims::Verified(claims) => serde_json::to_string(claims).ok(),
                Claims::Pending | Claims::Absent => None,
            },
        }
    }

    /// The headers that the function of the trigger would get, before
    /// authentication changes some: the host in its one spelling, which HTTP/2
    /// has in the target, and the others with their edits.
    fn headers(&self, headers: &HeaderMap, edits: &Edits) -> Headers {
        let edited = (!edits.is_empty()).then(|| {
            let mut edited = headers.clone();
            edits.apply(&mut edited);
            edited
        });
        let headers = edited.as_ref().unwrap_or(headers);
        let host = self.normal.authority();
        let host = host.map(|it| (HOST.as_str().to_owned(), it.to_string().into_bytes()));
        let others = headers.iter().filter(|(name, _)| *name != HOST);
        let others = others.map(|(name, value)| (name.as_str().into(), value.as_bytes().into()));
        host.into_iter().chain(others).collect()
    }
}

impl Undecided {
    /// Who can mend it.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Host | Self::Call(InspectError::Full) => Blame::Host,
            Self::Call(InspectError::Fault(fault)) => fault.blame(),
            Self::NotDeployed | Self::Answer(_) => Blame::Guest,
            Self::Call(
                InspectError::NotDeployed | InspectError::NoHandler | InspectError::BackedOff(_),
            ) => Blame::Guest,
        }
    }
}
