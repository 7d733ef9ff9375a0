//! What a durable channel writes to a store.
//!
//! A store keeps rows for each channel: a name of bytes, and bytes. Changes come
//! in groups; a group is written completely or not at all, and groups in their
//! order. So a host that is killed leaves the state after some group, which is one
//! that the channel was in.

use bytes::Bytes;
use bytestring::ByteString;

use crate::idempotency::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::moment::Moment;
use crate::position::{OFFSET_MAX, Position};
use crate::publication::{KEY_BYTES_MAX, read_position};
use crate::versions::Slot;
use crate::wire::{DecodeError, Reader, put_number};

/// One row of a channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Where the channel is. Written with each publication.
    Head,
    /// A publication of the history, by its offset.
    Publication(u64),
    /// The value of a key.
    Value(ByteString),
    /// The version of the channel, or of a key.
    Version(Slot),
    /// The outcome of a publish with an idempotency key.
    Receipt(ByteString),
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Writes a row, whether or not there is one.
    Put(Row, Bytes),
    /// Deletes a row, if there is one.
    Delete(Row),
    /// Deletes the rows of all publications before an offset.
    Forget {
        /// The first offset that stays.
        before: u64,
    },
    /// Deletes all rows of the channel.
    Clear,
}

/// The row [`Row::Head`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) top: Position,
    /// When the channel was used last, by which a store finds channels that
    /// nothing asks for any more.
    pub(crate) used: Moment,
}

/// The moment at which a channel was used last, from its row [`Row::Head`]; a
/// store that sweeps needs no more.
///
/// # Errors
///
/// When the bytes are no such row.
pub fn used_at(head: Bytes) -> Result<Moment, DecodeError> {
    Head::decode(head).map(|head| head.used)
}

impl Row {
    /// The name of the row. Names of publications sort by offset.
    pub fn name(&self) -> Vec<u8> {
        let (tag, rest): (u8, &[u8]) = match self {
            Self::Head => (b'h', &[]),
            Self::Publication(offset) => (b'p', &offset.to_be_bytes()),
            Self::Value(key) => (b'k', key.as_bytes()),
            Self::Version(None) => (b'v', &[]),
            Self::Version(Some(key)) => (b'w', key.as_bytes()),
            Self::Receipt(key) => (b'r', key.as_bytes()),
        };
        let mut name = Vec::with_capacity(1 + rest.len());
        name.push(tag);
        name.extend_from_slice(rest);
        name
    }

    /// Reads what [`name`](Self::name) has written.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else.
    pub fn parse(name: &[u8]) -> Result<Self, DecodeError> {
        let error = DecodeError { what: "row" };
        let (tag, rest) = name.split_first().ok_or(error)?;
        let text = |most: usize| {
            let text = std::str::from_utf8(rest).ok().filter(|it| it.len() <= most);
            text.map(ByteString::from).ok_or(error)
        };
        match (tag, rest.is_empty()) {
            (b'h', true) => Ok(Self::Head),
            (b'v', true) => Ok(Self::Version(None)),
            (b'p', _) => {
                let offset = rest.try_into().map(u64::from_be_bytes).ok();
                let offset = offset.filter(|it| (1..=OFFSET_MAX).contains(it));
                offset.map(Self::Publication).ok_or(error)
            }
            (b'k', _) => text(KEY_BYTES_MAX).map(Self::Value),
            (b'w', _) => text(KEY_BYTES_MAX).map(|key| Self::Version(Some(key))),
            (b'r', _) => text(IDEMPOTENCY_KEY_BYTES_MAX).map(Self::Receipt),
            _ => Err(error),
        }
    }
}

impl Head {
    pub(crate) fn encode(self) -> Bytes {
        let mut bytes = Vec::with_capacity(24);
        bytes.extend_from_slice(&self.top.epoch.bits().to_be_bytes());
        put_number(&mut bytes, self.top.offset);
        put_number(&mut bytes, self.used.0);
        bytes.into()
    }

    pub(crate) fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, "head of a channel");
        let top = read_position(&mut reader)?;
        let used = Moment(reader.number()?);
        reader.end()?;
        Ok(Self { top, used })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::position::Epoch;

    #[test]
    fn rows_have_names() {
        for row in [
            Row::Head,
            Row::Publication(1),
            Row::Publication(OFFSET_MAX),
            Row::Value("".into()),
            Row::Value("é".into()),
            Row::Version(None),
            Row::Version(Some("k".into())),
            Row::Version(Some("".into())),
            Row::Receipt("r".into()),
        ] {
            assert_eq!(Row::parse(&row.name()), Ok(row));
        }
        assert!(Row::Publication(255).name() < Row::Publication(256).name());
    }

    #[test]
    fn a_head_is_read_back() {
        let top = Position::new(Epoch::from_random(u64::MAX), OFFSET_MAX);
        let head = Head {
            top,
            used: Moment(7),
        };
        assert_eq!(Head::decode(head.encode()), Ok(head));
        assert_eq!(used_at(head.encode()), Ok(Moment(7)));
        assert!(Head::decode(Bytes::new()).is_err());
    }

    proptest! {
        #[test]
        fn a_name_that_is_read_is_the_one_that_is_written(name in vec(any::<u8>(), 0..12)) {
            if let Ok(row) = Row::parse(&name) {
                prop_assert_eq!(row.name(), name);
            }
        }
    }
}
