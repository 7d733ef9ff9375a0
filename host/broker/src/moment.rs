//! Moments, which callers pass in.

use std::time::Duration;

/// Milliseconds since 1970 in UTC. Positions and publications outlive a process
/// and travel between hosts, so moments are those of the wall clock. A caller
/// should pass moments that do not go back while the process runs: the wall
/// clock at its start, and the time since. If they go back all the same, things
/// are kept longer; the bounds in count and bytes hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// The moment a while later; the last one there is, rather than none.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }

    /// Whether something of this moment has reached an age. A thing ends at its
    /// end, as with tokens.
    pub fn has_aged(self, age: Duration, now: Self) -> bool {
        now >= self.plus(age)
    }
}
