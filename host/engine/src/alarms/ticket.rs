//! One call of an alarm, and whether it may still begin.

use std::sync::Arc;

use openline_core::name::AlarmName;

use crate::sync::{AtomicU8, Ordering};

const WAITS: u8 = 0;
const BEGUN: u8 = 1;
const CANCELLED: u8 = 2;

/// A call of an alarm.
#[derive(Clone, Debug)]
pub(crate) struct AlarmCall {
    pub(crate) name: AlarmName,
    /// How often it has been tried, including this time.
    pub(crate) attempt: u32,
    pub(crate) ticket: Arc<Ticket>,
}

/// Whether a call may begin. A call is begun or cancelled, never both: an alarm
/// that waits in a mailbox behind the call that clears it is not called.
#[derive(Debug, Default)]
pub(crate) struct Ticket(AtomicU8);

impl Ticket {
    /// Begins the call; `false` if it was cancelled. A second time changes
    /// nothing.
    pub(crate) fn begin(&self) -> bool {
        self.leave(BEGUN)
    }

    /// Cancels the call, so that it does not begin any more; `false` if it has.
    pub(crate) fn cancel(&self) -> bool {
        self.leave(CANCELLED)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) == CANCELLED
    }

    /// Leaves the waiting state for `to`; returns whether it is in that state
    /// now.
    fn leave(&self, to: u8) -> bool {
        let left = self
            .0
            .compare_exchange(WAITS, to, Ordering::AcqRel, Ordering::Acquire);
        match left {
            Ok(_) => true,
            Err(state) => state == to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_begun_or_cancelled_whichever_comes_first() {
        let ticket = Ticket::default();
        assert!(ticket.begin() && ticket.begin());
        assert!(!ticket.cancel() && !ticket.is_cancelled());
        let ticket = Ticket::default();
        assert!(ticket.cancel() && ticket.cancel());
        assert!(!ticket.begin() && ticket.is_cancelled());
    }
}
