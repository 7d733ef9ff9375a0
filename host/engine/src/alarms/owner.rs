//! A function as its alarms know it: its identity, its store, and how to call
//! it.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openline_core::name::FunctionName;
use openline_store::FunctionStore;

use super::ticket::AlarmCall;

/// Identifies a function while the process lives. The name would not do: a
/// removed function may still run when the next one of its name exists.
pub(crate) type OwnerNumber = u64;

/// The time before another try when no instance had room.
pub(crate) const NO_ROOM_RETRY_AFTER: Duration = Duration::from_secs(1);

/// One try to make a call. `None` means that the instance ended before it began
/// the call, so another instance must take it.
pub(crate) type Calling = Pin<Box<dyn Future<Output = Option<Called>> + Send>>;

/// A function that has alarms. Its alarms hold it: it exists as long as one
/// waits.
pub(crate) trait Owner: Debug + Send + Sync {
    /// Its number, which no other function of the same clock has had.
    fn number(&self) -> OwnerNumber;

    fn name(&self) -> &FunctionName;

    /// Where durable alarms are kept.
    fn store(&self) -> &FunctionStore;

    /// Whether it was removed, and so has no more alarms.
    fn is_removed(&self) -> bool;

    /// Whether there is a version to give alarms to. Called with locks held, so
    /// it must take none and drop nothing.
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
    /// No instance had room, and it was not called.
    NoRoom,
    /// The alarm was cleared before it was called.
    Cancelled,
}
