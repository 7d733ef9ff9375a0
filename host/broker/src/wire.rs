//! The pieces of encodings: numbers of variable length (LEB128), and texts with
//! their length before them. Each value has one encoding, so that decoding and
//! encoding again gives the same bytes.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

/// Bytes that are no encoding of what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded {what}")]
pub struct DecodeError {
    /// What was expected.
    pub what: &'static str,
}

/// The most bytes of a number.
const NUMBER_BYTES_MAX: u32 = 10;

pub(crate) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

pub(crate) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, u64::try_from(text.len()).unwrap_or(u64::MAX));
    bytes.extend_from_slice(text.as_bytes());
}

/// What is left of an encoding. Payloads are not copied: they share its memory.
pub(crate) struct Reader {
    left: Bytes,
    what: &'static str,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes, what: &'static str) -> Self {
        Self { left: bytes, what }
    }

    pub(crate) fn error(&self) -> DecodeError {
        DecodeError { what: self.what }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, DecodeError> {
        self.left.try_get_u8().map_err(|_| self.error())
    }

    pub(crate) fn number(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0u64;
        for at in 0..NUMBER_BYTES_MAX {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits << (7 * at);
            // Lost bits, or a last byte that says nothing.
            if shifted >> (7 * at) != bits || (byte == 0 && at > 0) {
                return Err(self.error());
            }
            number |= shifted;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.error())
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        let error = self.error();
        self.left.try_copy_to_slice(&mut array).map_err(|_| error)?;
        Ok(array)
    }

    /// A text of at most so many bytes.
    pub(crate) fn text(&mut self, bytes_max: usize) -> Result<ByteString, DecodeError> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if length > bytes_max || length > self.left.len() {
            return Err(self.error());
        }
        ByteString::try_from(self.left.split_to(length)).map_err(|_| self.error())
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> Bytes {
        std::mem::take(&mut self.left)
    }

    /// Whether nothing is left.
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        self.left
            .is_empty()
            .then_some(())
            .ok_or_else(|| self.error())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<u64, DecodeError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(bytes), "number");
        let number = reader.number()?;
        reader.end().map(|()| number)
    }

    #[test]
    fn numbers_have_one_encoding() {
        for (number, bytes) in [
            (0, &[0][..]),
            (127, &[127]),
            (128, &[128, 1]),
            (u64::MAX, &[255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
        ] {
            let mut written = Vec::new();
            put_number(&mut written, number);
            assert_eq!(written, bytes);
            assert_eq!(read(bytes), Ok(number));
        }
        for bad in [
            &[][..],
            &[128],
            &[128, 0],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 129, 0],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_text_at_its_bytes_and_past_them() {
        let mut bytes = Vec::new();
        put_text(&mut bytes, "abc");
        let bytes = Bytes::from(bytes);
        let text = |most| Reader::new(bytes.clone(), "text").text(most);
        assert_eq!(text(3).unwrap(), "abc");
        assert!(text(2).is_err());
        let short = bytes.slice(..3);
        assert!(Reader::new(short, "text").text(3).is_err());
        let other = Bytes::from_static(&[1, 0xff]);
        assert!(Reader::new(other, "text").text(3).is_err());
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_is_written(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Ok(number) = read(&bytes) {
                let mut written = Vec::new();
                put_number(&mut written, number);
                prop_assert_eq!(written, bytes);
            }
        }
    }
}
