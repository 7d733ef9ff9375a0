//! A connection that a function has accepted: the function's answer, and where
//! the connection is served, with a seat or without.

use std::sync::Arc;

use openline_core::event::Acceptance;

use super::split::Split;
use crate::instance::seat::Seat;
use crate::pool::version::Counted;

/// An accepted connection before it is bound.
#[derive(Debug)]
pub struct Accepted {
    /// The function's answer.
    pub acceptance: Acceptance,
    /// Where the connection is served.
    pub place: Reservation,
    /// The split with which all of this was decided. The alias may have moved
    /// since; the connection's limits and automatic responses come from this
    /// split.
    pub split: Arc<Split>,
}

/// A seat for an accepted connection, in the instance that accepted it, until it
/// is [bound](super::alias::Alias::bind).
#[derive(Debug)]
pub struct Reservation {
    pub(super) seat: Seat,
    pub(super) unseated: Unseated,
}

/// Where a connection is served that has no seat: one that begins hibernated.
#[derive(Debug)]
pub struct Unseated {
    pub(super) counted: Counted,
    /// The generation of the split from which the version was picked.
    pub(super) generation: u64,
    /// The connection's point of 0 to 99.
    pub(super) point: u32,
    /// The affinity value, if the function has affinity.
    pub(super) key: Option<Box<str>>,
}

impl Reservation {
    /// Gives the seat up, and keeps the rest.
    pub fn leave_seat(self) -> Unseated {
        self.unseated
    }
}
