//! The encodings of one publication: one for each dialect that a subscriber of
//! this node speaks, made when the first such subscriber is there, and shared by
//! all.
//!
//! Bounded by the publication and one encoding of it for each dialect.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytestring::ByteString;
use openline_broker::presence::Member;
use openline_broker::publication::{Data, Publication};
use openline_core::dialect::DialectName;
use openline_core::message::{Compress, Message};
use openline_dialects::rest::Stored;
use openline_dialects::{DataView, Dialect, MemberView, PublicationView, Tags, sse};

use crate::shared::SharedMessage;

/// The raw form, and one for each dialect.
const FORMS: usize = 4;

/// The encodings of a publication, as far as they were needed.
#[derive(Debug)]
pub(crate) struct Forms<'a> {
    publication: &'a Publication,
    compress: Compress,
    made: [Option<Arc<SharedMessage>>; FORMS],
}

impl<'a> Forms<'a> {
    /// None is made yet.
    pub(crate) fn new(publication: &'a Publication, compress: Compress) -> Self {
        Self {
            publication,
            compress,
            made: [const { None }; FORMS],
        }
    }

    /// The encoding for the connections of a dialect, or for those without one.
    pub(crate) fn of(&mut self, dialect: Option<DialectName>) -> &Arc<SharedMessage> {
        let index = dialect.map_or(0, |dialect| 1 + dialect as usize);
        let (publication, compress) = (self.publication, self.compress);
        self.made[index].get_or_insert_with(|| {
            let message = match dialect {
                None => raw(&publication.data),
                Some(dialect) => Message::Text(spoken_form(publication, dialect)),
            };
            SharedMessage::with(message, compress)
        })
    }
}

/// The dialect of a name; none for event streams, which answer nobody.
pub fn spoken(name: DialectName) -> Option<Dialect> {
    match name {
        DialectName::Pushflo => Some(Dialect::Pushflo),
        DialectName::Centrifugo => Some(Dialect::Centrifugo),
        DialectName::Events => None,
    }
}

fn spoken_form(publication: &Publication, name: DialectName) -> ByteString {
    match spoken(name) {
        Some(dialect) => with_view(publication, |view| dialect.publication(view)),
        None => event(publication),
    }
}

/// A publication as an event of a stream: all of it, with its position as the
/// event's id.
pub fn event(publication: &Publication) -> ByteString {
    with_stored(publication, |stored| {
        sse::publication(stored, sse::Form::Document)
    })
}

/// Shows a publication with its position as text.
pub fn with_stored<T>(publication: &Publication, show: impl FnOnce(&Stored<'_>) -> T) -> T {
    let position = publication.position.map(|position| position.to_string());
    with_view(publication, |view| {
        show(&Stored {
            view: *view,
            position: position.as_deref(),
        })
    })
}

/// The message of a publication for a peer without a dialect: its data and
/// nothing else.
pub fn raw(data: &Data) -> Message {
    match data {
        Data::Text(text) | Data::Json(text) => Message::Text(text.clone()),
        Data::Binary(bytes) => Message::Binary(bytes.clone()),
    }
}

/// The data of a message.
pub fn data_of(message: Message) -> Data {
    match message {
        Message::Text(text) => Data::Text(text),
        Message::Binary(bytes) => Data::Binary(bytes),
    }
}

/// A publication's data in the words of the dialects. Text is looked at: it may
/// be JSON.
pub fn data_view(data: &Data) -> DataView<'_> {
    match data {
        Data::Text(text) => DataView::of_text(text),
        Data::Json(text) => DataView::Json(text),
        Data::Binary(bytes) => DataView::Binary(bytes),
    }
}

/// Shows a publication in the words of the dialects.
pub fn with_view<T>(publication: &Publication, show: impl FnOnce(&PublicationView<'_>) -> T) -> T {
    let made_id;
    let id = match (&publication.id, publication.position) {
        (Some(id), _) => &**id,
        (None, Some(position)) => {
            made_id = position.to_string();
            &made_id
        }
        (None, None) => {
            made_id = unique();
            &made_id
        }
    };
    let sender = publication.sender.as_ref();
    let connection = sender.map(|sender| sender.connection.to_string());
    let sender = sender.zip(connection.as_deref());
    let tags = publication.tags.as_slice();
    show(&PublicationView {
        channel: publication.channel.as_str(),
        offset: publication.position.map_or(0, |position| position.offset),
        id,
        event: publication.event.as_deref(),
        data: data_view(&publication.data),
        tags: (!tags.is_empty()).then_some(&tags as &dyn Tags),
        sender: sender.map(|(sender, connection)| MemberView {
            connection,
            user: sender.user.as_deref().unwrap_or_default(),
            connection_info: None,
            channel_info: None,
        }),
        time_ms: publication.time.0,
    })
}

/// Shows a member in the words of the dialects.
pub fn with_member<T>(member: &Member, show: impl FnOnce(&MemberView<'_>) -> T) -> T {
    let connection = member.connection.to_string();
    let info = member.info.as_ref().and_then(|info| match info {
        Data::Json(text) => Some(&**text),
        _ => None,
    });
    show(&MemberView {
        connection: &connection,
        user: member.user.as_deref().unwrap_or_default(),
        connection_info: None,
        channel_info: info,
    })
}

/// What others are told of a member, in the words of a dialect that has such
/// news.
pub(crate) fn news(
    dialect: DialectName,
    channel: &str,
    member: &Member,
    joins: bool,
) -> Option<ByteString> {
    let dialect = spoken(dialect)?;
    with_member(member, |view| match joins {
        true => dialect.joined(channel, view),
        false => dialect.left(channel, view),
    })
}

/// An identity for a publication of a channel that does not count, for clients
/// that must have one: unique in this process, and in all with great probability.
fn unique() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = PROCESS.get_or_init(random);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{process:016x}.{number:x}")
}

/// Random bits.
pub(crate) fn random() -> u64 {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    u64::from_ne_bytes(bits)
}
