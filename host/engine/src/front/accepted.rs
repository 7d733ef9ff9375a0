//! A function has taken a connection: what it wants, and where it is served.

use std::sync::Arc;

use openline_core::event::Acceptance;

use super::split::Split;
use crate::instance::seat::Seat;
use crate::pool::version::Counted;

/// An accepted connection before it is bound.
#[derive(Debug)]
pub struct Accepted {
    /// What the function said.
    pub acceptance: Acceptance,
    /// Where the connection is served.
    pub place: Reservation,
    /// The split that all of this was decided by. The alias may lead elsewhere
    /// by now: what the connection may use, and what the host answers on it, is
    /// what this says.
    pub split: Arc<Split>,
}

/// A seat for an accepted connection, in the instance that accepted it, until it
/// is [bound](super::alias::Alias::bind).
#[derive(Debug)]
pub struct Reservation {
    pub(super) seat: Seat,
    pub(super) counted: Counted,
    /// Of the split that the version was picked from.
    pub(super) generation: u64,
    /// Where the connection stands in a split.
    pub(super) point: u32,
    /// The affinity value, if the function has affinity.
    pub(super) key: Option<Box<str>>,
}
