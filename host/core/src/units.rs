//! Sizes and times as people write them: `"6 MiB"`, `"15 min"`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const TIMES: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("min", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

impl ByteSize {
    /// Reads a whole number and a unit. The error says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, &SIZES).map(Self).ok_or_else(|| {
            format!("`{text}` is not a size: write a whole number and B, KiB, MiB or GiB, as in \"6 MiB\"")
        })
    }
}

impl Period {
    /// Reads a whole number and a unit. The error says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        parse(text, &TIMES).map(|milliseconds| Self(Duration::from_millis(milliseconds))).ok_or_else(
            || format!("`{text}` is not a time: write a whole number and ms, s, min, h or d, as in \"10 s\""),
        )
    }
}

impl fmt::Display for ByteSize {
    /// Writes it in the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let powers = SIZES
            .iter()
            .filter(|(name, _)| *name == "B" || name.ends_with("iB"));
        write(f, self.0, powers)
    }
}

impl fmt::Display for Period {
    /// Writes it in the largest unit that divides it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write(f, milliseconds, TIMES.iter())
    }
}

fn write<'a>(
    f: &mut fmt::Formatter<'_>,
    number: u64,
    units: impl Iterator<Item = &'a (&'static str, u64)>,
) -> fmt::Result {
    let fitting = units.filter(|(_, factor)| number.is_multiple_of(*factor) && number >= *factor);
    match fitting.last() {
        Some((name, factor)) => write!(f, "{} {name}", number / factor),
        None => write!(f, "{number}"),
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    // Zero of everything is the same.
    if text == "0" {
        return Some(0);
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&with_unit(deserializer)?).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&with_unit(deserializer)?).map_err(de::Error::custom)
    }
}

/// A bare number comes this far as its digits, so that the error is about the
/// missing unit and not about types.
fn with_unit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Number(i64),
    }
    Written::deserialize(deserializer).map(|written| match written {
        Written::Text(text) => text,
        Written::Number(number) => number.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_with_their_units() {
        assert_eq!(ByteSize::parse("6 MiB"), Ok(ByteSize(6 << 20)));
        assert_eq!(ByteSize::parse("8KB"), Ok(ByteSize(8_000)));
        assert_eq!(
            Period::parse("15 min"),
            Ok(Period(Duration::from_secs(900)))
        );
        assert_eq!(
            Period::parse(" 20ms "),
            Ok(Period(Duration::from_millis(20)))
        );
        assert_eq!(ByteSize::parse("0"), Ok(ByteSize(0)));
    }

    #[test]
    fn they_are_shown_as_they_are_written() {
        for text in ["0", "1 B", "1000 B", "6 MiB", "1025 KiB", "4 GiB"] {
            assert_eq!(ByteSize::parse(text).unwrap().to_string(), text);
        }
        for text in ["0", "1500 ms", "90 s", "15 min", "2 h", "365 d"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_one_is_said() {
        for bad in [
            "",
            "6",
            "MiB",
            "6 mib",
            "-1 B",
            "1.5 MiB",
            "99999999999 GiB",
            "6 MiB/s",
            "6 s",
        ] {
            assert!(ByteSize::parse(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "10",
            "10 sec",
            "10 S",
            "10 MiB",
            "18446744073709551615 d",
        ] {
            assert!(Period::parse(bad).is_err(), "{bad}");
        }
    }
}
