//! Firewall functions: the calls between two parts of the evaluation of a
//! firewall.
//!
//! A function that fails denies the request: with 503, because it says nothing
//! about the peer. The seats of the function's instances bound how many requests
//! wait for it, and its `upgrade_timeout` how long each does.

use std::collections::HashMap;
use std::sync::Arc;

use openline_core::fault::Blame;
use openline_core::inspection::Inspection;
use openline_engine::alias::Alias;
use openline_engine::version::InspectError;
use openline_firewall::function::{BadVerdict, Bounds, FunctionRef, Ruling};

/// The functions that the rules of a configuration name, with the aliases that
/// pick their versions. An alias that does not exist yet is not in it.
#[derive(Debug, Default)]
pub struct Inspectors(HashMap<FunctionRef, Arc<Alias>>);

/// Why a function has not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// The host lacks something that it has checked to be there, such as the
    /// firewall that its configuration names.
    #[error("the host lacks what the firewall needs")]
    Host,
    /// A rule about claims came before the first message, which has the token.
    #[error(
        "rules about claims cannot decide about a trigger with `auth = \"first-message\"`, whose claims come after the handshake"
    )]
    FirstMessage,
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

    /// Has a function decide about a request.
    ///
    /// # Errors
    ///
    /// When there is no valid verdict.
    pub(crate) async fn ask(
        &self,
        function: &FunctionRef,
        inspection: Inspection,
    ) -> Result<Ruling, Undecided> {
        let alias = self.0.get(function).ok_or(Undecided::NotDeployed)?;
        let limits = alias.limits();
        let bounds = Bounds {
            body_bytes: limits.rejection_body_bytes,
            header_bytes: limits.response_header_bytes,
        };
        let verdict = alias.inspect(inspection).await?;
        Ok(Ruling::check(verdict, bounds)?)
    }

    /// The aliases that pick the versions.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = &Arc<Alias>> {
        self.0.values()
    }
}

impl Undecided {
    /// Whether the host or the function is to blame.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Host | Self::FirstMessage | Self::Call(InspectError::Full) => Blame::Host,
            Self::Call(InspectError::Fault(fault)) => fault.blame(),
            Self::NotDeployed | Self::Answer(_) => Blame::Guest,
            Self::Call(
                InspectError::NotDeployed | InspectError::NoHandler | InspectError::BackedOff(_),
            ) => Blame::Guest,
        }
    }
}
