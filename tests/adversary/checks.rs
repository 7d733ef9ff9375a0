//! The judges' checks, each with the invariant of ARCHITECTURE.md that it
//! guards: one list, which the test in `tests/invariants.rs` walks.

/// The word of a check, and the beginning of its invariant.
pub const CHECKS: [(&str, &str); 24] = [
    ("alive", "The host always answers."),
    ("answers", "No caller waits for a driver that has ended."),
    ("order", "One event in flight for each connection."),
    ("once", "Each message reaches each receiver once."),
    ("reasons", "Every ending has one reason."),
    (
        "close",
        "`close` is called once for each connection whose `open` was called.",
    ),
    (
        "one writer",
        "With affinity a value never has more than one live instance, of whichever version.",
    ),
    ("state", "Acknowledged writes are kept."),
    (
        "versions",
        "A deployment change is in force as soon as it is acknowledged.",
    ),
    (
        "drain",
        "A drain closes only connections whose version is not served.",
    ),
    (
        "removed",
        "A function has one `Commons` as long as anything holds it",
    ),
    ("pings", "The host pings paused connections."),
    (
        "alarms",
        "An alarm is called at least once, and not after it was cleared.",
    ),
    (
        "handshake",
        "A function's answer to a handshake keeps the contract, or the peer gets 502.",
    ),
    (
        "tags",
        "A tag finds the open connections that have it, and no others.",
    ),
    (
        "attachment",
        "A connection keeps what belongs to it, whichever instance serves it.",
    ),
    (
        "automatic responses",
        "Automatic responses are sent as they were set, and counted.",
    ),
    (
        "outbox",
        "An outbox loses only the messages that it reports as dropped.",
    ),
    (
        "gone",
        "A handle of a connection that has ended does nothing.",
    ),
    ("limits", "A call that exceeds a limit does not succeed."),
    (
        "strangers",
        "Any sequence of bytes gets the answer that RFC 6455 requires.",
    ),
    (
        "log",
        "Nothing that peers or functions do is an error of the host.",
    ),
    (
        "process",
        "The process ends when it is told to, and only then.",
    ),
    ("rest", "Every resource is returned."),
];
