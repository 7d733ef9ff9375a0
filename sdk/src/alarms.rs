//! Alarms: calls of the handler's `alarm` at a later time. Here are those that
//! belong to no connection but to what the instance serves: the affinity
//! value, or the whole function if it has no affinity. They wake an instance
//! if there is none. For one of a connection see [`Connection::set_alarm`].
//!
//! Each name has one alarm: set again, it is moved. It is called at least
//! once: when the call fails (it panics, or spends its time or memory), again
//! after 2 s, 4 s and so on, at most 6 times more; [`Alarm::attempt`] counts.
//! So what an alarm does should be harmless when it is done twice.
//!
//! ```
//! use std::time::Duration;
//!
//! use openline_sdk::prelude::*;
//! use openline_sdk::{alarms, publish};
//!
//! /// `remind tea` says `tea` to all, ten minutes later.
//! #[derive(Default)]
//! struct Reminder;
//!
//! impl Handler for Reminder {
//!     fn upgrade(&mut self, _request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
//!         Ok(Acceptance::new().channel("all"))
//!     }
//!
//!     fn message(&mut self, connection: &Connection, message: Message) {
//!         let text = message.as_text().unwrap_or_default();
//!         if let Some(what) = text.strip_prefix("remind ") {
//!             // Also when the host restarts before.
//!             let set = alarms::set_durable(what, Duration::from_secs(600));
//!             connection.send(set.map_or_else(|error| error.to_string(), |()| "ok".into()));
//!         }
//!     }
//!
//!     fn alarm(&mut self, _connection: Option<&Connection>, alarm: Alarm) {
//!         let _ = publish("all", alarm.name);
//!     }
//! }
//!
//! openline_sdk::export!(Reminder);
//! ```
//!
//! [`Connection::set_alarm`]: crate::Connection::set_alarm

use std::time::Duration;

use crate::outcome::Error;
use crate::raw::alarms;

/// An alarm that goes off, as a handler is told of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alarm {
    /// The name it was set by.
    pub name: String,
    /// 1, and more when a call has failed before.
    pub attempt: u32,
}

/// Calls the handler's `alarm`, without a connection, after a time of at most
/// 365 days. A restart of the host forgets it; see [`set_durable`].
///
/// # Errors
///
/// `invalid` when the name has not 1 to 64 bytes or the time is longer than
/// 365 days, `limit` when the affinity value has 16 alarms.
pub fn set(name: &str, after: Duration) -> Result<(), Error> {
    Ok(alarms::set(name, milliseconds(after), false)?)
}

/// [`set`], and the alarm survives a restart of the host; it is written when
/// this returns. One that fell due meanwhile goes off after the start.
///
/// # Errors
///
/// As [`set`], and when the host cannot write.
pub fn set_durable(name: &str, after: Duration) -> Result<(), Error> {
    Ok(alarms::set(name, milliseconds(after), true)?)
}

/// Takes an alarm back; without one it does nothing. It is not called any
/// more. A call that has begun goes on, and is not tried again.
pub fn clear(name: &str) {
    alarms::clear(name);
}

/// Whole milliseconds, never less than asked for. What is too long for them
/// is too long for the host as well.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    let milliseconds = duration.as_nanos().div_ceil(1_000_000);
    u64::try_from(milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_never_early() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_nanos(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::from_micros(7_001)), 8);
    }

    #[test]
    fn a_time_without_end_is_the_longest_there_is() {
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
