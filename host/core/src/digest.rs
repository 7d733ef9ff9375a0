//! The name of a version: the SHA-256 digest of its component's file.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::Digest as _;

/// How many letters of a digest are enough to name a version, if only one
/// version of its function begins with them.
pub const DIGEST_LETTERS_MIN: usize = 6;

/// The SHA-256 digest of a component, written as 64 characters of `0-9a-f`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 characters of 0-9a-f")]
pub struct NotDigest;

impl Digest {
    /// The digest of a component's file.
    pub fn of(component: &[u8]) -> Self {
        Self(sha2::Sha256::digest(component).into())
    }

    /// Makes a digest from its bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Result<Self, NotDigest> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotDigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let letter = |letter: u8| match letter {
                b'0'..=b'9' => Ok(letter - b'0'),
                b'a'..=b'f' => Ok(letter - b'a' + 10),
                _ => Err(NotDigest),
            };
            *byte = letter(pair[0])? << 4 | letter(pair[1])?;
        }
        Ok(Self(bytes))
    }

    /// Its first 12 letters, as shown to people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// Its first 64 bits, for use where the whole digest would be too large.
    pub fn stamp(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_only_as_it_was_written() {
        let digest = Digest::new(std::array::from_fn(|index| {
            u8::try_from(index * 7).unwrap()
        }));
        assert_eq!(Digest::parse(&digest.to_string()), Ok(digest));
        assert!(digest.to_string().starts_with(&digest.short()));
        let upper = digest.to_string().to_uppercase();
        for bad in ["", "00", upper.as_str(), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(Digest::parse(bad), Err(NotDigest), "{bad}");
        }
    }
}
