//! Alarms: calls of the handler's `alarm` at a later time. The alarms here
//! belong not to a connection but to the affinity value of the instance, or to
//! the whole function if it has no affinity. If there is no instance, the host
//! makes one. For an alarm of a connection see [`Connection::set_alarm`].
//!
//! Each name has one alarm; setting it again moves it. The host makes the call
//! at least once. If the call fails (it panics, or exceeds its time or memory),
//! the host repeats it after 2 s, 4 s and so on, at most 6 times;
//! [`Alarm::attempt`] counts. So make sure that running an alarm twice does no
//! harm.
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
//!             // It goes off even if the host restarts before.
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

/// An alarm that goes off, as the handler receives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alarm {
    /// The name under which it was set.
    pub name: String,
    /// 1, or more if earlier calls have failed.
    pub attempt: u32,
}

/// Calls the handler's `alarm`, without a connection, after a time of at most
/// 365 days. The alarm is lost when the host restarts; see [`set_durable`].
///
/// # Errors
///
/// `invalid` if the name does not have 1 to 64 bytes or the time is longer than
/// 365 days, `limit` if the affinity value has 16 alarms.
pub fn set(name: &str, after: Duration) -> Result<(), Error> {
    Ok(alarms::set(name, milliseconds(after), false)?)
}

/// Like [`set`], but the alarm survives a restart of the host; it is written
/// when this returns. If it becomes due while the host is down, it goes off
/// after the start.
///
/// # Errors
///
/// As for [`set`], and when the host cannot write.
pub fn set_durable(name: &str, after: Duration) -> Result<(), Error> {
    Ok(alarms::set(name, milliseconds(after), true)?)
}

/// Clears an alarm, which is then not called any more; without one it does
/// nothing. A call that has begun goes on, but is not repeated.
pub fn clear(name: &str) {
    alarms::clear(name);
}

/// Whole milliseconds, rounded up. A time that is too long for the type is also
/// too long for the host.
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
