//! One call of a firewall function: finds or makes an instance for it.
//!
//! It has a seat of an instance, as a handshake that is being decided has, so the
//! seats of the function's instances bound how many calls wait. The function's
//! affinity does not matter, because a firewall sees all requests: the instances
//! that inspect have no affinity value. The alias picks the version anew for each
//! call.

use std::sync::Arc;

use openline_core::fault::Fault;
use openline_core::inspection::{Inspection, Verdict};

use super::alias::{Alias, UPGRADE_TRIES_MAX};
use crate::instance::live::Instance;
use crate::pool::version::InspectError;
use crate::sync::{self, Ordering};

impl Alias {
    /// Has the function decide about a request for the firewall. The verdict is
    /// not checked here.
    ///
    /// Takes at most `upgrade_timeout`, including the wait for other calls. If no
    /// place has become free until then, the host is full, and the function has
    /// done nothing wrong.
    ///
    /// # Errors
    ///
    /// When there is no verdict; then the request is to be denied.
    pub async fn inspect(&self, inspection: Inspection) -> Result<Verdict, InspectError> {
        let timeout = self.limits().upgrade_timeout;
        let mut asked = None;
        let decided = sync::timeout(timeout, self.decide_inspection(inspection, &mut asked)).await;
        decided.unwrap_or_else(|_| {
            let has_run = asked.is_none_or(|instance| instance.poller.has_run());
            Err(if has_run {
                InspectError::Fault(Fault::HandlerTimeout)
            } else {
                InspectError::Full
            })
        })
    }

    async fn decide_inspection(
        &self,
        inspection: Inspection,
        asked: &mut Option<Arc<Instance>>,
    ) -> Result<Verdict, InspectError> {
        // Steps of 61 visit each of the hundred points once.
        let point = self.inspections.fetch_add(61, Ordering::Relaxed) % 100;
        let mut inspection = Box::new(inspection);
        for _ in 0..UPGRADE_TRIES_MAX {
            let split = self.split();
            let version = split.pick(point).ok_or(InspectError::NotDeployed)?;
            // Counted meanwhile, so that the version is not removed unasked.
            let _counted = version.count();
            match version.inspect(inspection, asked).await? {
                Ok(verdict) => return Ok(verdict),
                Err(again) => inspection = again,
            }
        }
        Err(InspectError::Full)
    }
}
