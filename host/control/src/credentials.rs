//! What an operator does about the credentials of peers: makes tickets, and
//! revokes tokens.
//!
//! Neither changes a deployment. Tickets end with the process; revocations are
//! kept in the data directory, and the next process begins with them. Bounded by
//! `tickets_max` and by the limits of revocations.

use openline_admission::authenticate::now;
use openline_admission::services::Services;
use openline_authentication::{KeptRevocation, Revocation, RevokedBy, TicketRequest};
use openline_core::authentication::UnixTime;
use openline_core::deployment::DeploymentError;
use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::TriggerPlace;
use openline_store::{Store, StoreError, StoredRevocation};
use tokio::task::spawn_blocking;

use crate::deployer::Deployer;
use crate::error::ChangeError;
use crate::settle::answered;
use crate::view::RevokedView;

impl Deployer {
    /// Makes a ticket for a trigger, and says when it ends.
    ///
    /// # Errors
    ///
    /// When there is no such function or trigger, when the trigger takes no
    /// tickets, and when the ticket cannot be made.
    pub fn ticket(
        &self,
        function: &FunctionName,
        trigger: &TriggerName,
        request: TicketRequest,
    ) -> Result<(String, UnixTime), ChangeError> {
        self.managed(function)?;
        let table = self.services().table();
        let mut services = table.services.iter();
        let service = services
            .find(|it| it.alias.function() == function && it.trigger.name == *trigger)
            .ok_or_else(|| DeploymentError::NoTrigger(trigger.clone()))?;
        let ticket = service
            .authenticator
            .as_ref()
            .and_then(|it| it.ticket(request));
        let place = || TriggerPlace {
            function: function.clone(),
            trigger: trigger.clone(),
        };
        Ok(ticket.ok_or_else(|| ChangeError::NoTickets(place()))??)
    }

    /// Revokes tokens of a function's peers, closes the connections that were
    /// opened with them, and keeps the revocation.
    ///
    /// # Errors
    ///
    /// When there is no such function, and when there are too many revocations.
    /// When it cannot be kept; it is in force in this process then.
    pub async fn revoke(
        &self,
        function: &FunctionName,
        revocation: Revocation,
    ) -> Result<RevokedView, ChangeError> {
        self.managed(function)?;
        let sessions = self.services().sessions(function);
        // It looks at all connections.
        let revoking = spawn_blocking(move || {
            let (closed, kept) = sessions.revoke(&revocation)?;
            let revoked = RevokedView {
                closed,
                revocations: sessions.revoked(),
            };
            Ok((revoked, kept, sessions.earliest()))
        });
        let revoked = revoking.await.map_err(|_| ChangeError::Stopping)?;
        let (revoked, kept, earliest) = revoked.map_err(ChangeError::Revocation)?;
        let kept = kept.ok_or(ChangeError::RevocationEnded)?;
        let RevokedView {
            closed,
            revocations,
        } = revoked;
        tracing::info!(%function, closed, revocations, "tokens are revoked");
        // First in force, then kept: a slow disk lets no peer stay.
        let store = &self.inner.loader.store;
        let keeping = store.keep_revocation(function, stored(kept), earliest.0);
        let kept = answered(keeping).await;
        kept.map_err(|error| ChangeError::NotKept(error.to_string()))?;
        Ok(revoked)
    }
}

/// Revokes what earlier processes have kept, before the host serves.
///
/// # Errors
///
/// When the store does not answer: tokens that are revoked would be good.
pub(crate) async fn restore(store: &Store, services: &Services) -> Result<(), StoreError> {
    let all = answered(store.revocations(now().wall.0)).await?;
    for (function, revocations) in all {
        let sessions = services.sessions(&function);
        let count = revocations.len();
        let restoring = spawn_blocking(move || {
            let kept = revocations.into_iter().filter_map(kept);
            sessions.restore(kept)
        });
        let restored = restoring.await;
        let restored = restored.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        restored.map_err(|error| StoreError::Damaged(error.to_string()))?;
        tracing::info!(%function, revocations = count, "what is revoked stays so");
    }
    Ok(())
}

const KINDS: [RevokedBy; 3] = [RevokedBy::Token, RevokedBy::Subject, RevokedBy::Before];

/// The number of a kind in the data directory.
const fn number(by: RevokedBy) -> u8 {
    match by {
        RevokedBy::Token => 0,
        RevokedBy::Subject => 1,
        RevokedBy::Before => 2,
    }
}

fn stored(kept: KeptRevocation) -> StoredRevocation {
    StoredRevocation {
        kind: number(kept.by),
        mark: kept.mark,
        before: kept.before.0,
        end: kept.end.0,
    }
}

/// `None` for a kind that a later release has written.
fn kept(stored: StoredRevocation) -> Option<KeptRevocation> {
    let kind = KINDS.into_iter().find(|by| number(*by) == stored.kind);
    kind.map(|by| KeptRevocation {
        by,
        mark: stored.mark,
        before: UnixTime(stored.before),
        end: UnixTime(stored.end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_what_was_kept() {
        for by in KINDS {
            let one = KeptRevocation {
                by,
                mark: [7; 16],
                before: UnixTime(1),
                end: UnixTime(2),
            };
            assert_eq!(kept(stored(one)), Some(one));
        }
        let unknown = StoredRevocation {
            kind: 3,
            mark: [0; 16],
            before: 0,
            end: 1,
        };
        assert_eq!(kept(unknown), None);
    }
}
