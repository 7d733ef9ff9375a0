//! The messages of a body, told apart by the five bytes before each: whether it is
//! compressed, and its length. Nothing is kept of a message but how much is to come.

/// How a body breaks the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message is larger than it may be, in bytes.
    #[error("a message has more than {0} bytes")]
    TooLarge(u64),
    /// The first byte is neither 0 nor 1.
    #[error("a message begins with {0}, and not with 0 or 1")]
    Flag(u8),
    /// The body ends in the middle of a message.
    #[error("a message ends too early")]
    Truncated,
}

const PREFIX_BYTES: usize = 5;

/// Where in its messages a body is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    bytes_max: u64,
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix there is; all of it while the message is to come.
    known: usize,
    /// What is left of the message.
    left: u64,
}

impl Framing {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max: bytes_max as u64,
            prefix: [0; PREFIX_BYTES],
            known: 0,
            left: 0,
        }
    }

    /// Whether no message has begun that is to be continued.
    pub(crate) fn is_between(&self) -> bool {
        self.known == 0
    }

    /// Goes on by a piece of the body.
    ///
    /// # Errors
    ///
    /// When a message breaks the rules, with the bytes before that message which are
    /// in this piece.
    pub(crate) fn take(&mut self, piece: &[u8]) -> Result<(), (usize, Violation)> {
        let mut rest = piece;
        let mut before = 0;
        while let Some((&first, others)) = rest.split_first() {
            if self.known < PREFIX_BYTES {
                if self.known == 0 {
                    before = piece.len() - rest.len();
                }
                self.prefix[self.known] = first;
                self.known += 1;
                rest = others;
                if self.known == PREFIX_BYTES {
                    self.begin().map_err(|violation| (before, violation))?;
                }
                continue;
            }
            let there = usize::try_from(self.left).unwrap_or(usize::MAX);
            let there = there.min(rest.len());
            self.left -= there as u64;
            rest = &rest[there..];
            self.settle();
        }
        Ok(())
    }

    /// Reads the prefix.
    fn begin(&mut self) -> Result<(), Violation> {
        let [flag, a, b, c, d] = self.prefix;
        if flag > 1 {
            return Err(Violation::Flag(flag));
        }
        self.left = u32::from_be_bytes([a, b, c, d]).into();
        if self.left > self.bytes_max {
            return Err(Violation::TooLarge(self.bytes_max));
        }
        self.settle();
        Ok(())
    }

    fn settle(&mut self) {
        if self.left == 0 {
            self.known = 0;
        }
    }

    /// The body has ended.
    pub(crate) fn end(&self) -> Result<(), Violation> {
        match self.is_between() {
            true => Ok(()),
            false => Err(Violation::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(flag: u8, length: u32, bytes: usize) -> Vec<u8> {
        let mut message = vec![flag];
        message.extend(length.to_be_bytes());
        message.resize(PREFIX_BYTES + bytes, b'x');
        message
    }

    #[test]
    fn a_message_at_its_bytes_and_past_them() {
        let mut framing = Framing::new(10);
        let both = [message(0, 10, 10), message(1, 0, 0)].concat();
        assert_eq!(framing.take(&both), Ok(()));
        assert_eq!(framing.end(), Ok(()));
        // What is before it is good, and it is refused before it has come.
        let second = [message(0, 3, 3), message(0, 11, 0)].concat();
        assert_eq!(framing.take(&second), Err((8, Violation::TooLarge(10))));
    }

    #[test]
    fn a_flag_is_0_or_1() {
        for flag in [0, 1] {
            assert_eq!(Framing::new(1).take(&message(flag, 1, 1)), Ok(()));
        }
        for flag in [2, 0x80, 255] {
            let taken = Framing::new(1).take(&message(flag, 1, 1));
            assert_eq!(taken, Err((0, Violation::Flag(flag))));
        }
    }

    #[test]
    fn an_end_in_the_middle_is_one() {
        let whole = message(0, 3, 3);
        for bytes in 0..=whole.len() {
            let mut framing = Framing::new(3);
            framing.take(&whole[..bytes]).unwrap();
            let is_whole = bytes == 0 || bytes == whole.len();
            assert_eq!(framing.end().is_ok(), is_whole, "{bytes}");
        }
    }

    /// The bytes before the first bad message, read in the obvious way.
    fn model(mut body: &[u8], most: u32) -> (usize, Option<Violation>) {
        let all = body.len();
        loop {
            let Some((prefix, rest)) = body.split_at_checked(PREFIX_BYTES) else {
                let violation = (!body.is_empty()).then_some(Violation::Truncated);
                return (all - body.len(), violation);
            };
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
            let violation = match () {
                () if prefix[0] > 1 => Violation::Flag(prefix[0]),
                () if length > most => Violation::TooLarge(most.into()),
                () if rest.len() < length as usize => Violation::Truncated,
                () => {
                    body = &rest[length as usize..];
                    continue;
                }
            };
            return (all - body.len(), Some(violation));
        }
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_is_the_same(
            messages in prop::collection::vec((0_u8..3, 0_u32..40, 0_usize..40), 0..8),
            cuts in prop::collection::vec(1_usize..20, 1..40),
        ) {
            let body: Vec<u8> = messages
                .into_iter()
                .flat_map(|(flag, length, bytes)| message(flag, length, bytes))
                .collect();
            let mut framing = Framing::new(30);
            let mut rest = &body[..];
            let mut cuts = cuts.iter().cycle();
            let mut found = None;
            while !rest.is_empty() && found.is_none() {
                let (piece, others) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                found = framing.take(piece).err().map(|(_, violation)| violation);
                rest = others;
            }
            let found = found.or_else(|| framing.end().err());
            prop_assert_eq!(found, model(&body, 30).1);
            let whole = Framing::new(30).take(&body);
            if let Err((before, _)) = whole {
                prop_assert_eq!(before, model(&body, 30).0);
            }
        }
    }
}
