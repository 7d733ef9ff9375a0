//! What an operator does about who asks: makes tickets, and revokes tokens.
//!
//! Neither changes a deployment, and neither outlives the process. Bounded by
//! `tickets_max` and by the limits of revocations.

use openline_authentication::{Revocation, TicketRequest};
use openline_core::authentication::UnixTime;
use openline_core::deployment::DeploymentError;
use openline_core::name::{FunctionName, TriggerName};
use openline_core::trigger::TriggerPlace;
use tokio::task::spawn_blocking;

use crate::deployer::Deployer;
use crate::error::ChangeError;
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

    /// Revokes tokens of a function's peers, and closes the connections that were
    /// opened with them.
    ///
    /// # Errors
    ///
    /// When there is no such function, and when there are too many revocations.
    pub async fn revoke(
        &self,
        function: &FunctionName,
        revocation: Revocation,
    ) -> Result<RevokedView, ChangeError> {
        self.managed(function)?;
        let sessions = self.services().sessions(function);
        // It looks at all connections.
        let revoking = spawn_blocking(move || {
            let closed = sessions.revoke(&revocation)?;
            Ok(RevokedView {
                closed,
                revocations: sessions.revoked(),
            })
        });
        let revoked = revoking.await.map_err(|_| ChangeError::Stopping)?;
        let revoked = revoked.map_err(ChangeError::Revocation)?;
        let RevokedView {
            closed,
            revocations,
        } = revoked;
        tracing::info!(%function, closed, revocations, "tokens are revoked");
        Ok(revoked)
    }
}
