//! A function as its alarms know it: what they are kept for, where they are
//! kept, and a way to have one handled.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;

use openline_core::name::FunctionName;
use openline_store::FunctionStore;

use super::ticket::AlarmCall;

/// Names a function as long as the process lives. Not its name: one that is
/// removed still runs for a while when the next of its name is there.
pub(crate) type OwnerNumber = u64;

/// One try to have an alarm handled; none when its instance ended before it was
/// begun, so that it is to be given to another one.
pub(crate) type Calling = Pin<Box<dyn Future<Output = Option<Called>> + Send>>;

/// A function that has alarms. Alarms hold it: as long as one waits, the function has not
/// gone.
pub(crate) trait Owner: Debug + Send + Sync {
    /// No other function of the same clock has had it.
    fn number(&self) -> OwnerNumber;

    fn name(&self) -> &FunctionName;

    /// Where durable alarms are kept.
    fn store(&self) -> &FunctionStore;

    /// It has no alarms any more.
    fn is_removed(&self) -> bool;

    /// Whether there is a version to give alarms to. Asked with locks held: it
    /// takes none and drops nothing.
    fn is_served(&self) -> bool;

    /// Gives an alarm of an affinity value to an instance.
    fn call(&self, key: &str, call: AlarmCall) -> Calling;
}

/// How a call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    Done,
    /// The function failed.
    Failed,
    /// It was not called at all.
    NoRoom,
    /// It was taken back before it was called.
    Cancelled,
}
