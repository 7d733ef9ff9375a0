//! Whether an instance has the handler that a job needs.
//!
//! The host leads triggers and rules only to functions that have the handler. But
//! a connection may follow its alias to a version that no longer has it, once the
//! last trigger was removed.

use openline_core::event::Event;

use super::mailbox::Job;
use super::program::Program;
use crate::contract::exports::Exports;

/// Whether the handler of a job is there. If not, that is logged.
pub(super) fn is_served<M>(program: &Program, exports: &Exports<M>, job: &Job) -> bool {
    let missing = match job {
        // A connection without a WebSocket has alarms, too.
        Job::Event(Event::Alarm(_), _) => return true,
        Job::Upgrade(..) | Job::Event(..) if exports.websocket.is_none() => "WebSocket",
        Job::Inspect(..) if exports.inspect.is_none() => "firewall",
        Job::Request(..) if exports.http.is_none() => "HTTP",
        Job::Published(..) if exports.published.is_none() => "channel",
        _ => return true,
    };
    let (function, version) = (&program.name, program.digest.short());
    tracing::warn!(%function, version, "the version has no {missing} handler");
    false
}
