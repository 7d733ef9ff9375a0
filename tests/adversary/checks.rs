//! What the judges check, each with the invariant of ARCHITECTURE.md that it
//! holds: one list, which the test in `tests/invariants.rs` walks.

/// The word of a check, and how its invariant begins.
pub const CHECKS: [(&str, &str); 24] = [
    ("alive", "Something always answers."),
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
        "With affinity there is never more than one live instance for a value, of whichever version.",
    ),
    ("state", "What was acknowledged is kept."),
    (
        "versions",
        "A change of what is deployed holds as soon as it is answered.",
    ),
    (
        "drain",
        "A drain closes only connections whose version is not served.",
    ),
    (
        "removed",
        "A function has one `Commons` as long as anything holds it",
    ),
    ("pings", "A connection that is paused is pinged."),
    (
        "alarms",
        "An alarm is called at least once, and not after it was taken back.",
    ),
    (
        "handshake",
        "What a function answers to a handshake keeps the contract, or the peer gets 502.",
    ),
    (
        "tags",
        "A tag finds the open connections that have it, and no others.",
    ),
    (
        "attachment",
        "What belongs to a connection stays with it, whatever instance serves it.",
    ),
    (
        "automatic responses",
        "What the host answers by itself is answered as it was set, and counted.",
    ),
    (
        "outbox",
        "An outbox loses what it says it has dropped, and nothing else.",
    ),
    (
        "gone",
        "A handle of a connection that has ended does nothing.",
    ),
    ("limits", "What passes a limit has not happened."),
    ("strangers", "Any bytes get what RFC 6455 owes them."),
    (
        "log",
        "Nothing that strangers or functions do is an error of the host.",
    ),
    (
        "process",
        "The process ends when it is told to, and only then.",
    ),
    ("rest", "Everything that was taken comes back."),
];
