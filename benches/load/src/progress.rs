//! How far a run has got, for a program that shows it to a person.

use std::time::Duration;

/// The stages of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Opening connections.
    Connecting,
    /// Sending, not measuring yet.
    WarmingUp,
    /// Sending and measuring.
    Measuring,
    /// Holding idle connections.
    Holding,
    /// Waiting for the last answers and closing.
    Finishing,
}

/// The state of a run; told about ten times a second.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The current stage.
    pub activity: Activity,
    /// For how long.
    pub elapsed: Duration,
    /// How long it takes, where that is known: warming up, measuring, holding.
    pub total: Option<Duration>,
    /// Connections opened so far.
    pub connections_opened: u64,
    /// Connections to open.
    pub connections: u64,
    /// Messages answered since the load began.
    pub messages_answered: u64,
}
