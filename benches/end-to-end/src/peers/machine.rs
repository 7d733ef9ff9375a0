//! When and on what it was measured.

use std::fs;
use std::num::NonZero;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The day and the machine.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// The day of the run, in UTC.
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    pub(crate) system: String,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let days = today();
        let field = |text: &str, name: &str, separator: char| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            let (_, value) = line.split_once(separator)?;
            Some(value.trim().trim_matches('"').to_owned())
        };
        let or = |found: Option<String>| found.unwrap_or_else(|| "unknown".to_owned());
        Self {
            date: date(days),
            processor: or(field(&read("/proc/cpuinfo"), "model name", ':')),
            cores: thread::available_parallelism().map_or(1, NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            system: or(field(&read("/etc/os-release"), "PRETTY_NAME", '=')),
        }
    }
}

/// Days since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing depends on it: a report says when it was made"
)]
fn today() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / (24 * 60 * 60))
}

/// The date of a day since 1970 (UTC, Gregorian).
fn date(days: u64) -> String {
    // In years that begin in March, a leap day is the last: counted from
    // 0000-03-01, in eras of 400 years.
    const EPOCH: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + EPOCH;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_have_their_dates() {
        for (days, expected) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_778, "2026-11-21"),
        ] {
            assert_eq!(date(days), expected);
        }
    }
}
