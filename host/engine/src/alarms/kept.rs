//! Changes of durable alarms in the store. A change that cannot be written is
//! logged: the alarm is then called once too often rather than never.

use super::owner::Owner;
use super::table::AlarmId;

/// Stores the time at which an alarm is now due, and the attempt.
pub(super) async fn note(owner: &dyn Owner, (key, name): &AlarmId, due_at: u64, attempt: u32) {
    let kept = owner.store().keep_alarm(key, name, due_at, attempt).await;
    if let Err(error) = kept {
        tracing::warn!(%error, "could not write the new time of an alarm; it is called all the same");
    }
}

/// Removes an alarm that is over.
pub(super) async fn forget(owner: &dyn Owner, (key, name): &AlarmId) {
    if let Err(error) = owner.store().forget_alarm(key, name).await {
        tracing::warn!(%error, "could not remove an alarm that is over; it may be called once more");
    }
}
