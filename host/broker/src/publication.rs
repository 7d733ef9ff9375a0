//! A publication as it is kept and as it travels between nodes.
//!
//! It is one shared object: a history, a current value and the encodings for
//! subscribers refer to it. Its parts are bounded by the constants here, except
//! the data, which the caller bounds.
//!
//! The encoding has a version, then the parts that are there, then the data up
//! to the end. Decoding copies no payload: what it returns shares the memory of
//! the bytes, of which it is nearly all.

use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use openline_core::limits::CHANNEL_NAME_BYTES_MAX;
use openline_core::name::{ChannelName, ConnectionId};

use crate::moment::Moment;
use crate::outcome::PublishError;
use crate::position::{Epoch, OFFSET_MAX, Position};
pub use crate::wire::DecodeError;
use crate::wire::{Reader, put_number, put_text};

/// The longest id, in bytes: room for two UUIDs, or a hash in hexadecimal.
pub const ID_BYTES_MAX: usize = 128;
/// The longest name of an event, in bytes.
pub const EVENT_BYTES_MAX: usize = 128;
/// The longest key of a value, in bytes: as long as a channel's name.
pub const KEY_BYTES_MAX: usize = 256;
/// The longest name of a user, in bytes: subjects of tokens are shorter.
pub const USER_BYTES_MAX: usize = 256;
/// The most tags: they are compared for each subscriber with a filter.
pub const TAGS_MAX: usize = 32;
/// The longest name of a tag, in bytes.
pub const TAG_NAME_BYTES_MAX: usize = 64;
/// The longest value of a tag, in bytes.
pub const TAG_VALUE_BYTES_MAX: usize = 256;

/// The version of the encoding.
const VERSION: u8 = 1;
const WHAT: &str = "publication";
/// What an allocation costs beside its bytes, about.
const ALLOCATION: usize = 16;

/// A publication. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication(Arc<Parts>);

/// The parts of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// Where it was published.
    pub channel: ChannelName,
    /// Its number, on channels that count.
    pub position: Option<Position>,
    /// The publisher's name for it.
    pub id: Option<ByteString>,
    /// What sort it is, for clients that have events.
    pub event: Option<ByteString>,
    /// Which value it changes, on channels with many values.
    pub key: Option<ByteString>,
    /// Whether it removes that value.
    pub removed: bool,
    /// What is said.
    pub data: Data,
    /// Words for filters.
    pub tags: Tags,
    /// The connection that published it, if one did.
    pub sender: Option<Sender>,
    /// When it was published.
    pub time: Moment,
}

/// What a publication says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Text.
    Text(ByteString),
    /// Arbitrary bytes.
    Binary(Bytes),
    /// JSON as it was written. The code that takes it from a publisher has
    /// checked it: here it is a text.
    Json(ByteString),
}

/// The connection that published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Which one.
    pub connection: ConnectionId,
    /// Its user, if it has one.
    pub user: Option<ByteString>,
}

/// Names and values, sorted by name; each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Box<[(ByteString, ByteString)]>);

// === impl Publication ===

impl Publication {
    /// A publication of these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The bytes that it takes while anything refers to it, about. The data
    /// counts with its length; a caller whose data is a part of a larger buffer
    /// copies it first.
    pub fn cost(&self) -> usize {
        Self::cost_of(&self.0)
    }

    pub(crate) fn cost_of(parts: &Parts) -> usize {
        let text = |text: &Option<ByteString>| text.as_ref().map_or(0, |it| ALLOCATION + it.len());
        let user = parts.sender.as_ref().map_or(0, |sender| text(&sender.user));
        let texts = text(&parts.id) + text(&parts.event) + text(&parts.key) + user;
        size_of::<Parts>() + 2 * ALLOCATION + texts + parts.data.bytes() + parts.tags.cost()
    }

    /// The offset, or 0 if it has no position.
    pub(crate) fn offset(&self) -> u64 {
        self.position.map_or(0, |position| position.offset)
    }

    /// The encoding, for a store and for other nodes.
    pub fn encode(&self) -> Bytes {
        let parts = &*self.0;
        let user = parts.sender.as_ref().and_then(|it| it.user.as_ref());
        let flags = [
            parts.position.is_some(),
            parts.id.is_some(),
            parts.event.is_some(),
            parts.key.is_some(),
            parts.removed,
            !parts.tags.0.is_empty(),
            parts.sender.is_some(),
            user.is_some(),
        ];
        let flags = flags
            .iter()
            .rev()
            .fold(0, |flags, is| flags << 1 | u8::from(*is));
        let (kind, data) = match &parts.data {
            Data::Text(text) => (0, text.as_bytes()),
            Data::Binary(bytes) => (1, bytes),
            Data::Json(text) => (2, text.as_bytes()),
        };
        let mut bytes = Vec::with_capacity(64 + parts.channel.as_str().len() + data.len());
        bytes.extend_from_slice(&[VERSION, flags, kind]);
        put_number(&mut bytes, parts.time.0);
        put_text(&mut bytes, parts.channel.as_str());
        if let Some(position) = parts.position {
            bytes.extend_from_slice(&position.epoch.bits().to_be_bytes());
            put_number(&mut bytes, position.offset);
        }
        for text in [&parts.id, &parts.event, &parts.key].into_iter().flatten() {
            put_text(&mut bytes, text);
        }
        if !parts.tags.0.is_empty() {
            put_number(&mut bytes, u64::try_from(parts.tags.0.len()).unwrap_or(0));
            for (name, value) in &parts.tags.0 {
                put_text(&mut bytes, name);
                put_text(&mut bytes, value);
            }
        }
        if let Some(sender) = &parts.sender {
            bytes.extend_from_slice(&sender.connection.bits().to_be_bytes());
        }
        if let Some(user) = user {
            put_text(&mut bytes, user);
        }
        bytes.extend_from_slice(data);
        bytes.into()
    }

    /// Reads what [`encode`](Self::encode) has written.
    ///
    /// # Errors
    ///
    /// When the bytes are anything else, or of another version.
    pub fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes, WHAT);
        let [version, flags, kind] = reader.array()?;
        if version != VERSION || kind > 2 {
            return Err(reader.error());
        }
        let has = |flag: u8| flags & 1 << flag != 0;
        let time = Moment(reader.number()?);
        let channel = reader.text(CHANNEL_NAME_BYTES_MAX)?;
        let channel = ChannelName::new(&channel).map_err(|_| reader.error())?;
        let position = has(0).then(|| read_position(&mut reader)).transpose()?;
        let text = |flag: u8, most: usize, reader: &mut Reader| {
            has(flag).then(|| reader.text(most)).transpose()
        };
        let id = text(1, ID_BYTES_MAX, &mut reader)?;
        let event = text(2, EVENT_BYTES_MAX, &mut reader)?;
        let key = text(3, KEY_BYTES_MAX, &mut reader)?;
        let removed = has(4);
        let tags = has(5).then(|| Tags::read(&mut reader)).transpose()?;
        let connection = has(6).then(|| reader.array()).transpose()?;
        let user = text(7, USER_BYTES_MAX, &mut reader)?;
        let sender = connection.map(|bits| Sender {
            connection: ConnectionId::from_random(u128::from_be_bytes(bits)),
            user,
        });
        if (removed && key.is_none()) || (has(7) && sender.is_none()) {
            return Err(reader.error());
        }
        let data = reader.rest();
        let text = |data: Bytes| ByteString::try_from(data).map_err(|_| DecodeError { what: WHAT });
        let data = match kind {
            0 => Data::Text(text(data)?),
            1 => Data::Binary(data),
            _ => Data::Json(text(data)?),
        };
        Ok(Self::new(Parts {
            channel,
            position,
            id,
            event,
            key,
            removed,
            data,
            tags: tags.unwrap_or_default(),
            sender,
            time,
        }))
    }
}

pub(crate) fn read_position(reader: &mut Reader) -> Result<Position, DecodeError> {
    let bits = u64::from_be_bytes(reader.array()?);
    let offset = reader.number()?;
    if bits == 0 || offset > OFFSET_MAX {
        return Err(reader.error());
    }
    Ok(Position::new(Epoch::from_random(bits), offset))
}

impl Deref for Publication {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

// === impl Data ===

impl Data {
    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Json(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

// === impl Tags ===

impl Tags {
    /// Checks and sorts tags.
    ///
    /// # Errors
    ///
    /// When there are more than [`TAGS_MAX`], when one is too long, and when a
    /// name is empty or there twice.
    pub fn new(mut tags: Vec<(ByteString, ByteString)>) -> Result<Self, PublishError> {
        let within = |what, bytes, bytes_max| PublishError::check_bytes(what, bytes, bytes_max);
        within("tags", tags.len(), TAGS_MAX)?;
        for (name, value) in &tags {
            within("a tag's name", name.len(), TAG_NAME_BYTES_MAX)?;
            within("a tag's value", value.len(), TAG_VALUE_BYTES_MAX)?;
        }
        tags.sort_unstable();
        let is_twice = tags.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if is_twice || tags.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(PublishError::InvalidName(
                "a tag has a name of its own, which is not empty",
            ));
        }
        Ok(Self(tags.into()))
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(other, _)| (**other).cmp(name));
        found.ok().map(|at| &*self.0[at].1)
    }

    /// Names and values, in the order of the names.
    pub fn as_slice(&self) -> &[(ByteString, ByteString)] {
        &self.0
    }

    fn cost(&self) -> usize {
        let pair = size_of::<(ByteString, ByteString)>() + 2 * ALLOCATION;
        let texts = self.0.iter().map(|(name, value)| name.len() + value.len());
        texts.map(|bytes| pair + bytes).sum()
    }

    fn read(reader: &mut Reader) -> Result<Self, DecodeError> {
        let count = usize::try_from(reader.number()?).unwrap_or(usize::MAX);
        if !(1..=TAGS_MAX).contains(&count) {
            return Err(reader.error());
        }
        let mut tags: Vec<(ByteString, ByteString)> = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.text(TAG_NAME_BYTES_MAX)?;
            let value = reader.text(TAG_VALUE_BYTES_MAX)?;
            let is_next = tags
                .last()
                .map_or(!name.is_empty(), |(before, _)| *before < name);
            if !is_next {
                return Err(reader.error());
            }
            tags.push((name, value));
        }
        Ok(Self(tags.into()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn channel() -> ChannelName {
        ChannelName::new("room:1").unwrap()
    }

    /// A publication with this data and nothing else.
    pub(crate) fn plain(text: &str, position: Option<Position>, time: u64) -> Publication {
        Publication::new(Parts {
            channel: channel(),
            position,
            id: None,
            event: None,
            key: None,
            removed: false,
            data: Data::Text(text.into()),
            tags: Tags::default(),
            sender: None,
            time: Moment(time),
        })
    }

    fn text(most: usize) -> impl Strategy<Value = ByteString> {
        vec(any::<char>(), 0..8).prop_map(move |letters| {
            let text: String = letters.into_iter().collect();
            text.chars().take(most / 4).collect::<String>().into()
        })
    }

    fn tags() -> impl Strategy<Value = Tags> {
        let pairs = proptest::collection::btree_map("[a-z]{1,4}", "[a-z]{0,4}", 0..4);
        pairs.prop_map(|pairs| {
            let pairs = pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()));
            Tags::new(pairs.collect()).unwrap()
        })
    }

    fn data() -> impl Strategy<Value = Data> {
        prop_oneof![
            text(64).prop_map(Data::Text),
            text(64).prop_map(Data::Json),
            vec(any::<u8>(), 0..20).prop_map(|bytes| Data::Binary(bytes.into())),
        ]
    }

    prop_compose! {
        pub(crate) fn any_publication()(
            position in option::of((any::<u64>(), 0..=OFFSET_MAX)),
            (id, event, key) in (option::of(text(64)), option::of(text(64)), option::of(text(64))),
            (removed, time) in any::<(bool, u64)>(),
            (data, tags) in (data(), tags()),
            sender in option::of((any::<u128>(), option::of(text(64)))),
        ) -> Publication {
            Publication::new(Parts {
                channel: channel(),
                position: position.map(|(bits, at)| Position::new(Epoch::from_random(bits), at)),
                id,
                event,
                removed: removed && key.is_some(),
                key,
                data,
                tags,
                sender: sender.map(|(bits, user)| Sender {
                    connection: ConnectionId::from_random(bits),
                    user,
                }),
                time: Moment(time),
            })
        }
    }

    #[test]
    fn tags_at_their_bounds_and_past_them() {
        let tags = |count: usize, name: usize, value: usize| {
            let name = |at: usize| format!("{at:0>name$}").into();
            let all = (0..count).map(|at| (name(at), "v".repeat(value).into()));
            Tags::new(all.collect())
        };
        assert!(tags(TAGS_MAX, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX).is_ok());
        for past in [
            tags(TAGS_MAX + 1, 4, 4),
            tags(1, TAG_NAME_BYTES_MAX + 1, 4),
            tags(1, 4, TAG_VALUE_BYTES_MAX + 1),
        ] {
            assert!(matches!(past, Err(PublishError::TooLarge { .. })));
        }
        let pair = |name: &str| (ByteString::from(name), ByteString::from("1"));
        for bad in [vec![pair("a"), pair("b"), pair("a")], vec![pair("")]] {
            assert!(matches!(Tags::new(bad), Err(PublishError::InvalidName(_))));
        }
        let tags = Tags::new(vec![pair("b"), pair("a")]).unwrap();
        assert_eq!(tags.get("b"), Some("1"));
        assert_eq!(tags.get("c"), None);
        assert_eq!(tags.as_slice(), [pair("a"), pair("b")]);
    }

    #[test]
    fn the_encoding_is_compact_and_stays_as_it_is() {
        let position = Position::new(Epoch::from_random(1), 300);
        let bytes = plain("hello", Some(position), 5).encode();
        let expected = b"\x01\x01\x00\x05\x06room:1\0\0\0\0\0\0\0\x01\xac\x02hello";
        assert_eq!(&bytes[..], expected);
    }

    #[test]
    fn tags_have_one_order() {
        let pairs = [("a", "1"), ("b", "2")].map(|(name, value)| (name.into(), value.into()));
        let tags = Tags::new(pairs.to_vec()).unwrap();
        let parts = (*plain("", None, 0)).clone();
        let bytes = Publication::new(Parts { tags, ..parts }).encode();
        assert!(bytes.ends_with(b"\x02\x01a\x011\x01b\x012"));
        let with = |end: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.truncate(bytes.len() - end.len());
            bytes.extend_from_slice(end);
            Publication::decode(bytes.into())
        };
        assert!(with(b"\x02\x01a\x011\x01b\x012").is_ok());
        assert!(with(b"\x02\x01a\x011\x01a\x012").is_err(), "twice");
        assert!(with(b"\x02\x01b\x012\x01a\x011").is_err(), "not in order");
        assert!(with(b"\x02\x00\x0211\x01b\x012").is_err(), "without a name");
    }

    #[test]
    fn its_cost_follows_its_parts() {
        let empty = plain("", None, 0).cost();
        assert!(empty >= size_of::<Parts>() && empty < 400, "{empty}");
        assert_eq!(plain(&"a".repeat(1000), None, 0).cost(), empty + 1000);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(publication in any_publication()) {
            let bytes = publication.encode();
            prop_assert_eq!(Publication::decode(bytes), Ok(publication));
        }

        #[test]
        fn no_other_bytes_are_the_same(
            publication in any_publication(), at: usize, byte: u8, cut: usize,
        ) {
            let mut bytes = publication.encode().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut % 3);
            let bytes = Bytes::from(bytes);
            if let Ok(other) = Publication::decode(bytes.clone()) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }

        #[test]
        fn random_bytes_do_no_harm(mut bytes in vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            let bytes = Bytes::from(bytes);
            if let Ok(other) = Publication::decode(bytes.clone()) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }
    }
}
