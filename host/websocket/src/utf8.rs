//! UTF-8 that comes in pieces, refused at its first wrong byte.
//!
//! Only a character that has not ended is kept between pieces: three bytes.

/// Bytes that no continuation makes UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not UTF-8")]
pub struct InvalidUtf8;

/// How far a text in pieces has been checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8 {
    /// The beginning of a character that has not ended.
    begun: [u8; 4],
    /// How many bytes of it there are, or [`WRONG`].
    have: u8,
}

/// A wrong byte has come.
const WRONG: u8 = u8::MAX;

/// Texts up to this size are checked by the standard library, in bytes: those
/// that are ASCII, as most are, take a few nanoseconds less. Longer ones take
/// half the time with wide instructions, and a tenth if they are not ASCII.
const SHORT_BYTES_MAX: usize = 192;

/// Whether bytes are a whole text.
#[inline]
pub(crate) fn is_text(bytes: &[u8]) -> bool {
    match bytes.len() {
        0..=SHORT_BYTES_MAX => std::str::from_utf8(bytes).is_ok(),
        _ => simdutf8::basic::from_utf8(bytes).is_ok(),
    }
}

impl Utf8 {
    /// A text that has not begun.
    pub const fn new() -> Self {
        Self {
            begun: [0; 4],
            have: 0,
        }
    }

    /// Checks the next piece.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if all pieces together cannot be the beginning of a
    /// text: a byte that is wrong is found with the piece that it is in, and
    /// all pieces after it are refused as well.
    pub fn check(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        let checked = self.check_next(piece);
        if checked.is_err() {
            self.have = WRONG;
        }
        checked
    }

    fn check_next(&mut self, piece: &[u8]) -> Result<(), InvalidUtf8> {
        if self.have == WRONG {
            return Err(InvalidUtf8);
        }
        let piece = self.end_begun(piece)?;
        match simdutf8::compat::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(InvalidUtf8),
            // At most three bytes, of a character that may become valid.
            Err(error) => {
                for byte in &piece[error.valid_up_to()..] {
                    self.begun[usize::from(self.have)] = *byte;
                    self.have += 1;
                }
                Ok(())
            }
        }
    }

    /// Says that there are no more pieces, and begins again.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the text ends within a character, or was refused.
    pub fn end(&mut self) -> Result<(), InvalidUtf8> {
        match std::mem::take(&mut self.have) {
            0 => Ok(()),
            _ => Err(InvalidUtf8),
        }
    }

    /// Completes the character that has begun; answers what comes after it.
    fn end_begun<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], InvalidUtf8> {
        while self.have > 0
            && let Some((byte, rest)) = piece.split_first()
        {
            self.begun[usize::from(self.have)] = *byte;
            self.have += 1;
            piece = rest;
            match std::str::from_utf8(&self.begun[..usize::from(self.have)]) {
                Ok(_) => self.have = 0,
                Err(error) if error.error_len().is_some() => return Err(InvalidUtf8),
                // Never with four bytes: those are a character or wrong.
                Err(_) => {}
            }
        }
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// At which byte a text is refused, its end included; none if it is UTF-8.
    fn refused_at(bytes: &[u8]) -> Option<usize> {
        let error = std::str::from_utf8(bytes).err()?;
        match error.error_len() {
            None => Some(bytes.len()),
            // `error_len` counts the bytes that were right so far, which is
            // where the wrong one is; a wrong first byte counts itself.
            Some(_) => {
                let start = error.valid_up_to();
                (start..bytes.len()).find(|at| {
                    let until = std::str::from_utf8(&bytes[..=*at]);
                    until.is_err_and(|error| error.error_len().is_some())
                })
            }
        }
    }

    fn in_pieces(bytes: &[u8], cuts: &[usize]) -> Option<usize> {
        let (mut text, mut rest, mut cuts) = (Utf8::new(), bytes, cuts.iter().cycle());
        while !rest.is_empty() {
            let (piece, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            if text.check(piece).is_err() {
                return Some(bytes.len() - rest.len());
            }
            rest = later;
        }
        text.end().err().map(|_| bytes.len())
    }

    /// Characters of every length, and what looks like them.
    fn almost_text() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            4 => any::<char>().prop_map(|it| it.to_string().into_bytes()),
            1 => prop::collection::vec(any::<u8>(), 1..4),
            1 => Just(vec![0xed, 0xa0, 0x80]),
            1 => Just(vec![0xf4, 0x90, 0x80, 0x80]),
            1 => Just(vec![0xc0, 0x80]),
            1 => Just(vec![0xe2, 0x82]),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn a_whole_text_is_one_for_the_standard_library(bytes in almost_text(), times in 1usize..30) {
            let bytes = bytes.repeat(times);
            prop_assert_eq!(is_text(&bytes), std::str::from_utf8(&bytes).is_ok());
        }

        #[test]
        fn each_byte_alone_is_refused_where_it_is_wrong(bytes in almost_text()) {
            prop_assert_eq!(in_pieces(&bytes, &[1]), refused_at(&bytes));
        }

        #[test]
        fn pieces_are_refused_where_the_wrong_byte_is(
            bytes in almost_text(),
            cuts in prop::collection::vec(1usize..9, 1..6),
        ) {
            let wanted = refused_at(&bytes);
            let found = in_pieces(&bytes, &cuts);
            prop_assert_eq!(found.is_some(), wanted.is_some());
            if let (Some(found), Some(wanted)) = (found, wanted) {
                // The piece's first byte, and the wrong one in it or at the end.
                prop_assert!(found <= wanted && wanted < found + 9, "{} {}", found, wanted);
            }
        }
    }

    #[test]
    fn nothing_is_accepted_after_a_wrong_byte_until_the_text_ends() {
        // In a character that came in pieces, and by itself.
        for (before, wrong) in [(&b"\xf0\x9f\x98"[..], b"x"), (b"", b"\xff")] {
            let mut text = Utf8::new();
            text.check(before).unwrap();
            assert_eq!(text.check(wrong), Err(InvalidUtf8));
            for _ in 0..3 {
                assert_eq!(text.check(b"right"), Err(InvalidUtf8));
            }
            assert_eq!(text.end(), Err(InvalidUtf8));
            assert_eq!((text.check(b"right"), text.end()), (Ok(()), Ok(())));
        }
    }

    #[test]
    fn a_text_may_begin_anew_after_its_end() {
        let mut text = Utf8::new();
        text.check("€".as_bytes().split_at(2).0).unwrap();
        assert_eq!(text.end(), Err(InvalidUtf8));
        text.check("€".as_bytes()).unwrap();
        assert_eq!(text.end(), Ok(()));
    }
}
