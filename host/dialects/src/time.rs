//! Moments as text: ISO 8601 to read, and to write.
//!
//! From 1970 to 9999, in UTC.

/// The milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// The last moment that has a year of four digits.
const LAST_MS: u64 = 253_402_300_799_999;

/// A moment as `2026-01-31T08:00:00.123Z`. What is after 9999 is its end.
pub(crate) fn iso8601(ms: u64) -> String {
    let ms = ms.min(LAST_MS);
    let (days, of_day) = (ms / DAY_MS, ms % DAY_MS);
    let (year, month, day) = date_of(days);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

/// The seconds since 1970 of `20260131T080000Z`.
pub(crate) fn of_basic(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = &bytes[from..to];
        digits.iter().try_fold(0, |number, digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            Some(number * 10 + digit)
        })
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hours, minutes, seconds) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    if hours > 23 || minutes > 59 || seconds > 59 || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_of(year, month, day)?;
    Some(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
}

/// The date of a day since 1970.
///
/// Years begin in March here, so that the day that some years have more is at
/// their end: <https://howardhinnant.github.io/date_algorithms.html>.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// The days since 1970 of a date, if there is such a date.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || day == 0 {
        return None;
    }
    let from_march = (month + 9) % 12;
    let shifted = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = (era * 146_097 + of_era).checked_sub(719_468)?;
    // A 31st of April is the 1st of May.
    (date_of(days) == (year, month, day)).then_some(days)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_read_as_calendars_say() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(1_440_938_160_007), "2015-08-30T12:36:00.007Z");
        assert_eq!(iso8601(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(iso8601(u64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(of_basic("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(of_basic("19700101T000000Z"), Some(0));
        for bad in [
            "",
            "20150830T123600",
            "20150830 123600Z",
            "20150230T123600Z",
            "20150431T123600Z",
            "20151330T123600Z",
            "20150030T123600Z",
            "20150800T123600Z",
            "20150830T243600Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "2015083xT123600Z",
            "+0150830T123600Z",
            "19691231T235959Z",
        ] {
            assert_eq!(of_basic(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(seconds in 0..=LAST_MS / 1_000) {
            let written = iso8601(seconds * 1_000);
            let basic: String = written
                .chars()
                .filter(|letter| !matches!(letter, '-' | ':'))
                .collect();
            let basic = basic.replace(".000", "");
            prop_assert_eq!(of_basic(&basic), Some(seconds));
        }
    }
}
