//! Moments on the wall clock, in whole seconds: tokens, dates of signatures and
//! the last days of keys name them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Seconds of a day.
const DAY: u64 = 86_400;
/// The last second of the year 9999, which four digits can still write.
const LAST: u64 = 253_402_300_799;

/// A moment: seconds since 1970 in UTC, at most the end of the year 9999 when
/// it was read from a text. Written as in `2026-12-31T23:59:59Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UnixTime(pub u64);

/// Why a text is no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a time in UTC as in `2026-12-31T23:59:59Z`")]
pub struct TimeError;

impl UnixTime {
    /// Reads `yyyy-MM-ddTHH:mm:ssZ`. Other zones, fractions and second 60 are
    /// errors: a date that is part of a signature has one spelling.
    ///
    /// # Errors
    ///
    /// When the text is anything else.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let bytes: &[u8; 20] = text.as_bytes().try_into().map_err(|_| TimeError)?;
        let mark = |at: usize, byte: u8| bytes[at] == byte;
        let marks = mark(4, b'-') && mark(7, b'-') && mark(10, b'T');
        if !(marks && mark(13, b':') && mark(16, b':') && mark(19, b'Z')) {
            return Err(TimeError);
        }
        let number = |from: usize, to: usize| -> Result<u64, TimeError> {
            bytes[from..to].iter().try_fold(0, |sum, byte| {
                let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
                digit.map(|digit| sum * 10 + digit).ok_or(TimeError)
            })
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let exists = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
        if year < 1970 || !exists || hour > 23 || minute > 59 || second > 59 {
            return Err(TimeError);
        }
        let days = days_before_year(year) - days_before_year(1970);
        let months = (1..month).map(|month| month_days(year, month)).sum::<u64>();
        let days = days + months + day - 1;
        Ok(Self(days * DAY + hour * 3600 + minute * 60 + second))
    }

    /// The moment a while later; the last one there is, rather than none.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }

    /// The moment a while earlier; 1970, rather than none.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time.as_secs()))
    }

    /// How much later than another moment it is; zero if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_days(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from the year 1 to the first of January of a year that is not 0.
fn days_before_year(year: u64) -> u64 {
    let before = year - 1;
    before * 365 + before / 4 - before / 100 + before / 400
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.min(LAST);
        let (mut days, of_day) = (seconds / DAY, seconds % DAY);
        // A year has 365 or 366 days, so the first guess is at most a few years
        // early.
        let mut year = 1970 + days / 366;
        while days_before_year(year + 1) - days_before_year(1970) <= days {
            year += 1;
        }
        days -= days_before_year(year) - days_before_year(1970);
        let mut month = 1;
        while days >= month_days(year, month) {
            days -= month_days(year, month);
            month += 1;
        }
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        let day = days + 1;
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl Serialize for UnixTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnixTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let shown: String = text.chars().take(40).collect();
        Self::parse(&text).map_err(|error| de::Error::custom(format!("`{shown}` is {error}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_of_every_sort() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("2026-11-27T20:00:00Z", 1_795_809_600),
            ("2100-03-01T00:00:00Z", 4_107_542_400),
            ("9999-12-31T23:59:59Z", LAST),
        ] {
            assert_eq!(UnixTime::parse(text), Ok(UnixTime(seconds)), "{text}");
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
        assert_eq!(UnixTime(LAST + 1).to_string(), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn what_has_another_form_is_none() {
        for bad in [
            "",
            "2026-11-27",
            "2026-11-27 20:00:00Z",
            "2026-11-27T20:00:00+01:00",
            "2026-11-27T20:00:00z",
            "2026-11-27T20:00:60Z",
            "2026-11-27T24:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-11-31T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "+026-11-27T20:00:00Z",
            "2026-11-27T20:00:0٠",
        ] {
            assert_eq!(UnixTime::parse(bad), Err(TimeError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0..=LAST) {
            prop_assert_eq!(UnixTime::parse(&UnixTime(seconds).to_string()), Ok(UnixTime(seconds)));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            if let Ok(time) = UnixTime::parse(&text) {
                prop_assert_eq!(time.to_string(), text);
            }
        }
    }
}
