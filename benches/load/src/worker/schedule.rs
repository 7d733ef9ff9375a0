//! When messages are due, and which of them count.
//!
//! With a rate, the messages of a worker are due at even distances, in turn
//! for each of its connections; so the connections' phases are spread evenly.
//! A message keeps its due time however late it can be sent: that is what
//! keeps a slow server from slowing the measurement down with it.

use std::time::Duration;

use tokio::time::Instant;

/// The part of the run that is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// Messages due from here on count.
    pub(crate) begin: Instant,
    /// Messages due from here on do not.
    pub(crate) end: Instant,
}

impl Window {
    pub(crate) fn contains(&self, due: Instant) -> bool {
        due >= self.begin && due < self.end
    }
}

/// The due times of one worker's messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start: Instant,
    interval_nanoseconds: f64,
    /// Where in an interval this worker's messages are due, 0 to 1, so that
    /// those of several workers interleave.
    phase: f64,
    connections: u64,
}

impl Schedule {
    /// `rate` is this worker's, in messages a second; `connections` the number
    /// of connections that take turns.
    pub(crate) fn new(start: Instant, rate: f64, phase: f64, connections: u64) -> Self {
        Self {
            start,
            interval_nanoseconds: 1e9 / rate,
            phase,
            connections,
        }
    }

    /// When the worker's message with this number is due.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "non-negative, and whole nanoseconds are exact enough"
    )]
    pub(crate) fn due(&self, number: u64) -> Instant {
        let nanoseconds = (number as f64 + self.phase) * self.interval_nanoseconds;
        self.start + Duration::from_nanos(nanoseconds as u64)
    }

    /// When a connection's `turn`-th message is due.
    pub(crate) fn due_in_turn(&self, connection: u64, turn: u64) -> Instant {
        self.due(turn * self.connections + connection)
    }

    /// The connection whose turn it is with this number.
    pub(crate) fn connection(&self, number: u64) -> usize {
        // A remainder below the number of connections, which are in memory.
        usize::try_from(number % self.connections).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Schedule;

    #[test]
    fn messages_are_spread_evenly_over_time_and_connections() {
        let start = Instant::now();
        let schedule = Schedule::new(start, 1_000.0, 0.5, 4);
        let at = |microseconds| start + Duration::from_micros(microseconds);
        assert_eq!(schedule.due(0), at(500));
        assert_eq!(schedule.due(1), at(1_500));
        assert_eq!(schedule.due_in_turn(2, 3), schedule.due(14));
        assert_eq!(schedule.connection(14), 2);
    }
}
