//! Changes of durable alarms in the store. A change that cannot be written is
//! logged: the alarm is then called once too often rather than never.

use super::owner::Owner;
use super::table::AlarmId;

/// When an alarm is due by now, and which attempt that is.
pub(super) async fn note(owner: &dyn Owner, (key, name): &AlarmId, due_at: u64, attempt: u32) {
    let kept = owner.store().keep_alarm(key, name, due_at, attempt).await;
    if let Err(error) = kept {
        tracing::warn!(%error, "when an alarm is due now is not noted; it is called all the same");
    }
}

/// An alarm is over.
pub(super) async fn forget(owner: &dyn Owner, (key, name): &AlarmId) {
    if let Err(error) = owner.store().forget_alarm(key, name).await {
        tracing::warn!(%error, "an alarm that is over is not forgotten; it may be called once more");
    }
}
