//! Masking (RFC 6455 section 5.3): each byte of a client's payload is combined
//! with one of four key bytes. Unmasking is the same operation.
//!
//! The work is done in blocks of 64 bytes that fit into vector registers, and
//! a payload that is copied anyway is unmasked on the way: its bytes pass the
//! processor once. The allocation is the caller's; nothing here is larger than
//! a block.

/// The key of a frame, as its next byte needs it: a caller that consumes a part
/// of a payload goes on with [`Key::after`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key([u8; 4]);

/// Bytes that are combined at once.
const BLOCK: usize = 64;

impl Key {
    /// The key that a frame's header carries.
    pub const fn new(key: [u8; 4]) -> Self {
        Self(key)
    }

    /// The four bytes, the next one first.
    pub const fn bytes(self) -> [u8; 4] {
        self.0
    }

    /// The key for what comes after so many bytes.
    #[inline]
    #[must_use]
    pub const fn after(self, bytes: usize) -> Self {
        let word = u32::from_le_bytes(self.0);
        // The remainder is below four.
        #[expect(clippy::cast_possible_truncation, reason = "below four")]
        let bits = (bytes % 4) as u32 * 8;
        Self(word.rotate_right(bits).to_le_bytes())
    }

    /// The key that does what this one and then another do.
    #[inline]
    #[must_use]
    pub(crate) const fn and(self, other: Self) -> Self {
        let both = u32::from_le_bytes(self.0) ^ u32::from_le_bytes(other.0);
        Self(both.to_le_bytes())
    }

    /// Masks or unmasks bytes where they are.
    #[inline]
    pub fn apply(self, bytes: &mut [u8]) {
        let pattern = self.pattern();
        let (blocks, rest) = bytes.as_chunks_mut::<BLOCK>();
        for block in blocks {
            combine(block, &pattern);
        }
        combine(rest, &pattern);
    }

    /// Appends bytes to a vector, masked or unmasked. The vector grows at most
    /// once, and not at all where it has the room.
    #[inline]
    pub fn append(self, bytes: &[u8], to: &mut Vec<u8>) {
        to.reserve(bytes.len());
        let pattern = self.pattern();
        let (blocks, rest) = bytes.as_chunks::<BLOCK>();
        for block in blocks {
            let mut block = *block;
            combine(&mut block, &pattern);
            to.extend_from_slice(&block);
        }
        let start = to.len();
        to.extend_from_slice(rest);
        combine(&mut to[start..], &pattern);
    }

    #[inline]
    fn pattern(self) -> [u8; BLOCK] {
        let mut pattern = [0; BLOCK];
        for word in pattern.as_chunks_mut::<4>().0 {
            *word = self.0;
        }
        pattern
    }
}

#[inline]
fn combine(bytes: &mut [u8], pattern: &[u8; BLOCK]) {
    for (byte, key) in bytes.iter_mut().zip(pattern) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the RFC words it: octet i of the payload with octet i modulo 4.
    fn plainly(key: [u8; 4], bytes: &[u8]) -> Vec<u8> {
        let combined = bytes.iter().enumerate().map(|(i, it)| it ^ key[i % 4]);
        combined.collect()
    }

    proptest! {
        #[test]
        fn wide_is_as_plain_and_goes_on_anywhere(
            key in any::<[u8; 4]>(),
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            cut in 0usize..400,
            before in prop::collection::vec(any::<u8>(), 0..5),
        ) {
            let wanted = plainly(key, &bytes);
            let key = Key::new(key);
            let mut applied = bytes.clone();
            key.apply(&mut applied);
            prop_assert_eq!(&applied, &wanted);

            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut appended = before.clone();
            key.append(first, &mut appended);
            key.after(first.len()).append(second, &mut appended);
            prop_assert_eq!(&appended[before.len()..], &wanted[..]);
            prop_assert_eq!(&appended[..before.len()], &before[..]);
        }
    }

    #[test]
    fn a_vector_that_has_the_room_does_not_grow() {
        let bytes = [7; 1000];
        let mut to = Vec::with_capacity(1000);
        let capacity = to.capacity();
        Key::new([1, 2, 3, 4]).append(&bytes, &mut to);
        assert_eq!((to.len(), to.capacity()), (1000, capacity));
    }
}
