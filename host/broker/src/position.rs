//! Where a subscriber is in a channel.
//!
//! An offset counts the publications of an epoch, without gaps, from 1; 0 is the
//! position before the first. A new epoch begins whenever a channel cannot
//! continue its count: the first time, after its position was forgotten, after a
//! host lost it. Epochs are random, so a position of another channel or of
//! another life of this one is recognised as such.
//!
//! To clients a position is a text without a meaning; it has at most
//! [`POSITION_BYTES_MAX`] bytes.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// The last offset: clients in JavaScript read offsets as numbers, which are
/// exact up to here.
pub const OFFSET_MAX: u64 = (1 << 53) - 1;
/// The longest text of a position: 16 digits, a sign, 16 digits.
pub const POSITION_BYTES_MAX: usize = 33;

/// One count of publications.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(NonZeroU64);

/// A place in a channel: `offset` publications of this epoch came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which count.
    pub epoch: Epoch,
    /// The number of the last publication; 0 to [`OFFSET_MAX`].
    pub offset: u64,
}

/// A text that is no position or no epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position: pass back the text that came with a publication or a subscription")]
pub struct PositionError;

impl Epoch {
    /// An epoch of random bits. Two channels have the same one with a
    /// probability of 2⁻⁶³; 0 is replaced.
    pub fn from_random(bits: u64) -> Self {
        Self(NonZeroU64::new(bits).unwrap_or(NonZeroU64::MIN))
    }

    /// The bits.
    pub fn bits(self) -> u64 {
        self.0.get()
    }
}

impl Position {
    /// The position before the first publication of an epoch.
    pub fn start(epoch: Epoch) -> Self {
        Self { epoch, offset: 0 }
    }

    /// The position of a number of an epoch.
    pub fn new(epoch: Epoch, offset: u64) -> Self {
        Self { epoch, offset }
    }
}

/// Digits of one number, which has one spelling.
fn number(text: &str, radix: u32) -> Option<u64> {
    let digit = |letter: char| letter.is_digit(radix) && !letter.is_ascii_uppercase();
    let is_plain = !text.is_empty() && text.len() <= 16 && text.chars().all(digit);
    let is_shortest = text.len() == 1 || !text.starts_with('0');
    let number = u64::from_str_radix(text, radix).ok()?;
    (is_plain && is_shortest).then_some(number)
}

impl FromStr for Epoch {
    type Err = PositionError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let bits = number(text, 16).and_then(NonZeroU64::new);
        bits.map(Self).ok_or(PositionError)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Reads what `Display` writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, PositionError> {
        let (epoch, offset) = text.split_once('-').ok_or(PositionError)?;
        let offset = number(offset, 10).filter(|it| *it <= OFFSET_MAX);
        Ok(Self {
            epoch: epoch.parse()?,
            offset: offset.ok_or(PositionError)?,
        })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_position_at_its_ends_and_past_them() {
        let last = Position::new(Epoch::from_random(u64::MAX), OFFSET_MAX);
        assert_eq!(last.to_string(), "ffffffffffffffff-9007199254740991");
        assert_eq!(last.to_string().len(), POSITION_BYTES_MAX);
        for good in ["1-0", "a-1", &last.to_string()] {
            assert_eq!(good.parse::<Position>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "0-1",
            "1-01",
            "01-1",
            "A-1",
            "1-9007199254740992",
            "10000000000000000-1",
            "1-1-1",
            "+1-1",
            "1-+1",
            "1 -1",
            "é-1",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
    }

    #[test]
    fn random_bits_are_never_no_epoch() {
        assert_eq!(Epoch::from_random(0), Epoch::from_random(1));
        assert_eq!(Epoch::from_random(7).bits(), 7);
        assert_eq!(size_of::<Option<Position>>(), 16);
    }

    proptest! {
        #[test]
        fn it_has_one_text(bits: u64, offset in 0..=OFFSET_MAX) {
            let position = Position::new(Epoch::from_random(bits), offset);
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn a_text_that_is_read_is_the_one_that_is_written(text in "[0-9a-f+-]{0,20}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }
}
