//! How a function can fail, and whose fault a failure is.

/// The cause of a failure. It decides the level at which the host logs the
/// failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The function; its author reads the log.
    Guest,
    /// The host; its operator is alerted.
    Host,
}

/// The cause of an instance's end. Peers see it as a close reason; the details
/// go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// An `unreachable`, a bounds check, a panic of the guest.
    Trap,
    /// The guest's stack overflowed.
    Stack,
    /// `cpu_timeout`: guest code computed for too long without a pause.
    CpuTimeout,
    /// `handler_timeout`: the call did not return in time.
    HandlerTimeout,
    /// `fuel_per_event` was spent.
    Fuel,
    /// The guest asked for more than `memory_bytes`.
    Memory,
    /// The instance could not be made.
    Start,
    /// The host's own code failed.
    Host,
}

impl Fault {
    /// One of each.
    pub const ALL: [Self; 8] = [
        Self::Trap,
        Self::Stack,
        Self::CpuTimeout,
        Self::HandlerTimeout,
        Self::Fuel,
        Self::Memory,
        Self::Start,
        Self::Host,
    ];

    /// Whose fault it is.
    pub fn blame(self) -> Blame {
        match self {
            Self::Host => Blame::Host,
            _ => Blame::Guest,
        }
    }

    /// A stable word for logs, metrics and headers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Stack => "stack",
            Self::CpuTimeout => "cpu_timeout",
            Self::HandlerTimeout => "handler_timeout",
            Self::Fuel => "fuel_per_event",
            Self::Memory => "memory_bytes",
            Self::Start => "start",
            Self::Host => "host",
        }
    }

    /// The text for peers: at most 123 bytes, no internals. A limit has its
    /// name in the configuration.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Trap => "function fault: trap",
            Self::Stack => "function fault: stack overflow",
            Self::CpuTimeout => "function fault: cpu_timeout",
            Self::HandlerTimeout => "function fault: handler_timeout",
            Self::Fuel => "function fault: fuel_per_event",
            Self::Memory => "function fault: memory_bytes",
            Self::Start => "function fault: it does not start",
            Self::Host => "host fault",
        }
    }
}
